//! Counts and thresholds in, a report out.

use std::cmp::Reverse;
use std::io::Read;
use std::time::{Duration, Instant};

use crate::counts::Counts;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::group::{Group, GroupBy};
use crate::lengthy::{self, Detail, Details};
use crate::owner::{self, Names};
use crate::range::Range;
use crate::selection::{Named, Selection};
use crate::sockets::{Socket, Sockets};
use crate::source::{self, Collector, SourceName};
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
#[allow(clippy::struct_excessive_bools)] // each is a switch of the command line
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
    /// Whether the message goes on with who has the connections and where they lead.
    pub lengthy: bool,
    /// Whether user ids are looked up for all groups, rather than for those that are printed.
    pub every_name: bool,
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
            lengthy: false,
            every_name: true,
        }
    }
}

/// One group, counted and judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The group; of several that are one to a person, one of them.
    pub group: Group,
    /// Its label.
    pub label: String,
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
    /// What the groups in alert state consist of, or the largest one where all is fine; only if it
    /// was asked for.
    pub details: Vec<Detail>,
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
        let deadline = Deadline::new(self.timeout, interrupted);
        let details = if self.lengthy {
            let listening = lengthy::listening(self.source, &deadline)?;
            Some(Details::new(self.group_by, Some(listening)))
        } else {
            None
        };
        let ((counts, details), source) =
            self.collect((Counts::new(self.group_by), details), &deadline)?;
        self.judge(&counts, details.as_ref(), source, start, &deadline)
    }

    /// Judges the connections of a fixture.
    pub fn run_fixture(
        self,
        text: impl Read,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Report, Error> {
        let start = Instant::now();
        let deadline = Deadline::new(self.timeout, interrupted);
        let details = self.lengthy.then(|| Details::new(self.group_by, None));
        let mut collectors = (Counts::new(self.group_by).recorded(), details);
        source::fixture::read(text, &self.selection, &deadline, &mut collectors)?;
        let (counts, details) = collectors;
        self.judge(&counts, details.as_ref(), "fixture".to_owned(), start, &deadline)
    }

    /// Counts this host's connections per group: labels and numbers, the largest first.
    pub fn count(&self, interrupted: &dyn Fn() -> bool) -> Result<Vec<(String, u64)>, Error> {
        let deadline = Deadline::new(self.timeout, interrupted);
        let (counts, _) = self.collect(Counts::new(self.group_by), &deadline)?;
        let groups = self.groups(&counts);
        let names = owner::look_up(groups.iter().map(|(group, _)| *group), false, &deadline)?;
        let labelled = owner::merged(self.group_by, groups, &names);
        Ok(labelled.into_iter().map(|(_, label, count)| (label, count)).collect())
    }

    /// The selected connections themselves, in the kernel's order. `processes` asks for the
    /// processes that have them too, which reads all of `/proc/PID/fd`.
    pub fn sockets(
        &self,
        processes: bool,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Vec<Socket>, Error> {
        let deadline = Deadline::new(self.timeout, interrupted);
        let (sockets, _) = self.collect(Sockets::default(), &deadline)?;
        sockets.named(processes, &deadline)
    }

    /// What a collector collects of the selected connections, and who answered.
    fn collect<C: Collector>(
        &self,
        mut collector: C,
        deadline: &Deadline,
    ) -> Result<(C, String), Error> {
        // Also where no connection is there to show it.
        if let (GroupBy::Unit, Some(source @ (SourceName::Procfs | SourceName::Netstat2))) =
            (self.group_by, self.source)
        {
            return Err(Error::Unsupported(format!(
                "The source {source} does not tell the units of sockets (valid: auto, netlink)"
            )));
        }
        let sources = source::collect(&self.selection, self.source, deadline, &mut collector)?;
        Ok((collector, source::names(&sources)))
    }

    /// The groups of what was counted and, where they are asked for, those without connections.
    fn groups(&self, counts: &Counts) -> Vec<(Group, u64)> {
        let mut groups = counts.groups();
        if self.zero {
            let mut missing = self.group_by.expected(&self.selection);
            missing.retain(|group| groups.iter().all(|(found, _)| found != group));
            groups.extend(missing.into_iter().map(|group| (group, 0)));
        }
        groups
    }

    fn judge(
        self,
        counts: &Counts,
        details: Option<&Details>,
        source: String,
        start: Instant,
        deadline: &Deadline,
    ) -> Result<Report, Error> {
        let groups = self.groups(counts);
        let users = self.group_by == GroupBy::User;
        let names = if users {
            Names::default()
        } else {
            owner::look_up(groups.iter().map(|(group, _)| *group), false, deadline)?
        };
        let groups: Vec<_> = owner::merged(self.group_by, groups, &names)
            .into_iter()
            .map(|(group, label, count)| {
                let state = self.state(count, |thresholds| thresholds.of(group, &label));
                Judged { group, label, count, state }
            })
            .collect();
        let total = groups.iter().map(|judged| judged.count).sum();
        let asked = [&self.critical, &self.warning]
            .into_iter()
            .flatten()
            .any(|thresholds| thresholds.total().is_some());
        let total_state = asked.then(|| self.state(total, Thresholds::total));
        let mut report = Report {
            check: self,
            groups,
            total,
            total_state,
            details: Vec::new(),
            source,
            duration: Duration::ZERO,
        };
        if let Some(details) = details {
            let labels = report.explained();
            report.details = details.of(&labels, &names, report.check.source, deadline)?;
        }
        if users {
            report.name_users(deadline)?;
        }
        report.duration = start.elapsed();
        Ok(report)
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
    /// The labels of the groups that details are given of.
    fn explained(&self) -> Vec<&str> {
        let (shown, _) = self.shown();
        let mut alerting: Vec<_> =
            shown.into_iter().filter(|judged| judged.state != State::Ok).collect();
        alerting.sort_by_key(|judged| Reverse(judged.state.severity()));
        let largest = self.groups.first().filter(|_| alerting.is_empty());
        alerting.into_iter().chain(largest).map(|judged| judged.label.as_str()).collect()
    }

    /// Gives users their names: a look-up that may be slow, so only of those that are printed.
    fn name_users(&mut self, deadline: &Deadline) -> Result<(), Error> {
        let printed: Vec<_> = if self.check.every_name {
            self.groups.iter().map(|judged| judged.group).collect()
        } else {
            self.shown().0.into_iter().map(|judged| judged.group).collect()
        };
        let names = owner::look_up(printed.into_iter(), false, deadline)?;
        for detail in &mut self.details {
            let judged = self.groups.iter().find(|judged| judged.label == detail.label);
            if let Some(judged) = judged {
                detail.label = names.label(judged.group);
            }
        }
        for judged in &mut self.groups {
            judged.label = names.label(judged.group);
        }
        Ok(())
    }

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
        self.shown_at_most(self.check.top.unwrap_or(few))
    }

    /// As many groups as `top` says.
    pub(crate) fn shown_at_most(&self, top: usize) -> (Vec<&Judged>, usize) {
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
