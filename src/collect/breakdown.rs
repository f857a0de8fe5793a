//! Owners and peers of each group's connections.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::mem::take;
use std::sync::Arc;

use crate::address::{Address, Endpoint, InterfaceIndex};
use crate::collect::buffers::Buffer;
use crate::collect::collector::{Collector, NetnsFacts};
use crate::collect::queues::Queue;
use crate::error::{Error, Optional};
use crate::group::{Group, GroupBy};
use crate::listeners::{Listeners, is_of_several};
use crate::open_files::tables::Files;
use crate::selection::{StuckFor, found, longest};
use crate::socket::{Socket, Wanted};
use crate::stuck::{Meaning, StuckKind, Wait};
use crate::vocabulary::{ConnectionStatus, NetnsIndex, Protocol};

/// The criterion by which connections are broken down, besides their owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// By peer, in a separate table.
    Peer,
    /// By status: the groups themselves are peers.
    Status,
    /// By accept queue: the sockets are listeners.
    Queue,
    /// By backlog: the sockets are listeners.
    Backlog,
    /// By receive buffer: the sockets are UDP sockets.
    Buffer,
    /// By local port, peer and the kind of being stuck.
    Stuck,
    /// By process: the groups have open files.
    Files,
}

impl Aspect {
    /// Whether the sockets are connections: with peers, ports and times.
    #[must_use]
    pub const fn has_peers(self) -> bool {
        match self {
            Self::Peer | Self::Stuck => true,
            Self::Status | Self::Queue | Self::Backlog | Self::Buffer | Self::Files => false,
        }
    }
}

/// The side that opened a connection, as the listeners tell it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// The peer, or the socket is a listener: its local port, which has a listener.
    Peer(u16),
    /// This host: the local port has no listener.
    Host,
    /// Unknown: the listeners or the port were not read, or the protocol has no listeners.
    Unknown,
}

impl Side {
    /// The local port of an incoming connection.
    const fn port(self) -> Option<u16> {
        match self {
            Self::Peer(port) => Some(port),
            Self::Host | Self::Unknown => None,
        }
    }
}

/// The owners of a connection, as far as the source reports them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
// `None`: the source does not report the owner. `Some(None)`: the connection has no owner.
#[allow(clippy::option_option)]
pub struct Owners {
    process: Option<u64>,
    cgroup: Option<Option<u64>>,
    uid: Option<Option<u32>>,
    /// Whether a process has accepted the connection.
    pub accepted: bool,
    /// The local port of an incoming connection; `None` for outgoing connections, which have many.
    pub port: Option<u16>,
    /// The value of the aspect.
    pub extra: Extra,
    /// The network namespace.
    pub netns: NetnsIndex,
}

impl Owners {
    /// The key of the processes, where the source reports it.
    #[must_use]
    pub const fn process(&self) -> Option<u64> {
        self.process
    }

    /// The process, the unit and the user.
    #[must_use]
    pub fn groups(&self) -> [Option<Group>; 3] {
        let Self { process, cgroup, uid, .. } = self;
        [process.map(Group::Process), cgroup.map(Group::Cgroup), uid.map(Group::User)]
    }
}

/// The value of an [`Aspect`] for a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Extra {
    /// No value: peers have a separate table.
    None,
    /// Its status.
    Status(ConnectionStatus),
    /// The accept queue of a listener.
    Queue(Box<Queue>),
    /// The backlog of a listener.
    Backlog(u32),
    /// The receive buffer of a UDP socket.
    Buffer(Box<Buffer>),
    /// The peer of a stuck connection, its kind, and what that means.
    Stuck(Option<Destination>, StuckKind, Meaning),
    /// The open files of a process.
    Files(Box<Files>),
}

impl Extra {
    /// The peer of a stuck connection.
    #[must_use]
    pub const fn destination(&self) -> Option<Destination> {
        match self {
            Self::Stuck(destination, ..) => *destination,
            Self::None
            | Self::Status(_)
            | Self::Queue(_)
            | Self::Backlog(_)
            | Self::Buffer(_)
            | Self::Files(_) => None,
        }
    }
}

/// The peer of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// The remote address.
    pub address: Address,
    /// The remote port of outgoing connections; `None` for incoming connections, whose clients have
    /// many ports.
    pub port: Option<u16>,
    /// The local port of incoming connections; `None` for outgoing connections.
    pub local_port: Option<u16>,
    /// The network namespace of the connections.
    pub netns: NetnsIndex,
}

impl Destination {
    /// The address and the port of outgoing connections.
    #[must_use]
    pub fn endpoint(self) -> Option<Endpoint> {
        let Self { address, port, netns, .. } = self;
        port.map(|port| Endpoint { address, port, netns })
    }
}

/// A sum of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum {
    /// Their number.
    pub count: u64,
    /// The longest time for which one of them has been stuck, and its kind.
    pub longest: Option<(Wait, StuckKind)>,
    /// The most bytes that wait on one of them.
    pub bytes: u32,
}

impl Sum {
    /// Adds other connections.
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
        self.bytes = self.bytes.max(other.bytes);
    }
}

/// Sockets of owners that are the same but for their processes, which follow from the key of each socket
/// once all are read. Kept small: there may be a million of them.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    // The keys of sockets that are not stuck and have no bytes waiting: 8 bytes each.
    plain: Vec<u64>,
    others: Vec<Other>,
}

/// A socket that is stuck, or has bytes waiting.
#[derive(Clone, Copy, Debug)]
struct Other {
    key: u64,
    longest: Option<(Wait, StuckKind)>,
    bytes: u32,
}

impl Sockets {
    fn push(&mut self, key: u64, Sum { count: _, longest, bytes }: Sum) -> Result<(), Error> {
        if longest.is_none() && bytes == 0 {
            self.plain.try_reserve(1)?;
            self.plain.push(key);
        } else {
            self.others.try_reserve(1)?;
            self.others.push(Other { key, longest, bytes });
        }
        Ok(())
    }

    fn append(&mut self, mut sockets: Self) {
        // Mostly there is one dump, whose sockets are not moved.
        if self.plain.is_empty() {
            self.plain = sockets.plain;
        } else {
            self.plain.append(&mut sockets.plain);
        }
        if self.others.is_empty() {
            self.others = sockets.others;
        } else {
            self.others.append(&mut sockets.others);
        }
    }

    /// The key of each socket.
    pub fn keys(&self) -> impl Iterator<Item = u64> {
        self.plain.iter().copied().chain(self.others.iter().map(|other| other.key))
    }

    /// The sockets with the sum of each.
    fn sums(self) -> impl Iterator<Item = (u64, Sum)> {
        let plain = self.plain.into_iter().map(|key| (key, Sum { count: 1, ..Sum::default() }));
        let others = self.others.into_iter();
        plain.chain(
            others.map(|Other { key, longest, bytes }| (key, Sum { count: 1, longest, bytes })),
        )
    }
}

/// Owners and peers, summed over some groups.
#[derive(Clone, Debug, Default)]
pub struct Breakdown {
    /// Connections by owner.
    pub owners: HashMap<Owners, Sum>,
    /// Connections by peer.
    pub peers: HashMap<Destination, Sum>,
    /// Connections that are still to be added up by process: see [`Breakdown::by_process`].
    pub sockets: HashMap<Owners, Sockets>,
}

impl Breakdown {
    /// Adds up the connections with the same processes, as `list_of` tells them: the same number for
    /// keys of the same processes, and `None` for a key of its own. It also gets the place for the
    /// key before.
    pub fn by_process(&mut self, list_of: impl Fn(u64, &mut usize) -> Option<u32>) {
        for (owners, sockets) in take(&mut self.sockets) {
            let mut of_lists: HashMap<u32, (u64, Sum)> = HashMap::new();
            let mut of_process = |key, sum| {
                let owners = Owners { process: Some(key), ..owners.clone() };
                self.owners.entry(owners).or_default().add(sum);
            };
            let mut place = 0;
            for (key, sum) in sockets.sums() {
                match list_of(key, &mut place) {
                    Some(list) => of_lists.entry(list).or_insert((key, Sum::default())).1.add(sum),
                    None => of_process(key, sum),
                }
            }
            for (key, sum) in of_lists.into_values() {
                of_process(key, sum);
            }
        }
    }
}

/// Adds to the sum of a key, where there is memory for it.
fn add<K: Eq + Hash>(sums: &mut HashMap<K, Sum>, key: K, sum: Sum) -> Result<(), Error> {
    // The standard library looks whether there is room before it looks whether the key is new.
    sums.try_reserve(1)?;
    sums.entry(key).or_default().add(sum);
    Ok(())
}

/// Collects owners and peers of every group.
#[derive(Clone, Debug)]
pub struct Breakdowns {
    by: GroupBy,
    aspect: Aspect,
    stuck: Vec<StuckFor>,
    listeners: Option<Arc<Listeners>>,
    owners: HashMap<(Group, Owners), Sum>,
    peers: HashMap<(Group, Destination), Sum>,
    sockets: HashMap<(Group, Owners), Sockets>,
}

impl Breakdowns {
    /// An empty collector. The connections have been stuck for one of these times and kinds, or for
    /// any where there is none.
    #[must_use]
    pub fn new(by: GroupBy, aspect: Aspect, stuck: Vec<StuckFor>) -> Self {
        let (owners, peers, sockets) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { by, aspect, stuck, listeners: None, owners, peers, sockets }
    }

    /// Adds groups up to `places` breakdowns. `place` returns the index of the breakdown that a
    /// group is added to, if any.
    #[must_use]
    pub fn sums(self, places: usize, place: impl Fn(Group) -> Option<usize>) -> Vec<Breakdown> {
        let mut sums = vec![Breakdown::default(); places];
        for ((group, owners), part) in self.owners {
            if let Some(sum) = place(group).and_then(|place| sums.get_mut(place)) {
                sum.owners.entry(owners).or_default().add(part);
            }
        }
        for ((group, destination), part) in self.peers {
            if let Some(sum) = place(group).and_then(|place| sums.get_mut(place)) {
                sum.peers.entry(destination).or_default().add(part);
            }
        }
        for ((group, owners), part) in self.sockets {
            if let Some(sum) = place(group).and_then(|place| sums.get_mut(place)) {
                sum.sockets.entry(owners).or_default().append(part);
            }
        }
        for sockets in sums.iter_mut().flat_map(|sum| sum.sockets.values_mut()) {
            // Neighbours mostly have the same process.
            sockets.plain.sort_unstable();
            sockets.others.sort_unstable_by_key(|other| other.key);
        }
        sums
    }

    /// The side that opened a connection.
    fn side(&self, socket: &impl Socket) -> Result<Side, Error> {
        let listeners = match socket.connection_type().protocol() {
            Protocol::Tcp => self.listeners.as_ref(),
            Protocol::Udp | Protocol::Unix => None,
        };
        let local = socket.local().optional()?.map(|local| local.port());
        Ok(match listeners.zip(local) {
            Some((listeners, local)) if listeners.ports.contains(&local) => Side::Peer(local),
            Some(_) => Side::Host,
            None => Side::Unknown,
        })
    }

    /// Adds a connection to a group.
    fn count(&mut self, group: Group, mut owners: Owners, sum: Sum) -> Result<(), Error> {
        // Many sockets have the key 0, or that of several listeners.
        let key = owners.process.filter(|key| *key != 0 && !is_of_several(*key));
        match key {
            None => add(&mut self.owners, (group, owners), sum),
            Some(key) => {
                owners.process = None;
                self.sockets.entry((group, owners)).or_default().push(key, sum)
            }
        }
    }

    /// Adds a socket to a group that is not of the kind.
    pub fn add_to(
        &mut self,
        group: Group,
        netns: NetnsIndex,
        socket: &impl Socket,
    ) -> Result<(), Error> {
        self.explain(Some(group), netns, socket)
    }

    /// Adds a socket to `group`, or to the group of its kind where there is none.
    fn explain(
        &mut self,
        group: Option<Group>,
        netns: NetnsIndex,
        socket: &impl Socket,
    ) -> Result<(), Error> {
        let by = self.by;
        let group_of = || group.map_or_else(|| by.group(netns, socket), Ok);
        let (transfer, side, destination) = if self.aspect.has_peers() {
            let side = self.side(socket)?;
            let transfer = socket.transfer().optional()?.flatten();
            (transfer, side, destination(netns, socket, side)?)
        } else {
            (None, Side::Unknown, None)
        };
        let stuck = transfer.as_ref().map(|transfer| found(&self.stuck, transfer));
        let stuck = stuck.unwrap_or_default();
        let longest = longest(&stuck);
        let owners = Owners {
            process: socket.process_key().optional()?,
            cgroup: socket.cgroup().optional()?,
            uid: socket.uid().optional()?,
            accepted: socket.is_accepted(),
            port: side.port(),
            extra: match self.aspect {
                Aspect::Peer | Aspect::Stuck | Aspect::Files => Extra::None,
                Aspect::Status => Extra::Status(socket.status()),
                Aspect::Queue => Extra::Queue(Box::new(Queue::of(socket)?)),
                Aspect::Backlog => Extra::Backlog(socket.backlog()?.1),
                Aspect::Buffer => Extra::Buffer(Box::new(Buffer::of(socket)?)),
            },
            netns,
        };
        // Only the tables of stuck connections have them.
        let waiting = transfer.filter(|_| self.aspect == Aspect::Stuck);
        let bytes = waiting.map_or(0, |transfer| transfer.bytes());
        let sum = |longest: Option<(StuckKind, Wait)>| Sum {
            count: 1,
            longest: longest.map(|(kind, wait)| (wait, kind)),
            bytes,
        };
        if self.aspect != Aspect::Stuck {
            let group = group_of()?;
            self.count(group, owners, sum(longest))?;
            return match destination {
                Some(destination) => add(&mut self.peers, (group, destination), sum(longest)),
                None => Ok(()),
            };
        }
        let Some(transfer) = transfer else {
            return Ok(());
        };
        let row = |kind| {
            let extra = Extra::Stuck(destination, kind, transfer.meaning(kind));
            Owners { extra, ..owners.clone() }
        };
        if self.by == GroupBy::Kind {
            for (kind, wait) in stuck {
                self.count(Group::Kind(kind), row(kind), sum(Some((kind, wait))))?;
            }
        } else if let Some((kind, _)) = longest {
            let group = group_of()?;
            self.count(group, row(kind), sum(longest))?;
        }
        Ok(())
    }
}

/// The peer of a connection that this side has opened; `None` where it has none, or where the source
/// reports none.
fn destination(
    netns: NetnsIndex,
    socket: &impl Socket,
    side: Side,
) -> Result<Option<Destination>, Error> {
    let remote = socket.remote().optional()?.filter(|remote| remote.port() != 0);
    Ok(remote.map(|remote| Destination {
        address: Address::within(remote, netns),
        port: (side == Side::Host).then_some(remote.port()),
        local_port: side.port(),
        netns,
    }))
}

impl Collector for Breakdowns {
    fn wanted(&self) -> Wanted {
        Wanted { transfer: self.aspect.has_peers(), ..Wanted::default() }
    }

    fn fresh(&self) -> Self {
        let Self { by, aspect, stuck, listeners, .. } = self;
        Self { listeners: listeners.clone(), ..Self::new(*by, *aspect, stuck.clone()) }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.listeners.clone_from(&facts.listeners);
        Ok(())
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        self.explain(None, netns, socket)
    }

    fn merge(&mut self, dump: Self) {
        for (key, part) in dump.owners {
            self.owners.entry(key).or_default().add(part);
        }
        if self.peers.is_empty() {
            self.peers = dump.peers;
        } else {
            for (key, part) in dump.peers {
                self.peers.entry(key).or_default().add(part);
            }
        }
        for (key, part) in dump.sockets {
            self.sockets.entry(key).or_default().append(part);
        }
    }

    fn interfaces(&self, interfaces: &mut HashSet<InterfaceIndex>) {
        let owners = self.owners.keys().chain(self.sockets.keys());
        let of_owners = owners.filter_map(|(_, owners)| owners.extra.destination());
        let peers = self.peers.keys().map(|(_, to)| *to).chain(of_owners);
        interfaces.extend(peers.filter_map(|to| to.address.interface()));
    }
}
