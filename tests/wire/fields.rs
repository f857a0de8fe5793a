//! The fields of a socket that both parsers read. The fuzz targets include this file, too.

use std::net::SocketAddr;

use network_connections::Choice;
use network_connections::{ConnectionStatus, ConnectionType, Error, Selection, Socket};

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
    /// The fields of a socket that a parser has read.
    pub fn of(socket: &impl Socket) -> Result<Self, Error> {
        Ok(Self {
            connection_type: socket.connection_type(),
            status: socket.status(),
            local: socket.local()?,
            remote: socket.remote()?,
            queues: socket.queues()?,
            inode: socket.inode()?,
            uid: socket.uid()?,
        })
    }
}

/// The selection of one type.
pub fn only(connection_type: ConnectionType) -> Selection {
    Selection { types: Choice::of(&[connection_type]), ..Selection::default() }
}
