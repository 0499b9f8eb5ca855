//! Which columns of a plan are event time.

use std::collections::HashMap;

use datafusion::logical_expr::Expr;

use tidegate_functions::time_window::WindowSpec;

use crate::analysis::{EventTime, EventTimeKind};

/// The event time columns of a plan node, by identity.
pub(crate) type EventTimes = HashMap<String, EventTime>;

/// What an expression is, over columns of which these are event time: a column stays one when it is renamed, a window over one is one,
/// and so is the time of a window. Anything else that is computed from one is not.
pub(crate) fn event_time_of(expr: &Expr, known: &EventTimes) -> Option<EventTime> {
    match expr {
        Expr::Alias(alias) => event_time_of(&alias.expr, known),
        Expr::Column(column) => known.get(&column.name).copied(),
        Expr::ScalarFunction(function) => {
            let name = function.func.name();
            let inner = event_time_of(function.args.first()?, known)?;
            match name {
                _ if WindowSpec::of_name(name).is_some() || name == "session_window" => {
                    Some(EventTime { kind: EventTimeKind::Window, ..inner })
                }
                "window_time" => Some(EventTime { kind: EventTimeKind::Instant, ..inner }),
                // Sliding windows are generated from an array of them.
                "explode" => Some(inner),
                _ => None,
            }
        }
        _ => None,
    }
}
