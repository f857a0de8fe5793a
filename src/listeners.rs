//! The listeners of a network namespace: the owners of connections that wait to be accepted.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::vocabulary::{ConnectionType, NetnsIndex};

/// The bit that keys of several listeners have. Keys of sockets lack it: inode numbers of sockets
/// have 32 bits.
const SEVERAL: u64 = 1 << 63;

/// The key of connections whose listener was not found: their packets were redirected to another
/// port, say, or the listener was made after listeners were read.
pub const UNKNOWN_LISTENER: u64 = SEVERAL;

/// Whether a key stands for several listeners, or for an unknown listener.
#[must_use]
pub const fn is_of_several(key: u64) -> bool {
    key & SEVERAL != 0
}

/// The most listeners of one port that are candidates. The listener of a connection is unknown where
/// a port has more.
const MOST: usize = 256;

/// A connection type, an address and a port on which a listener waits.
pub type End = (ConnectionType, IpAddr, u16);

/// The owner of a listener, as far as the source reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The key of its processes.
    pub key: Option<u64>,
    /// The user who made it.
    pub uid: Option<u32>,
}

/// The listeners of a network namespace.
#[derive(Debug, Default)]
pub struct Listeners {
    /// The ports that have a listener.
    pub ports: HashSet<u16>,
    owners: HashMap<End, Owner, RandomState>,
    several: HashMap<u64, Arc<[u64]>>,
}

impl Listeners {
    /// The listeners of this namespace.
    #[must_use]
    pub fn new(netns: NetnsIndex, ends: &HashMap<End, Vec<Owner>>) -> Self {
        let mut listeners = Self::default();
        // In the same order every time: the keys of several listeners are the same in the next dump.
        let mut sorted: Vec<_> = ends.keys().collect();
        sorted.sort_unstable();
        for end in sorted {
            listeners.ports.insert(end.2);
            // The kernel prefers a listener on the address itself. A connection may wait at a
            // listener on every address, though: it came before the other listener was made.
            let any = any(*end);
            let others = (any != *end).then(|| ends.get(&any)).flatten();
            let both = ends.get(end).into_iter().chain(others).flatten();
            let owner = listeners.one_of(netns, both.take(MOST + 1));
            listeners.owners.insert(*end, owner);
        }
        listeners
    }

    fn one_of<'a>(&mut self, netns: NetnsIndex, all: impl Iterator<Item = &'a Owner>) -> Owner {
        let (mut keys, mut users) = (Vec::new(), Vec::new());
        for owner in all {
            keys.push(owner.key);
            users.push(owner.uid);
        }
        keys.sort_unstable();
        keys.dedup();
        users.sort_unstable();
        users.dedup();
        let uid = if let [uid] = *users { uid } else { None };
        let key = match *keys {
            [key] => key,
            ref keys if keys.len() > MOST => Some(UNKNOWN_LISTENER),
            ref keys => {
                let number = self.several.len() as u64 + 1;
                let key = SEVERAL | u64::from(netns.0) << 40 | number;
                self.several.insert(key, keys.iter().copied().flatten().collect());
                Some(key)
            }
        };
        Owner { key, uid }
    }

    /// The keys of several listeners, with the keys of each of them.
    pub fn several(&self) -> impl Iterator<Item = (u64, Arc<[u64]>)> {
        self.several.iter().map(|(key, keys)| (*key, Arc::clone(keys)))
    }

    /// Whether a listener waits on this end.
    #[inline]
    #[must_use]
    pub fn wait_on(&self, connection_type: ConnectionType, local: SocketAddr) -> bool {
        let end = (connection_type, local.ip(), local.port());
        let has = |end: End| self.owners.contains_key(&end);
        let mapped = (connection_type, MAPPED_ANY, local.port());
        let is_mapped = || local.is_ipv6() && local.ip().to_canonical().is_ipv4();
        self.ports.contains(&local.port())
            && (has(end) || has(any(end)) || is_mapped() && has(mapped))
    }

    /// The owner of the listener at which a connection waits.
    #[must_use]
    pub fn owner(&self, connection_type: ConnectionType, local: SocketAddr) -> Owner {
        let end = (connection_type, local.ip(), local.port());
        let owner = self.owners.get(&end).or_else(|| self.owners.get(&any(end))).copied();
        owner.unwrap_or(Owner { key: Some(UNKNOWN_LISTENER), uid: None })
    }
}

/// The address of a listener of IPv6 that waits on every IPv4-mapped address.
const MAPPED_ANY: IpAddr = IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped());

/// The end with every address of its family.
fn any((connection_type, _, port): End) -> End {
    let address = if connection_type.is_ipv6() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    (connection_type, address, port)
}
