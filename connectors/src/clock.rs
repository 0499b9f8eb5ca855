//! Wall-clock time as the connectors need it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01 UTC, negative before.
pub(crate) fn now_micros() -> i64 {
    nanos_since_epoch(SystemTime::now()) / 1_000
}

/// Nanoseconds since 1970-01-01 UTC, negative before; an `i64` holds the years 1678 to 2261, others are cut to these.
pub(crate) fn nanos_since_epoch(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}
