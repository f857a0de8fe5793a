//! Owners and peers of each group's connections, collected in the dump that is counted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::address::{Address, Endpoint, InterfaceIndex};
use crate::collect::collector::{Collector, NetnsFacts};
use crate::collect::queues::Queue;
use crate::error::{Error, Optional};
use crate::group::{Group, GroupBy};
use crate::listeners::Listeners;
use crate::socket::Socket;
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
}

/// The owners of a connection, as far as the source reports them. Kept small: there may be one
/// value per connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
// `None`: the source does not report the owner. `Some(None)`: the connection has no owner.
#[allow(clippy::option_option)]
pub struct Owners {
    process: Option<u64>,
    cgroup: Option<Option<u64>>,
    uid: Option<Option<u32>>,
    /// Whether a process has accepted the connection.
    pub accepted: bool,
    /// The value of the aspect.
    pub extra: Extra,
    /// The network namespace.
    pub netns: NetnsIndex,
}

impl Owners {
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
}

/// The peer of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// The remote address.
    pub address: Address,
    /// The remote port of outgoing connections; `None` for incoming connections, whose clients have
    /// many ports.
    pub port: Option<u16>,
    /// The network namespace of the connections.
    pub netns: NetnsIndex,
}

impl Destination {
    /// The address and the port of outgoing connections.
    #[must_use]
    pub fn endpoint(self) -> Option<Endpoint> {
        let Self { address, port, netns } = self;
        port.map(|port| Endpoint { address, port, netns })
    }
}

/// Owners and peers, summed over some groups.
#[derive(Clone, Debug, Default)]
pub struct Breakdown {
    /// Connections by owner.
    pub owners: HashMap<Owners, u64>,
    /// Connections by peer.
    pub peers: HashMap<Destination, u64>,
}

/// Collects owners and peers of every group.
#[derive(Clone, Debug)]
pub struct Breakdowns {
    by: GroupBy,
    aspect: Aspect,
    listeners: Option<Arc<Listeners>>,
    owners: HashMap<(Group, Owners), u64>,
    peers: HashMap<(Group, Destination), u64>,
}

impl Breakdowns {
    /// An empty collector.
    #[must_use]
    pub fn new(by: GroupBy, aspect: Aspect) -> Self {
        let (owners, peers) = (HashMap::new(), HashMap::new());
        Self { by, aspect, listeners: None, owners, peers }
    }

    /// Adds groups up to `places` breakdowns. `place` returns the index of the breakdown that a
    /// group is added to, if any.
    #[must_use]
    pub fn sums(self, places: usize, place: impl Fn(Group) -> Option<usize>) -> Vec<Breakdown> {
        let mut sums = vec![Breakdown::default(); places];
        for ((group, owners), count) in self.owners {
            if let Some(sum) = place(group).and_then(|place| sums.get_mut(place)) {
                *sum.owners.entry(owners).or_insert(0) += count;
            }
        }
        for ((group, destination), count) in self.peers {
            if let Some(sum) = place(group).and_then(|place| sums.get_mut(place)) {
                *sum.peers.entry(destination).or_insert(0) += count;
            }
        }
        sums
    }

    fn extra(&self, socket: &impl Socket) -> Result<Extra, Error> {
        Ok(match self.aspect {
            Aspect::Peer => Extra::None,
            Aspect::Status => Extra::Status(socket.status()),
            Aspect::Queue => Extra::Queue(Box::new(Queue::of(socket)?)),
        })
    }

    fn destination(
        &self,
        netns: NetnsIndex,
        socket: &impl Socket,
    ) -> Result<Option<Destination>, Error> {
        let remote = match self.aspect {
            Aspect::Peer => socket.remote().optional()?.filter(|remote| remote.port() != 0),
            Aspect::Status | Aspect::Queue => None,
        };
        let Some(remote) = remote else {
            return Ok(None);
        };
        let local = socket.local().optional()?;
        let protocol = socket.connection_type().protocol();
        let outgoing = local.is_some_and(|local| self.is_outgoing(protocol, local.port()));
        let port = outgoing.then_some(remote.port());
        Ok(Some(Destination { address: Address::within(remote, netns), port, netns }))
    }

    /// Whether this host opened a connection: the local port has no listener.
    fn is_outgoing(&self, protocol: Protocol, local: u16) -> bool {
        let unlistened = |listeners: &Arc<Listeners>| !listeners.ports.contains(&local);
        match protocol {
            Protocol::Tcp => self.listeners.as_ref().is_some_and(unlistened),
            Protocol::Udp => false,
        }
    }
}

impl Collector for Breakdowns {
    fn fresh(&self) -> Self {
        let Self { by, aspect, listeners, .. } = self;
        Self { listeners: listeners.clone(), ..Self::new(*by, *aspect) }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.listeners.clone_from(&facts.listeners);
        Ok(())
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let group = self.by.group(netns, socket)?;
        let owners = Owners {
            process: socket.process_key().optional()?,
            cgroup: socket.cgroup().optional()?,
            uid: socket.uid().optional()?,
            accepted: socket.is_accepted(),
            extra: self.extra(socket)?,
            netns,
        };
        *self.owners.entry((group, owners)).or_insert(0) += 1;
        if let Some(destination) = self.destination(netns, socket)? {
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

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        found.extend(self.peers.keys().filter_map(|(_, to)| to.address.interface()));
    }
}
