//! Systems that tell nothing beside their sockets.

use crate::namespaces::View;
use crate::selection::Ports;
use crate::vocabulary::Protocol;

/// The protocols that are known to have no sockets.
pub fn idle(_: &View) -> Vec<Protocol> {
    Vec::new()
}

/// The ports for outgoing connections, and those that are reserved.
pub fn ephemeral_ports(_: &View) -> Option<(Ports, Vec<Ports>)> {
    None
}
