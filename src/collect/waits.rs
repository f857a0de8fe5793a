//! The longest times for which connections have been stuck, by group.

use std::collections::{HashMap, HashSet};

use crate::address::InterfaceIndex;
use crate::collect::collector::Collector;
use crate::error::Error;
use crate::group::{Group, GroupBy};
use crate::selection::{Selection, StuckFor, found, longest};
use crate::socket::{Socket, Wanted};
use crate::stuck::{Transfer, Wait};
use crate::vocabulary::NetnsIndex;

/// The stuck connections of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Longest {
    /// Their number.
    pub count: u64,
    /// The longest time.
    pub wait: Wait,
}

/// Collects the longest times. A connection of several kinds counts in the group of each kind.
#[derive(Clone, Debug)]
pub struct Waits {
    by: GroupBy,
    stuck: Vec<StuckFor>,
    /// The groups.
    pub groups: HashMap<Group, Longest>,
    /// The number of stuck connections, each once.
    pub total: u64,
}

impl Waits {
    /// An empty collector for the selected kinds.
    #[must_use]
    pub fn new(by: GroupBy, selection: &Selection) -> Self {
        Self { by, stuck: selection.stuck.clone(), groups: HashMap::new(), total: 0 }
    }

    /// Adds a connection whose facts have been decoded.
    pub fn add_transfer(
        &mut self,
        netns: NetnsIndex,
        socket: &impl Socket,
        transfer: &Transfer,
    ) -> Result<(), Error> {
        let stuck = found(&self.stuck, transfer);
        let Some((_, wait)) = longest(&stuck) else {
            return Ok(());
        };
        self.total += 1;
        if self.by == GroupBy::Kind {
            for (kind, wait) in stuck {
                self.count(Group::Kind(kind), Longest { count: 1, wait });
            }
        } else {
            self.count(self.by.group(netns, socket)?, Longest { count: 1, wait });
        }
        Ok(())
    }

    fn count(&mut self, group: Group, found: Longest) {
        let longest = self.groups.entry(group).or_default();
        longest.count += found.count;
        longest.wait = longest.wait.longer(found.wait);
    }
}

impl Collector for Waits {
    fn wanted(&self) -> Wanted {
        Wanted { transfer: true, ..Wanted::default() }
    }

    fn fresh(&self) -> Self {
        Self { groups: HashMap::new(), total: 0, ..self.clone() }
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        match socket.transfer()? {
            Some(transfer) => self.add_transfer(netns, socket, &transfer),
            None => Ok(()),
        }
    }

    fn merge(&mut self, dump: Self) {
        self.total += dump.total;
        for (group, longest) in dump.groups {
            self.count(group, longest);
        }
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        found.extend(self.groups.keys().filter_map(|group| group.interface()));
    }
}
