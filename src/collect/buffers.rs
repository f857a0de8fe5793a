//! The receive buffers of UDP sockets.

use std::collections::{HashMap, HashSet};

use crate::address::{Endpoint, InterfaceIndex};
use crate::collect::collector::Collector;
use crate::error::{Error, Optional};
use crate::group::End;
use crate::measure::share::{Share, fuller};
use crate::socket::{Socket, Wanted};
use crate::vocabulary::NetnsIndex;

/// The receive buffer of a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Buffer {
    /// The bytes of memory that received packets take. That is more than their data.
    pub bytes: u64,
    /// The limit, and the packets that were dropped.
    pub share: Share,
}

impl Buffer {
    /// The buffer of a UDP socket.
    pub fn of(socket: &impl Socket) -> Result<Self, Error> {
        let (bytes, limit) = socket.receive_buffer()?;
        let share = Share {
            of: limit.into(),
            drops: socket.drops().optional()?.map(u64::from),
            ..Share::default()
        };
        Ok(Self { bytes: bytes.into(), share })
    }

    /// Whether the bytes can be no sum of packets: some kernels let the sum of a large buffer run
    /// below 0.
    const fn is_absurd(self) -> bool {
        self.bytes > 1 << 31 && self.bytes > 4 * self.share.of
    }
}

/// The buffers of the sockets with one address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fullest {
    /// The fullest buffer, with the drops of all.
    pub buffer: Buffer,
    /// The further bytes that there may be: an absurd number is anything from 0 to itself.
    pub doubtful: u64,
}

/// Collects the receive buffers of bound UDP sockets.
#[derive(Debug, Default)]
pub struct Buffers(pub HashMap<Endpoint, Fullest>);

impl Buffers {
    fn insert(&mut self, endpoint: Endpoint, found: Fullest) {
        self.0
            .entry(endpoint)
            .and_modify(|known| {
                let (one, other) = (known.buffer, found.buffer);
                let (bytes, share) = fuller((one.bytes, one.share), (other.bytes, other.share));
                let doubtful = known.doubtful.max(found.doubtful);
                *known = Fullest { buffer: Buffer { bytes, share }, doubtful };
            })
            .or_insert(found);
    }
}

impl Collector for Buffers {
    fn wanted(&self) -> Wanted {
        Wanted { memory: true, ..Wanted::default() }
    }

    fn fresh(&self) -> Self {
        Self::default()
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        let endpoint = End::Local.endpoint(netns, socket)?;
        // A socket without a port gets no packets.
        if endpoint.port == 0 {
            return Ok(());
        }
        let buffer = Buffer::of(socket)?;
        let found = if buffer.is_absurd() {
            Fullest { buffer: Buffer { bytes: 0, ..buffer }, doubtful: buffer.bytes }
        } else {
            Fullest { buffer, doubtful: 0 }
        };
        self.insert(endpoint, found);
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for (endpoint, found) in dump.0 {
            self.insert(endpoint, found);
        }
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        found.extend(self.0.keys().filter_map(|endpoint| endpoint.address.interface()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: u64, of: u64, drops: u64) -> Buffer {
        Buffer { bytes, share: Share { of, drops: Some(drops), ..Share::default() } }
    }

    #[test]
    fn the_fullest_buffer_counts_with_all_drops_and_doubts() {
        let end = "0.0.0.0:53".parse().unwrap_or_else(|e| panic!("{e}"));
        let endpoint = Endpoint::within(end, NetnsIndex::OWN);
        let mut buffers = Buffers::default();
        for (buffer, doubtful) in
            [(buffer(100, 1000, 1), 0), (buffer(90, 500, 2), 0), (buffer(0, 500, 4), 7)]
        {
            buffers.insert(endpoint, Fullest { buffer, doubtful });
        }
        let expected = Fullest { buffer: buffer(90, 500, 7), doubtful: 7 };
        assert_eq!(buffers.0.get(&endpoint), Some(&expected));
    }

    #[test]
    fn a_negative_sum_is_absurd_and_a_large_one_is_not() {
        for (bytes, of, expected) in [
            (8448, 8192, false),
            (1 << 20, 4608, false),
            (u64::from(u32::MAX) - 4095, 212_992, true),
            ((1 << 31) + 1, 1 << 30, false),
            ((1 << 31) + 1, 1 << 28, true),
        ] {
            assert_eq!(buffer(bytes, of, 0).is_absurd(), expected, "{bytes} of {of}");
        }
    }
}
