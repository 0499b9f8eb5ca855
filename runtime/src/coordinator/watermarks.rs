//! The query's watermark, from what its operators report. Pure: no clock, no channel, no I/O.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::Watermarks;
use crate::error::{Error, Result};
use crate::types::{NodeId, Watermark};

/// The name of the setting that a checkpoint keeps the policy under.
const POLICY: &str = "multipleWatermarkPolicy";

/// Which watermark a query has when several operators report one.
///
/// It is fixed with the first epoch of a checkpoint: a query that goes on from it keeps the policy, whatever it is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WatermarkPolicy {
    /// The least: nothing is late as long as the slowest input is there. An input that has had no rows holds the watermark back.
    #[default]
    Min,
    /// The greatest: the fastest input decides, and rows of the slower ones may be dropped.
    Max,
}

impl WatermarkPolicy {
    fn choose(self, reported: impl Iterator<Item = Watermark>) -> Option<Watermark> {
        match self {
            WatermarkPolicy::Min => reported.min(),
            WatermarkPolicy::Max => reported.max(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            WatermarkPolicy::Min => "min",
            WatermarkPolicy::Max => "max",
        }
    }

    /// The policy that a checkpoint's settings fix; `asked` where they fix none.
    ///
    /// # Errors
    /// When they fix one that does not exist.
    pub(crate) fn pinned(settings: &BTreeMap<String, String>, asked: Self) -> Result<Self> {
        let Some(name) = settings.get(POLICY) else { return Ok(asked) };
        let known = [WatermarkPolicy::Min, WatermarkPolicy::Max].into_iter().find(|policy| policy.name() == name);
        let pinned = known.ok_or_else(|| Error::Protocol(format!("the checkpoint has the watermark policy {name:?}")))?;
        if pinned != asked {
            tracing::warn!(policy = name, "the watermark policy is the checkpoint's, not the one that was set");
        }
        Ok(pinned)
    }
}

/// What has been reported, node by node, and the watermark that follows from it.
#[derive(Debug)]
pub(crate) struct WatermarkTracker {
    policy: WatermarkPolicy,
    reporters: BTreeSet<NodeId>,
    known: Watermarks,
}

impl WatermarkTracker {
    /// A tracker of these nodes, none of which has reported anything, over a checkpoint that has come to `committed`.
    pub(crate) fn new(policy: WatermarkPolicy, reporters: BTreeSet<NodeId>, committed: Option<Watermark>) -> Self {
        let next = committed.or_else(|| (!reporters.is_empty()).then_some(Watermark::ZERO));
        WatermarkTracker { policy, reporters, known: Watermarks { next, reported: BTreeMap::new() } }
    }

    /// Takes up what nodes had reported before.
    pub(crate) fn resume(&mut self, reported: &BTreeMap<NodeId, Watermark>) {
        self.merge(reported.iter().map(|(node, watermark)| (node.clone(), *watermark)));
    }

    /// The newest watermark; `None` when no node reports one.
    pub(crate) fn current(&self) -> Option<Watermark> {
        self.known.next.filter(|_| !self.reporters.is_empty())
    }

    /// Takes what nodes reported in an epoch that is being committed; gives what is known after it.
    pub(crate) fn advance(&mut self, reports: impl IntoIterator<Item = (NodeId, Watermark)>) -> &Watermarks {
        self.merge(reports);
        let of = |node| self.known.reported.get(node).copied().unwrap_or(Watermark::ZERO);
        let chosen = self.policy.choose(self.reporters.iter().map(of));
        // It never goes back: not when another node reports for the first time, and not when a node is added.
        self.known.next = self.known.next.max(chosen);
        &self.known
    }

    /// What the checkpoint has to keep so that the next start computes the same.
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        if self.reporters.is_empty() {
            return BTreeMap::new();
        }
        BTreeMap::from([(POLICY.to_owned(), self.policy.name().to_owned())])
    }

    fn merge(&mut self, reports: impl IntoIterator<Item = (NodeId, Watermark)>) {
        for (node, watermark) in reports {
            let greatest = self.known.reported.entry(node).or_insert(watermark);
            *greatest = watermark.max(*greatest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(number: usize) -> NodeId {
        NodeId::new(format!("n{number}"))
    }

    fn tracker(policy: WatermarkPolicy, nodes: usize) -> WatermarkTracker {
        WatermarkTracker::new(policy, (0..nodes).map(node).collect(), None)
    }

    fn advance(tracker: &mut WatermarkTracker, reports: &[(usize, i64)]) -> Option<i64> {
        tracker.advance(reports.iter().map(|(number, at)| (node(*number), Watermark::from_micros(*at))));
        tracker.current().map(Watermark::micros)
    }

    #[test]
    fn the_least_or_the_greatest_of_all_that_report() {
        type Reports = &'static [(usize, i64)];
        let cases: [(Reports, i64, i64); 6] = [
            (&[], 0, 0),
            (&[(0, 10)], 0, 10),
            (&[(1, 30), (1, 20)], 10, 30),
            (&[(0, 5)], 10, 30),
            (&[(0, 50)], 30, 50),
            (&[(0, -7), (1, 40)], 40, 50),
        ];
        let (mut min, mut max) = (tracker(WatermarkPolicy::Min, 2), tracker(WatermarkPolicy::Max, 2));
        for (reports, least, greatest) in cases {
            assert_eq!((advance(&mut min, reports), advance(&mut max, reports)), (Some(least), Some(greatest)), "{reports:?}");
        }
        assert_eq!(advance(&mut tracker(WatermarkPolicy::Min, 0), &[]), None);
        assert_eq!(advance(&mut tracker(WatermarkPolicy::Min, 1), &[(0, -5)]), Some(0), "never before 1970");
    }

    #[test]
    fn a_node_that_is_silent_since_the_start_holds_back_until_what_it_reported_is_taken_up() {
        let mut before = tracker(WatermarkPolicy::Min, 2);
        advance(&mut before, &[(0, 10), (1, 100)]);
        let known = before.advance([]).clone();
        let mut forgetful = WatermarkTracker::new(WatermarkPolicy::Min, [node(0), node(1)].into(), known.next);
        assert_eq!(advance(&mut forgetful, &[(0, 50)]), Some(10));
        let mut resumed = WatermarkTracker::new(WatermarkPolicy::Min, [node(0), node(1)].into(), known.next);
        resumed.resume(&known.reported);
        assert_eq!(resumed.current().map(Watermark::micros), Some(10), "taking up moves nothing");
        assert_eq!(advance(&mut resumed, &[(0, 50)]), Some(50));
    }

    #[test]
    fn the_checkpoint_fixes_the_policy() {
        let pinned = tracker(WatermarkPolicy::Max, 1).settings();
        assert_eq!(WatermarkPolicy::pinned(&pinned, WatermarkPolicy::Min).unwrap(), WatermarkPolicy::Max);
        assert_eq!(WatermarkPolicy::pinned(&BTreeMap::new(), WatermarkPolicy::Max).unwrap(), WatermarkPolicy::Max);
        assert!(tracker(WatermarkPolicy::Max, 0).settings().is_empty(), "nothing depends on it yet");
        let unknown = BTreeMap::from([(POLICY.to_owned(), "median".to_owned())]);
        assert!(WatermarkPolicy::pinned(&unknown, WatermarkPolicy::Min).is_err());
    }

    proptest! {
        /// Against the plain definition: all reports of a node so far, zero if there are none; and never less than before.
        #[test]
        fn the_watermark_is_what_the_definition_says(
            max in any::<bool>(),
            nodes in 1usize..4,
            epochs in prop::collection::vec(prop::collection::vec((0usize..4, -50i64..100), 0..4), 0..12),
            restarts in prop::collection::vec(any::<bool>(), 12),
        ) {
            let policy = if max { WatermarkPolicy::Max } else { WatermarkPolicy::Min };
            let mut tracker = tracker(policy, nodes);
            let (mut all, mut expected): (Vec<(usize, i64)>, i64) = (Vec::new(), 0);
            for (reports, restart) in epochs.iter().zip(restarts) {
                let reports: Vec<_> = reports.iter().copied().filter(|(number, _)| *number < nodes).collect();
                all.extend(&reports);
                let of = |node| all.iter().filter(|(number, _)| *number == node).map(|(_, at)| *at).max().unwrap_or(0);
                let chosen = if max { (0..nodes).map(of).max() } else { (0..nodes).map(of).min() };
                expected = expected.max(chosen.unwrap());
                prop_assert_eq!(advance(&mut tracker, &reports), Some(expected));
                if restart {
                    let known = tracker.advance([]).clone();
                    tracker = WatermarkTracker::new(policy, (0..nodes).map(node).collect(), known.next);
                    tracker.resume(&known.reported);
                }
            }
        }
    }
}
