//! The accept queues of listeners.

use std::collections::{HashMap, HashSet};

use crate::address::{InterfaceIndex, UnixSocket};
use crate::collect::collector::Collector;
use crate::error::{Error, Optional};
use crate::group::{Group, GroupBy};
use crate::measure::share::{Share, fuller};
use crate::socket::{Socket, Wanted};
use crate::vocabulary::NetnsIndex;

/// The accept queue of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Queue {
    /// The connections that wait to be accepted.
    pub waiting: u64,
    /// The limit, and the drops.
    pub share: Share,
}

impl Queue {
    /// The queue of a listening socket.
    pub fn of(socket: &impl Socket) -> Result<Self, Error> {
        let (waiting, limit) = socket.backlog()?;
        let share = Share {
            of: limit.into(),
            drops: socket.drops().optional()?.map(u64::from),
            ..Share::default()
        };
        Ok(Self { waiting: waiting.into(), share })
    }
}

/// Collects the accept queues of listening sockets. Of several sockets with the same address and
/// port the fullest counts, because the kernel chooses the socket that a connection waits at.
#[derive(Debug, Default)]
pub struct Queues {
    /// The queue of each listener.
    pub queues: HashMap<Group, Queue>,
    /// The names of the unix listeners.
    pub unix: HashMap<UnixSocket, String>,
}

impl Queues {
    fn insert(&mut self, listener: Group, queue: Queue) {
        self.queues
            .entry(listener)
            .and_modify(|known| {
                let (waiting, share) =
                    fuller((known.waiting, known.share), (queue.waiting, queue.share));
                *known = Queue { waiting, share };
            })
            .or_insert(queue);
    }
}

impl Collector for Queues {
    fn wanted(&self) -> Wanted {
        Wanted { memory: true, ..Wanted::default() }
    }

    fn fresh(&self) -> Self {
        Self::default()
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let listener = GroupBy::LocalEndpoint.group(netns, socket)?;
        if let (Group::Unix(listener), Some(name)) = (listener, socket.unix()) {
            self.unix.insert(listener, name.label.clone());
        }
        self.insert(listener, Queue::of(socket)?);
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.unix.extend(dump.unix);
        for (listener, queue) in dump.queues {
            self.insert(listener, queue);
        }
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        found.extend(self.queues.keys().filter_map(|listener| listener.interface()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Endpoint;

    #[test]
    fn the_fullest_queue_counts_and_drops_are_added_up() {
        let end = "[::]:443".parse().unwrap_or_else(|e| panic!("{e}"));
        let endpoint = Group::Endpoint(Endpoint::within(end, NetnsIndex::OWN));
        let mut queues = Queues::default();
        for (waiting, of, drops) in
            [(2, 5, Some(1)), (1, 100, None), (3, 5, Some(0)), (2, 5, Some(7)), (3, 5, None)]
        {
            queues.insert(
                endpoint,
                Queue { waiting, share: Share { of, drops, ..Share::default() } },
            );
        }
        let queue = queues.queues.get(&endpoint).map(|queue| (queue.waiting, queue.share));
        assert_eq!(queue, Some((3, Share { of: 5, drops: Some(8), ..Share::default() })));
    }
}
