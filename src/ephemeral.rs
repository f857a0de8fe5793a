//! The ports that a host gives to outgoing connections (*ephemeral* ports).

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::selection::Ports;

/// A value for IPv4 and one for IPv6.
#[derive(Clone, Debug)]
pub struct ByFamily<T> {
    /// The value for IPv4.
    pub ipv4: T,
    /// The value for IPv6.
    pub ipv6: T,
}

impl<T> ByFamily<T> {
    /// The value for the family of an address; an IPv4-mapped address counts as IPv4.
    #[inline]
    #[must_use]
    pub fn of(&self, address: IpAddr) -> &T {
        if address.to_canonical().is_ipv4() { &self.ipv4 } else { &self.ipv6 }
    }

    /// Both values.
    pub fn both(&self) -> impl Iterator<Item = &T> {
        [&self.ipv4, &self.ipv6].into_iter()
    }
}

/// The range from which a system takes ports for outgoing connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The whole range.
    pub ports: Ports,
    /// Ports of the range that the system never gives to connections.
    pub reserved: Vec<Ports>,
}

/// The ports that a network namespace can give to outgoing connections: a bit for each port. Others may
/// make many namespaces.
#[derive(Clone, Debug)]
pub struct Ephemeral {
    given: Box<[u64]>,
    count: u64,
}

/// The word with the bit of a port, and the bit in it.
const fn place(port: u16) -> (usize, u64) {
    ((port / 64) as usize, 1 << (port % 64))
}

impl Ephemeral {
    /// The ports of a range, without reserved ports and ports with a listener: outgoing connections
    /// never get either.
    #[must_use]
    pub fn new(range: &PortRange, listening: &HashSet<u16>) -> Self {
        let mut given = vec![0; 1 << (u16::BITS - 6)].into_boxed_slice();
        let mut mark = |ports: Ports, value: bool| {
            for port in ports.first..=ports.last {
                let (word, bit) = place(port);
                if let Some(word) = given.get_mut(word) {
                    *word = if value { *word | bit } else { *word & !bit };
                }
            }
        };
        mark(range.ports, true);
        for ports in &range.reserved {
            mark(*ports, false);
        }
        for port in listening {
            mark(Ports::of(*port), false);
        }
        let count = given.iter().map(|word| u64::from(word.count_ones())).sum();
        Self { given, count }
    }

    /// The range from the lowest to the highest port; `None` without ports.
    #[must_use]
    pub fn span(&self) -> Option<Ports> {
        let mut ports = (0..=u16::MAX).filter(|port| self.contains(*port));
        let first = ports.next()?;
        Some(Ports { first, last: ports.next_back().unwrap_or(first) })
    }

    /// Whether outgoing connections can get a port.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        let (word, bit) = place(port);
        self.given.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The number of ports.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The ephemeral ports of one network namespace.
pub type EphemeralPorts = ByFamily<Arc<Ephemeral>>;

impl EphemeralPorts {
    /// The ports of both ranges, without reserved ports and ports with a listener.
    #[must_use]
    pub fn of_ranges(ranges: &ByFamily<PortRange>, listening: &HashSet<u16>) -> Self {
        let ByFamily { ipv4, ipv6 } = ranges;
        let of_ipv4 = Arc::new(Ephemeral::new(ipv4, listening));
        let of_ipv6 = if ipv4 == ipv6 {
            Arc::clone(&of_ipv4)
        } else {
            Arc::new(Ephemeral::new(ipv6, listening))
        };
        Self { ipv4: of_ipv4, ipv6: of_ipv6 }
    }

    /// The range from the lowest to the highest port of both families; `None` without ports.
    #[must_use]
    pub fn span(&self) -> Option<Ports> {
        let spans = self.both().filter_map(|ports| ports.span());
        spans.reduce(|a, b| Ports { first: a.first.min(b.first), last: a.last.max(b.last) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_and_ports_with_a_listener_are_left_out() {
        let range = PortRange {
            ports: Ports { first: 10, last: 20 },
            reserved: vec![Ports::of(12), Ports { first: 19, last: 30 }],
        };
        let ports = Ephemeral::new(&range, &HashSet::from([15, 80]));
        let given: Vec<u16> = (0..=u16::MAX).filter(|port| ports.contains(*port)).collect();
        assert_eq!(given, [10, 11, 13, 14, 16, 17, 18]);
        assert_eq!(ports.count(), 7);
        assert_eq!(ports.span(), Some(Ports { first: 10, last: 18 }));
        let single = PortRange { ports: Ports::of(1), reserved: Vec::new() };
        let none = Ephemeral::new(&single, &HashSet::from([1]));
        assert_eq!((none.count(), none.span()), (0, None));
        let one = Ephemeral::new(&single, &HashSet::new());
        assert_eq!((one.count(), one.span()), (1, Some(Ports::of(1))));
    }

    #[test]
    fn each_family_has_its_ports() {
        let ports = ByFamily { ipv4: 4, ipv6: 6 };
        for (address, expected) in [("192.0.2.1", 4), ("::ffff:192.0.2.1", 4), ("2001:db8::1", 6)] {
            let address = address.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(*ports.of(address), expected, "{address}");
        }
        assert!(ports.both().eq(&[4, 6]));
    }
}
