//! What is to be read of a socket, whoever reads it. The fuzz targets include it, too.

use std::net::SocketAddr;

use network_connections::selection::Choice;
use network_connections::{Connection, ConnectionStatus, ConnectionType, Error, Selection};

#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
    pub connection_type: ConnectionType,
    pub status: ConnectionStatus,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub queues: (u32, u32),
    pub inode: u64,
    pub uid: Option<u32>,
}

impl Fields {
    /// Everything that both parsers say of a socket.
    pub fn of(connection: &impl Connection) -> Result<Self, Error> {
        Ok(Self {
            connection_type: connection.connection_type(),
            status: connection.status(),
            local: connection.local()?,
            remote: connection.remote()?,
            queues: connection.queues()?,
            inode: connection.inode()?,
            uid: connection.uid()?,
        })
    }
}

/// The selection of one type.
pub fn only(connection_type: ConnectionType) -> Selection {
    let types = Choice::parse(&[connection_type.name()]).unwrap();
    Selection { types, ..Selection::default() }
}
