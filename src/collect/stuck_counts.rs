//! The connections that have been stuck for long enough, by kind, port and owner.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::collect::collector::{Collector, NetnsFacts};
use crate::collect::waits::Waits;
use crate::error::{Error, Optional};
use crate::listeners::Listeners;
use crate::selection::{Certainty, StuckFor, found};
use crate::socket::{Socket, Wanted};
use crate::stuck::{StuckKind, Wait};
use crate::vocabulary::{ConnectionStatus, NetnsIndex};

/// The port that a program serves, or that it connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The local port of incoming connections.
    At(u16),
    /// The remote port of outgoing connections.
    To(u16),
}

/// `at port 8080`, or `to port 5432`
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(port) => write!(f, "at port {port}"),
            Self::To(port) => write!(f, "to port {port}"),
        }
    }
}

/// The connections of one kind, with one port and one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pile {
    /// The kind.
    pub kind: StuckKind,
    /// The port.
    pub place: Place,
    /// The key of the processes, where the source reports it.
    pub process: Option<u64>,
    /// The cgroup, where the source reports it.
    pub cgroup: Option<u64>,
}

/// A number of stuck connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Number {
    /// The connections that certainly have been stuck for so long.
    pub count: u64,
    /// The further connections that may have been.
    pub doubtful: u64,
    /// The longest time.
    pub wait: Wait,
}

impl Number {
    /// Adds other connections.
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.doubtful += other.doubtful;
        self.wait = self.wait.longer(other.wait);
    }
}

/// Counts the connections that have been stuck for at least the seconds of their kind. A connection of
/// several kinds counts for each; an outgoing one that the peer has closed is not unread.
#[derive(Clone, Debug)]
pub struct StuckCounts {
    rules: Vec<StuckFor>,
    listeners: Option<Arc<Listeners>>,
    /// The longest time of each kind.
    pub waits: Waits,
    /// The connections.
    pub piles: HashMap<Pile, Number>,
}

impl StuckCounts {
    /// An empty collector with the seconds of each kind. `waits` gets every connection, so that the facts
    /// of each are decoded once.
    #[must_use]
    pub fn new(rules: Vec<StuckFor>, waits: Waits) -> Self {
        Self { rules, listeners: None, waits, piles: HashMap::new() }
    }
}

impl Collector for StuckCounts {
    fn wanted(&self) -> Wanted {
        Wanted { transfer: true, ..Wanted::default() }
    }

    fn fresh(&self) -> Self {
        let empty = Self::new(self.rules.clone(), self.waits.fresh());
        Self { listeners: self.listeners.clone(), ..empty }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.listeners.clone_from(&facts.listeners);
        Ok(())
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let Some(transfer) = socket.transfer()? else {
            return Ok(());
        };
        self.waits.add_transfer(netns, socket, &transfer)?;
        for (kind, wait) in found(&self.rules, &transfer) {
            let certainties = self.rules.iter().map(|rule| rule.selects_time(kind, wait));
            let is_certain = certainties.max() == Some(Certainty::Yes);
            let local = socket.local()?.port();
            let serves = |known: &Arc<Listeners>| known.ports.contains(&local);
            let is_served = self.listeners.as_ref().is_some_and(serves);
            let is_outgoing = self.listeners.as_ref().is_some_and(|known| !serves(known));
            // The last words of a server that has closed an idle connection of a pool: TLS says that it
            // closes, SMTP and PostgreSQL name the reason. That the client has not closed is another kind.
            if kind == StuckKind::Unread
                && socket.status() == ConnectionStatus::CloseWait
                && is_outgoing
            {
                continue;
            }
            let pile = Pile {
                kind,
                place: if is_served {
                    Place::At(local)
                } else {
                    Place::To(socket.remote()?.port())
                },
                process: socket.process_key().optional()?,
                cgroup: socket.cgroup().optional()?.flatten(),
            };
            let number = Number { count: is_certain.into(), doubtful: (!is_certain).into(), wait };
            self.piles.entry(pile).or_default().add(number);
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.waits.merge(dump.waits);
        for (pile, number) in dump.piles {
            self.piles.entry(pile).or_default().add(number);
        }
    }
}

/// The most connections that each kind has with one port, whoever has them.
#[must_use]
pub fn by_place(piles: &HashMap<Pile, Number>) -> HashMap<(StuckKind, Place), Number> {
    let mut sums: HashMap<_, Number> = HashMap::new();
    for (pile, number) in piles {
        sums.entry((pile.kind, pile.place)).or_default().add(*number);
    }
    sums
}
