//! What happens after a failure.

use std::time::Duration;

/// Whether and when a failed query is started again, from its last committed epoch, with all its tasks made anew.
///
/// An error that a restart can't mend (`Error::is_retryable` is false: a damaged checkpoint, lost source data) ends the query
/// under any strategy.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum RestartStrategy {
    /// The first failure ends the query.
    #[default]
    None,
    /// Up to `attempts` restarts in the query's life, each after `delay`.
    FixedDelay {
        /// How many restarts.
        attempts: u32,
        /// The wait before each.
        delay: Duration,
    },
    /// Restarts without end; the wait doubles from `initial` to at most `max`, and starts anew once an epoch has been committed.
    Exponential {
        /// The wait before the first restart.
        initial: Duration,
        /// The longest wait.
        max: Duration,
    },
}

/// A strategy and the failures that it has seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restarts {
    strategy: RestartStrategy,
    failures: u32,
}

impl Restarts {
    pub(crate) fn new(strategy: RestartStrategy) -> Self {
        Restarts { strategy, failures: 0 }
    }

    /// A failure: how long to wait before the restart, or `None` if there is to be none.
    pub(crate) fn after_failure(&mut self) -> Option<Duration> {
        let earlier = self.failures;
        self.failures = self.failures.saturating_add(1);
        match self.strategy {
            RestartStrategy::None => None,
            RestartStrategy::FixedDelay { attempts, delay } => (earlier < attempts).then_some(delay),
            RestartStrategy::Exponential { initial, max } => Some(initial.saturating_mul(1 << earlier.min(30)).min(max)),
        }
    }

    /// An epoch was committed: the query works again.
    pub(crate) fn after_commit(&mut self) {
        if matches!(self.strategy, RestartStrategy::Exponential { .. }) {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn fixed_delay_gives_up() {
        let mut restarts = Restarts::new(RestartStrategy::FixedDelay { attempts: 2, delay: ms(5) });
        assert_eq!([(); 3].map(|()| restarts.after_failure()), [Some(ms(5)), Some(ms(5)), None]);
        restarts.after_commit();
        assert_eq!(restarts.after_failure(), None, "attempts are for the query's life");
        assert_eq!(Restarts::new(RestartStrategy::None).after_failure(), None);
    }

    #[test]
    fn exponential_doubles_to_its_maximum_and_starts_anew() {
        let mut restarts = Restarts::new(RestartStrategy::Exponential { initial: ms(10), max: ms(35) });
        assert_eq!([(); 3].map(|()| restarts.after_failure()), [Some(ms(10)), Some(ms(20)), Some(ms(35))]);
        restarts.after_commit();
        assert_eq!(restarts.after_failure(), Some(ms(10)));
    }
}
