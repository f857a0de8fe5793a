//! The details of a group: its owners and peers by name, as the tables of `--lengthy` show them.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::address::Endpoint;
use crate::collect::breakdown::{Breakdown, Destination, Extra, Owners, Sockets, Sum};
use crate::group::Group;
use crate::owner::Names;
use crate::stuck::{StuckKind, Wait};
use crate::vocabulary::NetnsIndex;

/// The maximum number of rows of a table.
pub const ROWS: usize = 10;

/// The details of one group.
#[derive(Clone, Debug)]
pub struct Detail {
    /// The group's label.
    pub label: String,
    /// The owners, the most connections first; empty where the source reports none.
    pub owners: Vec<OwnerRow>,
    /// The peers, the most connections first.
    pub peers: Vec<PeerRow>,
}

/// Connections of one process, unit and user.
#[derive(Clone, Debug)]
pub struct OwnerRow {
    /// The number of connections.
    pub count: u64,
    /// The process; of connections that no process has accepted yet, the process of the listener.
    pub process: String,
    /// The unit.
    pub unit: String,
    /// The user.
    pub user: String,
    /// Whether a process has accepted the connections.
    pub accepted: bool,
    /// The local port of incoming connections.
    pub port: Option<u16>,
    /// The longest time for which one of them has been stuck, and its kind.
    pub longest: Option<(Wait, StuckKind)>,
    /// The most bytes that wait on one of them.
    pub bytes: u32,
    /// The remote address of a stuck connection as it is printed.
    pub address: Option<String>,
    /// The status, the accept queue, or the peer and kind of stuck connections, depending on the
    /// measure.
    pub extra: Extra,
    /// The network namespace, where there are several.
    pub netns: Option<String>,
}

/// Connections with one peer.
#[derive(Clone, Debug)]
pub struct PeerRow {
    /// The number of connections.
    pub count: u64,
    /// The peer.
    pub destination: Destination,
    /// The remote address as it is printed. A link-local address has the name of its interface.
    pub address: String,
    /// The network namespace, where there are several.
    pub netns: Option<String>,
    /// The number of ephemeral ports in use towards that address and port, by connections in any
    /// status from the local address that uses most; and the number of all ephemeral ports.
    pub ports: Option<(u64, u64)>,
    /// The longest time for which one of them has been stuck, and its kind.
    pub longest: Option<(Wait, StuckKind)>,
}

impl Detail {
    /// The details of the group with this label.
    #[must_use]
    pub fn new(label: String, mut breakdown: Breakdown, names: &Names) -> Self {
        breakdown.by_process(|key, last| names.list_of(key, last));
        let Breakdown { owners, peers, sockets: _ } = breakdown;
        Self { label, owners: owner_rows(owners, names), peers: peer_rows(peers, names) }
    }

    /// The destinations of outgoing connections that a table has room for.
    pub fn destinations(&self) -> impl Iterator<Item = Endpoint> {
        self.peers.iter().take(ROWS).filter_map(|peer| peer.destination.endpoint())
    }

    /// Sets the ephemeral ports in use towards each destination and the number of all ephemeral ports,
    /// as far as they are known.
    pub fn set_ports(&mut self, known: &HashMap<Endpoint, (u64, u64)>) {
        for peer in self.peers.iter_mut().take(ROWS) {
            let destination = peer.destination.endpoint();
            peer.ports = destination.and_then(|destination| known.get(&destination).copied());
        }
    }
}

/// The groups of owners and peers of all these connections, so that their names can be looked up.
/// `netns` adds the network namespaces; the name of a single one is not printed.
pub fn groups(breakdowns: &[Breakdown], netns: bool) -> impl Iterator<Item = Group> {
    let owners = || breakdowns.iter().flat_map(|of| of.owners.keys().chain(of.sockets.keys()));
    let of_owners = owners().filter_map(|owners| owners.extra.destination());
    let owners = owners().flat_map(move |owners| {
        let netns = netns.then_some(Group::Netns(owners.netns));
        owners.groups().into_iter().chain([netns])
    });
    let sockets = breakdowns.iter().flat_map(|breakdown| breakdown.sockets.values());
    let owners = owners.flatten().chain(sockets.flat_map(Sockets::keys).map(Group::Process));
    let peers = breakdowns.iter().flat_map(|breakdown| breakdown.peers.keys().copied());
    let peers = peers.chain(of_owners);
    owners.chain(peers.map(|destination| Group::Address(destination.address)))
}

/// The cells of a row: process, unit and user, whether accepted, local port, extra, network
/// namespace.
type Row = ([String; 3], bool, Option<u16>, Extra, Option<String>);

fn owner_rows(counts: HashMap<Owners, Sum>, names: &Names) -> Vec<OwnerRow> {
    let mut rows: HashMap<Row, Sum> = HashMap::new();
    for (owners, sum) in counts {
        if let Some(cells) = owner_cells(&owners, names) {
            let Owners { accepted, port, extra, netns, .. } = owners;
            let row = (cells, accepted, port, extra, netns_name(netns, names));
            rows.entry(row).or_default().add(sum);
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_unstable_by(|(a, m), (b, n)| {
        (Reverse(m.count), Reverse(m.longest), a).cmp(&(Reverse(n.count), Reverse(n.longest), b))
    });
    let row = |(([process, unit, user], accepted, port, extra, netns), sum): (Row, Sum)| {
        let address = extra.destination().map(|to| names.name(Group::Address(to.address)).label);
        let Sum { count, longest, bytes } = sum;
        OwnerRow {
            count,
            process,
            unit,
            user,
            accepted,
            port,
            longest,
            bytes,
            address,
            extra,
            netns,
        }
    };
    rows.into_iter().map(row).collect()
}

/// Process, unit and user of an owner; `None` where all three are unknown.
fn owner_cells(owners: &Owners, names: &Names) -> Option<[String; 3]> {
    let [process, unit, user] = owners.groups();
    process.or(unit).or(user)?;
    let unit = unit.filter(|unit| names.knows_units() || *unit == Group::Cgroup(None));
    let of_process = owners.process().and_then(|key| names.process_unit(key));
    let cell = |group: Option<Group>| group.map_or_else(|| "-".to_owned(), |g| names.name(g).label);
    let unit = of_process.map_or_else(|| cell(unit), |unit| unit.to_string());
    Some([cell(process), unit, cell(user)])
}

fn peer_rows(counts: HashMap<Destination, Sum>, names: &Names) -> Vec<PeerRow> {
    let row = |(destination, Sum { count, longest, .. }): (Destination, Sum)| {
        let address = names.name(Group::Address(destination.address)).label;
        let netns = netns_name(destination.netns, names);
        PeerRow { count, destination, address, netns, ports: None, longest }
    };
    let mut rows: Vec<_> = counts.into_iter().map(row).collect();
    rows.sort_unstable_by_key(|row| (Reverse(row.count), row.destination));
    rows
}

/// The name of a network namespace, where it was looked up.
fn netns_name(netns: NetnsIndex, names: &Names) -> Option<String> {
    names.namespace(netns).map(|name| name.label.to_string())
}
