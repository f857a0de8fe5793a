//! What the groups that matter consist of: what `--lengthy` tells.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::address::Endpoint;
use crate::collect::details::{Breakdown, Destination, Owners};
use crate::collect::ports::EphemeralPorts;
use crate::group::Group;
use crate::measure::Share;
use crate::owner::Names;
use crate::vocabulary::{ConnectionStatus, NetnsIndex};

/// How many rows a table has at most.
pub const ROWS: usize = 10;

/// What one group consists of.
#[derive(Clone, Debug)]
pub struct Detail {
    /// The group's label.
    pub label: String,
    /// Its owners, those with the most connections first; empty where the source tells none.
    pub owners: Vec<Owner>,
    /// Its peers, those with the most connections first.
    pub peers: Vec<Peer>,
}

/// Connections of one process, unit and user.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Their number.
    pub count: u64,
    /// The process.
    pub process: String,
    /// The unit.
    pub unit: String,
    /// The user.
    pub user: String,
    /// Their state, where that is told apart.
    pub status: Option<ConnectionStatus>,
    /// The accept queue of each, where that is measured.
    pub queue: Option<(u64, Share)>,
    /// The network namespace, where there are several.
    pub netns: Option<String>,
}

/// Connections with one peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Their number.
    pub count: u64,
    /// Where they lead.
    pub destination: Destination,
    /// The remote address as it is shown: a link-local one with the name of its interface.
    pub shown: String,
    /// The network namespace, where there are several.
    pub netns: Option<String>,
    /// How many ephemeral ports of one local address are in use towards that address and port, by
    /// connections in whatever state, and how many there are.
    pub ports: Option<(u64, u64)>,
}

impl Detail {
    /// The details of the group with this label.
    #[must_use]
    pub fn new(label: String, parts: Breakdown, names: &Names) -> Self {
        Self { label, owners: owners(parts.owners, names), peers: peers(parts.peers, names) }
    }

    /// Where the connections lead that go out from here, as far as it is shown.
    pub fn destinations(&self) -> impl Iterator<Item = Endpoint> {
        self.peers.iter().take(ROWS).filter_map(|peer| peer.destination.endpoint())
    }

    /// Fills in how many ephemeral ports are in use towards each destination, of those that its
    /// network namespace has.
    pub fn fill_in(&mut self, used: &HashMap<Endpoint, u64>, all: &EphemeralPorts) {
        for peer in self.peers.iter_mut().take(ROWS) {
            peer.ports = peer.destination.endpoint().and_then(|destination| {
                let used = used.get(&destination).copied().unwrap_or(0);
                let all = all.get(&destination.net)?.of(destination.address.ip());
                Some((used, all.count()))
            });
        }
    }
}

/// The groups of owners and peers of all these connections.
pub fn groups(parts: &[Breakdown]) -> impl Iterator<Item = Group> {
    let owners = parts.iter().flat_map(|parts| parts.owners.keys());
    let owners = owners
        .flat_map(|owners| owners.groups().into_iter().chain([Some(Group::Netns(owners.net))]));
    let peers = parts.iter().flat_map(|parts| parts.peers.keys());
    owners.flatten().chain(peers.map(|destination| Group::Address(destination.address)))
}

/// Process, unit and user, state, queue and network namespace.
type Row = ([String; 3], Option<ConnectionStatus>, Option<(u64, Share)>, Option<String>);

fn owners(counts: HashMap<Owners, u64>, names: &Names) -> Vec<Owner> {
    let mut rows: HashMap<_, u64> = HashMap::new();
    for (owners, count) in counts {
        if let Some(row) = row(&owners, names) {
            let Owners { status, queue, net, .. } = owners;
            let queue = queue.map(|queue| *queue);
            *rows.entry((row, status, queue, netns(net, names))).or_insert(0) += count;
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_unstable_by(|(a, m), (b, n)| (Reverse(m), a).cmp(&(Reverse(n), b)));
    let owner = |(([process, unit, user], status, queue, netns), count): (Row, u64)| Owner {
        count,
        process,
        unit,
        user,
        status,
        queue,
        netns,
    };
    rows.into_iter().map(owner).collect()
}

/// Process, unit and user of an owner; `None` where nothing is known.
fn row(owners: &Owners, names: &Names) -> Option<[String; 3]> {
    let [process, unit, user] = owners.groups();
    process.or(unit).or(user)?;
    let unit = unit.filter(|unit| names.knows_units() || *unit == Group::Cgroup(None));
    let cell = |group: Option<Group>| group.map_or_else(|| "-".to_owned(), |g| names.label(g));
    Some([process, unit, user].map(cell))
}

fn peers(counts: HashMap<Destination, u64>, names: &Names) -> Vec<Peer> {
    let peer = |(destination, count): (Destination, u64)| {
        let shown = names.label(Group::Address(destination.address));
        let netns = netns(destination.net, names);
        Peer { count, destination, shown, netns, ports: None }
    };
    let mut peers: Vec<_> = counts.into_iter().map(peer).collect();
    peers.sort_unstable_by_key(|peer| (Reverse(peer.count), peer.destination));
    peers
}

/// What a network namespace is called, where that was looked up.
fn netns(net: NetnsIndex, names: &Names) -> Option<String> {
    names.namespace(net).map(|name| name.to_string())
}
