//! Counts and thresholds in, a report out.

use std::cmp::Reverse;
use std::io::Read;
use std::time::{Duration, Instant};

use crate::counts::Counts;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::group::{Group, GroupBy};
use crate::range::Range;
use crate::selection::{Named, Selection};
use crate::source::{self, SourceName};
use crate::threshold::Thresholds;

/// A state of the Nagios guidelines; its number is the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

    /// How bad it is, in the collection's order: what is known to be wrong comes first.
    const fn severity(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unknown => 1,
            Self::Warning => 2,
            Self::Critical => 3,
        }
    }
}

/// The state of a check that finds nothing, named as the collection names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoMatch(pub State);

impl Named for NoMatch {
    const VALUES: &'static [Self] =
        &[Self(State::Ok), Self(State::Warning), Self(State::Critical), Self(State::Unknown)];
    const WHAT: &'static str = "severity";

    fn name(self) -> &'static str {
        match self.0 {
            State::Ok => "ok",
            State::Warning => "warn",
            State::Critical => "crit",
            State::Unknown => "unknown",
        }
    }

    fn bit(self) -> u32 {
        1 << self.0 as u8
    }
}

/// How long a run may take unless told otherwise: the collection's convention.
pub const TIMEOUT: Duration = Duration::from_secs(8);

/// How many groups are printed of a kind that has many, unless told otherwise.
pub const TOP: usize = 10;

/// One check: what is counted, how, and what is fine.
#[derive(Clone, Debug)]
pub struct Check {
    /// Which connections are counted.
    pub selection: Selection,
    /// What they are counted, judged and printed by.
    pub group_by: GroupBy,
    /// How many groups are printed at most; `None` for all where there are few, else [`TOP`].
    pub top: Option<usize>,
    /// Whether expected groups without connections count as 0.
    pub zero: bool,
    /// The state where nothing is found.
    pub no_match: NoMatch,
    /// The source that must answer; `None` for the best one that does.
    pub source: Option<SourceName>,
    /// The deadline of the whole run.
    pub timeout: Duration,
    /// The warning thresholds.
    pub warning: Option<Thresholds>,
    /// The critical thresholds.
    pub critical: Option<Thresholds>,
    /// Whether the state is OK whatever was found.
    pub always_ok: bool,
    /// Whether performance data is printed.
    pub perfdata: bool,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            group_by: GroupBy::default(),
            top: None,
            zero: false,
            no_match: NoMatch::default(),
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
    /// Every group, the largest first.
    pub groups: Vec<Judged>,
    /// The number of selected connections.
    pub total: u64,
    /// The state of the total, where a threshold asks for one.
    pub total_state: Option<State>,
    /// Who answered, for example `netlink`.
    pub source: String,
    /// How long it took.
    pub duration: Duration,
}

impl Check {
    /// Counts this host's connections and judges them. `interrupted` says whether the caller wants
    /// to stop.
    pub fn run(self, interrupted: &dyn Fn() -> bool) -> Result<Report, Error> {
        let start = Instant::now();
        let (counts, sources) = self.collect(interrupted)?;
        let names = if sources.is_empty() {
            source::names(SourceName::AVAILABLE)
        } else {
            source::names(&sources)
        };
        Ok(self.judge(&counts, names, start))
    }

    /// Judges the connections of a fixture.
    pub fn run_fixture(
        self,
        text: impl Read,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Report, Error> {
        let start = Instant::now();
        let deadline = Deadline::new(self.timeout, interrupted);
        let mut counts = Counts::new(self.group_by).recorded();
        source::fixture::read(text, &self.selection, &deadline, &mut counts)?;
        Ok(self.judge(&counts, "fixture".to_owned(), start))
    }

    /// Counts this host's connections.
    pub fn count(&self, interrupted: &dyn Fn() -> bool) -> Result<Counts, Error> {
        self.collect(interrupted).map(|(counts, _)| counts)
    }

    fn collect(&self, interrupted: &dyn Fn() -> bool) -> Result<(Counts, Vec<SourceName>), Error> {
        let deadline = Deadline::new(self.timeout, interrupted);
        let mut counts = Counts::new(self.group_by);
        let sources = source::collect(&self.selection, self.source, &deadline, &mut counts)?;
        Ok((counts, sources))
    }

    /// The groups of what was counted and, where they are asked for, those without connections.
    #[must_use]
    pub fn groups(&self, counts: &Counts) -> Vec<(Group, u64)> {
        let mut groups = counts.groups();
        if self.zero {
            let missing: Vec<_> = self
                .group_by
                .expected(&self.selection)
                .into_iter()
                .filter(|group| groups.iter().all(|(found, _)| found != group))
                .map(|group| (group, 0))
                .collect();
            groups.extend(missing);
        }
        groups
    }

    fn judge(self, counts: &Counts, source: String, start: Instant) -> Report {
        let groups: Vec<_> = self
            .groups(counts)
            .into_iter()
            .map(|(group, count)| Judged {
                group,
                count,
                state: self.state(count, |thresholds| thresholds.of(group)),
            })
            .collect();
        let total = groups.iter().map(|judged| judged.count).sum();
        let asked = [&self.critical, &self.warning]
            .into_iter()
            .flatten()
            .any(|thresholds| thresholds.total().is_some());
        let total_state = asked.then(|| self.state(total, Thresholds::total));
        Report { check: self, groups, total, total_state, source, duration: start.elapsed() }
    }

    fn state<'a>(
        &'a self,
        count: u64,
        range: impl Fn(&'a Thresholds) -> Option<&'a Range>,
    ) -> State {
        // Thresholds compare as 64-bit floats, as the reference and the C plugins do.
        #[allow(clippy::cast_precision_loss)]
        let value = count as f64;
        let left = |thresholds: &'a Option<Thresholds>| {
            thresholds.as_ref().and_then(&range).is_some_and(|range| !range.contains(value))
        };
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
        let nothing = self.groups.is_empty().then_some(self.check.no_match.0);
        self.groups
            .iter()
            .map(|judged| judged.state)
            .chain(self.total_state)
            .chain(nothing)
            .max_by_key(|state| state.severity())
            .unwrap_or_default()
    }

    /// The groups that are printed, the largest first, and how many are left out: never one in
    /// alert state before one that is fine.
    #[must_use]
    pub fn shown(&self) -> (Vec<&Judged>, usize) {
        let few = if self.check.group_by.is_small() { usize::MAX } else { TOP };
        let top = self.check.top.unwrap_or(few);
        if self.groups.len() <= top {
            return (self.groups.iter().collect(), 0);
        }
        let mut places: Vec<_> = self.groups.iter().enumerate().collect();
        // Stable: among equally bad ones the largest stay.
        places.sort_by_key(|(_, judged)| Reverse(judged.state.severity()));
        places.truncate(top);
        places.sort_unstable_by_key(|(place, _)| *place);
        (places.into_iter().map(|(_, judged)| judged).collect(), self.groups.len() - top)
    }
}
