//! Who has a connection: the names behind user ids, cgroup ids and keys of processes, and
//! those of the interfaces that link-local addresses are behind.

// Elsewhere nobody has to be searched for, or nothing is looked up.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
mod holders;
#[cfg(target_os = "linux")]
mod linux;
pub mod process;
#[cfg(not(target_os = "linux"))]
mod unknown;
mod unseen;
#[cfg(windows)]
mod windows;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use log::warn;

use crate::address::Address;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::group::{Group, Id};
use crate::namespaces::{Namespaces, View};
use crate::owner::holders::Holders;
use crate::owner::unseen::{NONE, OTHERS, OUTSIDE};
use crate::vocabulary::NetnsIndex;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(any(target_os = "linux", windows)))]
use unknown as system;
#[cfg(windows)]
use windows as system;

pub use process::{Process, Processes};
pub use system::user_id;
pub use unseen::unseen;

/// What stands between an address with a port and its network namespace.
pub const NETNS_SEPARATOR: &str = " in ";

/// Whether the key of a socket's processes is its inode number.
pub const KEYS_ARE_INODES: bool = cfg!(target_os = "linux");

/// What must be known of owners.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// The units: where they cannot be known there is no answer.
    pub units: bool,
    /// Everybody who has a socket, not only who most likely has it.
    pub every_holder: bool,
}

/// The names of owners, looked up once for all that are asked for.
#[derive(Debug, Default)]
pub struct Names {
    users: HashMap<u32, Arc<str>>,
    // The ids of which nobody can tell whose they are.
    unknown: HashSet<u32>,
    units: HashMap<u64, Arc<str>>,
    holders: Arc<Holders>,
    interfaces: HashMap<(NetnsIndex, u32), Arc<str>>,
    namespaces: HashMap<NetnsIndex, Arc<str>>,
    // Whether there are processes whose sockets cannot be seen.
    hidden: bool,
}

impl Names {
    /// Looks up which processes have these keys. Those made in `cgroups` are most likely theirs
    /// who are in them; empty where everybody is to be looked at.
    pub fn of_processes(
        keys: Vec<u64>,
        cgroups: HashSet<u64>,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let mut names = Self::default();
        if !keys.is_empty() {
            let likely = match system::members(cgroups, deadline) {
                Err(error) if error.is_final() => return Err(error),
                likely => likely.unwrap_or_default(),
            };
            let (holders, hidden) = system::processes(keys, &likely, deadline)?;
            (names.holders, names.hidden) = (Arc::new(holders), hidden);
        }
        Ok(names)
    }

    /// Groups of sockets with the same processes, of these keys, which are in order.
    #[must_use]
    pub fn by_process(&self, keys: &[u64]) -> Vec<(Group, u64)> {
        let groups = self.holders.count_lists(keys).into_iter();
        groups.map(|(key, count)| (Group::Process(key), count)).collect()
    }

    /// Looks up the owners that groups stand for, besides the processes that are `known`.
    pub fn look_up(
        groups: impl Iterator<Item = Group>,
        need: Need,
        known: Option<&Self>,
        namespaces: &Namespaces,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let mut names = Self::default();
        let (mut users, mut units, mut keys) = (HashSet::new(), HashSet::new(), Vec::new());
        let (mut interfaces, mut nets) = (HashSet::new(), HashSet::new());
        for id in groups.filter_map(Group::id) {
            match id {
                Id::User(id) => drop(users.insert(id)),
                Id::Cgroup(id) => drop(units.insert(id)),
                Id::Process(key) => keys.push(key),
                Id::Interface(address) => interfaces.extend(address.interface()),
                Id::Netns(net) => drop(nets.insert(net)),
                Id::Endpoint(endpoint) => {
                    interfaces.extend(endpoint.address.interface());
                    nets.extend(namespaces.are_asked_for().then_some(endpoint.net));
                }
            }
        }
        if !users.is_empty() {
            (names.users, names.unknown) = system::users(users, deadline)?;
        }
        let known = known.filter(|known| keys.iter().all(|key| known.holders.covers(*key)));
        if let Some(Self { holders, hidden, .. }) = known {
            (names.holders, names.hidden) = (Arc::clone(holders), *hidden);
        } else {
            let cgroups = if need.every_holder { HashSet::new() } else { units.clone() };
            let Self { holders, hidden, .. } = Self::of_processes(keys, cgroups, deadline)?;
            (names.holders, names.hidden) = (holders, hidden);
        }
        if !units.is_empty() {
            match system::units(units, deadline) {
                Ok(units) => names.units = units,
                Err(error) if !need.units && !error.is_final() => warn!("no units: {error}"),
                Err(error) => return Err(error),
            }
        }
        if !interfaces.is_empty() {
            names.interfaces = interface_names(&interfaces, namespaces, deadline)?;
        }
        if !nets.is_empty() {
            names.namespaces = namespaces.names(&nets, deadline)?;
        }
        Ok(names)
    }

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

    /// The name of the interface that a link-local address is behind.
    #[must_use]
    pub fn interface(&self, address: Address) -> Option<Arc<str>> {
        self.interfaces.get(&address.interface()?).cloned()
    }

    /// An address, a link-local one with the name of its interface where that is known.
    fn address(&self, address: Address) -> String {
        self.interface(address)
            .map_or_else(|| address.to_string(), |name| format!("{}%{name}", address.ip()))
    }

    /// What people call a network namespace.
    #[must_use]
    pub fn namespace(&self, net: NetnsIndex) -> Option<Arc<str>> {
        self.namespaces.get(&net).cloned()
    }

    /// The processes that have a key; empty where none can be seen.
    #[must_use]
    pub fn processes(&self, key: u64) -> Processes {
        self.holders.processes(key)
    }

    /// Whether a group stands for owners that cannot be seen.
    #[must_use]
    pub fn is_hidden(&self, group: Group) -> bool {
        match group.id() {
            Some(Id::Process(key)) => self.hidden && self.processes(key).is_empty(),
            Some(Id::Cgroup(id)) => self.units.get(&id).is_some_and(|unit| &**unit == OUTSIDE),
            Some(Id::User(id)) => self.unknown.contains(&id),
            Some(Id::Interface(_) | Id::Netns(_) | Id::Endpoint(_)) | None => false,
        }
    }

    /// The label of a group: of owners their name, as far as it is known.
    #[must_use]
    pub fn label(&self, group: Group) -> String {
        let name = match group.id() {
            Some(Id::User(id)) => self.user(id).map(|name| name.to_string()),
            Some(Id::Cgroup(id)) => self.unit(id).map(|name| name.to_string()),
            Some(Id::Process(key)) => Some(
                process::label(&self.processes(key))
                    .unwrap_or_else(|| if self.hidden { OTHERS } else { NONE }.to_owned()),
            ),
            Some(Id::Interface(address)) => Some(self.address(address)),
            Some(Id::Endpoint(endpoint)) => {
                let shown = endpoint.shown(&self.address(endpoint.address));
                let netns = self.namespace(endpoint.net);
                Some(netns.map_or_else(
                    || shown.clone(),
                    |netns| format!("{shown}{NETNS_SEPARATOR}{netns}"),
                ))
            }
            Some(Id::Netns(net)) => self.namespace(net).map(|name| name.to_string()),
            None => None,
        };
        name.unwrap_or_else(|| group.to_string())
    }
}

/// The names of interfaces, each in its network namespace. Only who is in one is told them.
fn interface_names(
    interfaces: &HashSet<(NetnsIndex, u32)>,
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<HashMap<(NetnsIndex, u32), Arc<str>>, Error> {
    let mut names = HashMap::new();
    let wanted = |net| interfaces.iter().any(|(of, _)| *of == net);
    namespaces.visit(false, &wanted, deadline, &mut |net, view, _| {
        if *view == View::Inside {
            let indices = interfaces.iter().filter(|(of, _)| *of == net).map(|(_, index)| *index);
            let found = system::interfaces(indices.collect());
            names.extend(found.into_iter().map(|(index, name)| ((net, index), name)));
        }
        Ok(())
    })?;
    Ok(names)
}
