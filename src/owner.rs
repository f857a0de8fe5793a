//! Who has a connection: the names behind user ids, cgroup ids and inode numbers.

#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod units;
#[cfg(target_os = "linux")]
mod users;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use log::warn;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::group::{Group, GroupBy};

/// A process, as one of the holders of a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name: `/proc/PID/comm`, made printable.
    pub name: Arc<str>,
}

/// The processes that have a socket, the lowest id first.
pub type Holders = Arc<[Process]>;

/// The label of what only its user, or root, may see.
const OTHERS: &str = "(other users' processes)";
/// The label of what no process has, though the kernel shows an inode number.
const NONE: &str = "(no process)";

/// `nginx (812)`, or `nginx (812) +2` where two more processes have the same sockets.
fn process_label(holders: &[Process]) -> Option<String> {
    let (first, others) = holders.split_first()?;
    let more = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
    Some(format!("{} ({}){more}", first.name, first.pid))
}

/// The names of owners, looked up once for all that are asked for.
#[derive(Debug, Default)]
pub struct Names {
    users: HashMap<u32, Arc<str>>,
    units: HashMap<u64, Arc<str>>,
    processes: HashMap<u64, Holders>,
    // Whether there are processes whose sockets cannot be seen.
    hidden: bool,
}

impl Names {
    /// The name of a user id, where it has one.
    #[must_use]
    pub fn user(&self, id: u32) -> Option<Arc<str>> {
        self.users.get(&id).cloned()
    }

    /// Whether units can be told here at all.
    #[must_use]
    pub fn knows_units(&self) -> bool {
        !self.units.is_empty()
    }

    /// The name of a cgroup id.
    #[must_use]
    pub fn unit(&self, id: u64) -> Option<Arc<str>> {
        self.units.get(&id).cloned()
    }

    /// The processes that have the socket of an inode number; empty where none can be seen.
    #[must_use]
    pub fn holders(&self, inode: u64) -> Holders {
        self.processes.get(&inode).cloned().unwrap_or_default()
    }

    /// The label of a group of owners.
    #[must_use]
    pub fn label(&self, group: Group) -> String {
        let name = match group {
            Group::User(Some(id)) => self.user(id).map(|name| name.to_string()),
            Group::Cgroup(Some(id)) => self.unit(id).map(|name| name.to_string()),
            Group::Inode(inode) if inode != 0 => Some(
                process_label(&self.holders(inode))
                    .unwrap_or_else(|| if self.hidden { OTHERS } else { NONE }.to_owned()),
            ),
            _ => None,
        };
        name.unwrap_or_else(|| group.to_string())
    }
}

/// Looks up the owners that groups stand for. Where they only add to an answer, `lenient`, units that
/// cannot be known are left out.
pub fn look_up(
    groups: impl Iterator<Item = Group>,
    lenient: bool,
    deadline: &Deadline,
) -> Result<Names, Error> {
    let mut names = Names::default();
    let (mut users, mut units, mut inodes) = (HashSet::new(), HashSet::new(), HashSet::new());
    for group in groups {
        match group {
            Group::User(Some(id)) => drop(users.insert(id)),
            Group::Cgroup(Some(id)) => drop(units.insert(id)),
            Group::Inode(inode) if inode != 0 => drop(inodes.insert(inode)),
            _ => {}
        }
    }
    if !users.is_empty() {
        names.users = system::users(users, deadline)?;
    }
    if !units.is_empty() {
        match system::units(units, deadline) {
            Ok(units) => names.units = units,
            Err(error) if lenient && !error.is_final() => warn!("no units: {error}"),
            Err(error) => return Err(error),
        }
    }
    if !inodes.is_empty() {
        (names.processes, names.hidden) = system::processes(&inodes, deadline)?;
    }
    Ok(names)
}

/// Gives groups their labels, and puts those together that are one to a person: the sockets of a
/// process, the cgroups of a unit.
#[must_use]
pub fn merged(by: GroupBy, groups: Vec<(Group, u64)>, names: &Names) -> Vec<(Group, String, u64)> {
    let labelled = groups.into_iter().map(|(group, count)| (group, names.label(group), count));
    if !matches!(by, GroupBy::Unit | GroupBy::Process) {
        return labelled.collect();
    }
    let mut merged: BTreeMap<String, (Group, u64)> = BTreeMap::new();
    for (group, label, count) in labelled {
        merged.entry(label).or_insert((group, 0)).1 += count;
    }
    let mut groups: Vec<_> =
        merged.into_iter().map(|(label, (group, count))| (group, label, count)).collect();
    groups.sort_by_key(|(_, _, count)| Reverse(*count));
    groups
}

/// The id of a user name, `None` where there is no such user.
pub fn user_id(name: &str) -> Result<Option<u32>, Error> {
    system::user_id(name)
}

#[cfg(target_os = "linux")]
mod system {
    pub(super) use super::processes::holders as processes;
    pub(super) use super::units::names as units;
    pub(super) use super::users::{id as user_id, names as users};
}

/// No source of these systems tells an owner, so none is ever looked up.
#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Arc, Deadline, Error, HashMap, HashSet, Holders};

    pub(super) fn users(_: HashSet<u32>, _: &Deadline) -> Result<HashMap<u32, Arc<str>>, Error> {
        Ok(HashMap::new())
    }

    pub(super) fn units(_: HashSet<u64>, _: &Deadline) -> Result<HashMap<u64, Arc<str>>, Error> {
        Ok(HashMap::new())
    }

    pub(super) fn processes(
        _: &HashSet<u64>,
        _: &Deadline,
    ) -> Result<(HashMap<u64, Holders>, bool), Error> {
        Ok((HashMap::new(), true))
    }

    pub(super) fn user_id(_: &str) -> Result<Option<u32>, Error> {
        Ok(None)
    }
}
