//! One deadline for a whole run, and the caller's wish to stop.

use std::time::{Duration, Instant};

use crate::error::Error;

/// Until when a run may take.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    timeout: Duration,
    // `None` where the timeout lies beyond what the clock can express: that never passes.
    end: Option<Instant>,
}

/// Until when a run may take, and whether somebody still waits for its answer.
pub struct Deadline<'a> {
    limit: Limit,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Deadline<'a> {
    /// A deadline `timeout` from now. `interrupted` is asked whenever the time is, so at least
    /// once per datagram or read, and says whether to stop.
    pub fn new(timeout: Duration, interrupted: &'a dyn Fn() -> bool) -> Self {
        let limit = Limit { timeout, end: Instant::now().checked_add(timeout) };
        Self { limit, interrupted }
    }

    /// Until when it may take, for another thread.
    #[must_use]
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// The same, but at most `patience` from now.
    #[must_use]
    pub fn sooner(&self, patience: Duration) -> Self {
        let end = Instant::now().checked_add(patience);
        let end = end.into_iter().chain(self.limit.end).min();
        Self { limit: Limit { end, ..self.limit }, ..*self }
    }

    /// An error once the time is used up, or the caller wants to stop.
    pub fn check(&self) -> Result<(), Error> {
        self.remaining().map(drop)
    }

    /// The time that is left, never zero: once it is used up, or the caller wants to stop, an error.
    pub fn remaining(&self) -> Result<Duration, Error> {
        if (self.interrupted)() {
            return Err(Error::Interrupted);
        }
        let Limit { timeout, end } = self.limit;
        let Some(end) = end else {
            return Ok(Duration::MAX);
        };
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Error::Timeout(timeout)),
            left => Ok(left),
        }
    }
}

impl Limit {
    /// The same deadline, with somebody else's wish to stop.
    #[must_use]
    pub fn deadline(self, interrupted: &dyn Fn() -> bool) -> Deadline<'_> {
        Deadline { limit: self, interrupted }
    }
}

/// Reads a timeout in seconds: a positive, finite number.
#[must_use]
pub fn timeout(seconds: f64) -> Option<Duration> {
    (seconds > 0.0 && seconds.is_finite())
        .then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
        // Rounds to no time at all below half a nanosecond.
        .filter(|timeout| !timeout.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_and_says_so() {
        let deadline = Deadline::new(Duration::from_nanos(1), &|| false);
        std::thread::sleep(Duration::from_millis(1));
        assert!(matches!(deadline.check(), Err(Error::Timeout(_))));
    }

    #[test]
    fn a_timeout_beyond_the_clock_never_passes() {
        let deadline = Deadline::new(Duration::MAX, &|| false);
        assert!(deadline.check().is_ok());
    }

    #[test]
    fn an_interrupted_run_stops() {
        let deadline = Deadline::new(Duration::MAX, &|| true);
        assert!(matches!(deadline.check(), Err(Error::Interrupted)));
    }

    #[test]
    fn a_timeout_is_positive_and_finite() {
        assert_eq!(timeout(0.5), Some(Duration::from_millis(500)));
        assert_eq!(timeout(1e30), Some(Duration::MAX));
        for bad in [0.0, -1.0, 1e-10, f64::NAN, f64::INFINITY] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }
}
