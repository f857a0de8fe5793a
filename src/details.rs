//! What the groups that matter consist of: what `--lengthy` tells.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::address::Address;
use crate::collect::details::{Destination, Owners, Parts};
use crate::group::Group;
use crate::owner::Names;

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
}

/// Connections with one peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Their number.
    pub count: u64,
    /// The remote address.
    pub address: Address,
    /// As it is shown: a link-local one with the name of its interface.
    pub shown: String,
    /// The remote port, where they go out from here.
    pub port: Option<u16>,
    /// How many ephemeral ports of one local address are in use towards that address and port, by
    /// connections in whatever state, and how many there are.
    pub ports: Option<(u64, u64)>,
}

impl Detail {
    /// The details of the group with this label.
    #[must_use]
    pub fn new(label: String, parts: Parts, names: &Names) -> Self {
        Self { label, owners: owners(parts.owners, names), peers: peers(parts.peers, names) }
    }

    /// Where the connections lead that go out from here, as far as it is shown.
    pub fn destinations(&self) -> impl Iterator<Item = (Address, u16)> {
        let shown = self.peers.iter().take(ROWS);
        shown.filter_map(|peer| Some((peer.address, peer.port?)))
    }

    /// Fills in how many of `all` ephemeral ports are in use towards each destination.
    pub fn fill_in(&mut self, used: &HashMap<(Address, u16), u64>, all: u64) {
        for peer in self.peers.iter_mut().take(ROWS) {
            peer.ports = peer.port.map(|port| {
                let used = used.get(&(peer.address, port)).copied().unwrap_or(0);
                (used, all)
            });
        }
    }
}

/// The groups of owners and peers of all these connections.
pub fn groups(parts: &[Parts]) -> impl Iterator<Item = Group> {
    let owners = parts.iter().flat_map(|parts| parts.owners.keys());
    let owners = owners.flat_map(|owners| [owners.process, owners.unit, owners.user]).flatten();
    let peers = parts.iter().flat_map(|parts| parts.peers.keys());
    owners.chain(peers.map(|(address, _)| Group::Address(*address)))
}

fn owners(counts: HashMap<Owners, u64>, names: &Names) -> Vec<Owner> {
    let mut rows: HashMap<[String; 3], u64> = HashMap::new();
    for (owners, count) in counts {
        if let Some(row) = row(owners, names) {
            *rows.entry(row).or_insert(0) += count;
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_unstable_by(|(a, m), (b, n)| (Reverse(m), a).cmp(&(Reverse(n), b)));
    let owner =
        |([process, unit, user], count): ([String; 3], u64)| Owner { count, process, unit, user };
    rows.into_iter().map(owner).collect()
}

/// Process, unit and user of an owner; `None` where nothing is known.
fn row(owners: Owners, names: &Names) -> Option<[String; 3]> {
    let Owners { process, unit, user } = owners;
    process.or(unit).or(user)?;
    let unit = unit.filter(|unit| names.knows_units() || *unit == Group::Cgroup(None));
    let cell = |group: Option<Group>| group.map_or_else(|| "-".to_owned(), |g| names.label(g));
    Some([process, unit, user].map(cell))
}

fn peers(counts: HashMap<Destination, u64>, names: &Names) -> Vec<Peer> {
    let peer = |((address, port), count)| {
        let shown = names.label(Group::Address(address));
        Peer { count, address, shown, port, ports: None }
    };
    let mut peers: Vec<_> = counts.into_iter().map(peer).collect();
    peers.sort_unstable_by_key(|peer| (Reverse(peer.count), peer.address, peer.port));
    peers
}
