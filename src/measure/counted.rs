//! The input and the result of a measure.

use std::collections::{HashMap, HashSet};

use log::debug;

use crate::collect::breakdown::{Aspect, Breakdowns};
use crate::collect::listeners::WAITING;
use crate::group::{Group, GroupBy, Needs};
use crate::host_limit::HostLimit;
use crate::measure::share::Share;
use crate::named_group::Values;
use crate::open_files::tables::Tables;
use crate::owner::Names;
use crate::selection::Selection;
use crate::source;
use crate::source::summary::DropCounter;
use crate::survey::{Facts, Findings, Host};
use crate::vocabulary::{NetnsIndex, Protocol};

/// The input of a measure.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The connections.
    pub selection: &'a Selection,
    /// The kind of groups.
    pub group_by: GroupBy,
    /// The criterion by which connections are broken down, besides their owners.
    pub aspect: Aspect,
    /// Whether owners and peers are wanted, too.
    pub lengthy: bool,
    /// Whether all processes of a socket must be found, and not only the most likely ones.
    pub every_holder: bool,
    /// Whether every group needs its name before it is judged.
    pub every_name: bool,
}

impl Scope<'_> {
    /// An empty table of owners and peers, where they are wanted.
    #[must_use]
    pub fn breakdowns(&self) -> Option<Breakdowns> {
        let stuck = &self.selection.stuck;
        self.lengthy.then(|| Breakdowns::new(self.group_by, self.aspect, stuck.clone()))
    }

    /// The facts that owners and tables of peers need: connections that wait to be accepted belong to
    /// the owner of their listener, and outgoing connections are shown with the ports that they use.
    /// Reading the listeners takes another dump.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let may_wait = || {
            source::INODES_ARE_REPORTED
                && self.selection.types_of(Protocol::Tcp).next().is_some()
                && WAITING.iter().any(|status| self.selection.statuses.contains(*status))
        };
        let needs = self.group_by.needs();
        let facts = match needs {
            _ if self.lengthy => Facts::PORTS,
            Needs::Owner if may_wait() => Facts::LISTENERS,
            Needs::Owner
            | Needs::Nothing
            | Needs::Namespace
            | Needs::Ends
            | Needs::Listeners
            | Needs::Cgroup => Facts::NONE,
        };
        Facts { directions: needs == Needs::Listeners, ..facts }
    }
}

/// The result of a measure: groups and their numbers.
#[derive(Default)]
pub struct Counted {
    /// The groups, with the number of each.
    pub groups: Vec<(Group, u64)>,
    /// The other values of the groups. A group that may have connections, and has none for certain,
    /// is among the groups too.
    pub values: Values,
    /// The number of connections, where it is not the sum of all groups.
    pub total: Option<u64>,
    /// Owners and peers, where they are wanted.
    pub breakdowns: Option<Breakdowns>,
    /// The names of owners that were looked up to count by owner.
    pub names: Names,
    /// The namespaces in which limits of a namespace are fullest.
    pub places: HashMap<HostLimit, NetnsIndex>,
    /// The limits that the kernel does not show here.
    pub unseen_limits: Vec<HostLimit>,
    /// The other results of the walk through the network namespaces.
    pub findings: Findings,
    /// The number of packets that the kernel has dropped in the namespace, of all sockets.
    pub host_drops: Option<(DropCounter, u64)>,
    /// The open files that the groups were made of.
    pub tables: Option<Tables>,
}

impl Counted {
    /// Adds groups that were not found, without connections.
    pub fn add_missing(&mut self, groups: Vec<Group>) {
        if groups.is_empty() {
            return;
        }
        let found: HashSet<_> = self.groups.iter().map(|(group, _)| *group).collect();
        let missing = groups.into_iter().filter(|group| !found.contains(group));
        self.groups.extend(missing.map(|group| (group, 0)));
    }

    /// The result with the groups of connections that may be selected.
    #[must_use]
    pub fn with_doubtful(mut self, doubtful: Vec<(Group, u64)>) -> Self {
        self.add_missing(doubtful.iter().map(|(group, _)| *group).collect());
        self.values.doubtful = doubtful.into_iter().collect();
        self
    }

    /// The result with a counter of the namespace, where this thread's namespace alone is read: other
    /// namespaces come and go, and their sum would fall.
    #[must_use]
    pub fn with_host_drops(mut self, host: &Host, counter: DropCounter) -> Self {
        if !host.namespaces.are_asked_for() {
            match source::drops(counter) {
                Ok(drops) => self.host_drops = Some((counter, drops)),
                Err(error) => debug!("no {}: {error}", counter.name()),
            }
        }
        self
    }

    /// The result of a measure whose numbers have limits.
    pub fn of_shares(
        parts: impl Iterator<Item = (Group, u64, Share)>,
        breakdowns: Option<Breakdowns>,
        findings: Findings,
    ) -> Self {
        let (mut groups, mut shares) = (Vec::new(), HashMap::new());
        for (group, count, share) in parts {
            groups.push((group, count));
            shares.insert(group, share);
        }
        // Groups with equal numbers get a fixed order: the order of a map is random.
        groups.sort_unstable_by_key(|(group, _)| *group);
        let values = Values { shares, ..Values::default() };
        Self { groups, values, breakdowns, findings, ..Self::default() }
    }
}
