//! The result of a check.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::collect::connections::Connection;
use crate::details::Detail;
use crate::ephemeral::EphemeralPorts;
use crate::group::Group;
use crate::host_limit::HostLimit;
use crate::judge::GroupState;
use crate::judge::state::State;
use crate::many_groups::ManyGroups;
use crate::measure::Measure;
use crate::measure::share::Share;
use crate::name::Named;
use crate::namespaces::NetnsCoverage;
use crate::plan::Plan;
use crate::selection::UnixListeners;
use crate::source::summary::DropCounter;
use crate::stuck::StuckKind;
use crate::vocabulary::NetnsIndex;

/// The most connections of a group for which tables are made where all is fine: nobody has to act on them.
pub const MOST_UNASKED: u64 = 100_000;

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Report {
    /// The check that was run.
    pub plan: Plan,
    /// The groups, the largest first; then the keys of thresholds that match no group. Of many groups
    /// these are the ones that are printed: [`Report::every_group`] has all.
    pub groups: Vec<GroupState>,
    /// Every group, where there may be many.
    pub(crate) many: Option<ManyGroups>,
    /// The number of selected connections.
    pub total: u64,
    /// The largest number of selected connections that there may be. It is above `total` where only
    /// bounds are known of the time for which connections have been stuck.
    pub most: u64,
    /// The state of the total, where a threshold asks for one.
    pub total_state: Option<State>,
    /// The ranges of the first group, where its number has a limit: for WARNING and for CRITICAL.
    pub limits: [Option<String>; 2],
    /// Owners and peers of the groups in alert state, or of the largest one where all is fine; only
    /// with `lengthy`.
    pub details: Vec<Detail>,
    /// The error that left details out.
    pub missing_details: Option<String>,
    /// The reason why the state of a group is UNKNOWN: owners are hidden, with the rights that would show
    /// them, or a number has only bounds.
    pub unclear: Option<String>,
    /// The ephemeral ports of each network namespace, where the measure reads them and they are
    /// known.
    pub(crate) ephemeral: BTreeMap<NetnsIndex, EphemeralPorts>,
    /// The limits that were found, the fullest first; only where limits are measured.
    pub limit_rows: Vec<LimitRow>,
    /// The limits that the kernel does not show here.
    pub unseen_limits: Vec<HostLimit>,
    /// The reason why unix listeners were not seen.
    pub unseen_unix: Option<String>,
    /// The number of packets that the kernel has dropped in the namespace, of all sockets.
    pub(crate) host_drops: Option<(DropCounter, u64)>,
    /// The number of processes whose open files are not known, and the reason.
    pub unseen_files: Option<String>,
    /// The number of TCP sockets of the whole host in no state; only with `lengthy`, where every
    /// network namespace was read.
    pub stateless: Option<u64>,
    /// The measures that were judged together; empty where there is a single one.
    pub parts: Vec<Part>,
    /// The sources that answered, for example `netlink`.
    pub source: String,
    /// The numbers of network namespaces that were read and skipped.
    pub coverage: NetnsCoverage,
    /// The number of network namespaces with a name that nobody has asked for.
    pub netns_unasked: usize,
    /// The time that the run took.
    pub duration: Duration,
}

/// One of several measures that were judged together.
#[derive(Clone, Debug)]
pub struct Part {
    /// The measure.
    pub measure: Measure,
    /// Its report; `None` where nothing of it could be read.
    pub report: Option<Report>,
    /// The reason why it could not be read, or not everywhere.
    pub missing: Option<String>,
    /// Whether a number that cannot be read makes the state UNKNOWN.
    pub is_demanded: bool,
    /// Of stuck connections: the kinds with their longest times, of every connection that is stuck.
    pub kinds: Vec<GroupState>,
    /// Of stuck connections: the most connections of each kind.
    pub(crate) stuck: Vec<StuckRow>,
}

impl Part {
    /// The state of the measure.
    #[must_use]
    pub fn state(&self) -> State {
        let unseen = (self.is_demanded && self.is_incomplete()).then_some(State::Unknown);
        let state = self.report.as_ref().map(Report::state);
        state.into_iter().chain(unseen).max_by_key(|state| state.severity()).unwrap_or_default()
    }

    /// Whether some number of the measure could not be read.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        let is_incomplete = |report: &Report| {
            !report.unseen_limits.is_empty()
                || report.unseen_files.is_some()
                || report.unseen_unix.is_some()
        };
        self.missing.is_some() || self.report.as_ref().is_some_and(is_incomplete)
    }
}

/// The most connections of a kind that one program and port has.
#[derive(Clone, Debug)]
pub(crate) struct StuckRow {
    /// The kind.
    pub kind: StuckKind,
    /// The connections.
    pub count: u64,
    /// Its ranges: for WARNING and for CRITICAL.
    pub ranges: [Option<String>; 2],
}

/// A limit of the host or of a network namespace.
#[derive(Clone, Debug)]
pub struct LimitRow {
    /// The limit.
    pub limit: HostLimit,
    /// The number in use.
    pub used: u64,
    /// The limit's value.
    pub share: Share,
    /// The name of the network namespace in which it is fullest, where there are several and each has
    /// such a limit.
    pub netns: Option<String>,
    /// Its ranges: for WARNING and for CRITICAL.
    pub ranges: [Option<String>; 2],
}

/// A list of connections.
#[derive(Clone, Debug)]
pub struct List {
    /// The connections, the longest stuck first.
    pub connections: Vec<Connection>,
    /// The number of selected connections, also of those that are left out.
    pub total: u64,
    /// The numbers of network namespaces that were read and skipped.
    pub coverage: NetnsCoverage,
}

impl Report {
    /// The state of the whole check, which is the command's exit code.
    #[must_use]
    pub fn state(&self) -> State {
        let always_ok = self.plan.policy().always_ok;
        let nothing = (self.is_empty() && self.parts.is_empty()).then_some(self.nothing());
        // A namespace that could not be read may have any number of connections. An alert in another
        // one stands.
        let nothing_is_read =
            !self.parts.is_empty() && self.parts.iter().all(|part| part.report.is_none());
        let nothing_is_read = nothing_is_read.then_some(State::Unknown);
        let is_strict = self.plan.is_strict() && !self.parts.is_empty();
        let failed = (self.coverage.failed > 0 || is_strict && self.coverage.skipped > 0)
            .then_some(State::Unknown);
        self.groups
            .iter()
            .map(|judged| judged.state)
            .chain(self.parts.iter().map(Part::state))
            .chain(self.total_state)
            .chain(nothing)
            .map(|state| match state {
                State::Warning | State::Critical if always_ok => State::Ok,
                state => state,
            })
            .chain(failed)
            .chain(nothing_is_read)
            .max_by_key(|state| state.severity())
            .unwrap_or_default()
    }

    /// Whether nothing was found. A group with a limit was found even where nothing of it is in
    /// use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0 && self.groups.iter().all(|judged| judged.share.is_none())
    }

    /// The state of a check that finds nothing. Where network namespaces were skipped, or connections
    /// may be selected, it is UNKNOWN and not an alert: connections may be there.
    #[must_use]
    pub fn nothing(&self) -> State {
        match self.plan.policy().no_match.0 {
            State::Warning | State::Critical if self.coverage.skipped > 0 || self.most > 0 => {
                State::Unknown
            }
            state => state,
        }
    }

    /// Whether all unix listeners were seen; `None` where the check is not about them.
    #[must_use]
    pub fn sees_unix(&self) -> Option<bool> {
        match self.plan.selection().unix {
            UnixListeners::Unread => None,
            UnixListeners::WherePossible | UnixListeners::Required => {
                Some(self.unseen_unix.is_none())
            }
        }
    }

    /// Every group, the largest first; then the keys of thresholds that match no group.
    #[must_use]
    pub fn every_group(&self) -> Box<dyn Iterator<Item = Cow<'_, GroupState>> + '_> {
        match &self.many {
            Some(many) => Box::new(many.judged().map(Cow::Owned)),
            None => Box::new(self.groups.iter().map(Cow::Borrowed)),
        }
    }

    /// The number of groups that were found.
    #[must_use]
    pub fn number_found(&self) -> usize {
        self.many.as_ref().map_or_else(|| self.found().count(), ManyGroups::number)
    }

    /// The groups in `groups` that were found: they have connections, or a limit.
    pub fn found(&self) -> impl Iterator<Item = &GroupState> {
        self.groups.iter().filter(|group| group.is_found())
    }

    /// Every group with its number. Those of several measures have the name of their measure in front.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, u64)> {
        let of_part = |part: &Part| {
            let counts = part.report.as_ref().map(Self::counts).unwrap_or_default();
            let name = part.measure.name();
            counts.into_iter().map(move |(label, count)| (format!("{name} {label}"), count))
        };
        let own = self.every_group().map(|judged| (judged.label.clone(), judged.count));
        own.chain(self.parts.iter().flat_map(of_part)).collect()
    }

    /// The groups that were found and that the measure counts.
    pub fn listed(&self) -> impl Iterator<Item = &GroupState> {
        self.found().filter(|found| found.group.is_none_or(Group::is_listed))
    }

    /// The percentage of the fullest group; 0 where no group has a limit.
    #[must_use]
    pub fn fullest(&self) -> f64 {
        let fullest = self.found().next();
        fullest.and_then(|j| Some(j.share?.percent(j.count))).unwrap_or_default()
    }

    /// The groups that are printed, the largest first, and the number of groups that are left out.
    /// Groups in alert state are the last to be left out. Keys that match no group and are fine are
    /// not among them.
    #[must_use]
    pub fn shown(&self) -> (Vec<&GroupState>, usize) {
        self.shown_at_most(self.plan.most_shown())
    }

    /// At most `top` groups, and the number of groups that are left out.
    pub(crate) fn shown_at_most(&self, top: usize) -> (Vec<&GroupState>, usize) {
        let groups: Vec<_> = self.groups.iter().filter(|judged| !is_aside(judged)).collect();
        let number = self.many.as_ref().map_or(groups.len(), ManyGroups::number);
        let left_out = number.saturating_sub(top);
        if left_out == 0 {
            return (groups, 0);
        }
        let mut places: Vec<_> = groups.into_iter().enumerate().collect();
        // The sort is stable: of groups with equally bad states the largest stay.
        places.sort_by_key(|(_, judged)| Reverse(judged.state.severity()));
        places.truncate(top);
        places.sort_unstable_by_key(|(place, _)| *place);
        (places.into_iter().map(|(_, judged)| judged).collect(), left_out)
    }

    /// The keys that match no group, where their range has 0. They are printed behind the groups,
    /// all of them.
    pub fn aside(&self) -> impl Iterator<Item = &GroupState> {
        self.groups.iter().filter(|judged| is_aside(judged))
    }

    /// The groups that get details: those in alert state, else the largest group.
    #[must_use]
    pub fn explained(&self) -> Vec<&GroupState> {
        let (shown, _) = self.shown();
        let mut alerting: Vec<_> =
            shown.into_iter().filter(|judged| judged.state != State::Ok).collect();
        alerting.sort_by_key(|judged| Reverse(judged.state.severity()));
        let wants_largest = alerting.is_empty() && !self.plan.is_part();
        let largest = self.groups.first().filter(|judged| wants_largest && !is_aside(judged));
        alerting.into_iter().chain(largest).collect()
    }

    /// Whether all is fine, and the largest group has so many connections that its details are not worth
    /// their time.
    #[must_use]
    pub fn is_huge(&self) -> bool {
        let is_fine = |state: Option<State>| state.is_none_or(|state| state == State::Ok);
        let explained = self.explained();
        is_fine(self.total_state)
            && explained.iter().all(|judged| is_fine(Some(judged.state)))
            && explained.iter().any(|judged| judged.most > MOST_UNASKED)
    }
}

fn is_aside(judged: &GroupState) -> bool {
    judged.unmatched && judged.state == State::Ok
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::group::{Group, GroupBy};
    use crate::judge::state::NoMatch;

    fn report(groups: &[(u16, u64, State)]) -> Report {
        let groups = groups.iter().map(|(port, count, state)| GroupState {
            group: Some(Group::Port(*port)),
            label: port.to_string(),
            count: *count,
            most: *count,
            share: None,
            wait: None,
            unbounded: false,
            key: None,
            place: None,
            state: *state,
            unmatched: false,
            unexpected: false,
            nearest: None,
        });
        let groups: Vec<_> = groups.collect();
        let mut check = Check::default();
        check.query.group_by = Some(GroupBy::LocalPort);
        Report {
            plan: plan(check),
            total: groups.iter().map(|judged| judged.count).sum(),
            most: groups.iter().map(|judged| judged.count).sum(),
            groups,
            many: None,
            total_state: None,
            limits: [None, None],
            details: Vec::new(),
            missing_details: None,
            parts: Vec::new(),
            unclear: None,
            ephemeral: BTreeMap::new(),
            limit_rows: Vec::new(),
            unseen_limits: Vec::new(),
            unseen_unix: None,
            host_drops: None,
            unseen_files: None,
            stateless: None,
            source: "fixture".to_owned(),
            coverage: NetnsCoverage::default(),
            netns_unasked: 0,
            duration: Duration::ZERO,
        }
    }

    fn plan(check: Check) -> Plan {
        Plan::new(check).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The same report of a plan with another policy or presentation.
    fn changed(report: &Report, change: impl FnOnce(&mut Check)) -> Report {
        let mut check = Check::default();
        check.query.group_by = Some(report.plan.group_by());
        change(&mut check);
        Report { plan: plan(check), ..report.clone() }
    }

    fn labels((shown, left_out): (Vec<&GroupState>, usize)) -> (Vec<&str>, usize) {
        (shown.into_iter().map(|judged| judged.label.as_str()).collect(), left_out)
    }

    use State::{Critical, Ok, Unknown, Warning};

    #[test]
    fn finding_nothing_is_unknown_where_namespaces_were_skipped() {
        let nothing = |no_match: State, skipped: usize| {
            let mut report =
                changed(&report(&[]), |check| check.policy.no_match = NoMatch(no_match));
            report.coverage.skipped = skipped;
            report.nothing()
        };
        for (no_match, all_read, one_skipped) in [
            (Ok, Ok, Ok),
            (Warning, Warning, Unknown),
            (Critical, Critical, Unknown),
            (Unknown, Unknown, Unknown),
        ] {
            assert_eq!((nothing(no_match, 0), nothing(no_match, 1)), (all_read, one_skipped));
        }
    }

    #[test]
    fn the_fullest_group_is_the_first_one() {
        let fullest = |parts: &[(u64, u64)]| {
            let groups: Vec<_> = (1..).zip(parts).map(|(port, part)| (port, part.0, Ok)).collect();
            let mut report = report(&groups);
            for (judged, (_, of)) in report.groups.iter_mut().zip(parts) {
                judged.share = Some(Share { of: *of, ..Share::default() });
            }
            report.fullest()
        };
        for (parts, expected) in
            [(&[(3, 4), (1, 4)][..], 75.0), (&[(0, 4)], 0.0), (&[(6, 4)], 150.0), (&[], 0.0)]
        {
            assert!((fullest(parts) - expected).abs() < 1e-9, "{parts:?}");
        }
        assert!(report(&[(1, 3, Ok)]).fullest().abs() < 1e-9);
    }

    #[test]
    fn the_state_is_the_worst_of_groups_total_and_no_match() {
        let state = |states: &[State], total: Option<State>, no_match: State| {
            let groups: Vec<_> = (1..).zip(states).map(|(port, state)| (port, 1, *state)).collect();
            let mut report = report(&groups);
            report.total_state = total;
            changed(&report, |check| check.policy.no_match = NoMatch(no_match)).state()
        };
        assert_eq!(state(&[Ok, Ok], None, Critical), Ok);
        assert_eq!(state(&[Ok, Unknown], None, Ok), Unknown);
        assert_eq!(state(&[Unknown, Warning, Ok], None, Ok), Warning);
        assert_eq!(state(&[Warning, Critical, Unknown], None, Ok), Critical);
        assert_eq!(state(&[Warning], Some(Critical), Ok), Critical);
        assert_eq!(state(&[Critical], Some(Ok), Ok), Critical);
        // Where nothing is found, the state `no_match` counts, too.
        assert_eq!(state(&[], None, Warning), Warning);
        assert_eq!(state(&[], None, Ok), Ok);
        assert_eq!(state(&[], Some(Critical), Unknown), Critical);
        let zeros = |always_ok| {
            changed(&report(&[(1, 0, Ok)]), |check| {
                check.policy.no_match = NoMatch(Critical);
                check.policy.always_ok = always_ok;
            })
        };
        assert_eq!(zeros(false).state(), Critical);
        assert_eq!(zeros(true).state(), Ok);
    }

    #[test]
    fn groups_with_connections_were_found() {
        let report = report(&[(1, 2, Ok), (2, 1, Ok), (3, 0, Critical)]);
        let found: Vec<_> = report.found().map(|judged| judged.count).collect();
        assert_eq!(found, [2, 1]);
    }

    #[test]
    fn the_worst_and_then_the_largest_are_shown() {
        let groups = [(1, 9, Ok), (2, 8, Warning), (3, 7, Ok), (4, 6, Critical), (5, 5, Unknown)];
        let five = report(&groups);
        assert_eq!(labels(five.shown()), (vec!["1", "2", "3", "4", "5"], 0));
        for (top, expected, left_out) in [
            (5, vec!["1", "2", "3", "4", "5"], 0),
            (4, vec!["1", "2", "4", "5"], 1),
            (3, vec!["2", "4", "5"], 2),
            (1, vec!["4"], 4),
        ] {
            let five = changed(&five, |check| check.presentation.top = Some(top));
            assert_eq!(labels(five.shown()), (expected, left_out), "{top}");
        }
        // The default is 10 groups of a kind that can have many.
        let eleven: Vec<_> = (1..=11).map(|port| (port, 1, Ok)).collect();
        let eleven = report(&eleven);
        assert_eq!(eleven.shown().0.len(), 10);
        assert_eq!(eleven.shown().1, 1);
        let types = changed(&eleven, |check| check.query.group_by = Some(GroupBy::Type));
        assert_eq!(types.shown().0.len(), 11);
    }

    #[test]
    fn a_huge_group_that_is_fine_is_left_out() {
        let report = |number, state, total_state| {
            let report = report(&[(1, number, state), (2, 1, Ok)]);
            Report { total_state, ..report }
        };
        for (number, state, total_state, expected) in [
            (MOST_UNASKED + 1, Ok, None, true),
            (MOST_UNASKED + 1, Ok, Some(Ok), true),
            (MOST_UNASKED, Ok, None, false),
            (MOST_UNASKED + 1, Warning, None, false),
            (MOST_UNASKED + 1, Unknown, None, false),
            (MOST_UNASKED + 1, Ok, Some(Critical), false),
        ] {
            assert_eq!(
                report(number, state, total_state).is_huge(),
                expected,
                "{number} {state:?}"
            );
        }
    }

    #[test]
    fn groups_in_alert_state_or_the_largest_group_get_details() {
        let groups = [(1, 9, Ok), (2, 8, Warning), (3, 7, Ok), (4, 6, Critical), (5, 5, Unknown)];
        let explained = |groups: &[_]| -> Vec<String> {
            report(groups).explained().iter().map(|judged| judged.label.clone()).collect()
        };
        assert_eq!(explained(&groups), ["4", "2", "5"]);
        assert_eq!(explained(&[(1, 9, Ok), (3, 7, Ok)]), ["1"]);
        assert!(report(&[]).explained().is_empty());
    }
}
