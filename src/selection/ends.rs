//! Ports and addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::error::Error;
use crate::selection::among::Set;

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

impl Ports {
    /// This port alone.
    #[must_use]
    pub const fn of(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// The number of ports.
    #[must_use]
    pub fn count(self) -> u64 {
        u64::from(self.last.saturating_sub(self.first)) + 1
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl Set for Ports {
    fn is_within(&self, other: &Self) -> bool {
        other.first <= self.first && self.last <= other.last
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn are_everything(sets: &[Self]) -> bool {
        sets.contains(&Self { first: 0, last: u16::MAX })
    }
}

/// `443` or `8000-8099`.
impl FromStr for Ports {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |digits: &str| {
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            (Some(first), Some(last)) => Err(Error::Argument(format!(
                "{text:?} ends before it begins (valid: {last}-{first})"
            ))),
            _ => Err(Error::Argument(format!(
                "{text:?} is no port from 0 to 65535 and no range like 8000-8099"
            ))),
        }
    }
}

/// An IP address, or all addresses with the same prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    /// The address, all bits after the prefix unset.
    pub address: IpAddr,
    /// The length of the prefix in bits.
    pub prefix: u8,
}

impl Network {
    /// The IPv4-mapped addresses (RFC 4291, section 2.5.5.2).
    pub const MAPPED: Self =
        Self { address: IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()), prefix: 96 };

    /// This address alone.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The network of an address: 24 bits of an IPv4 address, 64 bits of an IPv6 address. An
    /// IPv4-mapped address is an IPv4 address. The address of every interface, and `::1`, are alone.
    #[must_use]
    pub fn around(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_unspecified() => Self::of(address),
            IpAddr::V4(v4) => {
                let prefix = 24;
                Self { address: Ipv4Addr::from_bits(v4.to_bits() & v4_mask(prefix)).into(), prefix }
            }
            IpAddr::V6(v6) if v6.is_loopback() => Self::of(v6.into()),
            IpAddr::V6(v6) => {
                let prefix = 64;
                Self { address: Ipv6Addr::from_bits(v6.to_bits() & v6_mask(prefix)).into(), prefix }
            }
        }
    }

    /// The network with IPv4-mapped addresses as IPv4 addresses.
    #[must_use]
    pub fn canonical(self) -> Self {
        match (self.address.to_canonical(), self.prefix.checked_sub(Self::MAPPED.prefix)) {
            (address @ IpAddr::V4(_), Some(prefix)) if self.address.is_ipv6() => {
                Self { address, prefix }
            }
            (IpAddr::V4(_) | IpAddr::V6(_), _) => self,
        }
    }

    /// `192.0.2.7` for one address, `192.0.2.0/24` for a network.
    #[must_use]
    pub fn shown(&self) -> String {
        if *self == Self::of(self.address) { self.address.to_string() } else { self.to_string() }
    }

    /// Whether `address` is in it. An IPv4 network has the IPv4-mapped IPv6 addresses too. An IPv6
    /// network has them only where it has nothing else: they are addresses of IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()) & v4_mask(self.prefix) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(address)) => {
                address.to_ipv4_mapped().is_some_and(|address| self.contains(address.into()))
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()) & v6_mask(self.prefix) == 0
                    && (self.prefix >= Self::MAPPED.prefix || address.to_ipv4_mapped().is_none())
            }
            (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl Network {
    /// Whether the IPv4-mapped addresses lie among its addresses, and do not belong to it.
    #[must_use]
    pub fn surrounds_mapped(&self) -> bool {
        match (self.address, Self::MAPPED.address) {
            (IpAddr::V6(network), IpAddr::V6(mapped)) => {
                self.prefix < Self::MAPPED.prefix
                    && (network.to_bits() ^ mapped.to_bits()) & v6_mask(self.prefix) == 0
            }
            (IpAddr::V4(_), _) | (_, IpAddr::V4(_)) => false,
        }
    }
}

impl Set for Network {
    fn is_within(&self, other: &Self) -> bool {
        let prefix = match (self.address, other.address) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => other.prefix,
            (IpAddr::V6(_), IpAddr::V4(_)) => other.prefix + Self::MAPPED.prefix,
            (IpAddr::V4(_), IpAddr::V6(_)) => return false,
        };
        // Both may surround the IPv4-mapped addresses: the first one is not that of such an address.
        prefix <= self.prefix && other.contains(self.address)
    }

    fn are_everything(sets: &[Self]) -> bool {
        let has = |address: IpAddr| sets.contains(&Self { address, prefix: 0 });
        has(Ipv4Addr::UNSPECIFIED.into()) && has(Ipv6Addr::UNSPECIFIED.into())
    }
}

fn v4_mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn v6_mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

/// `192.0.2.7`, `192.0.2.0/24` or `2001:db8::/32`.
impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        if let Ok(end) = text.parse::<SocketAddr>() {
            return Err(Error::Argument(format!(
                "{text:?} has a port, and ports have options of their own (valid: {})",
                end.ip()
            )));
        }
        let address: IpAddr = address.parse().map_err(|_| {
            Error::Argument(format!(
                "{text:?} is no IP address or network like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"
            ))
        })?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) => Some(digits)
                .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok())
                .filter(|prefix| *prefix <= bits)
                .ok_or_else(|| {
                    Error::Argument(format!("{text:?}: the prefix is not from 0 to {bits}"))
                })?,
        };
        let network = match address {
            IpAddr::V4(v4) => IpAddr::from((v4.to_bits() & v4_mask(prefix)).to_be_bytes()),
            IpAddr::V6(v6) => IpAddr::from((v6.to_bits() & v6_mask(prefix)).to_be_bytes()),
        };
        if network == address {
            Ok(Self { address, prefix })
        } else {
            Err(Error::Argument(format!(
                "{text:?} has bits set after its prefix (valid: {network}/{prefix} or {address})"
            )))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_ports_and_networks_name_a_valid_form() {
        let ports = |text: &str| text.parse::<Ports>().map_err(|e| e.to_string());
        assert_eq!(ports("8000-8099"), Ok(Ports { first: 8000, last: 8099 }));
        assert_eq!(ports("0"), Ok(Ports { first: 0, last: 0 }));
        for bad in ["", "65536", "-1", "1-", "-", "1-2-3", "+5", "http", "5 "] {
            assert!(ports(bad).is_err_and(|e| e.contains("0 to 65535")), "{bad}");
        }
        assert_eq!(ports("9-5"), Err("\"9-5\" ends before it begins (valid: 5-9)".to_owned()));
        let network = |text: &str| text.parse::<Network>().map_err(|e| e.to_string());
        assert_eq!(
            network("[2001:db8::1]:443"),
            Err("\"[2001:db8::1]:443\" has a port, and ports have options of their own (valid: \
                 2001:db8::1)"
                .to_owned())
        );
        for bad in ["", "192.0.2", "192.0.2.0/33", "2001:db8::/129", "::/x", "::/", "fe80::1%lo"] {
            assert!(network(bad).is_err(), "{bad}");
        }
        assert_eq!(
            network("192.0.2.7/24"),
            Err(
                "\"192.0.2.7/24\" has bits set after its prefix (valid: 192.0.2.0/24 or 192.0.2.7)"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_network_contains_its_addresses_and_an_ipv4_network_also_the_mapped_ones() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.0/24", "::ffff:192.0.2.1", "::192.0.2.1"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("::/0", "::1", "127.0.0.1"),
            ("::/0", "2001:db8::1", "::ffff:127.0.0.1"),
            ("::/80", "::1", "::ffff:127.0.0.1"),
            ("::ffff:0:0/96", "::ffff:127.0.0.1", "127.0.0.1"),
            ("::ffff:192.0.2.0/120", "::ffff:192.0.2.1", "::ffff:192.0.3.1"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
        ] {
            let network: Network = network.parse().unwrap_or_else(|e| panic!("{e}"));
            let address = |text: &str| text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(network.contains(address(inside)), "{inside} in {network}");
            assert!(!network.contains(address(outside)), "{outside} not in {network}");
        }
    }

    #[test]
    fn an_address_has_a_network_around_it() {
        for (address, network) in [
            ("192.0.2.7", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.0/24"),
            ("127.0.0.1", "127.0.0.0/24"),
            ("2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"),
            ("fe80::1", "fe80::/64"),
            ("0.0.0.0", "0.0.0.0"),
            ("::", "::"),
            ("::1", "::1"),
        ] {
            let parsed = address.parse().unwrap_or_else(|e| panic!("{address}: {e}"));
            assert_eq!(Network::around(parsed).shown(), network);
            assert!(Network::around(parsed).contains(parsed));
        }
        for (text, canonical) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("10.0.0.0/8", "10.0.0.0/8"),
        ] {
            let network: Network = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(network.canonical().to_string(), canonical);
        }
    }

    #[test]
    fn a_network_may_lie_within_another() {
        for (inner, outer, expected) in [
            ("10.1.0.0/16", "10.0.0.0/8", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.0.0.0/8", "10.1.0.0/16", false),
            ("11.0.0.0/16", "10.0.0.0/8", false),
            ("::ffff:10.1.0.0/112", "10.0.0.0/8", true),
            ("::ffff:0:0/96", "10.0.0.0/8", false),
            ("10.0.0.0/8", "::ffff:0:0/96", false),
            ("::ffff:10.1.0.0/112", "::/0", false),
            ("2001:db8::/32", "::/0", true),
            ("::/8", "::/0", true),
            ("2001:db8::/32", "0.0.0.0/0", false),
        ] {
            let network = |text: &str| text.parse::<Network>().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(network(inner).is_within(&network(outer)), expected, "{inner} {outer}");
        }
        for (network, expected) in [
            ("::/0", true),
            ("::fffe:0:0/95", true),
            ("::/95", false),
            ("::ffff:0:0/96", false),
            ("2001::/16", false),
        ] {
            let parsed: Network = network.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(parsed.surrounds_mapped(), expected, "{network}");
        }
        assert!(!Network { address: [0; 4].into(), prefix: 0 }.surrounds_mapped());
    }

    #[test]
    fn ports_include_both_ends() {
        let ports = Ports { first: 80, last: 90 };
        assert_eq!((ports.count(), Ports::of(80).count()), (11, 1));
        assert_eq!(Ports { first: 0, last: u16::MAX }.count(), 65_536);
        assert_eq!([79, 80, 90, 91].map(|port| ports.contains(port)), [false, true, true, false]);
    }

    #[test]
    fn a_prefix_of_every_length_separates_addresses_that_differ_in_its_last_bit() {
        let contains = |address: IpAddr, prefix: u8, other: IpAddr| {
            let network = format!("{address}/{prefix}").parse::<Network>();
            let network = network.unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(network.to_string(), format!("{address}/{prefix}"));
            network.contains(other)
        };
        for prefix in 1..=32_u8 {
            let bit = 1_u32 << (32 - prefix);
            let (v4, other) = (IpAddr::V4(bit.into()), IpAddr::V4(0.into()));
            assert!(contains(v4, prefix, IpAddr::V4((bit | (bit - 1)).into())), "{prefix}");
            assert!(!contains(v4, prefix, other), "{prefix}");
            assert!(!contains(other, prefix, v4), "{prefix}");
        }
        for prefix in 1..=128_u8 {
            let bit = 1_u128 << (128 - prefix);
            let (v6, other) = (IpAddr::V6(bit.into()), IpAddr::V6(0.into()));
            assert!(contains(v6, prefix, IpAddr::V6((bit | bit >> 1).into())), "{prefix}");
            assert!(!contains(v6, prefix, other), "{prefix}");
            assert!(!contains(other, prefix, v6), "{prefix}");
        }
        for (address, other) in [("0.0.0.0", "255.255.255.255"), ("::", "ffff::")] {
            let parse = |text: &str| text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(contains(parse(address), 0, parse(other)));
        }
        for bad in ["1.0.0.0/0", "0.0.0.1/31", "1::/0", "::1/127", "192.0.2.0/+8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
