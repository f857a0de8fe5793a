//! The deadline of a whole run, and the caller's request to stop.

use std::time::{Duration, Instant};

use crate::error::Error;

/// The time limit of a run.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    timeout: Duration,
    // `None` for a timeout that the clock cannot express: such a timeout never passes.
    end: Option<Instant>,
}

/// The time limit of a run, and a function that returns whether the caller has asked to stop.
pub struct Deadline<'a> {
    limit: Limit,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Deadline<'a> {
    /// A deadline `timeout` from now. `interrupted` returns whether to stop; it is called at every
    /// check of the time, at least once per datagram or read.
    pub fn new(timeout: Duration, interrupted: &'a dyn Fn() -> bool) -> Self {
        let limit = Limit { timeout, end: Instant::now().checked_add(timeout) };
        Self { limit, interrupted }
    }

    /// The time limit alone, for another thread.
    #[must_use]
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// The same deadline, but at most `patience` from now.
    #[must_use]
    pub fn sooner(&self, patience: Duration) -> Self {
        let end = Instant::now().checked_add(patience);
        let end = end.into_iter().chain(self.limit.end).min();
        Self { limit: Limit { end, ..self.limit }, ..*self }
    }

    /// Returns an error once the time is used up, or the caller has asked to stop.
    pub fn check(&self) -> Result<(), Error> {
        self.remaining().map(drop)
    }

    /// The remaining time, never zero. An error once the time is used up, or the caller has asked
    /// to stop.
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
    /// A deadline with the same time limit and another `interrupted`.
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
        // Less than half a nanosecond rounds to zero.
        .filter(|timeout| !timeout.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_with_an_error() {
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
