//! Who has the connections of each group and where they lead, collected in the dump that is counted.

use std::collections::{HashMap, HashSet};

use crate::address::{Address, Endpoint};
use crate::collect::collector::Collector;
use crate::collect::queues::Queue;
use crate::error::{Error, Optional};
use crate::group::{Group, GroupBy};
use crate::measure::Share;
use crate::socket::Socket;
use crate::vocabulary::{ConnectionStatus, NetnsIndex, Protocol};

/// The owners of a connection, as far as the source tells. Small, for there may be as many as
/// connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
// Not told, nobody, or somebody.
#[allow(clippy::option_option)]
pub struct Owners {
    process: Option<u64>,
    cgroup: Option<Option<u64>>,
    uid: Option<Option<u32>>,
    /// The state, where that is told apart.
    pub status: Option<ConnectionStatus>,
    /// The accept queue of a listening socket, where that is measured.
    pub queue: Option<Box<(u64, Share)>>,
    /// The network namespace.
    pub net: NetnsIndex,
}

impl Owners {
    /// The process, the unit and the user.
    #[must_use]
    pub fn groups(&self) -> [Option<Group>; 3] {
        let Self { process, cgroup, uid, .. } = self;
        [process.map(Group::Process), cgroup.map(Group::Cgroup), uid.map(Group::User)]
    }
}

impl Destination {
    /// The address and the port, where they go out from here.
    #[must_use]
    pub fn endpoint(self) -> Option<Endpoint> {
        let Self { address, port, net } = self;
        port.map(|port| Endpoint { address, port, net })
    }
}

/// Where connections lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// The remote address.
    pub address: Address,
    /// The remote port, where they go out from here.
    pub port: Option<u16>,
    /// The network namespace that they are in.
    pub net: NetnsIndex,
}

/// What some groups consist of together.
#[derive(Clone, Debug, Default)]
pub struct Breakdown {
    /// Connections by owner.
    pub owners: HashMap<Owners, u64>,
    /// Connections by destination.
    pub peers: HashMap<Destination, u64>,
}

/// Collects owners and peers of every group.
#[derive(Clone, Debug)]
pub struct Details {
    by: GroupBy,
    // Whether the states of connections are told apart, instead of where they lead.
    statuses: bool,
    // Whether the queues of listening sockets are told apart.
    queues: bool,
    // The local ports that somebody listens on; `None` where that cannot be known.
    listening: Option<HashSet<(NetnsIndex, u16)>>,
    owners: HashMap<(Group, Owners), u64>,
    peers: HashMap<(Group, Destination), u64>,
}

impl Details {
    /// Nothing collected yet.
    #[must_use]
    pub fn new(by: GroupBy, listening: Option<HashSet<(NetnsIndex, u16)>>) -> Self {
        let (owners, peers) = (HashMap::new(), HashMap::new());
        Self { by, statuses: false, queues: false, listening, owners, peers }
    }

    /// The same for listening sockets: each has a queue of its own.
    #[must_use]
    pub fn by_queue(by: GroupBy) -> Self {
        Self { queues: true, ..Self::by_status(by) }
    }

    /// The same for groups that are where connections lead: their states are told apart.
    #[must_use]
    pub fn by_status(by: GroupBy) -> Self {
        Self { statuses: true, ..Self::new(by, None) }
    }

    /// What the groups consist of that `place` gives a place below `places`, those of one place
    /// together.
    #[must_use]
    pub fn parts(self, places: usize, place: impl Fn(Group) -> Option<usize>) -> Vec<Breakdown> {
        let mut all = vec![Breakdown::default(); places];
        for ((group, owners), count) in self.owners {
            if let Some(parts) = place(group).and_then(|place| all.get_mut(place)) {
                *parts.owners.entry(owners).or_insert(0) += count;
            }
        }
        for ((group, destination), count) in self.peers {
            if let Some(parts) = place(group).and_then(|place| all.get_mut(place)) {
                *parts.peers.entry(destination).or_insert(0) += count;
            }
        }
        all
    }

    /// Whether a connection was opened from here: nobody listens on its local port.
    fn is_outgoing(&self, protocol: Protocol, local: (NetnsIndex, u16)) -> bool {
        protocol == Protocol::Tcp && self.listening.as_ref().is_some_and(|l| !l.contains(&local))
    }
}

impl Collector for Details {
    fn fresh(&self) -> Self {
        let Self { by, statuses, queues, listening, .. } = self;
        Self { statuses: *statuses, queues: *queues, ..Self::new(*by, listening.clone()) }
    }

    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        let group = self.by.group(socket)?;
        let owners = Owners {
            process: socket.process_key().optional()?,
            cgroup: socket.cgroup().optional()?,
            uid: socket.uid().optional()?,
            status: self.statuses.then(|| socket.status()),
            queue: if self.queues { Some(Queue::of(socket)?) } else { None }
                .map(|queue| Box::new((queue.waiting, queue.share))),
            net: socket.netns(),
        };
        *self.owners.entry((group, owners)).or_insert(0) += 1;
        if self.statuses {
            return Ok(());
        }
        let remote = socket.remote().optional()?.filter(|remote| remote.port() != 0);
        if let Some(remote) = remote {
            let protocol = socket.connection_type().protocol();
            let local = socket.local().optional()?;
            let net = socket.netns();
            let outgoing =
                local.is_some_and(|local| self.is_outgoing(protocol, (net, local.port())));
            let port = outgoing.then_some(remote.port());
            let destination = Destination { address: Address::within(remote, net), port, net };
            *self.peers.entry((group, destination)).or_insert(0) += 1;
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for (key, count) in dump.owners {
            *self.owners.entry(key).or_insert(0) += count;
        }
        for (key, count) in dump.peers {
            *self.peers.entry(key).or_insert(0) += count;
        }
    }
}
