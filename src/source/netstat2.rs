//! Windows, macOS and the rest: connections from the netstat2 crate.

use std::net::SocketAddr;

use netstat2::{
    AddressFamilyFlags, ProtocolFlags, ProtocolSocketInfo, TcpState, iterate_sockets_info,
};

use crate::connection::{Connection, ConnectionStatus, ConnectionType, Protocol};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::selection::Selection;
use crate::source::Collector;

/// Hands every selected connection of one protocol to `dump`.
pub(super) fn read<C: Collector>(
    protocol: Protocol,
    selection: &Selection,
    deadline: &Deadline,
    dump: &mut C,
) -> Result<(), Error> {
    let flags = match protocol {
        Protocol::Tcp => ProtocolFlags::TCP,
        Protocol::Udp => ProtocolFlags::UDP,
    };
    for connection_type in selection.types_of(protocol) {
        let family = if connection_type.is_ipv6() {
            AddressFamilyFlags::IPV6
        } else {
            AddressFamilyFlags::IPV4
        };
        let failed = |error| Error::Garbled(format!("{}: {error}", connection_type.name()));
        deadline.remaining()?;
        for socket in iterate_sockets_info(family, flags).map_err(failed)? {
            deadline.remaining()?;
            let socket =
                Socket::new(connection_type, socket.map_err(failed)?.protocol_socket_info)?;
            if selection.matches(&socket)? {
                dump.add(&socket)?;
            }
        }
    }
    Ok(())
}

/// One socket as netstat2 shows it.
struct Socket {
    connection_type: ConnectionType,
    status: ConnectionStatus,
    info: ProtocolSocketInfo,
}

impl Socket {
    fn new(connection_type: ConnectionType, info: ProtocolSocketInfo) -> Result<Self, Error> {
        let status = match &info {
            ProtocolSocketInfo::Udp(_) => ConnectionStatus::None,
            ProtocolSocketInfo::Tcp(tcp) => match tcp.state {
                TcpState::Closed => ConnectionStatus::Close,
                TcpState::Listen => ConnectionStatus::Listen,
                TcpState::SynSent => ConnectionStatus::SynSent,
                TcpState::SynReceived => ConnectionStatus::SynRecv,
                TcpState::Established => ConnectionStatus::Established,
                TcpState::FinWait1 => ConnectionStatus::FinWait1,
                TcpState::FinWait2 => ConnectionStatus::FinWait2,
                TcpState::CloseWait => ConnectionStatus::CloseWait,
                TcpState::Closing => ConnectionStatus::Closing,
                TcpState::LastAck => ConnectionStatus::LastAck,
                TcpState::TimeWait => ConnectionStatus::TimeWait,
                TcpState::DeleteTcb => ConnectionStatus::DeleteTcb,
                TcpState::Unknown => {
                    return Err(Error::Garbled("a socket in an unknown state".to_owned()));
                }
            },
        };
        Ok(Self { connection_type, status, info })
    }
}

impl Connection for Socket {
    fn connection_type(&self) -> ConnectionType {
        self.connection_type
    }

    fn status(&self) -> ConnectionStatus {
        self.status
    }

    fn local(&self) -> Result<SocketAddr, Error> {
        Ok(match &self.info {
            ProtocolSocketInfo::Tcp(tcp) => SocketAddr::new(tcp.local_addr, tcp.local_port),
            ProtocolSocketInfo::Udp(udp) => SocketAddr::new(udp.local_addr, udp.local_port),
        })
    }

    fn remote(&self) -> Result<SocketAddr, Error> {
        match &self.info {
            ProtocolSocketInfo::Tcp(tcp) => Ok(SocketAddr::new(tcp.remote_addr, tcp.remote_port)),
            ProtocolSocketInfo::Udp(_) => Err(Error::Unsupported(
                "this system does not tell the remote end of UDP sockets".to_owned(),
            )),
        }
    }
}
