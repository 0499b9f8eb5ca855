//! The query's watermark, from what its operators report. Pure: no clock, no channel, no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use super::watermark_report::{EpochStamp, TaskEventTime, WatermarkInput, WatermarkReport};
use crate::checkpoint::Watermarks;
use crate::error::{Error, Result};
use crate::types::{EpochInfo, NodeId, TaskId, Watermark};

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
    pub(super) fn choose(self, reported: impl Iterator<Item = Watermark>) -> Option<Watermark> {
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
    /// How long a node may be silent and still hold the watermark back, in milliseconds; for ever, if not set.
    idle_after_ms: Option<i64>,
    reporters: BTreeMap<NodeId, Heard>,
    known: Watermarks,
}

/// What this run has heard of a node.
#[derive(Debug)]
struct Heard {
    /// The sources that its rows come from.
    sources: Vec<NodeId>,
    /// When one of them last had input, or it last reported anything, or the run started.
    at_ms: i64,
    /// The newest epoch that moved its watermark.
    moved: Option<EpochStamp>,
    tasks: BTreeMap<usize, TaskEventTime>,
}

impl WatermarkTracker {
    /// A tracker of these nodes, none of which has reported anything, over a checkpoint that has come to `committed`.
    ///
    /// Each comes with the sources of its rows.
    pub(crate) fn new(
        policy: WatermarkPolicy,
        reporters: BTreeMap<NodeId, Vec<NodeId>>,
        committed: Option<Watermark>,
        now_ms: i64,
    ) -> Self {
        let next = committed.or_else(|| (!reporters.is_empty()).then_some(Watermark::ZERO));
        let silent = |(node, sources)| (node, Heard { sources, at_ms: now_ms, moved: None, tasks: BTreeMap::new() });
        WatermarkTracker {
            policy,
            idle_after_ms: None,
            reporters: reporters.into_iter().map(silent).collect(),
            known: Watermarks { next, reported: BTreeMap::new() },
        }
    }

    /// Leaves out nodes that have been silent for this long.
    pub(crate) fn idle_after(mut self, timeout: Option<Duration>) -> Self {
        self.idle_after_ms = timeout.map(|timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX));
        self
    }

    /// Takes up what nodes had reported before.
    pub(crate) fn resume(&mut self, reported: &BTreeMap<NodeId, Watermark>) {
        for (node, watermark) in reported {
            self.merge(node, *watermark);
        }
    }

    /// Notes which sources have input for an epoch that is being planned: what they feed is not silent, whatever it will report.
    pub(crate) fn note_input(&mut self, has_input: impl Fn(&NodeId) -> bool, now_ms: i64) {
        for heard in self.reporters.values_mut().filter(|heard| heard.sources.iter().any(&has_input)) {
            heard.at_ms = now_ms;
        }
    }

    /// The watermark of an epoch that is planned now; `None` when no node reports one.
    pub(crate) fn at(&self, now_ms: i64) -> Option<Watermark> {
        let known = self.current()?;
        Some(match self.idle_after_ms {
            Some(_) => known.max(self.chosen(now_ms).unwrap_or(known)),
            // Nodes that were taken up move nothing before the next report.
            None => known,
        })
    }

    /// The newest watermark that an epoch has reported or had; `None` when no node reports one.
    pub(crate) fn current(&self) -> Option<Watermark> {
        self.known.next.filter(|_| !self.reporters.is_empty())
    }

    /// Takes what tasks reported in an epoch that is being committed, and which had this watermark; gives what is known after it.
    pub(crate) fn advance(
        &mut self,
        reports: impl IntoIterator<Item = (TaskId, Watermark)>,
        epoch: EpochInfo,
        now_ms: i64,
    ) -> &Watermarks {
        let stamp = EpochStamp { epoch: epoch.epoch, trigger_time_ms: epoch.trigger_time_ms };
        for (task, watermark) in reports {
            let moved = self.merge(&task.node, watermark);
            let Some(heard) = self.reporters.get_mut(&task.node) else { continue };
            heard.at_ms = now_ms;
            if moved {
                heard.moved = Some(stamp);
            }
            let own = heard.tasks.entry(task.subtask).or_insert(TaskEventTime { task, watermark, since: stamp });
            if watermark > own.watermark {
                (own.watermark, own.since) = (watermark, stamp);
            }
        }
        // It never goes back: not when another node reports for the first time, not when a node is added, and not when one that was
        // idle is heard again.
        self.known.next = self.known.next.max(self.chosen(now_ms)).max(epoch.watermark);
        &self.known
    }

    /// When the next node that is silent from now on will be left out, in milliseconds from now.
    pub(crate) fn idle_in(&self, now_ms: i64) -> Option<u64> {
        let timeout = self.idle_after_ms?;
        let left = self.reporters.values().map(|heard| heard.at_ms.saturating_add(timeout).saturating_sub(now_ms));
        left.filter_map(|left| u64::try_from(left).ok()).filter(|left| *left > 0).min()
    }

    /// What the checkpoint has to keep so that the next start computes the same.
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        if self.reporters.is_empty() {
            return BTreeMap::new();
        }
        BTreeMap::from([(POLICY.to_owned(), self.policy.name().to_owned())])
    }

    /// Where it is, and why.
    pub(crate) fn report(&self) -> WatermarkReport {
        let input = |(node, heard): (&NodeId, &Heard)| WatermarkInput {
            node: node.clone(),
            sources: heard.sources.clone(),
            watermark: self.known.reported.get(node).copied(),
            since: heard.moved,
            tasks: heard.tasks.values().cloned().collect(),
            heard_ms: heard.at_ms,
        };
        WatermarkReport {
            watermark: self.current(),
            policy: self.policy,
            idle_after_ms: self.idle_after_ms,
            as_of_ms: 0,
            inputs: self.reporters.iter().map(input).collect(),
        }
    }

    /// The policy's choice among the nodes that are not idle; if all are, they all count, and the greatest: nothing is waited for then.
    fn chosen(&self, now_ms: i64) -> Option<Watermark> {
        let of = |node| self.known.reported.get(node).copied().unwrap_or(Watermark::ZERO);
        let is_idle = |heard: &Heard| self.idle_after_ms.is_some_and(|timeout| now_ms.saturating_sub(heard.at_ms) >= timeout);
        let mut awake = self.reporters.iter().filter(|(_, heard)| !is_idle(heard)).map(|(node, _)| of(node)).peekable();
        if awake.peek().is_none() {
            return self.reporters.keys().map(of).max();
        }
        self.policy.choose(awake)
    }

    /// Takes a node's report; says whether it is the greatest so far.
    fn merge(&mut self, node: &NodeId, watermark: Watermark) -> bool {
        match self.known.reported.get_mut(node) {
            Some(greatest) if *greatest >= watermark => return false,
            Some(greatest) => *greatest = watermark,
            None => {
                self.known.reported.insert(node.clone(), watermark);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Epoch;

    fn node(number: usize) -> NodeId {
        NodeId::new(format!("n{number}"))
    }

    /// So many nodes, each with a source of its own.
    fn reporters(nodes: usize) -> BTreeMap<NodeId, Vec<NodeId>> {
        (0..nodes).map(|number| (node(number), vec![NodeId::new(format!("s{number}"))])).collect()
    }

    fn tracker(policy: WatermarkPolicy, nodes: usize) -> WatermarkTracker {
        WatermarkTracker::new(policy, reporters(nodes), None, 0)
    }

    fn advance(tracker: &mut WatermarkTracker, reports: &[(usize, i64)]) -> Option<i64> {
        advance_at(tracker, 0, reports)
    }

    fn advance_at(tracker: &mut WatermarkTracker, now_ms: i64, reports: &[(usize, i64)]) -> Option<i64> {
        let task = |number: usize| TaskId { node: node(number), subtask: 0 };
        let reports = reports.iter().map(|(number, at)| (task(*number), Watermark::from_micros(*at)));
        tracker.advance(reports, epoch(tracker.current()), now_ms);
        tracker.current().map(Watermark::micros)
    }

    fn epoch(watermark: Option<Watermark>) -> EpochInfo {
        EpochInfo { epoch: Epoch::FIRST, trigger_time_ms: 0, watermark, late_watermark: watermark }
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
        let known = before.advance([], epoch(None), 0).clone();
        let mut forgetful = WatermarkTracker::new(WatermarkPolicy::Min, reporters(2), known.next, 0);
        assert_eq!(advance(&mut forgetful, &[(0, 50)]), Some(10));
        let mut resumed = WatermarkTracker::new(WatermarkPolicy::Min, reporters(2), known.next, 0);
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

    #[test]
    fn a_node_that_is_silent_for_long_does_not_hold_the_watermark_back() {
        let mut tracker = tracker(WatermarkPolicy::Min, 2).idle_after(Some(Duration::from_millis(30)));
        let at = |tracker: &WatermarkTracker, now_ms| tracker.at(now_ms).map(Watermark::micros);
        assert_eq!(advance_at(&mut tracker, 10, &[(0, 100)]), Some(0), "the other one has said nothing yet");
        assert_eq!((at(&tracker, 29), tracker.idle_in(10)), (Some(0), Some(20)));
        assert_eq!((at(&tracker, 30), tracker.idle_in(30)), (Some(100), Some(10)), "and now it is idle");
        // Once an epoch has had the watermark it stays, although the idle one is heard again and is behind.
        let had = tracker.at(30);
        tracker.advance([(TaskId { node: node(1), subtask: 0 }, Watermark::from_micros(7))], epoch(had), 35);
        assert_eq!(at(&tracker, 36), Some(100));
        assert_eq!(advance_at(&mut tracker, 37, &[(0, 200)]), Some(100), "it holds back again");
        assert_eq!(advance_at(&mut tracker, 38, &[(1, 150)]), Some(150));
        tracker.note_input(|source| source.as_str() == "s1", 500);
        assert_eq!(at(&tracker, 500), Some(150), "an epoch with rows of the slower one is being planned");
        assert_eq!((at(&tracker, 600), tracker.idle_in(600)), (Some(200), None), "nothing is waited for when all are idle");
    }

    #[test]
    fn it_tells_who_moved_it_when() {
        let mut tracker = tracker(WatermarkPolicy::Min, 1);
        for (number, subtask, at) in [(0, 0, 10), (1, 1, 7), (2, 0, 10)] {
            let epoch = EpochInfo { epoch: Epoch::new(number), trigger_time_ms: 1_000 * number as i64, ..epoch(None) };
            tracker.advance([(TaskId { node: node(0), subtask }, Watermark::from_micros(at))], epoch, 0);
        }
        let report = tracker.report();
        let of = |since: EpochStamp| (since.epoch.number(), since.trigger_time_ms);
        assert_eq!(report.inputs[0].since.map(of), Some((0, 0)));
        let tasks = report.inputs[0].tasks.iter().map(|t| (t.task.subtask, t.watermark.micros(), of(t.since)));
        assert_eq!(tasks.collect::<Vec<_>>(), [(0, 10, (0, 0)), (1, 7, (1, 1_000))]);
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
                    let known = tracker.advance([], epoch(None), 0).clone();
                    tracker = WatermarkTracker::new(policy, reporters(nodes), known.next, 0);
                    tracker.resume(&known.reported);
                }
            }
        }
    }
}
