//! Connections per group: the only thing that grows, and only with the number of groups.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::connection::{Connection, ConnectionStatus, ConnectionType};
use crate::error::Error;
use crate::group::{Group, GroupBy};
use crate::source::Collector;

const TYPES: usize = ConnectionType::ALL.len();
const STATUSES: usize = ConnectionStatus::ALL.len();

/// Connections per group.
#[derive(Clone, Debug)]
pub struct Counts {
    by: GroupBy,
    table: Table,
    // Whether equal counts are in the order of their first appearance.
    recorded: bool,
}

#[derive(Clone, Debug)]
enum Table {
    /// Types and statuses, and the pairs in the order of their first appearance.
    Grid(Box<[[u64; STATUSES]; TYPES]>, Vec<(ConnectionType, ConnectionStatus)>),
    /// Ports, of which there are not so many that they need a map.
    Ports(Vec<u64>),
    /// Anything else.
    Map(HashMap<Group, u64>, Vec<Group>),
}

impl Counts {
    /// No connections yet.
    #[must_use]
    pub fn new(by: GroupBy) -> Self {
        let table = if by.is_small() {
            Table::Grid(Box::new([[0; STATUSES]; TYPES]), Vec::new())
        } else if matches!(by, GroupBy::LocalPort | GroupBy::RemotePort) {
            Table::Ports(vec![0; 1 << u16::BITS])
        } else {
            Table::Map(HashMap::new(), Vec::new())
        };
        Self { by, table, recorded: false }
    }

    /// Leaves equal counts in the order of their first appearance, as a fixture wants. The order of
    /// any other source means nothing, so there it is the canonical one and two looks at an
    /// unchanged host are equal.
    #[must_use]
    pub fn recorded(self) -> Self {
        let table = match self.table {
            Table::Ports(_) => Table::Map(HashMap::new(), Vec::new()),
            table => table,
        };
        Self { recorded: true, table, ..self }
    }

    /// Every group and its count, the largest first.
    #[must_use]
    pub fn groups(&self) -> Vec<(Group, u64)> {
        let mut groups = match &self.table {
            Table::Grid(grid, seen) => self.folded(grid, seen),
            Table::Ports(counts) => (0..=u16::MAX)
                .zip(counts)
                .filter(|(_, count)| **count != 0)
                .map(|(port, count)| (Group::Port(port), *count))
                .collect(),
            Table::Map(map, seen) if self.recorded => seen
                .iter()
                .filter_map(|group| map.get(group).map(|count| (*group, *count)))
                .collect(),
            Table::Map(map, _) => map.iter().map(|(group, count)| (*group, *count)).collect(),
        };
        if !self.recorded {
            groups.sort_unstable_by_key(|(group, _)| *group);
        }
        groups.sort_by_key(|(_, count)| Reverse(*count));
        groups
    }

    fn folded(
        &self,
        grid: &[[u64; STATUSES]; TYPES],
        seen: &[(ConnectionType, ConnectionStatus)],
    ) -> Vec<(Group, u64)> {
        let mut groups: Vec<(Group, u64)> = Vec::new();
        for (t, status) in seen {
            let cell = grid.get(*t as usize).and_then(|row| row.get(*status as usize));
            let group = match self.by {
                GroupBy::Type => Group::Type(*t),
                GroupBy::Status => Group::Status(*status),
                _ => Group::TypeStatus(*t, *status),
            };
            let count = cell.copied().unwrap_or(0);
            match groups.iter_mut().find(|(other, _)| *other == group) {
                Some((_, sum)) => *sum += count,
                None => groups.push((group, count)),
            }
        }
        groups
    }
}

#[inline]
fn count<T>(cell: &mut u64, number: u64, seen: &mut Vec<T>, what: T) {
    if *cell == 0 {
        seen.push(what);
    }
    *cell += number;
}

impl Collector for Counts {
    fn fresh(&self) -> Self {
        let fresh = Self::new(self.by);
        if self.recorded { fresh.recorded() } else { fresh }
    }

    #[inline]
    fn add(&mut self, connection: &impl Connection) -> Result<(), Error> {
        match &mut self.table {
            Table::Grid(grid, seen) => {
                let pair = (connection.connection_type(), connection.status());
                let cell =
                    grid.get_mut(pair.0 as usize).and_then(|row| row.get_mut(pair.1 as usize));
                if let Some(cell) = cell {
                    count(cell, 1, seen, pair);
                }
            }
            Table::Ports(counts) => {
                let end = if self.by == GroupBy::LocalPort {
                    connection.local()?
                } else {
                    connection.remote()?
                };
                if let Some(count) = counts.get_mut(usize::from(end.port())) {
                    *count += 1;
                }
            }
            Table::Map(map, seen) => {
                let group = self.by.group(connection)?;
                let cell = map.entry(group).or_insert(0);
                if self.recorded {
                    count(cell, 1, seen, group);
                } else {
                    *cell += 1;
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        match (&mut self.table, dump.table) {
            (Table::Grid(sums, seen), Table::Grid(grid, appeared)) => {
                for pair in appeared {
                    let (row, column) = (pair.0 as usize, pair.1 as usize);
                    let sum = sums.get_mut(row).and_then(|row| row.get_mut(column));
                    let number = grid.get(row).and_then(|row| row.get(column));
                    if let (Some(sum), Some(number)) = (sum, number) {
                        count(sum, *number, seen, pair);
                    }
                }
            }
            (Table::Ports(sums), Table::Ports(counts)) => {
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum += count;
                }
            }
            (Table::Map(sums, _), Table::Map(map, _)) if sums.is_empty() => *sums = map,
            (Table::Map(sums, _), Table::Map(map, _)) => {
                for (group, number) in map {
                    *sums.entry(group).or_insert(0) += number;
                }
            }
            _ => {}
        }
    }
}
