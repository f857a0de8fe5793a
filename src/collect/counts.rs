//! Connections per group: the only thing that grows, and only with the number of groups. Each kind of
//! groups has the table that suits it.

use std::collections::HashMap;

use crate::collect::collector::Collector;
use crate::error::Error;
use crate::group::{End, Group, GroupBy};
use crate::name::Named;
use crate::socket::Socket;
use crate::vocabulary::{ConnectionStatus, ConnectionType};

/// A collector that counts.
pub trait Table: Collector {
    /// Every group and its count, equal ones in the order to be displayed.
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
    /// No connections yet.
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
    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
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

/// Counts ports.
#[derive(Clone, Debug)]
pub struct PortTable {
    end: End,
    counts: Vec<u64>,
}

impl PortTable {
    /// No connections yet; counts the ports of this end.
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
    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
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

/// Counts whatever there is.
#[derive(Clone, Debug)]
pub struct Map {
    by: GroupBy,
    counts: HashMap<Group, u64>,
}

impl Map {
    /// No connections yet.
    #[must_use]
    pub fn new(by: GroupBy) -> Self {
        Self { by, counts: HashMap::new() }
    }
}

impl Collector for Map {
    fn fresh(&self) -> Self {
        Self::new(self.by)
    }

    #[inline]
    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        *self.counts.entry(self.by.group(socket)?).or_insert(0) += 1;
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        if self.counts.is_empty() {
            self.counts = dump.counts;
            return;
        }
        for (group, count) in dump.counts {
            *self.counts.entry(group).or_insert(0) += count;
        }
    }
}

impl Table for Map {
    fn groups(self) -> Vec<(Group, u64)> {
        canonical(self.counts)
    }
}

/// Counts what a fixture has, equal counts in the order of their first appearance. The order of any
/// other source means nothing, so there it is the canonical one and two looks at an unchanged host
/// are equal.
#[derive(Clone, Debug)]
pub struct Recorded {
    by: GroupBy,
    places: HashMap<Group, usize>,
    counts: Vec<(Group, u64)>,
}

impl Recorded {
    /// No connections yet.
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

    fn add(&mut self, socket: &impl Socket) -> Result<(), Error> {
        self.count(self.by.group(socket)?, 1);
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

fn canonical(counts: HashMap<Group, u64>) -> Vec<(Group, u64)> {
    let mut groups: Vec<_> = counts.into_iter().collect();
    groups.sort_unstable_by_key(|(group, _)| *group);
    groups
}
