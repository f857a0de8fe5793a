//! Linux: TCP connections in `ESTABLISHED`, and UDP sockets, from the kernel's counters
//! (`/proc/net/{sockstat,sockstat6}`, `proc_net(5)`).
//!
//! Most sockets of a busy host are in `ESTABLISHED`. They need not be dumped to be counted: their
//! number is the kernel's counter of full sockets minus the full sockets in a dump of all other
//! states.

use std::net::SocketAddr;

use crate::collect::Collector;
use crate::error::Error;
use crate::name::Named;
use crate::namespaces::View;
use crate::selection::{Choice, Selection};
use crate::socket::Socket;
use crate::source::dump::Dump;
use crate::source::linux::{procfs, sock_diag};
use crate::vocabulary::{ConnectionStatus, ConnectionType, NetnsIndex, Protocol};

/// The number of sockets between two checks of the deadline.
const DEADLINE_INTERVAL: u64 = 1 << 16;

/// Hands every selected socket to `collector`. Sockets that were only counted have neither ports nor
/// addresses nor owners.
pub fn read<C: Collector>(dump: &Dump, collector: &mut C) -> Result<(), Error> {
    let Dump { protocol, selection, netns, deadline, .. } = *dump;
    let status = match protocol {
        Protocol::Tcp => ConnectionStatus::Established,
        Protocol::Udp => ConnectionStatus::None,
        Protocol::Unix => {
            return Err(Error::Unsupported("the counters have no unix sockets".to_owned()));
        }
    };
    if !selection.statuses.contains(status) {
        return sock_diag::read(dump, collector);
    }
    let types: Vec<_> = selection.types_of(protocol).collect();
    let collected = collector.fresh();
    let mut unlisted = TeeUnlisted { selection: selection.clone(), full: [0; TYPES], collected };
    if protocol == Protocol::Tcp {
        let mut statuses = ConnectionStatus::VALUES.to_vec();
        statuses.retain(|other| *other != status);
        let statuses = Choice::of(&statuses);
        let others = Selection { types: Choice::of(&types), statuses, ..Selection::default() };
        sock_diag::read(&Dump { selection: &others, ..*dump }, &mut unlisted)?;
    }
    // Read after the dump, so that a socket that is there all the time is in both.
    let sockstat = procfs::sockstat(&View::Inside)?;
    for connection_type in types {
        let in_use = sockstat.in_use(connection_type)?;
        let full = unlisted.full.get(connection_type as usize).copied().unwrap_or(0);
        for number in 0..rest(connection_type, in_use, full)? {
            if number % DEADLINE_INTERVAL == 0 {
                deadline.check()?;
            }
            unlisted.collected.add(netns, &Counted { connection_type, status })?;
        }
    }
    collector.merge(unlisted.collected);
    Ok(())
}

/// The number of full sockets of a type that the dump did not show.
fn rest(connection_type: ConnectionType, in_use: u64, shown: u64) -> Result<u64, Error> {
    in_use.checked_sub(shown).ok_or_else(|| {
        let name = connection_type.name();
        Error::Garbled(format!("{in_use} {name} sockets are counted and {shown} others shown"))
    })
}

const TYPES: usize = ConnectionType::VALUES.len();

/// Passes on the selected sockets of a dump, and counts all full sockets: the kernel's counters
/// have full sockets only.
struct TeeUnlisted<C> {
    selection: Selection,
    full: [u64; TYPES],
    collected: C,
}

impl<C: Collector> Collector for TeeUnlisted<C> {
    fn fresh(&self) -> Self {
        let (selection, collected) = (self.selection.clone(), self.collected.fresh());
        Self { selection, full: [0; TYPES], collected }
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        if let Some(full) = self.full.get_mut(socket.connection_type() as usize) {
            *full += u64::from(socket.is_full()?);
        }
        if self.selection.matches(socket)? { self.collected.add(netns, socket) } else { Ok(()) }
    }

    fn merge(&mut self, dump: Self) {
        for (sum, count) in self.full.iter_mut().zip(dump.full) {
            *sum += count;
        }
        self.collected.merge(dump.collected);
    }
}

/// A socket that was counted and not dumped.
struct Counted {
    connection_type: ConnectionType,
    status: ConnectionStatus,
}

impl Socket for Counted {
    fn connection_type(&self) -> ConnectionType {
        self.connection_type
    }

    fn status(&self) -> ConnectionStatus {
        self.status
    }

    fn local(&self) -> Result<SocketAddr, Error> {
        Err(Error::Unsupported("the counters tell no addresses".to_owned()))
    }

    fn remote(&self) -> Result<SocketAddr, Error> {
        self.local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_below_the_number_of_shown_sockets_is_an_error() {
        let rest = |in_use, shown| rest(ConnectionType::Tcp6, in_use, shown);
        assert!(matches!(rest(5, 5), Ok(0)));
        assert!(matches!(rest(5, 2), Ok(3)));
        let error = rest(4, 5).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("4 tcp6 sockets are counted and 5 others shown"));
    }
}
