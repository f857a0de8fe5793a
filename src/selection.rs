//! The selection of connections.

mod among;
mod choice;
mod ends;
mod stuck_for;

use std::net::SocketAddr;

use crate::error::Error;
use crate::name::Named;
use crate::socket::Socket;
use crate::stuck::StuckKind;
use crate::vocabulary::{ConnectionStatus, ConnectionType, Direction, Protocol, possible};

pub use among::{Among, EXCLUDING, Set};
#[cfg(feature = "python")]
pub use choice::spelled;
pub use choice::{ALL, Choice, choices};
pub use ends::{Network, Ports};
pub use stuck_for::{Certainty, StuckFor, found, longest};

/// A selection of connections, by default all. The values of one field are alternatives, or taken
/// away from them, and all fields must match.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Families and protocols.
    pub types: Choice<ConnectionType>,
    /// States.
    pub statuses: Choice<ConnectionStatus>,
    /// Local ports.
    pub local_ports: Among<Ports>,
    /// Remote ports.
    pub remote_ports: Among<Ports>,
    /// Local addresses.
    pub local_addresses: Among<Network>,
    /// Remote addresses.
    pub remote_addresses: Among<Network>,
    /// The direction of connections; any socket where there is none. Collectors select it: it follows
    /// from the listeners of the namespace.
    pub direction: Option<Direction>,
    /// The kinds and times for which connections have been stuck; any connection where empty.
    pub stuck: Vec<StuckFor>,
    /// Whether unix listeners are read, too. A plan decides this by the measure and the types.
    pub unix: UnixListeners,
}

/// Whether unix listeners are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnixListeners {
    /// They are not read.
    #[default]
    Unread,
    /// They are read where the kernel lists them.
    WherePossible,
    /// They are read, and a kernel that does not list them is an error.
    Required,
}

impl Selection {
    /// Whether this connection is selected, or may be: [`Selection::certainty`] tells the two apart.
    ///
    /// Every connection of every source is checked here: some old kernels filter less than they
    /// were asked to.
    #[inline]
    pub fn matches(&self, socket: &impl Socket) -> Result<bool, Error> {
        Ok(self.types.contains(socket.connection_type())
            && self.statuses.contains(socket.status())
            && holds(&self.local_ports, &self.local_addresses, || socket.local())?
            && holds(&self.remote_ports, &self.remote_addresses, || socket.remote())?
            && (self.stuck.is_empty() || self.certainty(socket)? != Certainty::No))
    }

    /// Whether a connection that matches is certainly selected: of the time for which it has been
    /// stuck, sometimes only bounds are known.
    #[inline]
    pub fn certainty(&self, socket: &impl Socket) -> Result<Certainty, Error> {
        if self.stuck.is_empty() {
            return Ok(Certainty::Yes);
        }
        let certainty = socket
            .transfer()?
            .and_then(|transfer| self.stuck.iter().map(|stuck| stuck.selects(&transfer)).max());
        Ok(certainty.unwrap_or(Certainty::No))
    }

    /// The kinds of stuck connections that are selected, in display order; the usual kinds where none
    /// is named.
    #[must_use]
    pub fn stuck_kinds(&self) -> Vec<StuckKind> {
        stuck_for::kinds(&self.stuck)
    }

    /// Whether a connection in this state can be selected.
    fn has_status(&self, status: ConnectionStatus) -> bool {
        let can_be_stuck =
            |stuck: &StuckFor| stuck.kinds().iter().any(|kind| kind.states().contains(&status));
        self.statuses.contains(status)
            && (self.stuck.is_empty() || self.stuck.iter().any(can_be_stuck))
    }

    /// Whether a socket of this type and state can have the selected direction.
    fn may_go(&self, connection_type: ConnectionType, status: ConnectionStatus) -> bool {
        let is_possible = |_| Direction::is_possible(self.direction, connection_type, status);
        self.direction.is_none_or(is_possible)
    }

    /// Whether ports or addresses are selected.
    #[must_use]
    pub fn is_of_ends(&self) -> bool {
        !(self.local_ports.is_empty()
            && self.remote_ports.is_empty()
            && self.local_addresses.is_empty()
            && self.remote_addresses.is_empty())
    }

    /// Whether ports or addresses are asked for, and not only taken away.
    #[must_use]
    pub fn asks_for_ends(&self) -> bool {
        !(self.local_ports.any_of.is_empty()
            && self.remote_ports.any_of.is_empty()
            && self.local_addresses.any_of.is_empty()
            && self.remote_addresses.any_of.is_empty())
    }

    /// ` at port 443 to 192.0.2.0/24`: the selected local and remote ends; empty where none are selected.
    #[must_use]
    pub fn ends(&self) -> String {
        let local = end("at", &self.local_addresses, &self.local_ports);
        local + &end("to", &self.remote_addresses, &self.remote_ports)
    }

    /// The selected types, each with the selected states that a connection of that type can have.
    pub fn pairs(&self) -> impl Iterator<Item = (ConnectionType, ConnectionStatus)> {
        possible().filter(|(t, status)| {
            self.types.contains(*t) && self.has_status(*status) && self.may_go(*t, *status)
        })
    }

    /// The selected types of one protocol.
    pub(crate) fn types_of(&self, protocol: Protocol) -> impl Iterator<Item = ConnectionType> {
        ConnectionType::VALUES
            .iter()
            .copied()
            .filter(move |t| t.protocol() == protocol && self.types.contains(*t))
    }

    /// The Linux kernel's mask of the selected states; 0 where the kernel has none of them.
    #[must_use]
    pub fn linux_mask(&self, protocol: Protocol) -> u32 {
        ConnectionStatus::VALUES
            .iter()
            .copied()
            .filter(|status| {
                let connection_type = ConnectionType::new(protocol, false);
                self.has_status(*status) && self.may_go(connection_type, *status)
            })
            .fold(0, |mask, status| mask | status.linux_mask(protocol))
    }
}

/// ` to 192.0.2.7, 192.0.2.8 port 443`: the text of one end; empty where nothing of it is selected.
fn end(word: &str, addresses: &Among<Network>, ports: &Among<Ports>) -> String {
    let addresses = words("", "address", addresses, Network::shown);
    let ports = words("port ", "port", ports, Ports::to_string);
    let both: Vec<_> = [addresses, ports].into_iter().flatten().collect();
    if both.is_empty() { String::new() } else { format!(" {word} {}", both.join(" ")) }
}

/// `port 443, 8000-8099 but not 8080`, or `any port but 443`; `None` where every value is selected.
fn words<T>(
    name: &str,
    one: &str,
    values: &Among<T>,
    text: impl Fn(&T) -> String,
) -> Option<String> {
    let texts = |values: &[T]| some_of(values.iter().map(&text).collect());
    match (&*values.any_of, &*values.none_of) {
        ([], []) => None,
        (any, []) => Some(format!("{name}{}", texts(any))),
        ([], none) => Some(format!("any {one} but {}", texts(none))),
        (any, none) => Some(format!("{name}{} but not {}", texts(any), texts(none))),
    }
}

/// The most ports or addresses in a text.
const MOST_IN_TEXT: usize = 3;

/// The first values, and a mark where there are more.
fn some_of(mut values: Vec<String>) -> String {
    if values.len() > MOST_IN_TEXT {
        values.truncate(MOST_IN_TEXT);
        values.push("...".to_owned());
    }
    values.join(", ")
}

/// Whether an endpoint has one of the ports and one of the addresses. It is decoded only where
/// ports or addresses are selected.
#[inline]
fn holds(
    ports: &Among<Ports>,
    addresses: &Among<Network>,
    endpoint: impl FnOnce() -> Result<SocketAddr, Error>,
) -> Result<bool, Error> {
    if ports.is_empty() && addresses.is_empty() {
        return Ok(true);
    }
    let endpoint = endpoint()?;
    Ok(ports.selects(|ports| ports.contains(endpoint.port()))
        && addresses.selects(|network| network.contains(endpoint.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::made::Made;

    fn selection(change: impl FnOnce(&mut Selection)) -> Selection {
        let mut selection = Selection::default();
        change(&mut selection);
        selection
    }

    fn network(text: &str) -> Network {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn the_selected_ends_have_a_text() {
        assert_eq!(Selection::default().ends(), "");
        let ports = |texts: &[&str]| Among::parse(texts).unwrap_or_else(|e| panic!("{e}"));
        let networks = |texts: &[&str]| Among::parse(texts).unwrap_or_else(|e| panic!("{e}"));
        for (selection, expected) in [
            (selection(|s| s.local_ports = ports(&["443", "8-9"])), " at port 443, 8-9"),
            (selection(|s| s.remote_ports = ports(&["6432"])), " to port 6432"),
            (selection(|s| s.remote_ports = ports(&["!80"])), " to any port but 80"),
            (
                selection(|s| s.local_addresses = networks(&["!127.0.0.0/8", "!::1"])),
                " at any address but 127.0.0.0/8, ::1",
            ),
            (
                selection(|s| {
                    s.local_ports = ports(&["443"]);
                    s.remote_addresses = networks(&["192.0.2.0/24", "2001:db8::1"]);
                    s.remote_ports = ports(&["1-9", "!5"]);
                }),
                " at port 443 to 192.0.2.0/24, 2001:db8::1 port 1-9 but not 5",
            ),
            (selection(|s| s.local_ports = ports(&["1", "2", "3", "4"])), " at port 1, 2, 3, ..."),
        ] {
            assert_eq!(selection.ends(), expected);
        }
    }

    #[test]
    fn all_fields_must_match_with_one_value_each() {
        let (tcp, listen) = (ConnectionType::Tcp, ConnectionStatus::Listen);
        let socket = Made::new(tcp, listen, "192.0.2.1:80", "198.51.100.1:443");
        let ports = |ports: [u16; 2]| Among::from(ports.map(Ports::of).to_vec());
        let networks = |networks: [&str; 2]| Among::from(networks.map(network).to_vec());
        for (selection, expected) in [
            (Selection::default(), true),
            (selection(|s| s.types = Choice::of(&[tcp])), true),
            (selection(|s| s.types = Choice::of(&[ConnectionType::Tcp6])), false),
            (selection(|s| s.statuses = Choice::of(&[listen])), true),
            (selection(|s| s.statuses = Choice::of(&[ConnectionStatus::Close])), false),
            (selection(|s| s.local_ports = ports([79, 80])), true),
            (selection(|s| s.local_ports = ports([79, 443])), false),
            (selection(|s| s.remote_ports = ports([79, 443])), true),
            (selection(|s| s.remote_ports = ports([79, 80])), false),
            (selection(|s| s.local_addresses = networks(["::/0", "192.0.2.0/24"])), true),
            (selection(|s| s.local_addresses = networks(["::/0", "198.51.100.0/24"])), false),
            (selection(|s| s.remote_addresses = networks(["::/0", "198.51.100.0/24"])), true),
            (selection(|s| s.remote_addresses = networks(["::/0", "192.0.2.0/24"])), false),
            // A single field that does not match is enough.
            (
                selection(|s| {
                    s.local_ports = ports([80, 80]);
                    s.local_addresses = networks(["::/0", "198.51.100.0/24"]);
                }),
                false,
            ),
            (
                selection(|s| {
                    s.local_ports = ports([81, 81]);
                    s.local_addresses = networks(["::/0", "192.0.2.0/24"]);
                }),
                false,
            ),
            (
                selection(|s| {
                    s.types = Choice::of(&[ConnectionType::Udp]);
                    s.statuses = Choice::of(&[listen]);
                    s.local_ports = ports([80, 80]);
                    s.remote_ports = ports([443, 443]);
                }),
                false,
            ),
        ] {
            let matches = selection.matches(&socket).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(matches, expected, "{selection:?}");
        }
    }

    #[test]
    fn ports_and_addresses_are_ends() {
        let ports = || Among::from(vec![Ports::of(80)]);
        let networks = || Among::from(vec![network("192.0.2.0/24")]);
        for (selection, expected) in [
            (Selection::default(), false),
            (selection(|s| s.types = Choice::of(&[ConnectionType::Tcp])), false),
            (selection(|s| s.local_ports = ports()), true),
            (selection(|s| s.remote_ports = ports()), true),
            (selection(|s| s.local_addresses = networks()), true),
            (selection(|s| s.remote_addresses = networks()), true),
        ] {
            assert_eq!(selection.is_of_ends(), expected, "{selection:?}");
        }
    }

    #[test]
    fn pairs_are_types_and_states_that_a_socket_can_have() {
        let chosen = selection(|s| {
            s.types = Choice::of(&[ConnectionType::Udp6, ConnectionType::Tcp]);
            s.statuses = Choice::of(&[ConnectionStatus::Listen, ConnectionStatus::None]);
        });
        assert_eq!(
            chosen.pairs().collect::<Vec<_>>(),
            [
                (ConnectionType::Tcp, ConnectionStatus::Listen),
                (ConnectionType::Udp6, ConnectionStatus::None)
            ]
        );
        assert_eq!(chosen.types_of(Protocol::Tcp).collect::<Vec<_>>(), [ConnectionType::Tcp]);
        assert_eq!(chosen.types_of(Protocol::Udp).collect::<Vec<_>>(), [ConnectionType::Udp6]);
        assert_eq!(chosen.linux_mask(Protocol::Tcp), 1 << 10);
        assert_eq!(chosen.linux_mask(Protocol::Udp), 1 << 1 | 1 << 7);
        assert_eq!(Selection::default().linux_mask(Protocol::Tcp), 0b1111_1111_1110);
    }
}
