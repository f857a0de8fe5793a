//! Addresses and endpoints as group keys.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::vocabulary::NetnsIndex;

/// An address; an IPv4-mapped address is kept as its IPv4 address. A link-local address means
/// another host on every link: it includes the interface, where the source reports the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    ip: IpAddr,
    // 0: no interface, or an interface that the source does not report.
    interface: u32,
    // An interface index is valid in one network namespace. Without an interface this is `OWN`.
    netns: NetnsIndex,
}

impl Address {
    /// The address of one end of a connection in a network namespace. Its scope id is the
    /// interface.
    #[inline]
    #[must_use]
    pub fn within(end: SocketAddr, netns: NetnsIndex) -> Self {
        match end {
            // A multicast address keeps no interface: ff02::fb is the same service on every link.
            SocketAddr::V6(end) if end.ip().is_unicast_link_local() && end.scope_id() != 0 => {
                Self { ip: IpAddr::V6(*end.ip()), interface: end.scope_id(), netns }
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => Self::from(end.ip()),
        }
    }

    /// The IP address without the interface.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.ip
    }

    /// The interface of a link-local address, where it is known.
    #[inline]
    #[must_use]
    pub fn interface(self) -> Option<InterfaceIndex> {
        (self.interface != 0).then_some((self.netns, self.interface))
    }
}

/// A network interface: its namespace and its index there (`netdevice(7)`).
pub type InterfaceIndex = (NetnsIndex, u32);

/// The names of interfaces.
pub type InterfaceNames = HashMap<InterfaceIndex, Arc<str>>;

/// An address with a port, in its network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// The port.
    pub port: u16,
    /// The namespace.
    pub netns: NetnsIndex,
}

impl Endpoint {
    /// One end of a connection in a network namespace.
    #[inline]
    #[must_use]
    pub fn within(end: SocketAddr, netns: NetnsIndex) -> Self {
        Self { address: Address::within(end, netns), port: end.port(), netns }
    }

    /// `192.0.2.7:443` or `[2001:db8::7]:443`, with `address` as the text of the address.
    #[must_use]
    pub fn shown(self, address: &str) -> String {
        with_port(self.address.ip, address, self.port)
    }
}

/// An address as it is printed, with the name of its interface: `192.0.2.7` or `fe80::1%eth0`.
#[must_use]
pub fn with_interface(ip: IpAddr, interface: Option<&str>) -> String {
    interface.map_or_else(|| ip.to_string(), |name| format!("{ip}%{name}"))
}

/// `192.0.2.7:443` or `[2001:db8::7]:443`, with `address` as the text of `ip`.
#[must_use]
pub fn with_port(ip: IpAddr, address: &str, port: u16) -> String {
    if ip.is_ipv4() { format!("{address}:{port}") } else { format!("[{address}]:{port}") }
}

/// A unix socket in its network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixSocket {
    /// The number that the kernel gives to this socket alone.
    pub cookie: u64,
    /// The namespace.
    pub netns: NetnsIndex,
}

/// A bare IP address has no interface.
impl From<IpAddr> for Address {
    #[inline]
    fn from(ip: IpAddr) -> Self {
        Self { ip: ip.to_canonical(), interface: 0, netns: NetnsIndex::OWN }
    }
}

/// Leaves the family out of the hash: hashing it takes measurable time at a million sockets.
impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.ip {
            IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => state.write_u128(ip.to_bits()),
        }
        if let Some((netns, interface)) = self.interface() {
            netns.hash(state);
            state.write_u32(interface);
        }
    }
}

/// Hashes port and namespace in one call: a second call takes measurable time at a million sockets.
impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { address, port, netns: NetnsIndex(netns) } = self;
        address.hash(state);
        state.write_u32(u32::from(*port) << 16 | u32::from(*netns));
    }
}

/// `fe80::1%2`, with the index of the interface.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interface() {
            None => self.ip.fmt(f),
            Some((_, interface)) => write!(f, "{}%{interface}", self.ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};
    use std::net::{Ipv6Addr, SocketAddrV6};

    use super::*;

    #[test]
    fn only_a_link_local_address_has_an_interface() {
        for (ip, shown) in [
            ("fe80::1", "fe80::1%7"),
            ("febf:ffff::1", "febf:ffff::1%7"),
            ("fec0::1", "fec0::1"),
            ("fe7f::1", "fe7f::1"),
            ("ff02::1", "ff02::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:169.254.0.1", "169.254.0.1"),
        ] {
            let parsed: Ipv6Addr = ip.parse().unwrap_or_else(|e| panic!("{ip}: {e}"));
            let address =
                Address::within(SocketAddrV6::new(parsed, 80, 0, 7).into(), NetnsIndex::OWN);
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.ip(), IpAddr::V6(parsed).to_canonical());
            assert_eq!(address.interface().is_some(), shown.ends_with("%7"));
            // Without a scope id the address has no interface.
            let unscoped = Address::within(SocketAddr::new(parsed.into(), 80), NetnsIndex::OWN);
            assert_eq!(unscoped, Address::from(IpAddr::V6(parsed)));
            assert_eq!(unscoped.to_string(), shown.trim_end_matches("%7"));
        }
    }

    #[test]
    fn addresses_hash_by_ip_and_interface() {
        let hasher = RandomState::new();
        let hash = |ip: &str, scope| {
            let ip = ip.parse().unwrap_or_else(|e| panic!("{ip}: {e}"));
            hasher.hash_one(Address::within(
                SocketAddrV6::new(ip, 80, 0, scope).into(),
                NetnsIndex::OWN,
            ))
        };
        assert_eq!(hash("fe80::1", 7), hash("fe80::1", 7));
        assert_ne!(hash("fe80::1", 7), hash("fe80::1", 8));
        assert_ne!(hash("fe80::1", 7), hash("fe80::2", 7));
        assert_ne!(hash("::ffff:192.0.2.1", 0), hash("::ffff:192.0.2.2", 0));
    }
    #[test]
    fn endpoints_hash_by_port_and_namespace() {
        let hasher = RandomState::new();
        let hash = |end: &str, net| {
            let end: SocketAddr = end.parse().unwrap_or_else(|e| panic!("{end}: {e}"));
            hasher.hash_one(Endpoint::within(end, NetnsIndex(net)))
        };
        assert_eq!(hash("192.0.2.1:80", 0), hash("[::ffff:192.0.2.1]:80", 0));
        assert_ne!(hash("192.0.2.1:80", 0), hash("192.0.2.1:81", 0));
        assert_ne!(hash("192.0.2.1:80", 0), hash("192.0.2.2:80", 0));
        assert_ne!(hash("192.0.2.1:80", 0), hash("192.0.2.1:80", 1));
        // A port and a namespace with the same number hash differently.
        assert_ne!(hash("192.0.2.1:1", 0), hash("192.0.2.1:0", 1));
    }
}
