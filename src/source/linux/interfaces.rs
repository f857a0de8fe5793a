//! Names of network interfaces in the network namespace of this thread.

use std::collections::HashSet;

use rustix::net::netdevice::index_to_name;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

use crate::address::{InterfaceIndex, InterfaceNames};
use crate::deadline::Deadline;
use crate::error::Error;

/// The names of interfaces, without interfaces that have gone meanwhile.
pub(crate) fn names(
    interfaces: HashSet<InterfaceIndex>,
    deadline: &Deadline,
) -> Result<InterfaceNames, Error> {
    let mut names = InterfaceNames::new();
    if interfaces.is_empty() {
        return Ok(names);
    }
    // Any kind of socket will do; this kind is allowed here, for it reported the indices.
    let kind = (AddressFamily::NETLINK, SocketType::RAW, Some(netlink::SOCK_DIAG));
    let Ok(socket) = socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, kind.2) else {
        return Ok(names);
    };
    for interface in interfaces {
        deadline.check()?;
        let name = index_to_name(&socket, interface.1).ok();
        names.extend(name.map(|name| (interface, name.into())));
    }
    Ok(names)
}
