//! Counts and thresholds in, a report out.

use std::io::Read;
use std::time::Duration;

use crate::counts::{Counts, Group};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::range::Range;
use crate::selection::Selection;
use crate::source::{self, SourceName};

/// A state of the Nagios guidelines; its number is the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// 0: fine.
    #[default]
    Ok = 0,
    /// 1: the warning threshold is left.
    Warning = 1,
    /// 2: the critical threshold is left.
    Critical = 2,
    /// 3: there is no answer.
    Unknown = 3,
}

impl State {
    /// `OK`, `WARNING`, `CRITICAL` or `UNKNOWN`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// How long a run may take unless told otherwise: the collection's convention.
pub const TIMEOUT: Duration = Duration::from_secs(8);

/// One check: what is counted, how, and what is fine.
#[derive(Clone, Debug)]
pub struct Check {
    /// Which connections are counted.
    pub selection: Selection,
    /// The source that must answer; `None` for the best one that does.
    pub source: Option<SourceName>,
    /// The deadline of the whole run.
    pub timeout: Duration,
    /// The warning threshold of every group.
    pub warning: Option<Range>,
    /// The critical threshold of every group.
    pub critical: Option<Range>,
    /// Whether the state is OK whatever was found.
    pub always_ok: bool,
    /// Whether performance data is printed.
    pub perfdata: bool,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            source: None,
            timeout: TIMEOUT,
            warning: None,
            critical: None,
            always_ok: false,
            perfdata: true,
        }
    }
}

/// One group, counted and judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The group.
    pub group: Group,
    /// Its connections.
    pub count: u64,
    /// Its own state.
    pub state: State,
}

/// The outcome of a check.
#[derive(Clone, Debug)]
pub struct Report {
    /// The check that was run.
    pub check: Check,
    /// Every group that was found, in display order.
    pub groups: Vec<Judged>,
}

impl Check {
    /// Counts the connections of this host. `interrupted` says whether the caller wants to stop.
    pub fn count(&self, interrupted: &dyn Fn() -> bool) -> Result<Counts, Error> {
        let deadline = Deadline::new(self.timeout, interrupted);
        let mut counts = Counts::default();
        source::collect(&self.selection, self.source, &deadline, &mut counts)?;
        counts.canonical_order();
        Ok(counts)
    }

    /// Counts the connections of a fixture.
    pub fn count_fixture(
        &self,
        text: impl Read,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Counts, Error> {
        let deadline = Deadline::new(self.timeout, interrupted);
        let mut counts = Counts::default();
        source::fixture::read(text, &self.selection, &deadline, &mut counts)?;
        Ok(counts)
    }

    /// Judges what was counted.
    #[must_use]
    pub fn judge(self, counts: &Counts) -> Report {
        let groups = counts
            .groups()
            .into_iter()
            .map(|(group, count)| Judged { group, count, state: self.state_of(count) })
            .collect();
        Report { check: self, groups }
    }

    fn state_of(&self, count: u64) -> State {
        // Thresholds compare as 64-bit floats, as the reference and the C plugins do.
        #[allow(clippy::cast_precision_loss)]
        let value = count as f64;
        let left = |range: &Option<Range>| range.as_ref().is_some_and(|r| !r.contains(value));
        if left(&self.critical) {
            State::Critical
        } else if left(&self.warning) {
            State::Warning
        } else {
            State::Ok
        }
    }
}

impl Report {
    /// The state of the whole check, which is the command's exit code.
    #[must_use]
    pub fn state(&self) -> State {
        if self.check.always_ok {
            return State::Ok;
        }
        self.groups.iter().map(|judged| judged.state).max().unwrap_or_default()
    }
}
