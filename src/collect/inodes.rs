//! Sockets that are looked for by their inode number, and the number of all TCP sockets that a process
//! has or can accept.

use std::collections::HashSet;
use std::sync::Arc;

use crate::collect::collector::Collector;
use crate::error::Error;
use crate::socket::Socket;
use crate::vocabulary::{ConnectionStatus, NetnsIndex, Protocol};

/// Collects the sockets with some inode numbers.
#[derive(Clone, Debug, Default)]
pub struct Inodes {
    wanted: Arc<HashSet<u64>>,
    /// The inode numbers that were found.
    pub found: HashSet<u64>,
    /// The number of all full TCP sockets without orphans, which no process has any more.
    pub tcp: u64,
}

/// The states of orphans: a process has closed the connection, and the kernel ends it.
const OF_ORPHANS: [ConnectionStatus; 4] = [
    ConnectionStatus::FinWait1,
    ConnectionStatus::FinWait2,
    ConnectionStatus::Closing,
    ConnectionStatus::LastAck,
];

impl Inodes {
    /// An empty collector of sockets with these inode numbers.
    #[must_use]
    pub fn new(wanted: HashSet<u64>) -> Self {
        Self { wanted: Arc::new(wanted), ..Self::default() }
    }
}

impl Collector for Inodes {
    fn fresh(&self) -> Self {
        Self { wanted: Arc::clone(&self.wanted), ..Self::default() }
    }

    fn add(&mut self, _: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let is_tcp = socket.connection_type().protocol() == Protocol::Tcp;
        let inode = socket.inode()?;
        let is_orphan = inode == 0 && OF_ORPHANS.contains(&socket.status());
        self.tcp += u64::from(is_tcp && !is_orphan && socket.is_full()?);
        if self.wanted.contains(&inode) {
            self.found.insert(inode);
        }
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        self.found.extend(dump.found);
        self.tcp += dump.tcp;
    }
}
