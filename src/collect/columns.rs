//! Connections as columns: of each fact a list with a number for each connection. A million
//! connections take half the memory that they take as values.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU64;
use std::sync::Arc;

use crate::address::{Address, InterfaceIndex};
use crate::collect::collector::Collector;
use crate::collect::connections::Connection;
use crate::error::Error;
use crate::group::Group;
use crate::owner::{KEYS_ARE_INODES, Names};
use crate::selection::StuckFor;
use crate::socket::{Socket, Wanted};
use crate::vocabulary::NetnsIndex;

/// The number of a fact that is not known, or that a connection does not have.
const UNKNOWN: i64 = -1;

/// An IPv6 address; an IPv4 address is IPv4-mapped (RFC 4291, section 2.5.5.2).
type Octets = [u8; 16];

macro_rules! rows {
    ($($(#[$doc:meta])* $column:ident: $type:ty,)*) => {
        /// Columns of numbers, all with the same length.
        #[derive(Clone, Debug, Default)]
        pub struct Rows {
            $($(#[$doc])* pub $column: Vec<$type>,)*
        }

        impl Rows {
            /// Adds the rows of another list, a column after the other: their memory is given back
            /// as they are added.
            fn append(&mut self, others: Self) {
                let Self { $($column),* } = others;
                $(
                    if self.$column.is_empty() {
                        self.$column = $column;
                    } else {
                        self.$column.extend($column);
                    }
                )*
            }
        }
    };
}

rows! {
    /// The places of the types in `ConnectionType::VALUES`.
    connection_type: u8,
    /// The places of the statuses in `ConnectionStatus::VALUES`.
    status: u8,
    /// The local addresses.
    local_address: Octets,
    /// The local ports.
    local_port: u16,
    /// The remote addresses; unspecified where the source does not tell them.
    remote_address: Octets,
    /// The remote ports; -1 where the source does not tell them.
    remote_port: i32,
    /// The receive queues.
    recv_queue: i64,
    /// The send queues.
    send_queue: i64,
    /// The keys of the processes; inode numbers on Linux.
    key: i64,
    /// The user ids.
    uid: i64,
    /// The packets that were dropped.
    drops: i64,
    /// The seconds since data was last sent; NaN where there is no time, here and below.
    last_sent: f64,
    /// The seconds since data was last received.
    last_received: f64,
    /// The seconds for which the connection has been stuck, at least.
    stuck: f64,
    /// The same, at most.
    stuck_most: f64,
    /// The places of the kinds in `StuckKind::VALUES`, from 1; 0 for none.
    stuck_kind: u8,
    /// The places of the timers in `Timer::VALUES`, from 1; 0 for none.
    timer: u8,
    /// The retransmissions that the peer has not answered.
    retransmits: i16,
    /// The indices of the network namespaces.
    netns: u16,
    /// The ids of the cgroups; 0 for none.
    cgroup: u64,
}

/// The interface of a link-local address.
#[derive(Clone, Copy, Debug)]
struct Scope {
    row: usize,
    is_remote: bool,
    index: u32,
}

/// Collects connections as columns.
#[derive(Debug, Default)]
pub struct Columns {
    rows: Rows,
    // Few addresses are link-local ones.
    scopes: Vec<Scope>,
    stuck: Vec<StuckFor>,
}

/// Names, and for each row the place of its name.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// The places.
    pub places: Vec<u32>,
    /// The names, each once. The first is `None`.
    pub names: Vec<Option<Arc<str>>>,
}

/// Connections as columns, with the names of their owners.
#[derive(Clone, Debug, Default)]
pub struct ConnectionTable {
    /// The numbers.
    pub rows: Rows,
    /// The units; `rows` has no cgroups any more.
    pub unit: Named,
    /// The network namespaces, where they were asked for.
    pub netns: Vec<Option<Arc<str>>>,
    /// The names of the users, by their ids.
    pub users: BTreeMap<u32, Arc<str>>,
    /// The interfaces of link-local addresses: the row, whether it is the remote address, and the name.
    pub interfaces: Vec<(usize, bool, Arc<str>)>,
}

impl Columns {
    /// An empty collector of connections that have been stuck for one of these times and kinds, or for
    /// any where there is none.
    #[must_use]
    pub fn new(stuck: &[StuckFor]) -> Self {
        Self { stuck: stuck.to_vec(), ..Self::default() }
    }

    /// The owners, namespaces and interfaces whose names can be looked up.
    pub fn owners(&self, netns: bool) -> impl Iterator<Item = Group> {
        let users = different(self.rows.uid.iter().filter_map(|id| u32::try_from(*id).ok()));
        let cgroups = different(self.rows.cgroup.iter().filter(|id| **id != 0).copied());
        let namespaces = different(self.rows.netns.iter().copied());
        let users = users.into_iter().map(|id| Group::User(Some(id)));
        let cgroups = cgroups.into_iter().map(|id| Group::Cgroup(Some(id)));
        let namespaces = namespaces.into_iter().map(|index| Group::Netns(NetnsIndex(index)));
        let addresses = self.scopes.iter().filter_map(|scope| self.address(*scope));
        users
            .chain(cgroups)
            .chain(namespaces.filter(move |_| netns))
            .chain(addresses.map(Group::Address))
    }

    fn address(&self, scope: Scope) -> Option<Address> {
        let Rows { local_address, remote_address, netns, .. } = &self.rows;
        let addresses = if scope.is_remote { remote_address } else { local_address };
        let (ip, netns) = (*addresses.get(scope.row)?, *netns.get(scope.row)?);
        let end = SocketAddrV6::new(ip.into(), 0, 0, scope.index);
        Some(Address::within(end.into(), NetnsIndex(netns)))
    }

    /// The columns with the names of the owners.
    #[must_use]
    pub fn named(self, names: &Names) -> ConnectionTable {
        let interfaces = self.scopes.iter().filter_map(|scope| {
            let address = self.address(*scope)?;
            let name = names.interface(address).or_else(|| Some(scope.index.to_string().into()))?;
            Some((scope.row, scope.is_remote, name))
        });
        let interfaces = interfaces.collect();
        let mut rows = self.rows;
        let users = different(rows.uid.iter().filter_map(|id| u32::try_from(*id).ok()));
        let users = users.into_iter().filter_map(|id| Some((id, names.user(id)?))).collect();
        let mut unit = Named { places: Vec::with_capacity(rows.cgroup.len()), names: vec![None] };
        let mut known = HashMap::from([(0, 0)]);
        for id in std::mem::take(&mut rows.cgroup) {
            let place = *known.entry(id).or_insert_with(|| match names.unit(id) {
                Some(name) => unit.place(name),
                None => 0,
            });
            unit.places.push(place);
        }
        let netns = (0..=rows.netns.iter().copied().max().unwrap_or_default())
            .map(|index| names.namespace(NetnsIndex(index)).map(|name| Arc::clone(&name.label)));
        let netns = netns.collect();
        if !KEYS_ARE_INODES {
            rows.key.fill(UNKNOWN);
        }
        ConnectionTable { rows, unit, netns, users, interfaces }
    }
}

impl Named {
    /// The place of a name. Cgroups of the same unit have the same name.
    fn place(&mut self, name: Arc<str>) -> u32 {
        let place = self.names.iter().position(|known| known.as_ref() == Some(&name));
        let place = place.unwrap_or_else(|| {
            self.names.push(Some(name));
            self.names.len() - 1
        });
        u32::try_from(place).unwrap_or_default()
    }
}

/// The different numbers of a column.
fn different<T: Ord + Copy>(numbers: impl Iterator<Item = T>) -> BTreeSet<T> {
    let mut last = None;
    numbers.filter(move |number| last.replace(*number) != Some(*number)).collect()
}

fn octets(end: Option<SocketAddr>) -> Octets {
    match end.map(|end| end.ip()) {
        Some(IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets(),
        Some(IpAddr::V6(ip)) => ip.octets(),
        None => Octets::default(),
    }
}

/// The interface of a link-local address.
fn scope(end: SocketAddr) -> Option<u32> {
    Address::within(end, NetnsIndex::OWN).interface().map(|(_, index)| index)
}

fn seconds(milliseconds: Option<u32>) -> f64 {
    milliseconds.map_or(f64::NAN, |number| f64::from(number) / 1000.0)
}

impl Collector for Columns {
    fn wanted(&self) -> Wanted {
        Wanted { memory: true, transfer: true }
    }

    fn fresh(&self) -> Self {
        Self::new(&self.stuck)
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let one = Connection::of(netns, socket, &self.stuck)?;
        let rows = &mut self.rows;
        let row = rows.status.len();
        for (end, is_remote) in [(Some(one.local), false), (one.remote, true)] {
            let scope = end.and_then(scope);
            self.scopes.extend(scope.map(|index| Scope { row, is_remote, index }));
        }
        let number = |number: Option<u32>| number.map_or(UNKNOWN, i64::from);
        rows.connection_type.push(one.connection_type as u8);
        rows.status.push(one.status as u8);
        rows.local_address.push(octets(Some(one.local)));
        rows.local_port.push(one.local.port());
        rows.remote_address.push(octets(one.remote));
        rows.remote_port.push(one.remote.map_or(-1, |end| end.port().into()));
        rows.recv_queue.push(number(one.recv_queue));
        rows.send_queue.push(number(one.send_queue));
        rows.key.push(one.inode.and_then(|key| key.try_into().ok()).unwrap_or(UNKNOWN));
        rows.uid.push(number(one.uid));
        rows.drops.push(number(one.drops));
        rows.last_sent.push(seconds(one.last_sent));
        rows.last_received.push(seconds(one.last_received));
        rows.stuck.push(seconds(one.stuck.map(|wait| wait.least)));
        rows.stuck_most.push(seconds(one.stuck.map(|wait| wait.most)));
        rows.stuck_kind.push(one.stuck_kind.map_or(0, |kind| kind as u8 + 1));
        rows.timer.push(one.timer.map_or(0, |timer| timer as u8 + 1));
        rows.retransmits.push(one.retransmits.map_or(-1, i16::from));
        rows.netns.push(netns.0);
        rows.cgroup.push(one.cgroup.map_or(0, NonZeroU64::get));
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        let before = self.rows.status.len();
        let scopes = dump.scopes.into_iter();
        self.scopes.extend(scopes.map(|scope| Scope { row: scope.row + before, ..scope }));
        self.rows.append(dump.rows);
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        let addresses = self.scopes.iter().filter_map(|scope| self.address(*scope));
        found.extend(addresses.filter_map(Address::interface));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{self, Named as _};
    use crate::socket::made::Made;
    use crate::stuck::{StuckKind, Timer};
    use crate::vocabulary::{ConnectionStatus, ConnectionType};

    #[test]
    fn the_number_of_a_name_is_its_place() {
        fn places<T: name::Named>(number: fn(T) -> u8) -> bool {
            T::VALUES.iter().enumerate().all(|(place, value)| usize::from(number(*value)) == place)
        }
        assert!(places::<ConnectionType>(|value| value as u8));
        assert!(places::<ConnectionStatus>(|value| value as u8));
        assert!(places::<StuckKind>(|value| value as u8));
        assert!(places::<Timer>(|value| value as u8));
        assert_eq!(ConnectionType::Tcp.name(), "tcp");
    }

    #[test]
    fn rows_of_several_dumps_follow_each_other() {
        let mut all = Columns::default();
        for (remote, netns) in [("192.0.2.7:443", 0), ("[fe80::1]:443", 1)] {
            let mut dump = all.fresh();
            let (t, status) = (ConnectionType::Tcp6, ConnectionStatus::Established);
            let socket = Made::new(t, status, "[fe80::2]:1", remote);
            dump.add(NetnsIndex(netns), &socket).unwrap_or_else(|e| panic!("{e}"));
            all.merge(dump);
        }
        let table = all.named(&Names::default());
        assert_eq!(table.rows.remote_address.len(), 2);
        assert_eq!(table.rows.remote_address.first().map(|ip| ip.last().copied()), Some(Some(7)));
        assert_eq!(table.rows.netns, [0, 1]);
        assert_eq!(table.unit.places, [0, 0]);
        assert!(table.rows.cgroup.is_empty());
    }
}
