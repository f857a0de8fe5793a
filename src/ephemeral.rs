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

/// A set of ports: a bit for each. It is small, since others may make many network namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSet {
    bits: Box<[u64]>,
    count: u64,
}

impl Default for PortSet {
    fn default() -> Self {
        Self { bits: vec![0; 1 << (u16::BITS - 6)].into_boxed_slice(), count: 0 }
    }
}

/// The word with the bit of a port, and the bit in it.
const fn place(port: u16) -> (usize, u64) {
    ((port / 64) as usize, 1 << (port % 64))
}

impl PortSet {
    /// The ports of a range, without reserved ports and `taken` ports.
    #[must_use]
    pub fn given(range: &PortRange, taken: &HashSet<u16>) -> Self {
        let mut given = Self::default();
        for port in range.ports.first..=range.ports.last {
            given.insert(port);
        }
        for port in range.reserved.iter().flat_map(|ports| ports.first..=ports.last) {
            given.remove(port);
        }
        for port in taken {
            given.remove(*port);
        }
        given
    }

    /// Adds a port; returns whether it is new.
    pub fn insert(&mut self, port: u16) -> bool {
        let (word, bit) = place(port);
        let new = self.bits.get_mut(word).is_some_and(|word| {
            let new = *word & bit == 0;
            *word |= bit;
            new
        });
        self.count += u64::from(new);
        new
    }

    fn remove(&mut self, port: u16) {
        let (word, bit) = place(port);
        if self.contains(port) {
            self.count -= 1;
        }
        if let Some(word) = self.bits.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether the set has a port.
    #[inline]
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        let (word, bit) = place(port);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }

    /// The number of ports.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Adds the ports of another set.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, |one, other| one | other);
    }

    /// The ports of this set that are in another one, too.
    #[must_use]
    pub fn within(mut self, other: &Self) -> Self {
        self.combine(other, |one, other| one & other);
        self
    }

    /// The ports of this set that are not in another one.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        self.combine(other, |one, other| one & !other);
        self
    }

    fn combine(&mut self, other: &Self, combined: impl Fn(u64, u64) -> u64) {
        for (word, other) in self.bits.iter_mut().zip(&other.bits) {
            *word = combined(*word, *other);
        }
        self.count = self.bits.iter().map(|word| u64::from(word.count_ones())).sum();
    }

    /// The range from the lowest to the highest port; `None` without ports.
    #[must_use]
    pub fn span(&self) -> Option<Ports> {
        let mut ports = (0..=u16::MAX).filter(|port| self.contains(*port));
        let first = ports.next()?;
        Some(Ports { first, last: ports.next_back().unwrap_or(first) })
    }
}

/// The ephemeral ports of one network namespace.
pub type EphemeralPorts = ByFamily<Arc<PortSet>>;

impl EphemeralPorts {
    /// The ports of both ranges, without reserved ports and `taken` ports: ports with a listener, which
    /// TCP never gives to outgoing connections.
    #[must_use]
    pub fn of_ranges(ranges: &ByFamily<PortRange>, taken: &HashSet<u16>) -> Self {
        let ByFamily { ipv4, ipv6 } = ranges;
        let of_ipv4 = Arc::new(PortSet::given(ipv4, taken));
        let of_ipv6 =
            if ipv4 == ipv6 { Arc::clone(&of_ipv4) } else { Arc::new(PortSet::given(ipv6, taken)) };
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
        let ports = PortSet::given(&range, &HashSet::from([15, 80]));
        let given: Vec<u16> = (0..=u16::MAX).filter(|port| ports.contains(*port)).collect();
        assert_eq!(given, [10, 11, 13, 14, 16, 17, 18]);
        assert_eq!(ports.count(), 7);
        assert_eq!(ports.span(), Some(Ports { first: 10, last: 18 }));
        let single = PortRange { ports: Ports::of(1), reserved: Vec::new() };
        let none = PortSet::given(&single, &HashSet::from([1]));
        assert_eq!((none.count(), none.span()), (0, None));
        let one = PortSet::given(&single, &HashSet::new());
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
