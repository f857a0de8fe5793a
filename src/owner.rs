//! Owners of connections: the names of user ids, cgroup ids and process keys, and of the interfaces
//! of link-local addresses.

mod found;
// Windows reports the process of each socket, so that no search is needed.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
mod holders;
#[cfg(target_os = "linux")]
mod linux;
pub mod process;
mod unseen;
#[cfg(windows)]
mod windows;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use log::warn;

use crate::address::{Address, Endpoint, InterfaceNames, UnixSocket, with_interface};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::group::{Group, Owner};
use crate::group_name::{GroupName, NETNS_SEPARATOR, NetnsName};
use crate::listeners::{Listeners, is_of_several};
use crate::namespaces::Namespaces;
use crate::owner::holders::Holders;
use crate::owner::unseen::{NONE, OTHERS, OUTSIDE};
use crate::vocabulary::NetnsIndex;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(windows)]
use windows as system;

pub use found::{Units, UserId};
pub use process::{Process, Processes};
pub use system::{descriptors, unit_of_process, user_id};
pub use unseen::{UNSEEN_PROCESSES, Unseen, WAITING, is_denied};

/// The message about owners or namespaces that cannot be seen, with the rights that are missing.
#[must_use]
pub fn unseen_message(unseen: Unseen, deadline: &Deadline) -> String {
    // Where the rights cannot be read in time, the message goes without them: an alert that is
    // certain stands.
    unseen.message(system::needed(unseen, deadline).unwrap_or_default())
}

/// The rights that this process lacks to see all of something.
#[must_use]
pub fn needed(unseen: Unseen, deadline: &Deadline) -> Option<String> {
    system::needed(unseen, deadline).unwrap_or_default()
}

/// The message about owners that are hidden for lack of rights; `None` where no right is missing.
#[must_use]
pub fn denial(unseen: Unseen, deadline: &Deadline) -> Option<String> {
    unseen.denial(system::needed(unseen, deadline).unwrap_or_default())
}

/// A function that labels the processes of a socket; `None` for no process.
type Labeller = fn(&[Process]) -> Option<String>;

/// Whether the key of a socket's processes is its inode number.
pub const KEYS_ARE_INODES: bool = cfg!(target_os = "linux");

/// Requirements for looking up owners.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// Whether units are required: if so, the look-up fails where they cannot be read.
    pub units: bool,
    /// Whether every process that has a socket must be found, not only the most likely processes.
    pub every_holder: bool,
}

/// The names of owners, looked up once for all groups.
#[derive(Clone, Debug, Default)]
pub struct Names {
    users: HashMap<u32, Arc<str>>,
    // Ids whose user could not be looked up.
    unknown_users: HashSet<u32>,
    units: Units,
    holders: Arc<Holders>,
    interfaces: Arc<InterfaceNames>,
    namespaces: HashMap<NetnsIndex, Arc<NetnsName>>,
    // The label of sockets without a visible process, where not every process was read.
    hidden: Option<&'static str>,
    // The keys that stand for several listeners, with the keys of each listener.
    listeners: Arc<HashMap<u64, Arc<[u64]>>>,
    // The paths and abstract names of unix listeners.
    unix: Arc<HashMap<UnixSocket, String>>,
    // The units of the processes that have the sockets with these keys.
    process_units: HashMap<u64, Arc<str>>,
    // Whether processes that were not looked up have their ids as labels.
    ids_are_labels: bool,
}

impl Names {
    /// Looks up the processes that have the sockets with these keys. Processes in `cgroups` are
    /// searched first, the others only for sockets that are still missing. An empty set searches
    /// all processes. `self` has the listeners of the keys.
    pub fn of_processes(
        &self,
        mut keys: Vec<u64>,
        cgroups: HashSet<u64>,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let mut names = Self { listeners: Arc::clone(&self.listeners), ..Self::default() };
        let several: Vec<u64> = keys.iter().copied().filter(|key| is_of_several(*key)).collect();
        keys.retain(|key| !is_of_several(*key));
        keys.extend(several.iter().flat_map(|key| self.listeners_of(*key)));
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

    /// The names of these processes, by their ids, and the number of processes whose names may not be
    /// read. With each id comes a thread that still exists, where that is not the first one. A process
    /// that has ended since has no name.
    pub fn of_ids(
        processes: &[(u32, Option<u32>)],
        deadline: &Deadline,
    ) -> Result<(Self, u64), Error> {
        let (holders, unseen) = system::by_id(processes, deadline)?;
        let holders = Arc::new(holders);
        Ok((Self { holders, hidden: Some(OTHERS), ..Self::default() }, unseen))
    }

    /// The names of no process: each has its id as its label, so that names can be looked up later.
    #[must_use]
    pub fn of_no_ids() -> Self {
        let holders = Arc::new(Holders::new(vec![UNSEEN_PROCESSES]));
        Self { holders, hidden: Some(OTHERS), ids_are_labels: true, ..Self::default() }
    }

    /// The names of units, by the ids of their processes. Those of processes that cannot be seen have no
    /// name.
    #[must_use]
    pub fn of_units(names: HashMap<u64, Option<String>>) -> Self {
        let label = |name: Option<String>| name.map_or_else(|| OUTSIDE.into(), Arc::from);
        let names = names.into_iter().map(|(id, name)| (id, label(name)));
        let names = names.chain([(UNSEEN_PROCESSES, OUTSIDE.into())]).collect();
        Self { units: Units { names, outer: Arc::default() }, ..Self::default() }
    }

    /// Counts sorted keys by the processes of their sockets. Each result is one key of the same
    /// processes and the number of their keys.
    #[must_use]
    pub fn by_process(&self, keys: &[u64]) -> Vec<(u64, u64)> {
        // Keys of several listeners are greater than all keys of sockets.
        let (one, several) = keys.split_at(keys.partition_point(|key| !is_of_several(*key)));
        let several = several.chunk_by(|key, next| key == next);
        let several = several.filter_map(|keys| Some((*keys.first()?, keys.len() as u64)));
        self.holders.count_lists(one).into_iter().chain(several).collect()
    }

    /// A number that keys of the same processes share; `None` where a key stands for several listeners,
    /// or where its processes were not looked up. `last` is 0 at first, and helps with the next key.
    #[must_use]
    pub fn list_of(&self, key: u64, last: &mut usize) -> Option<u32> {
        if is_of_several(key) { None } else { self.holders.list_of(key, last) }
    }

    /// The names with these listeners of all namespaces.
    #[must_use]
    pub fn with_listeners<'a>(self, listeners: impl Iterator<Item = &'a Listeners>) -> Self {
        Self { listeners: Arc::new(listeners.flat_map(Listeners::several).collect()), ..self }
    }

    /// The names with the paths and abstract names of unix listeners.
    #[must_use]
    pub fn with_unix(self, unix: HashMap<UnixSocket, String>) -> Self {
        Self { unix: Arc::new(unix), ..self }
    }

    /// The names with the units of the processes that have the sockets with these keys: for sockets
    /// whose cgroup no kernel reports.
    pub fn with_process_units(
        mut self,
        keys: impl Iterator<Item = u64>,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let mut known: HashMap<u32, Option<String>> = HashMap::new();
        for key in keys {
            let processes = self.processes(key);
            for process in process::users(&processes) {
                if let Entry::Vacant(unknown) = known.entry(process.pid) {
                    unknown.insert(system::unit_of_process(process.pid, deadline)?);
                }
            }
            let units =
                process::users(&processes).filter_map(|one| known.get(&one.pid)?.as_deref());
            self.process_units.extend(process::first_of(units).map(|unit| (key, unit.into())));
        }
        Ok(self)
    }

    /// The unit of the processes that have the socket with this key, where it was looked up.
    #[must_use]
    pub fn process_unit(&self, key: u64) -> Option<Arc<str>> {
        self.process_units.get(&key).cloned()
    }

    /// The names with interfaces that were already looked up.
    #[must_use]
    pub fn with_interfaces(self, interfaces: InterfaceNames) -> Self {
        Self { interfaces: Arc::new(interfaces), ..self }
    }

    /// The names with further interfaces.
    #[must_use]
    pub fn with_further_interfaces(self, mut interfaces: InterfaceNames) -> Self {
        let known = self.interfaces.iter().map(|(index, name)| (*index, Arc::clone(name)));
        interfaces.extend(known);
        self.with_interfaces(interfaces)
    }

    /// Looks up the owners of groups. Processes and interfaces in `known` are not looked up again.
    pub fn look_up(
        groups: impl Iterator<Item = Group>,
        need: Need,
        known: &Self,
        namespaces: &Namespaces,
        deadline: &Deadline,
    ) -> Result<Self, Error> {
        let mut names = Self {
            interfaces: Arc::clone(&known.interfaces),
            listeners: Arc::clone(&known.listeners),
            unix: Arc::clone(&known.unix),
            ids_are_labels: known.ids_are_labels,
            ..Self::default()
        };
        let (mut users, mut cgroups, mut keys) = (HashSet::new(), HashSet::new(), Vec::new());
        let mut netns = HashSet::new();
        for group in groups {
            match group {
                Group::User(id) => users.extend(id),
                Group::Cgroup(id) => cgroups.extend(id),
                Group::Process(key @ 1..) | Group::Program(key @ 1..) => keys.push(key),
                Group::Netns(index) => netns.extend([index]),
                Group::Endpoint(endpoint) => {
                    netns.extend(namespaces.are_asked_for().then_some(endpoint.netns));
                }
                Group::Unix(UnixSocket { netns: of, .. }) | Group::Ports(_, of) => {
                    netns.extend(namespaces.are_asked_for().then_some(of));
                }
                Group::Process(0)
                | Group::Program(0)
                | Group::TypeStatus(..)
                | Group::Type(_)
                | Group::Status(_)
                | Group::Port(_)
                | Group::Address(_)
                | Group::Network(_)
                | Group::Direction(_)
                | Group::Kind(_)
                | Group::Limit(_)
                | Group::Host => {}
            }
        }
        if !users.is_empty() {
            (names.users, names.unknown_users) = system::users(users, deadline)?;
        }
        if known.ids_are_labels || keys.iter().all(|key| known.covers(*key)) {
            (names.holders, names.hidden) = (Arc::clone(&known.holders), known.hidden);
        } else {
            let likely = if need.every_holder { HashSet::new() } else { cgroups.clone() };
            let Self { holders, hidden, .. } = known.of_processes(keys, likely, deadline)?;
            (names.holders, names.hidden) = (holders, hidden);
        }
        if cgroups.iter().all(|id| known.units.names.contains_key(id)) {
            names.units = known.units.clone();
        } else {
            match system::units(cgroups, deadline) {
                Ok(units) => names.units = units,
                Err(error) if !need.units && !error.is_final() => warn!("no units: {error}"),
                Err(error) => return Err(error),
            }
        }
        if !netns.is_empty() {
            names.namespaces = namespaces.names(&netns, deadline)?;
        }
        Ok(names)
    }

    /// The name of a user id, where it has one.
    #[must_use]
    pub fn user(&self, id: u32) -> Option<Arc<str>> {
        self.users.get(&id).cloned()
    }

    /// Whether any unit was looked up.
    #[must_use]
    pub fn knows_units(&self) -> bool {
        !self.units.names.is_empty()
    }

    /// The name of a cgroup id.
    #[must_use]
    pub fn unit(&self, id: u64) -> Option<Arc<str>> {
        self.units.names.get(&id).cloned()
    }

    /// The name of the interface of a link-local address.
    #[must_use]
    pub fn interface(&self, address: Address) -> Option<Arc<str>> {
        self.interfaces.get(&address.interface()?).cloned()
    }

    /// The name of a network namespace.
    #[must_use]
    pub fn namespace(&self, netns: NetnsIndex) -> Option<Arc<NetnsName>> {
        self.namespaces.get(&netns).map(Arc::clone)
    }

    /// The processes that have the socket with this key; `None` where they were not looked up.
    #[must_use]
    pub fn looked_up(&self, key: u64) -> Option<Processes> {
        (!self.has_id_as_label(key)).then(|| self.processes(key))
    }

    /// The processes that have the socket with this key; empty where no process can be seen.
    #[must_use]
    pub fn processes(&self, key: u64) -> Processes {
        if !is_of_several(key) {
            return self.holders.processes(key);
        }
        let mut all: Vec<Process> = Vec::new();
        for listener in self.listeners_of(key) {
            let processes = self.holders.processes(*listener);
            let others: Vec<_> = processes.iter().filter(|one| !all.contains(one)).collect();
            all.extend(others.into_iter().cloned());
        }
        all.into()
    }

    /// The keys of the listeners that a key stands for; empty where they are not known.
    fn listeners_of(&self, key: u64) -> &[u64] {
        self.listeners.get(&key).map_or(&[], |keys| keys)
    }

    /// Whether the processes of this key were searched for.
    fn covers(&self, key: u64) -> bool {
        if is_of_several(key) {
            self.listeners_of(key).iter().all(|key| self.holders.covers(*key))
        } else {
            self.holders.covers(key)
        }
    }

    /// The label of a socket's processes; `None` where none can be seen, or where the socket may
    /// belong to processes with different labels.
    fn label_of(&self, key: u64, label: Labeller) -> Option<String> {
        if !is_of_several(key) {
            return label(&self.holders.processes(key));
        }
        let listeners = self.listeners_of(key).iter();
        let mut labels = listeners.map(|key| label(&self.holders.processes(*key)));
        let first = labels.next().flatten();
        first.filter(|first| labels.all(|label| label.is_some_and(|label| label == *first)))
    }

    /// Whether the processes of a socket are not known, as far as a label shows them.
    fn is_without(&self, key: u64, label: Labeller) -> bool {
        !self.has_id_as_label(key)
            && (self.hidden.is_some() || is_of_several(key))
            && self.label_of(key, label).is_none()
    }

    /// Whether processes that were not looked up have their ids as labels.
    #[must_use]
    pub fn have_ids_as_labels(&self) -> bool {
        self.ids_are_labels
    }

    /// Whether a process was not looked up, so that its id is its label.
    fn has_id_as_label(&self, key: u64) -> bool {
        self.ids_are_labels && !self.covers(key)
    }

    /// Whether the owners of a group cannot be seen.
    #[must_use]
    pub fn is_hidden(&self, group: Group) -> bool {
        match group.owner() {
            Some(Owner::Process(key)) => self.is_without(key, process::label),
            Some(Owner::Program(key)) => self.is_without(key, process::program_label),
            Some(Owner::Cgroup(id)) => {
                self.units.names.get(&id).is_some_and(|unit| &**unit == OUTSIDE)
            }
            Some(Owner::User(id)) => self.unknown_users.contains(&id),
            None => false,
        }
    }

    /// The names that the names of a group's hidden owners begin with; empty where they may have
    /// any name.
    #[must_use]
    pub fn outer_names(&self, group: Group) -> Arc<[String]> {
        match group.owner() {
            Some(Owner::Cgroup(_)) => Arc::clone(&self.units.outer),
            Some(Owner::Process(_) | Owner::Program(_) | Owner::User(_)) | None => Arc::default(),
        }
    }

    /// The processes of several listeners, one of which a group belongs to; `None` for other groups,
    /// and where the processes of a listener are not known.
    #[must_use]
    pub fn candidates(&self, group: Group) -> Option<Processes> {
        let (Owner::Process(key) | Owner::Program(key)) = group.owner()? else {
            return None;
        };
        let known = |key: &u64| !self.holders.processes(*key).is_empty();
        let listeners = self.listeners_of(key);
        (!listeners.is_empty() && listeners.iter().all(known)).then(|| self.processes(key))
    }

    /// The name of a group: the owner's name where it is known, else the group's number.
    #[must_use]
    pub fn name(&self, group: Group) -> GroupName {
        let known = match group {
            Group::User(id) => id.and_then(|id| self.user(id)),
            Group::Cgroup(id) => id.and_then(|id| self.unit(id)),
            Group::Netns(index) => {
                let netns = self.namespace(index);
                let label =
                    netns.as_ref().map_or_else(|| group.to_string(), |n| n.label.to_string());
                return GroupName { label, interface: None, netns };
            }
            Group::Process(key @ 1..) if self.has_id_as_label(key) => None,
            Group::Process(key @ 1..) => return self.name_of(key, process::label).into(),
            Group::Program(key @ 1..) => return self.name_of(key, process::program_label).into(),
            Group::Address(address) => {
                let (label, interface) = self.address(address);
                return GroupName { label, interface, netns: None };
            }
            Group::Endpoint(endpoint) => return self.endpoint(endpoint),
            Group::Unix(socket) => {
                let label = self.unix.get(&socket).cloned();
                let label = label.unwrap_or_else(|| group.to_string());
                return self.within(socket.netns, label, None);
            }
            Group::Ports(_, netns) => return self.within(netns, group.to_string(), None),
            Group::TypeStatus(..)
            | Group::Type(_)
            | Group::Status(_)
            | Group::Port(_)
            | Group::Process(0)
            | Group::Program(0)
            | Group::Network(_)
            | Group::Direction(_)
            | Group::Kind(_)
            | Group::Limit(_)
            | Group::Host => None,
        };
        known.map_or_else(|| group.to_string(), |name| name.to_string()).into()
    }

    /// The label of a socket's processes, or the reason why there is none.
    fn name_of(&self, key: u64, label: Labeller) -> String {
        let unseen = if is_of_several(key) { WAITING } else { self.hidden.unwrap_or(NONE) };
        self.label_of(key, label).unwrap_or_else(|| unseen.to_owned())
    }

    /// An address as it is printed, and the name of its interface where that is known.
    fn address(&self, address: Address) -> (String, Option<Arc<str>>) {
        let interface = self.interface(address);
        let label = match &interface {
            Some(name) => with_interface(address.ip(), Some(name)),
            None => address.to_string(),
        };
        (label, interface)
    }

    fn endpoint(&self, endpoint: Endpoint) -> GroupName {
        let (address, interface) = self.address(endpoint.address);
        self.within(endpoint.netns, endpoint.shown(&address), interface)
    }

    /// The name of a group in a network namespace.
    fn within(
        &self,
        netns: NetnsIndex,
        mut label: String,
        interface: Option<Arc<str>>,
    ) -> GroupName {
        let netns = self.namespace(netns);
        if let Some(netns) = &netns {
            label.push_str(NETNS_SEPARATOR);
            label.push_str(&netns.label);
        }
        GroupName { label, interface, netns }
    }
}
