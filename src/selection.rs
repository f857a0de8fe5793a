//! Which connections are meant.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::connection::{Connection, ConnectionStatus, ConnectionType, Protocol};
use crate::error::Error;

/// A value of an enumeration that people choose by name.
pub trait Named: Copy + 'static {
    /// Every value, in display order.
    const VALUES: &'static [Self];
    /// What a value is called in a message, for example `type`.
    const WHAT: &'static str;

    /// The value's name in its canonical case.
    fn name(self) -> &'static str;

    /// The value's own bit in a set.
    fn bit(self) -> u32;
}

impl Named for ConnectionType {
    const VALUES: &'static [Self] = &Self::ALL;
    const WHAT: &'static str = "type";

    fn name(self) -> &'static str {
        self.name()
    }

    fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl Named for ConnectionStatus {
    const VALUES: &'static [Self] = &Self::ALL;
    const WHAT: &'static str = "status";

    fn name(self) -> &'static str {
        self.name()
    }

    fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// The value of this name, in any case.
pub fn named<T: Named>(name: &str) -> Result<T, Error> {
    T::VALUES.iter().copied().find(|value| value.name().eq_ignore_ascii_case(name)).ok_or_else(
        || {
            let valid: Vec<_> = T::VALUES.iter().map(|value| value.name()).collect();
            let valid = valid.join(", ");
            Error::Argument(format!("unknown {} {name:?} (valid: {valid})", T::WHAT))
        },
    )
}

/// The word that chooses every value.
pub const ALL: &str = "all";

/// The chosen values of one filter, and the words they were chosen by.
#[derive(Clone, Debug)]
pub struct Choice<T> {
    bits: u32,
    label: String,
    values: std::marker::PhantomData<T>,
}

impl<T: Named> Default for Choice<T> {
    fn default() -> Self {
        Self { bits: u32::MAX, label: ALL.to_owned(), values: std::marker::PhantomData }
    }
}

impl<T: Named> Choice<T> {
    /// Chooses by names in any case; `all` chooses every value.
    pub fn parse<S: AsRef<str>>(names: &[S]) -> Result<Self, Error> {
        let valid = || {
            let names = T::VALUES.iter().map(|value| value.name().to_ascii_lowercase());
            names.chain([ALL.to_owned()]).collect::<Vec<_>>().join(", ")
        };
        if names.is_empty() {
            return Err(Error::Argument(format!("no {} is given (valid: {})", T::WHAT, valid())));
        }
        let mut bits = 0;
        for name in names {
            let name = name.as_ref();
            bits |= if name.eq_ignore_ascii_case(ALL) {
                u32::MAX
            } else {
                let unknown = |_| {
                    Error::Argument(format!("unknown {} {name:?} (valid: {})", T::WHAT, valid()))
                };
                named::<T>(name).map_err(unknown)?.bit()
            };
        }
        Ok(Self {
            bits,
            label: names
                .iter()
                .map(|name| name.as_ref().to_ascii_lowercase())
                .collect::<Vec<_>>()
                .join(","),
            values: std::marker::PhantomData,
        })
    }

    /// Chooses these values.
    #[must_use]
    pub fn of(values: &[T]) -> Self {
        let names: Vec<_> = values.iter().map(|value| value.name().to_ascii_lowercase()).collect();
        Self {
            bits: values.iter().fold(0, |bits, value| bits | value.bit()),
            label: names.join(","),
            values: std::marker::PhantomData,
        }
    }

    /// Whether `value` is chosen.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        self.bits & value.bit() != 0
    }

    /// The words it was chosen by, comma-separated.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

impl Ports {
    /// Whether `port` is one of them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
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

/// An IP address, or all that share a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The address, all bits after the prefix unset.
    pub address: IpAddr,
    /// The length of the prefix in bits.
    pub prefix: u8,
}

impl Network {
    /// Whether `address` is in it. An IPv4 network has the IPv4-mapped IPv6 addresses too.
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
            }
            (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
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

/// Which connections are meant. Everything by default; the values of one field are alternatives,
/// and all fields must hold.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Families and protocols.
    pub types: Choice<ConnectionType>,
    /// States.
    pub statuses: Choice<ConnectionStatus>,
    /// Local ports; any where empty.
    pub local_ports: Vec<Ports>,
    /// Remote ports; any where empty.
    pub remote_ports: Vec<Ports>,
    /// Local addresses; any where empty.
    pub local_addresses: Vec<Network>,
    /// Remote addresses; any where empty.
    pub remote_addresses: Vec<Network>,
}

impl Selection {
    /// Whether this connection is meant.
    ///
    /// Asked of every connection, of whatever source: a kernel that filters less than it was asked
    /// to, as some old ones do, changes nothing.
    #[inline]
    pub fn matches(&self, connection: &impl Connection) -> Result<bool, Error> {
        Ok(self.types.contains(connection.connection_type())
            && self.statuses.contains(connection.status())
            && holds(&self.local_ports, &self.local_addresses, || connection.local())?
            && holds(&self.remote_ports, &self.remote_addresses, || connection.remote())?)
    }

    /// The selected types of one protocol.
    pub(crate) fn types_of(&self, protocol: Protocol) -> impl Iterator<Item = ConnectionType> {
        ConnectionType::ALL
            .into_iter()
            .filter(move |t| t.protocol() == protocol && self.types.contains(*t))
    }

    /// The Linux kernel's mask of the selected states; 0 where it has none of them.
    #[must_use]
    pub fn linux_mask(&self, protocol: Protocol) -> u32 {
        ConnectionStatus::ALL
            .into_iter()
            .filter(|status| self.statuses.contains(*status))
            .fold(0, |mask, status| mask | status.linux_mask(protocol))
    }
}

/// Whether an endpoint is one of the ports and one of the addresses; decoded only if that matters.
#[inline]
fn holds(
    ports: &[Ports],
    addresses: &[Network],
    endpoint: impl FnOnce() -> Result<std::net::SocketAddr, Error>,
) -> Result<bool, Error> {
    if ports.is_empty() && addresses.is_empty() {
        return Ok(true);
    }
    let endpoint = endpoint()?;
    Ok((ports.is_empty() || ports.iter().any(|ports| ports.contains(endpoint.port())))
        && (addresses.is_empty() || addresses.iter().any(|net| net.contains(endpoint.ip()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case_and_the_label_as_given() {
        let choice = Choice::<ConnectionStatus>::parse(&["Time_Wait", "LISTEN", "listen"])
            .unwrap_or_else(|e| panic!("{e}"));
        assert!(choice.contains(ConnectionStatus::TimeWait));
        assert!(choice.contains(ConnectionStatus::Listen));
        assert!(!choice.contains(ConnectionStatus::Established));
        assert_eq!(choice.label(), "time_wait,listen,listen");
    }

    #[test]
    fn all_among_others_is_all() {
        let choice =
            Choice::<ConnectionType>::parse(&["tcp6", "all"]).unwrap_or_else(|e| panic!("{e}"));
        assert!(ConnectionType::ALL.into_iter().all(|t| choice.contains(t)));
        assert_eq!(choice.label(), "tcp6,all");
    }

    #[test]
    fn unknown_and_missing_names_list_the_valid_ones() {
        let message = |names: &[&str]| {
            Choice::<ConnectionType>::parse(names)
                .map(|choice| choice.label().to_owned())
                .map_err(|e| e.to_string())
        };
        assert_eq!(
            message(&["tcp", "sctp"]),
            Err("unknown type \"sctp\" (valid: tcp, tcp6, udp, udp6, all)".to_owned())
        );
        assert_eq!(
            message(&[]),
            Err("no type is given (valid: tcp, tcp6, udp, udp6, all)".to_owned())
        );
    }

    #[test]
    fn ports_and_networks_that_do_not_parse_say_what_would_be_right() {
        let ports = |text: &str| text.parse::<Ports>().map_err(|e| e.to_string());
        assert_eq!(ports("8000-8099"), Ok(Ports { first: 8000, last: 8099 }));
        assert_eq!(ports("0"), Ok(Ports { first: 0, last: 0 }));
        for bad in ["", "65536", "-1", "1-", "-", "1-2-3", "+5", "http", "5 "] {
            assert!(ports(bad).is_err_and(|e| e.contains("0 to 65535")), "{bad}");
        }
        assert_eq!(ports("9-5"), Err("\"9-5\" ends before it begins (valid: 5-9)".to_owned()));
        let network = |text: &str| text.parse::<Network>().map_err(|e| e.to_string());
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
    fn a_network_has_its_addresses_and_an_ipv4_one_the_mapped_too() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.0/24", "::ffff:192.0.2.1", "::192.0.2.1"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("::/0", "::1", "127.0.0.1"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
        ] {
            let network: Network = network.parse().unwrap_or_else(|e| panic!("{e}"));
            let address = |text: &str| text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert!(network.contains(address(inside)), "{inside} in {network}");
            assert!(!network.contains(address(outside)), "{outside} not in {network}");
        }
    }
}
