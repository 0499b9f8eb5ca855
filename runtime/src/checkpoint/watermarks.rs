//! What is known of event time after an epoch.

use std::collections::BTreeMap;

use crate::types::{NodeId, Watermark};

/// The watermark, and what it was computed from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watermarks {
    /// The watermark of epochs that are planned from now on; `None` as long as no node ever reported one.
    pub(crate) next: Option<Watermark>,
    /// The greatest that each node has reported.
    pub(crate) reported: BTreeMap<NodeId, Watermark>,
}

impl Watermarks {
    /// From a record's microseconds.
    pub(super) fn logged(next: Option<i64>, reported: &BTreeMap<String, i64>) -> Self {
        let reported = reported.iter().map(|(node, at)| (NodeId::new(node), Watermark::from_micros(*at)));
        Watermarks { next: next.map(Watermark::from_micros), reported: reported.collect() }
    }

    /// The reports in a record's microseconds.
    pub(super) fn reported_micros(&self) -> BTreeMap<String, i64> {
        self.reported.iter().map(|(node, watermark)| (node.to_string(), watermark.micros())).collect()
    }
}
