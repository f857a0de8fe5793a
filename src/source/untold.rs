//! Systems that tell nothing beside their sockets.

use crate::deadline::Deadline;
use crate::ephemeral::{ByFamily, PortRange};
use crate::error::Error;
use crate::namespaces::View;

/// Whether the ports for outgoing connections cost nothing to ask for.
pub const PORTS_ARE_AT_HAND: bool = true;
/// Why there is no answer where they are asked for.
pub const PORTS_UNTOLD: &str = "The ports for outgoing connections cannot be read on this system";
/// Never said here.
pub const NO_PORTS: &str = "No port is left for outgoing connections";

/// The ports for outgoing connections.
#[allow(clippy::unnecessary_wraps)]
pub fn ephemeral_ports(_: &View, _: &Deadline) -> Result<Option<ByFamily<PortRange>>, Error> {
    Ok(None)
}
