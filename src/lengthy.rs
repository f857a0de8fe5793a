//! Who has the connections of the groups that matter, and where they lead: what `--lengthy` tells.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use crate::connection::{Connection, ConnectionStatus, ConnectionType, Protocol};
use crate::deadline::Deadline;
use crate::error::{Error, Known};
use crate::group::{Group, GroupBy};
use crate::owner::{self, Names};
use crate::selection::{Choice, Network, Ports, Selection};
use crate::source::{self, Collector, SourceName};

/// How many rows a table has at most.
pub const ROWS: usize = 10;

/// What one group consists of.
#[derive(Clone, Debug)]
pub struct Detail {
    /// The group's label.
    pub label: String,
    /// Its holders, those with the most connections first; empty where the source tells none.
    pub holders: Vec<Holder>,
    /// Its peers, those with the most connections first.
    pub peers: Vec<Peer>,
}

/// Connections of one process, unit and user.
#[derive(Clone, Debug)]
pub struct Holder {
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
    pub address: IpAddr,
    /// The remote port, where they go out from here.
    pub port: Option<u16>,
    /// How many ephemeral ports of one local address are in use towards that address and port, by
    /// connections in whatever state, and how many there are.
    pub ports: Option<(u64, u64)>,
}

/// The owner of a connection, as far as the source tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owner {
    process: Option<Group>,
    unit: Option<Group>,
    user: Option<Group>,
}

/// Collects owners and peers of every group in the same dump that is counted.
#[derive(Clone, Debug)]
pub struct Details {
    by: GroupBy,
    // The local ports that somebody listens on; `None` where that cannot be known.
    listening: Option<HashSet<u16>>,
    owners: HashMap<(Group, Owner), u64>,
    peers: HashMap<(Group, IpAddr, Option<u16>), u64>,
}

impl Details {
    /// Nothing collected yet.
    #[must_use]
    pub fn new(by: GroupBy, listening: Option<HashSet<u16>>) -> Self {
        Self { by, listening, owners: HashMap::new(), peers: HashMap::new() }
    }

    /// Whether a connection was opened from here: nobody listens on its local port.
    fn is_outgoing(&self, protocol: Protocol, port: u16) -> bool {
        protocol == Protocol::Tcp && self.listening.as_ref().is_some_and(|l| !l.contains(&port))
    }
}

impl Collector for Details {
    fn fresh(&self) -> Self {
        Self::new(self.by, self.listening.clone())
    }

    fn add(&mut self, connection: &impl Connection) -> Result<(), Error> {
        let group = self.by.group(connection)?;
        let owner = Owner {
            process: GroupBy::Process.group(connection).known()?,
            unit: GroupBy::Unit.group(connection).known()?,
            user: GroupBy::User.group(connection).known()?,
        };
        *self.owners.entry((group, owner)).or_insert(0) += 1;
        let remote = connection.remote().known()?;
        let local = connection.local().known()?;
        if let Some(remote) = remote.filter(|remote| remote.port() != 0) {
            let protocol = connection.connection_type().protocol();
            let outgoing = local.is_some_and(|local| self.is_outgoing(protocol, local.port()));
            let port = outgoing.then_some(remote.port());
            *self.peers.entry((group, remote.ip().to_canonical(), port)).or_insert(0) += 1;
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

impl Details {
    /// What the groups with these labels consist of. `names` gives the labels of groups.
    pub fn of(
        &self,
        labels: &[&str],
        names: &Names,
        choice: Option<SourceName>,
        deadline: &Deadline,
    ) -> Result<Vec<Detail>, Error> {
        let number = |group: Group| {
            let label = names.label(group);
            labels.iter().position(|wanted| *wanted == label)
        };
        let owners: Vec<_> = self
            .owners
            .iter()
            .filter_map(|((group, owner), count)| Some((number(*group)?, *owner, *count)))
            .collect();
        let groups =
            owners.iter().flat_map(|(_, owner, _)| [owner.process, owner.unit, owner.user]);
        let names = owner::look_up(groups.flatten(), true, deadline)?;
        let mut holders: Vec<BTreeMap<[String; 3], u64>> = vec![BTreeMap::new(); labels.len()];
        for (number, owner, count) in owners {
            if let (Some(row), Some(rows)) = (row(owner, &names), holders.get_mut(number)) {
                *rows.entry(row).or_insert(0) += count;
            }
        }
        let mut ends: Vec<BTreeMap<(IpAddr, Option<u16>), u64>> =
            vec![BTreeMap::new(); labels.len()];
        for ((group, address, port), count) in &self.peers {
            if let Some(rows) = number(*group).and_then(|number| ends.get_mut(number)) {
                *rows.entry((*address, *port)).or_insert(0) += count;
            }
        }
        let mut peers: Vec<Vec<Peer>> = Vec::new();
        for rows in ends {
            let peer = |((address, port), count)| Peer { count, address, port, ports: None };
            let mut rows: Vec<_> = rows.into_iter().map(peer).collect();
            rows.sort_by_key(|peer| Reverse(peer.count));
            peers.push(rows);
        }
        if self.listening.is_some() {
            ephemeral_ports(&mut peers, choice, deadline)?;
        }
        let details = labels.iter().zip(holders).zip(peers).map(|((label, holders), peers)| {
            let mut holders: Vec<_> = holders
                .into_iter()
                .map(|([process, unit, user], count)| Holder { count, process, unit, user })
                .collect();
            holders.sort_by_key(|holder| Reverse(holder.count));
            Detail { label: (*label).to_owned(), holders, peers }
        });
        Ok(details.collect())
    }
}

/// Process, unit and user of an owner; `None` where nothing is known.
fn row(owner: Owner, names: &Names) -> Option<[String; 3]> {
    let Owner { process, unit, user } = owner;
    process.or(unit).or(user)?;
    let unit = unit.filter(|unit| names.knows_units() || *unit == Group::Cgroup(None));
    let cell = |group: Option<Group>| group.map_or_else(|| "-".to_owned(), |g| names.label(g));
    Some([process, unit, user].map(cell))
}

/// The local ports that somebody listens on.
pub fn listening(choice: Option<SourceName>, deadline: &Deadline) -> Result<HashSet<u16>, Error> {
    let selection = Selection {
        types: Choice::of(&[ConnectionType::Tcp, ConnectionType::Tcp6]),
        statuses: Choice::of(&[ConnectionStatus::Listen]),
        ..Selection::default()
    };
    let mut ports = LocalPorts::default();
    source::collect(&selection, choice, deadline, &mut ports)?;
    Ok(ports.0)
}

#[derive(Default)]
struct LocalPorts(HashSet<u16>);

impl Collector for LocalPorts {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn add(&mut self, connection: &impl Connection) -> Result<(), Error> {
        self.0.insert(connection.local()?.port());
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.0.extend(dump.0);
    }
}

/// Fills in how much of the ephemeral port range is in use towards the peers that are shown.
///
/// That takes another, filtered dump: what is in use is in use in whatever state, and a table may be
/// of one state alone.
fn ephemeral_ports(
    peers: &mut [Vec<Peer>],
    choice: Option<SourceName>,
    deadline: &Deadline,
) -> Result<(), Error> {
    let Some((first, last)) = source::ephemeral_port_range() else {
        return Ok(());
    };
    let shown = |rows: &[Peer]| -> Vec<(IpAddr, u16)> {
        let outgoing = rows.iter().take(ROWS);
        outgoing.filter_map(|peer| Some((peer.address, peer.port?))).collect()
    };
    let destinations: HashSet<(IpAddr, u16)> = peers.iter().flat_map(|rows| shown(rows)).collect();
    if destinations.is_empty() {
        return Ok(());
    }
    let network =
        |address: IpAddr| Network { address, prefix: if address.is_ipv4() { 32 } else { 128 } };
    let selection = Selection {
        types: Choice::of(&[ConnectionType::Tcp, ConnectionType::Tcp6]),
        remote_addresses: destinations.iter().map(|(address, _)| network(*address)).collect(),
        remote_ports: destinations.iter().map(|(_, p)| Ports { first: *p, last: *p }).collect(),
        ..Selection::default()
    };
    let mut used = Used { range: Ports { first, last }, ports: HashMap::new() };
    source::collect(&selection, choice, deadline, &mut used)?;
    let all = u64::from(last - first) + 1;
    for peer in peers.iter_mut().flatten() {
        if let Some(port) = peer.port.filter(|port| destinations.contains(&(peer.address, *port))) {
            let towards = used
                .ports
                .iter()
                .filter(|((_, address, remote), _)| (*address, *remote) == (peer.address, port));
            let most = towards.map(|(_, count)| *count).max().unwrap_or(0);
            peer.ports = Some((most, all));
        }
    }
    Ok(())
}

/// The ephemeral ports in use, by local address, remote address and remote port.
struct Used {
    range: Ports,
    ports: HashMap<(IpAddr, IpAddr, u16), u64>,
}

impl Collector for Used {
    fn fresh(&self) -> Self {
        Self { range: self.range, ports: HashMap::new() }
    }

    fn add(&mut self, connection: &impl Connection) -> Result<(), Error> {
        let (local, remote) = (connection.local()?, connection.remote()?);
        if self.range.contains(local.port()) {
            let (from, to) = (local.ip().to_canonical(), remote.ip().to_canonical());
            *self.ports.entry((from, to, remote.port())).or_insert(0) += 1;
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for (key, count) in dump.ports {
            *self.ports.entry(key).or_insert(0) += count;
        }
    }
}
