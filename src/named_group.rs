//! Groups with the names that they are printed with.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::group::{Group, Owner};
use crate::group_name::GroupName;
use crate::measure::share::{Share, fuller};
use crate::owner::{Names, Process, Processes};
use crate::stuck::Wait;

/// A group with the name that it is printed with.
#[derive(Clone, Debug, Default)]
pub struct NamedGroup {
    /// The group, or the first of several merged groups. `None` where only a threshold names it.
    pub group: Option<Group>,
    /// Its name.
    pub name: GroupName,
    /// Its connections.
    pub count: u64,
    /// The number of further connections that may be selected.
    pub doubtful: u64,
    /// The limit of its connections, where the measure has a limit.
    pub share: Option<Share>,
    /// The longest time for which one of its connections has been stuck, where the measure is of
    /// times.
    pub wait: Option<Wait>,
    /// Whether its number may be any larger one.
    pub unbounded: bool,
    /// Whether it stands for hidden owners.
    pub hidden: bool,
    // The names that the names of its hidden owners begin with; empty where they may have any name.
    outer: Arc<[String]>,
    // The processes of which some are its hidden owners; empty where any process may be.
    candidates: Vec<Processes>,
    // All user ids with this name, and all processes with this label.
    users: Vec<u32>,
    holders: Vec<Processes>,
}

impl NamedGroup {
    /// A group that was found.
    pub(crate) fn found(group: Group, count: u64, names: &Names) -> Self {
        let (mut users, mut holders) = (Vec::new(), Vec::new());
        let (name, hidden) = (names.name(group), names.is_hidden(group));
        match group.owner() {
            Some(Owner::User(id)) => users.push(id),
            Some(Owner::Process(key) | Owner::Program(key)) if !hidden => {
                holders.extend(names.looked_up(key));
            }
            Some(Owner::Process(_) | Owner::Program(_) | Owner::Cgroup(_)) | None => {}
        }
        let outer = if hidden { names.outer_names(group) } else { Arc::default() };
        let candidates = names.candidates(group).into_iter().collect();
        Self {
            group: Some(group),
            name,
            count,
            doubtful: 0,
            share: None,
            wait: None,
            unbounded: false,
            hidden,
            outer,
            candidates,
            users,
            holders,
        }
    }

    /// The label that is printed.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.name.label
    }

    /// The largest number of connections that it may have.
    #[must_use]
    pub fn most(&self) -> u64 {
        self.count.saturating_add(self.doubtful)
    }

    /// The lower and the upper bound of the number that is judged.
    #[must_use]
    pub fn value(&self) -> (f64, f64) {
        // Ranges compare 64-bit floats, as the reference and the C plugins do.
        #[allow(clippy::cast_precision_loss)]
        let float = |number: u64| number as f64;
        match (self.share, self.wait) {
            (share, _) if self.unbounded => {
                (share.map_or(0.0, |share| share.percent(self.count)), f64::INFINITY)
            }
            (Some(share), _) => (share.percent(self.count), share.percent(self.most())),
            (None, Some(wait)) => {
                let (least, most) = wait.seconds();
                (least.into(), most.into())
            }
            (None, None) => (float(self.count), float(self.most())),
        }
    }

    /// A group without sockets.
    #[must_use]
    pub fn without_sockets(group: Option<Group>, name: GroupName) -> Self {
        Self { group, name, ..Self::default() }
    }

    /// The sum of two groups with one name.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        match (self.share, other.share) {
            (Some(share), Some(of_other)) => {
                let most = fuller((self.most(), share), (other.most(), of_other));
                let (count, share) = fuller((self.count, share), (other.count, of_other));
                self.doubtful = share.as_full_as(most).saturating_sub(count);
                (self.count, self.share) = (count, Some(share));
            }
            // A number without a limit is not known.
            (Some(_), None) => {}
            (None, Some(_)) => {
                (self.count, self.share) = (other.count, other.share);
                self.doubtful = other.doubtful;
            }
            (None, None) => {
                self.count += other.count;
                self.doubtful += other.doubtful;
            }
        }
        self.unbounded |= other.unbounded;
        self.wait = [self.wait, other.wait].into_iter().flatten().reduce(Wait::longer);
        if !self.hidden {
            (self.outer, self.candidates) = (other.outer, other.candidates);
        } else if other.hidden {
            if self.outer != other.outer {
                self.outer = Arc::default();
            }
            if self.candidates.is_empty() || other.candidates.is_empty() {
                self.candidates.clear();
            } else {
                self.candidates.extend(other.candidates);
            }
        }
        self.hidden |= other.hidden;
        self.users.extend(other.users);
        for holders in other.holders {
            if !self.holders.iter().any(|known| Arc::ptr_eq(known, &holders)) {
                self.holders.push(holders);
            }
        }
        self
    }

    /// Whether it stands for hidden owners, and one of them may have this name.
    #[must_use]
    pub fn may_have_hidden(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let is_below = |outer: &String| {
            let inner = name.strip_prefix(&outer.to_ascii_lowercase());
            inner.is_some_and(|inner| inner.is_empty() || inner.starts_with('/'))
        };
        let is_candidate =
            |process: &Process| process.is_called(&name) || process.is_called_with_id(&name);
        let mut candidates = self.candidates.iter().flat_map(|processes| processes.iter());
        self.hidden
            && (self.outer.is_empty() || self.outer.iter().any(is_below))
            && (self.candidates.is_empty() || candidates.any(is_candidate))
    }

    /// The names that a key can have for it: those of its processes, else its label. Labels in
    /// parentheses are no names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let label = self.processes().next().is_none().then(|| self.label());
        let label = label.filter(|label| !label.starts_with('('));
        self.processes().flat_map(Process::names).chain(label)
    }

    /// Whether its sockets belong to this user.
    #[must_use]
    pub fn is_of_user(&self, id: u32) -> bool {
        self.users.contains(&id)
    }

    /// Whether all its sockets belong to one user id.
    #[must_use]
    pub fn is_of_one_user(&self) -> bool {
        self.users.len() == 1
    }

    /// The processes that have its sockets.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.holders.iter().flat_map(|holders| holders.iter())
    }
}

/// The numbers of groups besides their counts.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// The limits of the counts, where the measure has limits.
    pub shares: HashMap<Group, Share>,
    /// The times, where the measure is of times.
    pub waits: HashMap<Group, Wait>,
    /// The further connections that may be selected.
    pub doubtful: HashMap<Group, u64>,
    /// The groups whose number may be any larger one.
    pub unbounded: HashSet<Group>,
}

impl Values {
    /// Whether the groups have no number besides their counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { shares, waits, doubtful, unbounded } = self;
        shares.is_empty() && waits.is_empty() && doubtful.is_empty() && unbounded.is_empty()
    }
}

/// Gives groups their names, the largest first. With `merged`, groups with one name are added up, as
/// are unix listeners: several sockets may have one path.
#[must_use]
pub fn named_groups(
    merged: bool,
    groups: &[(Group, u64)],
    values: &Values,
    names: &Names,
) -> Vec<NamedGroup> {
    let found = |(group, count): &(Group, u64)| NamedGroup {
        share: values.shares.get(group).copied(),
        wait: values.waits.get(group).copied(),
        doubtful: values.doubtful.get(group).copied().unwrap_or(0),
        unbounded: values.unbounded.contains(group),
        ..NamedGroup::found(*group, *count, names)
    };
    let is_unix = |group: &Group| matches!(group, Group::Unix(_));
    // Each of many processes may have a label of its own, its id.
    let merged =
        merged && !names.have_ids_as_labels() || groups.iter().any(|(group, _)| is_unix(group));
    let groups = groups.iter().map(found);
    let found: Vec<NamedGroup> = if merged {
        // A program may be called `host`, too.
        let key = |named: &NamedGroup| {
            (named.label().to_owned(), matches!(named.group, Some(Group::Host)))
        };
        let mut merged: HashMap<_, NamedGroup> = HashMap::new();
        for group in groups {
            let key = key(&group);
            let both = match merged.remove(&key) {
                Some(same) => same.with(group),
                None => group,
            };
            merged.insert(key, both);
        }
        let mut merged: Vec<_> = merged.into_values().collect();
        let of_unix = |named: &NamedGroup| named.group.as_ref().is_some_and(is_unix);
        // A host has many unix listeners that nobody asks about.
        merged.sort_unstable_by(|a, b| {
            let by_label = || a.label().cmp(b.label()).then(a.group.cmp(&b.group));
            of_unix(a).cmp(&of_unix(b)).then_with(by_label)
        });
        merged
    } else {
        groups.collect()
    };
    sorted(found)
}

/// The groups sorted, the largest first. There may be tens of thousands: their places are sorted, which
/// are smaller.
fn sorted(groups: Vec<NamedGroup>) -> Vec<NamedGroup> {
    let mut places: Vec<_> = groups.iter().map(NamedGroup::value).zip(0..).collect();
    places.sort_by(|((a, most_a), _), ((b, most_b), _)| {
        b.total_cmp(a).then(most_b.total_cmp(most_a))
    });
    let mut groups: Vec<_> = groups.into_iter().map(Some).collect();
    places.into_iter().filter_map(|(_, place): (_, usize)| groups.get_mut(place)?.take()).collect()
}

#[cfg(test)]
impl NamedGroup {
    /// A group of an owner, for tests: the processes that have its sockets by id and name, or the
    /// ids of its users.
    pub(crate) fn owned(
        group: Group,
        label: &str,
        count: u64,
        processes: &[(u32, &str)],
        users: &[u32],
    ) -> Self {
        let process = |(pid, name): &(u32, &str)| Process::new(*pid, *name);
        let holders = vec![processes.iter().map(process).collect()];
        let users = users.to_vec();
        let name = label.to_owned().into();
        Self { group: Some(group), name, count, users, holders, ..Self::default() }
    }
}

#[cfg(test)]
impl NamedGroup {
    /// A group of hidden owners, for tests, whose names begin with one of these names.
    pub(crate) fn hidden_below(outer: &[&str], count: u64) -> Self {
        let outer = outer.iter().map(|name| (*name).to_owned()).collect();
        let group = Some(Group::Cgroup(Some(9)));
        let name = "(hidden)".to_owned().into();
        Self { group, name, count, hidden: true, outer, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(label: &str, count: u64, hidden: bool, holders: &[&Processes]) -> NamedGroup {
        let holders = holders.iter().map(|holders| Processes::clone(holders)).collect();
        NamedGroup {
            name: label.to_owned().into(),
            count,
            hidden,
            holders,
            ..NamedGroup::default()
        }
    }

    #[test]
    fn groups_with_one_label_are_added_up() {
        let process = |pid| Process::new(pid, "nginx");
        let (both, one): (Processes, Processes) =
            ([process(7), process(8)].into(), [process(9)].into());
        let mut sum = held("a", 3, false, &[&both]);
        sum.users.push(1);
        let mut other = held("a", 4, true, &[&both, &one]);
        other.users.push(2);
        let sum = sum.with(other);
        assert_eq!((sum.count, sum.hidden), (7, true));
        // Processes of both groups are listed once.
        assert_eq!(sum.processes().map(|process| process.pid).collect::<Vec<_>>(), [7, 8, 9]);
        assert!(sum.is_of_user(1) && sum.is_of_user(2) && !sum.is_of_user(3));
        assert!(sum.with(held("a", 0, false, &[])).hidden);
        // Shares are not added up: the fullest group counts, with all drops.
        let part = |count, of| {
            let share = Some(Share { of, drops: Some(1), ..Share::default() });
            NamedGroup { share, ..held("a", count, false, &[]) }
        };
        let fullest = part(2, 8).with(part(3, 4)).with(part(5, 10));
        assert_eq!(
            (fullest.count, fullest.share),
            (3, Some(Share { of: 4, drops: Some(3), ..Share::default() }))
        );
        assert_eq!(fullest.doubtful, 0);
        // A number that is less full for certain may be the fuller one.
        let bounded = |count, doubtful, of| NamedGroup { doubtful, ..part(count, of) };
        for sum in [
            bounded(10, 0, 1000).with(bounded(0, 64, 70)),
            bounded(0, 64, 70).with(bounded(10, 0, 1000)),
        ] {
            let (least, most) = sum.value();
            assert!((least - 1.0).abs() < 1e-9 && (91.4..91.6).contains(&most), "{most}");
        }
        let any = NamedGroup { unbounded: true, ..part(1, 2) }.with(part(3, 4));
        assert_eq!(any.value(), (75.0, f64::INFINITY));
    }

    #[test]
    fn hidden_owners_may_have_names_below_their_outer_names_only() {
        let may_have =
            |outer: &[&str], name| NamedGroup::hidden_below(outer, 5).may_have_hidden(name);
        for (outer, name, expected) in [
            (&[][..], "nginx.service", true),
            (&["user@1.service"], "nginx.service", false),
            (&["user@1.service"], "user@1.service", true),
            (&["user@1.service"], "User@1.service/nginx.service", true),
            (&["user@1.service"], "user@1.service2", false),
            (&["user@1.service", "lxc:a"], "lxc:a/nginx.service", true),
        ] {
            assert_eq!(may_have(outer, name), expected, "{outer:?} {name}");
        }
        assert!(!held("a", 5, false, &[]).may_have_hidden("a"));
        // The sum of two groups may have the names of both.
        let sum = |one: &[&str], other: &[&str]| {
            NamedGroup::hidden_below(one, 5).with(NamedGroup::hidden_below(other, 5))
        };
        assert!(!sum(&["a"], &["a"]).may_have_hidden("b"));
        assert!(sum(&["a"], &["b"]).may_have_hidden("b"));
        assert!(sum(&[], &["b"]).may_have_hidden("c"));
        assert!(
            !held("x", 1, false, &[])
                .with(NamedGroup::hidden_below(&["a"], 1))
                .may_have_hidden("b")
        );
    }

    #[test]
    fn groups_of_owners_are_merged_others_are_not_and_the_largest_come_first() {
        let names = Names::default();
        let groups =
            vec![(Group::User(Some(7)), 1), (Group::User(Some(8)), 5), (Group::User(None), 5)];
        let found: Vec<_> = named_groups(true, &groups, &Values::default(), &names)
            .into_iter()
            .map(|group| (group.name.label, group.count))
            .collect();
        let expected = [("(kernel)", 5), ("8", 5), ("7", 1)];
        assert_eq!(found, expected.map(|(label, count)| (label.to_owned(), count)));
        // The processes with the keys 7 and 8 are hidden.
        let groups = vec![(Group::Process(7), 1), (Group::Process(8), 2), (Group::Process(0), 4)];
        let found = named_groups(true, &groups, &Values::default(), &names);
        assert_eq!(found.iter().map(|group| group.count).collect::<Vec<_>>(), [4, 3]);
        let groups = vec![(Group::Port(7), 1), (Group::Port(7), 2)];
        assert_eq!(named_groups(false, &groups, &Values::default(), &names).len(), 2);
        // The group with the larger percentage comes first.
        let share = |port, of| (Group::Port(port), Share { of, ..Share::default() });
        let values = Values { shares: [share(7, 2), share(8, 9)].into(), ..Values::default() };
        let found =
            named_groups(false, &[(Group::Port(8), 3), (Group::Port(7), 1)], &values, &names);
        let values = found.iter().map(|found| (found.count, found.share.map(|share| share.of)));
        assert_eq!(values.collect::<Vec<_>>(), [(1, Some(2)), (3, Some(9))]);
    }
}
