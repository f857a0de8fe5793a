//! Tables of connections per group. Counting keeps no sockets: a table grows only with the number
//! of its groups. Each kind of group has the table that suits it.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::address::InterfaceIndex;
use crate::collect::collector::Collector;
use crate::error::{Error, Optional};
use crate::group::{End, Group, GroupBy};
use crate::name::Named;
use crate::socket::Socket;
use crate::vocabulary::{ConnectionStatus, ConnectionType, NetnsIndex};

/// A collector that counts.
pub trait Table: Collector {
    /// Every group and its count. Groups with equal counts are in display order.
    fn groups(self) -> Vec<(Group, u64)>;
}

const TYPES: usize = ConnectionType::VALUES.len();
const STATUSES: usize = ConnectionStatus::VALUES.len();

/// Counts groups that follow from type and state.
#[derive(Clone, Debug)]
pub struct Grid {
    group: fn(ConnectionType, ConnectionStatus) -> Group,
    cells: Box<[[u64; STATUSES]; TYPES]>,
}

impl Grid {
    /// An empty table.
    #[must_use]
    pub fn new(group: fn(ConnectionType, ConnectionStatus) -> Group) -> Self {
        Self { group, cells: Box::new([[0; STATUSES]; TYPES]) }
    }
}

impl Collector for Grid {
    fn fresh(&self) -> Self {
        Self::new(self.group)
    }

    #[inline]
    fn add(&mut self, _: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let (t, status) = (socket.connection_type() as usize, socket.status() as usize);
        if let Some(cell) = self.cells.get_mut(t).and_then(|row| row.get_mut(status)) {
            *cell += 1;
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for (sum, count) in self.cells.iter_mut().flatten().zip(dump.cells.iter().flatten()) {
            *sum += count;
        }
    }
}

impl Table for Grid {
    fn groups(self) -> Vec<(Group, u64)> {
        let mut sums: HashMap<Group, u64> = HashMap::new();
        for (t, row) in ConnectionType::VALUES.iter().zip(*self.cells) {
            for (status, count) in ConnectionStatus::VALUES.iter().zip(row) {
                if count != 0 {
                    *sums.entry((self.group)(*t, *status)).or_insert(0) += count;
                }
            }
        }
        canonical(sums)
    }
}

/// Counts local or remote ports.
#[derive(Clone, Debug)]
pub struct PortTable {
    end: End,
    counts: Vec<u64>,
}

impl PortTable {
    /// An empty table for the ports of this end.
    #[must_use]
    pub fn new(end: End) -> Self {
        Self { end, counts: vec![0; 1 << u16::BITS] }
    }
}

impl Collector for PortTable {
    fn fresh(&self) -> Self {
        Self::new(self.end)
    }

    #[inline]
    fn add(&mut self, _: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let port = self.end.of(socket)?.port();
        if let Some(count) = self.counts.get_mut(usize::from(port)) {
            *count += 1;
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for (sum, count) in self.counts.iter_mut().zip(dump.counts) {
            *sum += count;
        }
    }
}

impl Table for PortTable {
    fn groups(self) -> Vec<(Group, u64)> {
        let counts = (0..=u16::MAX).zip(self.counts).filter(|(_, count)| *count != 0);
        counts.map(|(port, count)| (Group::Port(port), count)).collect()
    }
}

/// The most groups that are counted in a map. A map of more does not fit into the cache of a core, and
/// sorting them once costs less.
const MOST_COUNTED: usize = 1 << 13;

/// The fewest sums that are sorted before all groups are known.
const FEWEST_SORTED: usize = 1 << 17;

/// Counts groups of any kind, of which there may be a million: most of them are then in a sorted list
/// without gaps.
#[derive(Clone, Debug)]
pub struct CountMap {
    by: GroupBy,
    counts: HashMap<Group, u64, RandomState>,
    // The group of the last sockets and their number, which `counts` does not have yet: neighbours often
    // have the same group.
    last: Option<(Group, u64)>,
    // The sums of maps that were full. A group has several of them until they are united.
    sums: Vec<(Group, u64)>,
    // The number of sums that is not worth uniting yet.
    room: usize,
}

impl CountMap {
    /// An empty table.
    #[must_use]
    pub fn new(by: GroupBy) -> Self {
        let (counts, sums) = (HashMap::default(), Vec::new());
        Self { by, counts, last: None, sums, room: FEWEST_SORTED }
    }

    /// Adds the last sockets to the others.
    fn settle(&mut self) {
        if let Some((group, number)) = self.last.take() {
            *self.counts.entry(group).or_insert(0) += number;
            if self.counts.len() >= MOST_COUNTED {
                self.empty();
            }
        }
    }

    /// Empties the map into the sums. There are at most twice as many sums as groups.
    fn empty(&mut self) {
        self.sums.extend(self.counts.drain());
        if self.sums.len() >= self.room {
            self.unite();
            self.room = FEWEST_SORTED.max(2 * self.sums.len());
        }
    }

    /// Adds up the sums of each group.
    fn unite(&mut self) {
        // The sums that were united before are a sorted run, which a stable sort makes use of.
        self.sums.sort_by_key(|(group, _)| *group);
        self.sums.dedup_by(|(group, more), (first, count)| {
            let is_same = group == first;
            if is_same {
                *count += *more;
            }
            is_same
        });
    }
}

impl Collector for CountMap {
    fn fresh(&self) -> Self {
        Self::new(self.by)
    }

    #[inline]
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let group = self.by.group(netns, socket)?;
        match &mut self.last {
            Some((last, number)) if *last == group => *number += 1,
            Some(_) | None => {
                self.settle();
                self.last = Some((group, 1));
            }
        }
        Ok(())
    }

    fn merge(&mut self, mut dump: Self) {
        dump.settle();
        self.settle();
        if self.counts.is_empty() && self.sums.is_empty() {
            (self.counts, self.sums, self.room) = (dump.counts, dump.sums, dump.room);
            return;
        }
        self.sums.append(&mut dump.sums);
        self.sums.extend(dump.counts);
        self.empty();
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        let groups = self.counts.keys();
        let groups = groups.chain(self.last.iter().chain(&self.sums).map(|(group, _)| group));
        found.extend(groups.filter_map(|group| group.interface()));
    }
}

impl Table for CountMap {
    fn groups(mut self) -> Vec<(Group, u64)> {
        self.settle();
        self.empty();
        self.unite();
        self.sums
    }
}

/// Counts the connections of a fixture: groups with equal counts keep the order of their first
/// appearance. The order of other sources means nothing, so the other tables sort their groups, and
/// two runs on an unchanged host are equal.
#[derive(Clone, Debug)]
pub struct Recorded {
    by: GroupBy,
    places: HashMap<Group, usize>,
    counts: Vec<(Group, u64)>,
}

impl Recorded {
    /// An empty table.
    #[must_use]
    pub fn new(by: GroupBy) -> Self {
        Self { by, places: HashMap::new(), counts: Vec::new() }
    }

    fn count(&mut self, group: Group, number: u64) {
        let place = *self.places.entry(group).or_insert(self.counts.len());
        match self.counts.get_mut(place) {
            Some((_, count)) => *count += number,
            None => self.counts.push((group, number)),
        }
    }
}

impl Collector for Recorded {
    fn fresh(&self) -> Self {
        Self::new(self.by)
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        self.count(self.by.group(netns, socket)?, 1);
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for (group, number) in dump.counts {
            self.count(group, number);
        }
    }
}

impl Table for Recorded {
    fn groups(self) -> Vec<(Group, u64)> {
        self.counts
    }
}

/// Collects the process keys of sockets, and the cgroups that the sockets were made in.
#[derive(Clone, Debug, Default)]
pub struct ProcessKeys {
    /// The key of each socket that a process has.
    pub keys: Vec<u64>,
    /// The number of sockets without a process.
    pub without: u64,
    /// The ids of the cgroups, as far as the source reports them.
    pub cgroups: HashSet<u64>,
    last: Option<u64>,
    without_cgroups: bool,
}

impl Collector for ProcessKeys {
    fn fresh(&self) -> Self {
        Self::default()
    }

    #[inline]
    fn add(&mut self, _: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        match socket.process_key()? {
            0 => self.without += 1,
            key => {
                self.keys.push(key);
                // A source reports cgroups for all sockets or for none; neighbours usually share one.
                if !self.without_cgroups {
                    let cgroup = socket.cgroup().optional()?;
                    self.without_cgroups = cgroup.is_none();
                    if self.last != cgroup.flatten() {
                        self.last = cgroup.flatten();
                        self.cgroups.extend(self.last);
                    }
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        if self.keys.is_empty() {
            self.keys = dump.keys;
        } else {
            self.keys.extend(dump.keys);
        }
        self.without += dump.without;
        self.cgroups.extend(dump.cgroups);
    }
}

fn canonical(counts: HashMap<Group, u64>) -> Vec<(Group, u64)> {
    let mut groups: Vec<_> = counts.into_iter().collect();
    groups.sort_unstable_by_key(|(group, _)| *group);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Kind;
    use crate::socket::made::Made;
    use ConnectionStatus::{Established, Listen};
    use ConnectionType::{Tcp, Tcp6};

    /// The counts of a table after some dumps, each with its own collector.
    fn counted<T: Table>(mut table: T, dumps: &[&[Made]]) -> Vec<(String, u64)> {
        for sockets in dumps {
            let mut dump = table.fresh();
            for socket in *sockets {
                dump.add(NetnsIndex::OWN, socket).unwrap_or_else(|e| panic!("{e}"));
            }
            table.merge(dump);
        }
        // A fresh table is empty.
        assert_eq!(table.fresh().groups(), []);
        let groups = table.groups().into_iter();
        groups.map(|(group, count)| (group.to_string(), count)).collect()
    }

    fn rows(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
        rows.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect()
    }

    fn grid(by: GroupBy) -> Grid {
        match by.kind() {
            Kind::Fixed(group) => Grid::new(group),
            Kind::Directions
            | Kind::Port(_)
            | Kind::Processes(_)
            | Kind::Stuck
            | Kind::Limits
            | Kind::Unbounded => {
                panic!("{by:?} has no grid")
            }
        }
    }

    #[test]
    fn every_table_counts_every_socket_of_every_dump_once() {
        let six = Made::new(Tcp6, Established, "[::1]:65535", "[2001:db8::1]:2");
        let one = Made::new(Tcp, Listen, "192.0.2.1:443", "0.0.0.0:0");
        let other = Made::new(Tcp, Established, "192.0.2.1:443", "192.0.2.2:1");
        let dumps: [&[Made]; 4] = [&[six, one, one], &[], &[other, one, six], &[other, one]];
        let both = rows(&[("tcp_ESTABLISHED", 2), ("tcp_LISTEN", 4), ("tcp6_ESTABLISHED", 2)]);
        assert_eq!(counted(grid(GroupBy::TypeStatus), &dumps), both);
        assert_eq!(counted(grid(GroupBy::Type), &dumps), rows(&[("tcp", 6), ("tcp6", 2)]));
        assert_eq!(
            counted(grid(GroupBy::Status), &dumps),
            rows(&[("ESTABLISHED", 4), ("LISTEN", 4)])
        );
        let local = rows(&[("443", 6), ("65535", 2)]);
        assert_eq!(counted(PortTable::new(End::Local), &dumps), local);
        let remote = rows(&[("0", 4), ("1", 2), ("2", 2)]);
        assert_eq!(counted(PortTable::new(End::Remote), &dumps), remote);
        let addresses = rows(&[("0.0.0.0", 4), ("192.0.2.2", 2), ("2001:db8::1", 2)]);
        assert_eq!(counted(CountMap::new(GroupBy::RemoteAddress), &dumps), addresses);
        // In the order of their first appearance.
        assert_eq!(
            counted(Recorded::new(GroupBy::RemoteAddress), &dumps),
            rows(&[("2001:db8::1", 2), ("0.0.0.0", 4), ("192.0.2.2", 2)])
        );
    }

    #[test]
    fn more_groups_than_a_map_holds_are_counted() {
        let by = GroupBy::LocalEndpoint;
        let most = u16::try_from(MOST_COUNTED).unwrap_or(u16::MAX);
        let socket = |number: u16| {
            let local = format!("192.0.{}.1:{}", number % 50, number % most);
            Made::new(Tcp, Established, &local, "192.0.2.2:443")
        };
        let mut expected: HashMap<Group, u64> = HashMap::new();
        let mut all = CountMap::new(by);
        // Sums are united early.
        all.room = MOST_COUNTED + 1;
        for _ in 0..2 {
            let mut dump = CountMap { room: all.room, ..all.fresh() };
            for number in (0..3 * most).rev().chain(0..most) {
                let (netns, socket) = (NetnsIndex(number % 2), socket(number));
                let group = by.group(netns, &socket).unwrap_or_else(|e| panic!("{e}"));
                *expected.entry(group).or_default() += 1;
                dump.add(netns, &socket).unwrap_or_else(|e| panic!("{e}"));
            }
            all.merge(dump);
        }
        assert!(all.sums.len() > MOST_COUNTED, "{}", all.sums.len());
        assert!(expected.len() > 2 * MOST_COUNTED, "{}", expected.len());
        assert_eq!(all.groups(), canonical(expected));
    }

    #[test]
    fn process_keys_and_cgroups_are_collected() {
        let made = Made::new(Tcp, Established, "192.0.2.1:80", "192.0.2.2:443");
        let socket = |process_key, cgroup| Made { process_key, cgroup, ..made };
        let mut keys = ProcessKeys::default();
        for dump in [
            &[socket(5, Some(1)), socket(5, Some(1)), socket(0, None), socket(3, Some(2))][..],
            &[socket(0, None), socket(7, Some(2)), socket(8, None), socket(9, Some(4))],
        ] {
            let mut fresh = keys.fresh();
            for socket in dump {
                fresh.add(NetnsIndex::OWN, socket).unwrap_or_else(|e| panic!("{e}"));
            }
            keys.merge(fresh);
        }
        assert_eq!(keys.keys, [5, 5, 3, 7, 8, 9]);
        assert_eq!(keys.without, 2);
        assert_eq!(keys.cgroups, HashSet::from([1, 2, 4]));
    }
}
