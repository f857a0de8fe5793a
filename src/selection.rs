//! Which connections are meant.

mod choice;
mod ends;

use std::net::SocketAddr;

use crate::error::Error;
use crate::name::Named;
use crate::socket::Socket;
use crate::vocabulary::{ConnectionStatus, ConnectionType, Protocol, possible};

pub use choice::{ALL, Choice, Member, choices};
pub use ends::{Network, Ports};

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
    pub fn matches(&self, socket: &impl Socket) -> Result<bool, Error> {
        Ok(self.types.contains(socket.connection_type())
            && self.statuses.contains(socket.status())
            && holds(&self.local_ports, &self.local_addresses, || socket.local())?
            && holds(&self.remote_ports, &self.remote_addresses, || socket.remote())?)
    }

    /// The selected types with the selected states that a connection of them can ever be in.
    pub fn pairs(&self) -> impl Iterator<Item = (ConnectionType, ConnectionStatus)> {
        possible().filter(|(t, status)| self.types.contains(*t) && self.statuses.contains(*status))
    }

    /// The selected types of one protocol.
    pub(crate) fn types_of(&self, protocol: Protocol) -> impl Iterator<Item = ConnectionType> {
        ConnectionType::VALUES
            .iter()
            .copied()
            .filter(move |t| t.protocol() == protocol && self.types.contains(*t))
    }

    /// The Linux kernel's mask of the selected states; 0 where it has none of them.
    #[must_use]
    pub fn linux_mask(&self, protocol: Protocol) -> u32 {
        ConnectionStatus::VALUES
            .iter()
            .copied()
            .filter(|status| self.statuses.contains(*status))
            .fold(0, |mask, status| mask | status.linux_mask(protocol))
    }
}

/// Whether an endpoint is one of the ports and one of the addresses; decoded only if that matters.
#[inline]
fn holds(
    ports: &[Ports],
    addresses: &[Network],
    endpoint: impl FnOnce() -> Result<SocketAddr, Error>,
) -> Result<bool, Error> {
    if ports.is_empty() && addresses.is_empty() {
        return Ok(true);
    }
    let endpoint = endpoint()?;
    Ok((ports.is_empty() || ports.iter().any(|ports| ports.contains(endpoint.port())))
        && (addresses.is_empty() || addresses.iter().any(|net| net.contains(endpoint.ip()))))
}
