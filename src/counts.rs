//! Connections per group, in display order.

use std::fmt;

use crate::connection::{Connection, ConnectionStatus, ConnectionType};
use crate::error::Error;
use crate::source::Collector;

/// What connections are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group {
    /// Family and protocol.
    pub connection_type: ConnectionType,
    /// State.
    pub status: ConnectionStatus,
}

/// The label of perfdata and of the API, for example `tcp_ESTABLISHED`.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.connection_type.name(), self.status.name())
    }
}

const TYPES: usize = ConnectionType::ALL.len();
const STATUSES: usize = ConnectionStatus::ALL.len();

/// Connections per group.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    table: [[u64; STATUSES]; TYPES],
    // In the order of their first appearance.
    seen: Vec<Group>,
}

impl Counts {
    fn cell(&mut self, group: Group) -> Option<&mut u64> {
        self.table.get_mut(group.connection_type as usize)?.get_mut(group.status as usize)
    }

    fn count(&mut self, group: Group, number: u64) {
        let Some(cell) = self.cell(group) else { return };
        let first = *cell == 0;
        *cell += number;
        if first {
            self.seen.push(group);
        }
    }

    fn get(&self, group: Group) -> u64 {
        self.table
            .get(group.connection_type as usize)
            .and_then(|row| row.get(group.status as usize))
            .copied()
            .unwrap_or(0)
    }

    /// Puts equal counts into canonical order, so that two looks at an unchanged host are equal:
    /// no source has an order of its own that means anything.
    pub fn canonical_order(&mut self) {
        self.seen.sort_unstable();
    }

    /// Every group and its count, the largest first; equal ones in the order they have.
    #[must_use]
    pub fn groups(&self) -> Vec<(Group, u64)> {
        let mut groups: Vec<_> = self.seen.iter().map(|group| (*group, self.get(*group))).collect();
        groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        groups
    }
}

impl Collector for Counts {
    fn fresh(&self) -> Self {
        Self::default()
    }

    #[inline]
    fn add(&mut self, connection: &impl Connection) -> Result<(), Error> {
        let group =
            Group { connection_type: connection.connection_type(), status: connection.status() };
        self.count(group, 1);
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for group in &dump.seen {
            self.count(*group, dump.get(*group));
        }
    }
}
