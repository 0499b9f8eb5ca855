//! When epochs start.

use std::time::Duration;

/// When a query looks for new input and starts an epoch. The names are those of the Structured Streaming guide, section
/// "Triggers".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trigger {
    /// At every multiple of the interval, or as soon as the previous epoch is committed if that took longer. With a zero interval
    /// (the default): as soon as there is input.
    ProcessingTime(Duration),
    /// One epoch with everything that is there, then the query ends; before that, as under any trigger, epochs without input as
    /// long as the watermark moves and an operator waits for that.
    Once,
    /// Everything that is there at the start, in epochs of the sources' configured size, then the query ends. A restart after a
    /// failure is a new start.
    AvailableNow,
}

impl Trigger {
    /// Whether epochs follow one another without waiting for a point in time.
    pub(crate) fn is_continual(self) -> bool {
        self.next_tick(0).is_none()
    }

    /// The time from `now_ms` (milliseconds since 1970-01-01 UTC) to the next multiple of the interval; `None` for triggers
    /// without one.
    pub(crate) fn next_tick(self, now_ms: i64) -> Option<Duration> {
        let Trigger::ProcessingTime(interval) = self else { return None };
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let now = u64::try_from(now_ms).unwrap_or_default();
        now.checked_rem(interval).map(|past| Duration::from_millis(interval - past))
    }
}

impl Default for Trigger {
    fn default() -> Self {
        Trigger::ProcessingTime(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_multiples_of_the_interval() {
        let every_second = Trigger::ProcessingTime(Duration::from_secs(1));
        assert_eq!(every_second.next_tick(12_300), Some(Duration::from_millis(700)));
        assert_eq!(every_second.next_tick(13_000), Some(Duration::from_secs(1)));
        assert_eq!(Trigger::default().next_tick(13_000), None);
        assert_eq!(Trigger::Once.next_tick(13_000), None);
    }
}
