//! Judges groups: numbers and ranges in, states out.
//!
//! Sometimes only the bounds of a number are known, for five reasons:
//!
//! | reason | bounds of a group that was found | bounds of a key that matches no group |
//! |---|---|---|
//! | owners are hidden | of a user or unit that a key names: its count, to that count plus the hidden connections that may be its own; of other groups: its count | of an owner's name: 0 to the hidden connections that may be its own; of other keys: 0 |
//! | users share an id | of a user whom a key names: 0 to its count; of other groups: its count | of such a user: 0 to the connections with the shared id |
//! | the interface of a link-local address is not known | its count | 0 to the connections of that address |
//! | the kernel's times are bounds of the time for which a connection has been stuck | these bounds; of counts: the connections that certainly are stuck for so long, to those that may be | - |
//! | network namespaces were skipped (`more`) | of a namespace or an endpoint: its count; of other groups: its count, to any number | 0 to any number |
//!
//! A range is violated where all numbers within the bounds lie outside the range, and unclear where
//! only some of them do. The state is CRITICAL or WARNING where a range is violated, else UNKNOWN
//! where a range is unclear.
//!
//! Two cases are judged a second time, and an alert then becomes UNKNOWN. Hidden connections may
//! belong to several owners: their group is judged again with 1 to its count. A hidden process may
//! have the name of a visible process: a key with this name is judged again with 1 to all hidden
//! connections.
//!
//! Hidden connections may be those of any owner. Only a hidden unit below another unit has a name
//! that begins with that unit's name.

pub mod key;
pub mod state;
pub mod threshold;

use crate::collect::stuck_counts::Place;
use crate::group::{Group, Owner};
use crate::judge::key::{Key, Specificity};
use crate::judge::state::State;
use crate::judge::threshold::KeyedRanges;
use crate::measure::share::{Share, fuller};
use crate::named_group::NamedGroup;
use crate::range::{Range, Verdict};
use crate::stuck::Wait;

/// The thresholds of a check.
#[derive(Clone, Debug, Default)]
pub struct Thresholds {
    /// The state is CRITICAL outside of these ranges.
    pub critical: Option<KeyedRanges>,
    /// The state is WARNING outside of these ranges, unless it is CRITICAL.
    pub warning: Option<KeyedRanges>,
}

/// A group, counted and judged.
#[derive(Clone, Debug, Default)]
pub struct GroupState {
    /// The group, or the first of several merged groups. `None` where only a threshold names it.
    pub group: Option<Group>,
    /// Its label.
    pub label: String,
    /// The number of connections that were found. This is the lower bound.
    pub count: u64,
    /// The upper bound. It is above `count` where connections may be hidden, or where the interface
    /// of a link-local address is not known. Skipped network namespaces do not raise it.
    pub most: u64,
    /// The limit of its connections, where the measure has a limit.
    pub share: Option<Share>,
    /// The longest time for which one of its connections has been stuck, where the measure is of
    /// times.
    pub wait: Option<Wait>,
    /// Whether its number may be any larger one: processes are hidden.
    pub unbounded: bool,
    /// The key of a threshold that names its owner.
    pub key: Option<String>,
    /// The port of its connections, where they are counted by port.
    pub(crate) place: Option<Place>,
    /// Its own state.
    pub state: State,
    /// Whether it stands for a key that matches no group.
    pub unmatched: bool,
    /// Whether it is in alert state because it is there: keys name all groups that are expected.
    pub unexpected: bool,
    /// The name of a found group that is most like such a key.
    pub nearest: Option<String>,
}

impl GroupState {
    /// A group that is not judged yet.
    fn of(found: NamedGroup) -> Self {
        let most = found.most();
        let NamedGroup { group, name, count, share, wait, unbounded, .. } = found;
        let label = name.label;
        Self { group, label, count, most, share, wait, unbounded, ..Self::default() }
    }

    /// Whether the group was found: the group has connections, or a limit.
    #[must_use]
    pub fn is_found(&self) -> bool {
        let may_be_found = self.share.is_some() || !self.unmatched && self.most > 0;
        self.count > 0 || self.group.is_some() && may_be_found
    }
}

/// The meaning of a group of hidden owners for its range.
enum HiddenAs {
    /// One owner, or several with a part of the connections each.
    Owners,
    /// Connections of the user that a key asks for, mixed with those of other users: any number of
    /// them may be the user's own.
    Mixed,
}

/// The lower and the upper bound of a group's number.
type Bounds = (f64, f64);

/// Converts bounds to 64-bit floats. Ranges compare such floats, as the reference and the plugins
/// in C do.
#[allow(clippy::cast_precision_loss)]
fn bounds(least: u64, most: u64) -> Bounds {
    (least as f64, most as f64)
}

impl Thresholds {
    /// Whether a key is the name of a unix listener.
    #[must_use]
    pub fn name_unix_listeners(&self) -> bool {
        let mut keys =
            [&self.warning, &self.critical].into_iter().flatten().flat_map(KeyedRanges::keys);
        keys.any(|key| matches!(key, Key::Unix(_)))
    }

    /// Whether a key asks for groups by their names.
    #[must_use]
    pub fn name_groups(&self) -> bool {
        self.keys().any(|key| *key != Key::Total)
    }

    /// Judges every group, and every key that matches no group. With `more`, network namespaces
    /// were skipped: a group may have more connections than were counted.
    #[must_use]
    pub fn judge(&self, groups: Vec<NamedGroup>, more: bool) -> Vec<GroupState> {
        let hidden: Vec<_> = groups.iter().filter(|group| group.hidden).cloned().collect();
        let of_keys = self.judge_keys(&groups, more);
        let mut judged: Vec<GroupState> =
            groups.into_iter().map(|group| self.judge_found(group, &hidden, more)).collect();
        judged.extend(of_keys);
        judged
    }

    /// Judges a group that was found.
    pub(crate) fn judge_found(
        &self,
        group: NamedGroup,
        hidden: &[NamedGroup],
        more: bool,
    ) -> GroupState {
        let count = group.count;
        let more = more && !is_of_one_namespace(&group);
        let mut whole = group;
        for hidden in self.may_be_more(&whole, hidden).cloned().collect::<Vec<_>>() {
            match (whole.share, hidden.share) {
                _ if hidden.unbounded => whole.unbounded = true,
                // The fuller part counts.
                (Some(share), Some(of_hidden)) => {
                    let most = fuller((whole.most(), share), (hidden.most(), of_hidden));
                    whole.doubtful = share.as_full_as(most).saturating_sub(count);
                }
                _ => whole.doubtful += hidden.most(),
            }
            let longest = hidden.wait.map_or(0, |wait| wait.most);
            whole.wait = whole.wait.map(|wait| Wait { most: wait.most.max(longest), ..wait });
        }
        let number = whole.value();
        // The numbers of one of several owners, and of a part of the connections.
        let (one, part) = match (whole.wait, whole.share) {
            (None, _) if whole.unbounded => (number, number),
            (Some(_), _) | (None, Some(_)) => ((0.0, number.1), (0.0, number.1)),
            (None, None) => (bounds(1.min(count), whole.most()), bounds(0, whole.most())),
        };
        let state = |of_owners: Bounds| {
            self.state_of(more, |ranges| {
                let bounds = match hidden_as(&whole, ranges) {
                    None => number,
                    Some(HiddenAs::Mixed) => part,
                    Some(HiddenAs::Owners) => of_owners,
                };
                ranges.of(&whole).map(|range| (range, bounds))
            })
        };
        let state = match state(number) {
            // Hidden connections may belong to several owners. Each owner then has a part of them.
            State::Ok => match state(one) {
                State::Ok => State::Ok,
                State::Warning | State::Critical | State::Unknown => State::Unknown,
            },
            state => state,
        };
        let key = self.owner_key_of(&whole);
        let ranges = match state {
            State::Critical => self.critical.as_ref(),
            State::Warning => self.warning.as_ref(),
            State::Ok | State::Unknown => None,
        };
        let is_count = whole.share.is_none() && whole.wait.is_none();
        let unexpected = is_count && ranges.is_some_and(|ranges| ranges.forbid(&whole));
        GroupState { key, state, unexpected, ..GroupState::of(whole) }
    }

    /// Whether some number from 0 to that of the group, or a part of it, is outside of a range.
    #[must_use]
    pub fn may_alert(&self, group: &NamedGroup) -> bool {
        let (_, most) = group.value();
        let is_fine = |range: &Range| range.between(0.0, most) == Verdict::Fine;
        let ranges = [&self.warning, &self.critical].into_iter().flatten();
        ranges.filter_map(|ranges| ranges.of(group)).any(|range| !is_fine(range))
    }

    /// The key that names the owner of a group; of several keys the most specific one.
    fn owner_key_of(&self, group: &NamedGroup) -> Option<String> {
        let keys = self.keys().filter_map(|key| Some((key.specificity(group)?, key.owner()?)));
        keys.max_by_key(|(rank, _)| *rank).map(|(_, owner)| owner.to_owned())
    }

    /// The groups of hidden connections that may belong to this group, where a key names the group.
    /// A unit, a user or a program may have visible and hidden sockets. The sockets of a process are
    /// either all visible or all hidden.
    fn may_be_more<'a>(
        &self,
        group: &NamedGroup,
        hidden: &'a [NamedGroup],
    ) -> impl Iterator<Item = &'a NamedGroup> {
        let may_be_partly_hidden = match group.group.and_then(Group::owner) {
            Some(Owner::Cgroup(_) | Owner::User(_) | Owner::Program(_)) => true,
            Some(Owner::Process(_)) | None => false,
        };
        let may_be = may_be_partly_hidden
            && !group.hidden
            && self.keys().any(|key| key.may_be_hidden() && key.specificity(group).is_some());
        let label = group.label().to_owned();
        hidden.iter().filter(move |hidden| may_be && hidden.may_have_hidden(&label))
    }

    /// Judges the keys that match no group. Also judges a key that matches visible processes by
    /// their name, because a hidden process may have the same name. A key that may be mistyped is
    /// returned in any state, others only in states other than OK.
    fn judge_keys(&self, groups: &[NamedGroup], more: bool) -> Vec<GroupState> {
        let mut judged: Vec<GroupState> = Vec::new();
        let mut seen: Vec<&Key> = Vec::new();
        for key in self.keys() {
            if *key == Key::Total || seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let closest = groups.iter().filter_map(|group| key.specificity(group)).max();
            let unseen = key.unseen_group(groups);
            let (_, most) = unseen.value();
            let is_count = unseen.wait.is_none() && unseen.share.is_none();
            let least = if is_count { 1.0 } else { 0.0 };
            // The range without a key applies to a key of one group, but not to a key of several
            // groups.
            let state = |bounds| match key {
                Key::Type(_)
                | Key::Status(_)
                | Key::Endpoint(_)
                | Key::LinkLocal(_)
                | Key::Network(_)
                | Key::Range(_)
                | Key::Unix(_)
                | Key::Ports(_) => self.state(bounds, more, |ranges| ranges.of_key(key)),
                Key::Total | Key::Group(_) | Key::User(_) | Key::Owner(_) => {
                    self.state(bounds, more, |ranges| ranges.of(&unseen))
                }
            };
            let state = match closest {
                None => state((0.0, most)),
                // A hidden process may have the same name.
                Some(Specificity::Broad)
                    if unseen.count > 0 && state((least, most)) != State::Ok =>
                {
                    State::Unknown
                }
                Some(Specificity::Broad | Specificity::Endpoint { .. } | Specificity::Exact) => {
                    State::Ok
                }
            };
            let unmatched = closest.is_none();
            if state != State::Ok || unmatched && key.may_be_mistyped() {
                let nearest = key.nearest(groups).filter(|_| unmatched).map(str::to_owned);
                let key = key.owner().map(str::to_owned);
                let (count, most) = (0, unseen.count);
                let wait = unseen.wait.map(|wait| Wait { least: 0, ..wait });
                let found = GroupState::of(unseen);
                judged.push(GroupState {
                    count,
                    most,
                    wait,
                    key,
                    state,
                    unmatched,
                    nearest,
                    ..found
                });
            }
        }
        judged
    }

    /// Whether a key asks for an owner by name, so that all processes of every socket must be
    /// known.
    #[must_use]
    pub fn ask_for_owners(&self) -> bool {
        self.keys().any(Key::may_be_hidden)
    }

    /// The texts of the ranges of a group: first for WARNING, then for CRITICAL.
    #[must_use]
    pub fn of(&self, group: &NamedGroup) -> [Option<String>; 2] {
        [&self.warning, &self.critical]
            .map(|ranges| ranges.as_ref()?.of(group).map(Range::canonical))
    }

    /// The texts of the ranges without a key: first for WARNING, then for CRITICAL.
    #[must_use]
    pub fn without_keys(&self) -> [Option<String>; 2] {
        [&self.warning, &self.critical].map(|ranges| ranges.as_ref()?.plain().map(Range::canonical))
    }

    /// Judges the total of all groups from its bounds, if a key asks for the total.
    #[must_use]
    pub fn judge_total(&self, total: u64, most: u64, more: bool) -> Option<State> {
        let asked = self.keys().any(|key| *key == Key::Total);
        let total = bounds(total, most);
        asked.then(|| self.state(total, more, |ranges| ranges.of_key(&Key::Total)))
    }

    /// Makes the groups that a key names, and whose number cannot be seen, UNKNOWN. An alert of such a
    /// group stands: a part of its number was seen.
    pub fn doubt(&self, judged: &mut Vec<GroupState>, unseen: impl Iterator<Item = Group>) {
        for group in unseen.filter(|group| self.keys().any(|key| *key == Key::Group(*group))) {
            let is_seen =
                |judged: &&mut GroupState| judged.group == Some(group) && !judged.unmatched;
            if let Some(seen) = judged.iter_mut().find(is_seen) {
                if seen.state == State::Ok {
                    seen.state = State::Unknown;
                }
                continue;
            }
            judged.retain(|judged| judged.group != Some(group));
            judged.push(GroupState {
                group: Some(group),
                label: group.to_string(),
                state: State::Unknown,
                unmatched: true,
                ..GroupState::default()
            });
        }
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        [&self.critical, &self.warning].into_iter().flatten().flat_map(KeyedRanges::keys)
    }

    /// The state of a number within bounds: an alert where the alert is certain, UNKNOWN where the
    /// alert is only possible. With `more`, the number may also be above the upper bound.
    fn state<'a>(
        &'a self,
        bounds: Bounds,
        more: bool,
        range: impl Fn(&'a KeyedRanges) -> Option<&'a Range>,
    ) -> State {
        self.state_of(more, |ranges| range(ranges).map(|range| (range, bounds)))
    }

    /// The same where the bounds depend on the range.
    fn state_of<'a>(
        &'a self,
        more: bool,
        range: impl Fn(&'a KeyedRanges) -> Option<(&'a Range, Bounds)>,
    ) -> State {
        let verdict = |ranges: &'a Option<KeyedRanges>| {
            let range = ranges.as_ref().and_then(&range);
            let Some((range, (low, high))) = range else {
                return Verdict::Fine;
            };
            match range.between(low, high) {
                Verdict::Outside
                    if more && range.between(low, f64::INFINITY) != Verdict::Outside =>
                {
                    Verdict::Unclear
                }
                verdict => verdict,
            }
        };
        match (verdict(&self.critical), verdict(&self.warning)) {
            (Verdict::Outside, _) => State::Critical,
            (Verdict::Fine | Verdict::Unclear, Verdict::Outside) => State::Warning,
            (Verdict::Unclear, _) | (_, Verdict::Unclear) => State::Unknown,
            (Verdict::Fine, Verdict::Fine) => State::Ok,
        }
    }
}

/// The meaning of a group of hidden owners for its range; `None` for other groups, and for a user
/// without a name that a key asks for by id.
fn hidden_as(group: &NamedGroup, ranges: &KeyedRanges) -> Option<HiddenAs> {
    if !group.hidden {
        return None;
    }
    let of_user = |key: &&Key| match key {
        Key::User(_) => key.specificity(group).is_some(),
        Key::Total
        | Key::Group(_)
        | Key::Type(_)
        | Key::Status(_)
        | Key::LinkLocal(_)
        | Key::Network(_)
        | Key::Range(_)
        | Key::Endpoint(_)
        | Key::Unix(_)
        | Key::Ports(_)
        | Key::Owner(_) => false,
    };
    let mut keys = ranges.keys().filter(of_user).peekable();
    if keys.peek().is_none() {
        return Some(HiddenAs::Owners);
    }
    let is_told = group.is_of_one_user() && keys.all(Key::is_of_told_user);
    (!is_told).then_some(HiddenAs::Mixed)
}

/// Whether a group lies in one network namespace, so that skipped namespaces add nothing to it.
fn is_of_one_namespace(group: &NamedGroup) -> bool {
    match group.group {
        Some(Group::Netns(_) | Group::Endpoint(_) | Group::Unix(_) | Group::Ports(..)) => true,
        Some(Group::Limit(limit)) => !limit.is_of_namespace(),
        Some(
            Group::Kind(_)
            | Group::TypeStatus(..)
            | Group::Type(_)
            | Group::Status(_)
            | Group::Port(_)
            | Group::Address(_)
            | Group::Network(_)
            | Group::Direction(_)
            | Group::User(_)
            | Group::Cgroup(_)
            | Group::Process(_)
            | Group::Program(_)
            | Group::Host,
        )
        | None => false,
    }
}

#[cfg(test)]
mod tests {
    use State::{Critical, Ok, Unknown, Warning};

    use super::*;
    use crate::address::Endpoint;
    use crate::field::Field;
    use crate::group::GroupBy;
    use crate::judge::key::{Beside, KeyContext};
    use crate::judge::threshold::ThresholdSpec;
    use crate::owner::UserId;
    use crate::range::Numbers;
    use crate::selection::Selection;
    use crate::vocabulary::{ConnectionStatus, ConnectionType, NetnsIndex};

    fn thresholds(by: GroupBy, critical: &str, warning: &str) -> Thresholds {
        let selection = &Selection::default();
        let user_id = &|name: &str| {
            let id = if name == "webapp" { Some(33) } else { name.parse().ok() };
            Result::Ok(id.map(|id| UserId { id, is_told: id < 1000 }))
        };
        let numbers = Numbers { most: 1e19, whole: true };
        let context = KeyContext {
            beside: Beside::Total,
            field: Field::Critical,
            numbers,
            netns: false,
            by,
            selection,
            live: true,
        };
        let ranges = |text: &str| {
            if text.is_empty() {
                return Result::Ok(None);
            }
            let mut ranges = ThresholdSpec::parse(text)?.resolved(&context)?;
            ranges.look_up_users(&context, user_id)?;
            Result::<_, crate::Error>::Ok(Some(ranges))
        };
        let ranges = |text| ranges(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        Thresholds { critical: ranges(critical), warning: ranges(warning) }
    }

    /// Judges these groups; returns label, count, most and state of each.
    fn judged(
        by: GroupBy,
        critical: &str,
        warning: &str,
        groups: Vec<NamedGroup>,
    ) -> Vec<(String, u64, u64, State)> {
        let judged = thresholds(by, critical, warning).judge(groups, false).into_iter();
        judged.map(|group| (group.label, group.count, group.most, group.state)).collect()
    }

    fn row(label: &str, count: u64, most: u64, state: State) -> (String, u64, u64, State) {
        (label.to_owned(), count, most, state)
    }

    fn group(group: Group, count: u64) -> NamedGroup {
        NamedGroup::owned(group, &group.to_string(), count, &[], &[])
    }

    fn hidden(count: u64) -> NamedGroup {
        let mut hidden = group(Group::Process(9), count);
        hidden.name = "(hidden)".to_owned().into();
        hidden.hidden = true;
        hidden
    }

    #[test]
    fn critical_comes_before_warning_and_each_alone_is_enough() {
        let port = |count| vec![group(Group::Port(80), count)];
        for (critical, warning, count, state) in [
            ("10", "5", 5, Ok),
            ("10", "5", 6, Warning),
            ("10", "5", 11, Critical),
            ("10", "", 11, Critical),
            ("", "5", 6, Warning),
            ("", "", 6, Ok),
            ("5", "10", 6, Critical),
        ] {
            let judged = judged(GroupBy::LocalPort, critical, warning, port(count));
            assert_eq!(judged, [row("80", count, count, state)], "-c {critical} -w {warning}");
        }
    }

    #[test]
    fn a_key_that_matches_no_group_is_judged_with_0_connections() {
        let tcp = |status, count| group(Group::TypeStatus(ConnectionType::Tcp, status), count);
        let found = || vec![tcp(ConnectionStatus::Listen, 2)];
        let listen = row("tcp_LISTEN", 2, 2, Ok);
        for (critical, warning, unmet) in [
            ("CLOSE_WAIT=1:", "", Some(("CLOSE_WAIT", Critical))),
            ("", "CLOSE_WAIT=1:", Some(("CLOSE_WAIT", Warning))),
            // A key of both thresholds is judged once.
            ("CLOSE_WAIT=1:", "CLOSE_WAIT=2:", Some(("CLOSE_WAIT", Critical))),
            ("CLOSE_WAIT=1:,CLOSE_WAIT=2:", "", Some(("CLOSE_WAIT", Critical))),
            ("udp6=1:", "", Some(("udp6", Critical))),
            ("tcp_CLOSE_WAIT=1:", "", Some(("tcp_CLOSE_WAIT", Critical))),
            ("CLOSE_WAIT=5", "", None),
            // A key that matches a group has no row of its own, and neither has the total.
            ("LISTEN=1:", "", None),
            ("total=1:", "", None),
        ] {
            let judged = judged(GroupBy::TypeStatus, critical, warning, found());
            let unmet = unmet.map(|(label, state)| row(label, 0, 0, state));
            let expected: Vec<_> = [Some(listen.clone()), unmet].into_iter().flatten().collect();
            assert_eq!(judged, expected, "-c {critical} -w {warning}");
        }
        // The range without a key applies to a key of one group, but not to a key of several
        // groups.
        let rest = |critical| judged(GroupBy::TypeStatus, critical, "1:", found());
        assert_eq!(rest("CLOSE_WAIT=5"), std::slice::from_ref(&listen));
        assert_eq!(rest("tcp_CLOSE_WAIT=5"), [listen, row("tcp_CLOSE_WAIT", 0, 0, Warning)]);
    }

    #[test]
    fn an_endpoint_without_a_known_interface_may_match_a_key_with_one() {
        let found = |end: &str| {
            let end = end.parse().unwrap_or_else(|e| panic!("{end}: {e}"));
            vec![group(Group::Endpoint(Endpoint::within(end, NetnsIndex::OWN)), 5)]
        };
        let unclear = |most, state| Some(row("[fe80::1%eth0]:443", 0, most, state));
        for (end, key, expected) in [
            ("[fe80::1]:443", "[fe80::1%eth0]:443=4", unclear(5, Unknown)),
            ("[fe80::1]:443", "[fe80::1%eth0]:443=1:", unclear(5, Unknown)),
            ("[fe80::1]:443", "[fe80::1%eth0]:443=6:", unclear(5, Critical)),
            ("[fe80::1]:443", "[fe80::1%eth0]:443=5", unclear(5, Ok)),
            // Another address, another port, a known interface.
            ("[fe80::2]:443", "[fe80::1%eth0]:443=4", unclear(0, Ok)),
            ("[fe80::1]:80", "[fe80::1%eth0]:443=4", unclear(0, Ok)),
            ("[fe80::1%3]:443", "[fe80::1%eth0]:443=4", unclear(0, Ok)),
            ("[fe80::1%3]:443", "[fe80::1%eth0]:443=1:", unclear(0, Critical)),
        ] {
            let judged = judged(GroupBy::LocalEndpoint, key, "", found(end));
            assert_eq!(judged.get(1).cloned(), expected, "{end} -c {key}");
        }
    }

    #[test]
    fn keys_of_names_ask_for_owners() {
        let ask = |by, critical, warning| thresholds(by, critical, warning).ask_for_owners();
        assert!(ask(GroupBy::Process, "web=5", ""));
        assert!(ask(GroupBy::User, "5", "webapp=5"));
        assert!(!ask(GroupBy::User, "33=5", ""));
        assert!(!ask(GroupBy::Process, "5", "total=5"));
    }

    #[test]
    fn hidden_processes_without_a_number_may_have_any() {
        let full = |mut group: NamedGroup, of| {
            let share = Some(Share { of, ..Share::default() });
            group.share = share;
            group
        };
        let groups = || {
            let mut hidden = hidden(3);
            hidden.unbounded = true;
            vec![full(process(7, "nginx", 50), 100), full(process(8, "redis", 5), 100), hidden]
        };
        for (by, critical, expected) in [
            (GroupBy::Process, "", [Ok, Ok, Ok].as_slice()),
            (GroupBy::Process, "80", &[Ok, Ok, Unknown]),
            (GroupBy::Process, "40", &[Critical, Ok, Unknown]),
            (GroupBy::Process, "0:", &[Ok, Ok, Ok]),
            // A hidden process may have the name of a key, and not the id.
            (GroupBy::Process, "nginx=80", &[Ok, Ok, Ok, Unknown]),
            (GroupBy::Process, "nginx=40", &[Critical, Ok, Ok, Unknown]),
            (GroupBy::Process, "nginx (7)=80", &[Ok, Ok, Ok]),
            (GroupBy::Process, "absent=80", &[Ok, Ok, Ok, Unknown]),
        ] {
            let judged = thresholds(by, critical, "").judge(groups(), false);
            let states: Vec<_> = judged.iter().map(|group| group.state).collect();
            assert_eq!(states, expected, "{critical}");
            let keys = judged.iter().filter_map(|group| group.key.as_deref());
            let name = critical.split_once('=').map(|(name, _)| name);
            assert!(keys.into_iter().all(|key| Some(key) == name), "{critical}");
        }
        // Where each has a limit, the fullest of them counts.
        let unit = |id, name: &str, count, of| {
            let unit = Group::Cgroup(Some(id));
            full(NamedGroup::owned(unit, name, count, &[], &[]), of)
        };
        let units = || {
            let hidden = |id, count, of| {
                let mut hidden = unit(id, "(outside)", count, of);
                hidden.hidden = true;
                hidden
            };
            vec![unit(1, "nginx.service", 5, 10), hidden(2, 45, 50), hidden(3, 500, 20_000)]
        };
        for (critical, expected) in [
            ("95", [Ok, Ok, Ok].as_slice()),
            ("40", &[Critical, Critical, Ok]),
            ("nginx=95", &[Ok, Ok, Ok]),
            ("nginx=80", &[Unknown, Ok, Ok]),
            ("absent=95", &[Ok, Ok, Ok, Ok]),
            ("absent=80", &[Ok, Ok, Ok, Unknown]),
        ] {
            let judged = thresholds(GroupBy::Unit, critical, "").judge(units(), false);
            let states: Vec<_> = judged.iter().map(|group| group.state).collect();
            assert_eq!(states, expected, "{critical}");
        }
        // A program may have a hidden process, too.
        let mut program = full(process(7, "nginx", 50), 100);
        let mut hidden = hidden(3);
        (program.group, hidden.group) = (Some(Group::Program(7)), Some(Group::Program(9)));
        hidden.unbounded = true;
        let judged =
            thresholds(GroupBy::Program, "nginx=80", "").judge(vec![program, hidden], false);
        let first = judged.first().map(|group| (group.state, group.unbounded, group.most));
        assert_eq!(first, Some((Unknown, true, 50)));
    }

    #[test]
    fn the_total_is_judged_where_a_key_asks_for_it() {
        let total = |critical, warning, total| {
            thresholds(GroupBy::Status, critical, warning).judge_total(total, total, false)
        };
        assert_eq!(total("5", "5", 6), None);
        assert_eq!(total("LISTEN=5", "", 6), None);
        assert_eq!(total("total=5", "", 5), Some(Ok));
        assert_eq!(total("total=5", "", 6), Some(Critical));
        assert_eq!(total("1", "total=5", 6), Some(Warning));
    }

    fn process(pid: u32, name: &str, count: u64) -> NamedGroup {
        let label = format!("{name} ({pid})");
        NamedGroup::owned(Group::Process(u64::from(pid)), &label, count, &[(pid, name)], &[])
    }

    #[test]
    fn hidden_owners_are_unknown_where_one_of_them_may_be_outside_the_range() {
        let hidden_alone =
            |critical, warning| judged(GroupBy::Process, critical, warning, vec![hidden(5)]);
        // The connections may belong to several owners.
        for (critical, warning, state) in [
            ("5", "", Ok),
            ("4", "", Critical),
            ("5:", "", Unknown),
            ("", "2:", Unknown),
            ("6:", "", Critical),
            ("", "6:", Warning),
            // Every hidden owner has at least one connection.
            ("1:", "", Ok),
        ] {
            let expected = [row("(hidden)", 5, 5, state)];
            assert_eq!(hidden_alone(critical, warning), expected, "-c {critical} -w {warning}");
        }
    }

    #[test]
    fn a_process_that_is_not_found_may_be_hidden() {
        for (critical, unmet) in [
            ("web=1:", (0, 5, Unknown)),
            ("web=4", (0, 5, Unknown)),
            ("web=6:", (0, 5, Critical)),
            ("web=5", (0, 5, Ok)),
        ] {
            let (count, most, state) = unmet;
            let expected = [row("(hidden)", 5, 5, Ok), row("web", count, most, state)];
            assert_eq!(judged(GroupBy::Process, critical, "", vec![hidden(5)]), expected);
        }
        // Without hidden connections the process does not exist.
        assert_eq!(
            judged(GroupBy::Process, "web=1:", "", vec![process(1, "db", 1)]),
            [row("db (1)", 1, 1, Ok), row("web", 0, 0, Critical)]
        );
    }

    #[test]
    fn more_processes_of_a_name_may_be_hidden() {
        let found = |hidden_count| {
            let mut groups = vec![process(1, "web", 3)];
            groups.extend((hidden_count > 0).then(|| hidden(hidden_count)));
            groups
        };
        let last = |critical, hidden_count| {
            judged(GroupBy::Process, critical, "", found(hidden_count)).pop()
        };
        // Another process of that name has 1 to 5 connections.
        assert_eq!(last("web=4", 5), Some(row("web", 0, 5, Unknown)));
        assert_eq!(last("web=1:4", 5), Some(row("web", 0, 5, Unknown)));
        assert_eq!(last("web=5", 5), Some(row("(hidden)", 5, 5, Ok)));
        assert_eq!(last("web=1:", 5), Some(row("(hidden)", 5, 5, Ok)));
        assert_eq!(last("web=3:", 0), Some(row("web (1)", 3, 3, Ok)));
        assert_eq!(last("web=4:", 0), Some(row("web (1)", 3, 3, Critical)));
        // A key with a process id means that process alone.
        assert_eq!(last("web (1)=4", 5), Some(row("(hidden)", 5, 5, Ok)));
        // Without hidden connections only the visible process is judged.
        assert_eq!(last("web=2", 0), Some(row("web (1)", 3, 3, Critical)));
    }

    #[test]
    fn a_unit_may_have_more_than_can_be_seen() {
        let unit = |count| NamedGroup::owned(Group::Cgroup(Some(7)), "web", count, &[], &[]);
        let first = |critical, hidden_count| {
            judged(GroupBy::Unit, critical, "", vec![unit(3), hidden(hidden_count)])
                .into_iter()
                .next()
        };
        for (critical, state) in
            [("web=2", Critical), ("web=7", Unknown), ("web=8", Ok), ("web=9:", Critical)]
        {
            assert_eq!(first(critical, 5), Some(row("web", 3, 8, state)), "{critical}");
        }
        // Without a key for the unit only its visible connections count.
        assert_eq!(first("7", 5), Some(row("web", 3, 3, Ok)));
        assert_eq!(first("db=100", 5), Some(row("web", 3, 3, Ok)));
        // The connections of a process are all visible or all hidden.
        let groups = vec![process(1, "web", 3), hidden(5)];
        assert_eq!(
            judged(GroupBy::Process, "web=9", "", groups).first(),
            Some(&row("web (1)", 3, 3, Ok))
        );
    }

    #[test]
    fn a_key_means_a_user_by_each_of_its_ids() {
        let user = || vec![NamedGroup::owned(Group::User(Some(33)), "www", 3, &[], &[33, 34])];
        for critical in ["33=2", "34=2", "webapp=2"] {
            assert_eq!(
                judged(GroupBy::User, critical, "", user()),
                [row("www", 3, 3, Critical)],
                "{critical}"
            );
        }
        assert_eq!(
            judged(GroupBy::User, "35=1:", "", user()),
            [row("www", 3, 3, Ok), row("35", 0, 0, Critical)]
        );
        assert_eq!(
            judged(GroupBy::User, "(kernel)=1:", "", user()),
            [row("www", 3, 3, Ok), row("(kernel)", 0, 0, Critical)]
        );
    }

    #[test]
    fn an_unresolved_user_may_match_a_key_by_name_but_not_by_id() {
        let unknown = |count| {
            let mut unknown = group(Group::User(Some(65534)), count);
            unknown.hidden = true;
            unknown
        };
        let root = || NamedGroup::owned(Group::User(Some(0)), "root", 9, &[], &[0]);
        for (critical, groups, expected) in [
            ("webapp=5", vec![unknown(6)], Some(row("webapp", 0, 6, Unknown))),
            ("webapp=6", vec![unknown(6)], None),
            ("33=5", vec![unknown(6)], None),
            ("33=1:", vec![unknown(6)], Some(row("33", 0, 0, Critical))),
            ("0=12", vec![root(), unknown(6)], None),
        ] {
            let judged = judged(GroupBy::User, critical, "", groups);
            let wrong = judged.into_iter().find(|(_, _, _, state)| *state != Ok);
            assert_eq!(wrong, expected, "{critical}");
        }
    }

    #[test]
    fn a_user_among_others_of_one_id_may_have_any_part_of_their_sockets() {
        let of = |id: u32, is_named| {
            let label = if is_named { "webapp".to_owned() } else { id.to_string() };
            let mut found = NamedGroup::owned(Group::User(Some(id)), &label, 6, &[], &[id]);
            found.hidden = true;
            found
        };
        for (critical, id, state) in [
            // All users without an id of their own have this one. Without a key they are judged as
            // one group.
            ("5", 65534, Critical),
            ("65534=5", 65534, Unknown),
            ("65534=1:", 65534, Unknown),
            ("65534=6", 65534, Ok),
            ("65534=7:", 65534, Critical),
            // Another one of them.
            ("1000=5", 65534, Unknown),
            ("1000=6", 65534, Ok),
            ("1000=7:", 65534, Critical),
            // Only the name of this one is not known.
            ("33=5", 33, Critical),
            ("33=6:", 33, Ok),
            ("33=7:", 33, Critical),
            ("6:", 33, Unknown),
        ] {
            for is_named in [false, true] {
                let judged = judged(GroupBy::User, critical, "", vec![of(id, is_named)]);
                let worst = judged.iter().map(|row| row.3).max_by_key(|state| state.severity());
                assert_eq!(worst, Some(state), "{critical} {id}");
            }
        }
    }

    #[test]
    fn a_key_of_one_threshold_takes_no_alert_from_the_other() {
        let mut nobody = NamedGroup::owned(Group::User(Some(65534)), "nobody", 6, &[], &[65534]);
        nobody.hidden = true;
        for (critical, warning, state) in [
            ("5", "65534=5", Critical),
            ("65534=5", "5", Warning),
            ("65534=5", "65534=5", Unknown),
            ("1000=5", "65534=6", Unknown),
        ] {
            let judged = judged(GroupBy::User, critical, warning, vec![nobody.clone()]);
            let worst = judged.iter().map(|row| row.3).max_by_key(|state| state.severity());
            assert_eq!(worst, Some(state), "-c {critical} -w {warning}");
        }
        // Two ids with one name, one of which is shared.
        let mut both = NamedGroup::owned(Group::User(Some(33)), "both", 6, &[], &[33, 65534]);
        both.hidden = true;
        let of_both = judged(GroupBy::User, "33=5", "", vec![both]);
        assert_eq!(of_both, [row("both", 6, 6, Unknown)]);
    }

    #[test]
    fn a_key_that_may_be_mistyped_is_shown_with_the_nearest_name() {
        let unmatched = |by, critical, groups: Vec<NamedGroup>| -> Vec<_> {
            let judged = thresholds(by, critical, "").judge(groups, false).into_iter();
            judged
                .filter(|judged| judged.unmatched)
                .map(|judged| (judged.label, judged.state, judged.nearest))
                .collect()
        };
        let unit =
            || vec![NamedGroup::owned(Group::Cgroup(Some(7)), "shopd.service", 61, &[], &[])];
        let nearest = |name: &str| Some(name.to_owned());
        for (by, critical, groups, expected) in [
            (GroupBy::Unit, "shop=5", unit(), Some(("shop", Ok, nearest("shopd.service")))),
            (GroupBy::Unit, "shop=1:", unit(), Some(("shop", Critical, nearest("shopd.service")))),
            (GroupBy::Unit, "nginx=5", unit(), Some(("nginx", Ok, None))),
            (GroupBy::Unit, "shopd=5", unit(), None),
            (GroupBy::Unit, "5,total=70", unit(), None),
            // A hidden process may have the name; the key matches a visible one, too.
            (GroupBy::Process, "web=4", vec![process(1, "web", 3), hidden(5)], None),
            // These keys are checked when they are read.
            (GroupBy::LocalPort, "80=5", Vec::new(), None),
            (GroupBy::LocalPort, "80=1:", Vec::new(), Some(("80", Critical, None))),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(label, state, nearest)| (label.to_owned(), state, nearest))
                .collect();
            assert_eq!(unmatched(by, critical, groups), expected, "{critical}");
        }
    }

    #[test]
    fn a_unit_is_not_among_hidden_ones_of_a_user() {
        let user = "user@1000.service";
        let below = || vec![NamedGroup::hidden_below(&[user], 5)];
        for (critical, state) in [
            ("nginx.service=1:", Critical),
            ("nginx=1:", Critical),
            ("nginx.service=4", Ok),
            ("user@1000.service=1:", Unknown),
            ("user@1000=1:", Unknown),
            ("user@1000.service/nginx.service=1:", Unknown),
            ("user@1000.service/nginx.service=4", Unknown),
            ("user@1001.service=1:", Critical),
        ] {
            let last = judged(GroupBy::Unit, critical, "", below()).pop().map(|row| row.3);
            assert_eq!(last, Some(state), "{critical}");
        }
        let found = |label: &str, critical| {
            let mut groups = below();
            groups.push(NamedGroup::owned(Group::Cgroup(Some(7)), label, 3, &[], &[]));
            judged(GroupBy::Unit, critical, "", groups).pop()
        };
        assert_eq!(found("web", "web=7"), Some(row("web", 3, 3, Ok)));
        assert_eq!(found(user, "user@1000.service=7"), Some(row(user, 3, 8, Unknown)));
    }

    #[test]
    fn a_key_means_a_process_by_its_full_or_short_name_with_or_without_its_id() {
        let name = if cfg!(windows) { "postgres_export.exe" } else { "postgres_exporter" };
        for key in [name, "postgres_export"] {
            for key in [key.to_owned(), format!("{key} (7)")] {
                let groups = vec![process(7, name, 21)];
                let judged = judged(GroupBy::Process, &format!("{key}=5"), "", groups);
                assert_eq!(judged.iter().map(|row| row.3).collect::<Vec<_>>(), [Critical], "{key}");
            }
        }
    }

    #[test]
    fn an_address_without_a_known_interface_may_match_a_key_with_one() {
        let address: std::net::IpAddr = "fe80::1".parse().unwrap_or_else(|e| panic!("{e}"));
        let found = || vec![group(Group::Address(address.into()), 5), group(Group::Port(80), 100)];
        for (critical, unmet) in [
            ("fe80::1%eth0=5", Some(row("fe80::1%eth0", 0, 5, Ok))),
            ("fe80::1%eth0=4", Some(row("fe80::1%eth0", 0, 5, Unknown))),
            ("fe80::1%eth0=1:", Some(row("fe80::1%eth0", 0, 5, Unknown))),
            ("fe80::1%eth0=6:", Some(row("fe80::1%eth0", 0, 5, Critical))),
            ("fe80::2=1:", Some(row("fe80::2", 0, 0, Critical))),
        ] {
            let judged = judged(GroupBy::RemoteAddress, critical, "", found());
            assert_eq!(judged.get(2), unmet.as_ref(), "{critical}");
        }
    }

    #[test]
    fn too_few_connections_are_unknown_where_namespaces_were_skipped() {
        let more = |by, critical, warning, group| {
            thresholds(by, critical, warning)
                .judge(vec![group], true)
                .pop()
                .map(|judged| judged.state)
        };
        let port = |critical, warning| {
            more(GroupBy::LocalPort, critical, warning, group(Group::Port(80), 5))
        };
        for (critical, warning, state) in [
            ("5", "", Ok),
            ("4", "", Critical),
            ("", "4", Warning),
            ("5:", "", Ok),
            ("6:", "", Unknown),
            ("", "6:", Unknown),
            ("6:", "4", Warning),
            ("6:8", "", Unknown),
            ("3:4", "", Critical),
            ("@5:6", "", Unknown),
            ("@0:4", "", Ok),
            ("443=1:", "", Unknown),
        ] {
            assert_eq!(port(critical, warning), Some(state), "-c {critical} -w {warning}");
        }
        // All connections of a namespace that was read are known.
        let web = |critical| {
            let web = NamedGroup::owned(Group::Netns(NetnsIndex(1)), "web", 5, &[], &[]);
            more(GroupBy::Netns, critical, "", web)
        };
        for (critical, state) in [("6:", Critical), ("web=6:", Critical), ("db=1:", Unknown)] {
            assert_eq!(web(critical), Some(state), "{critical}");
        }
        let total = |critical| thresholds(GroupBy::Status, critical, "").judge_total(5, 5, true);
        assert_eq!(total("total=6:"), Some(Unknown));
        assert_eq!(total("total=4"), Some(Critical));
    }
}
