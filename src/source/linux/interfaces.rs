//! Names of network interfaces in the network namespace of this thread.

use std::collections::HashSet;

use rustix::net::netdevice::index_to_name;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

use crate::address::{InterfaceIndex, InterfaceNames};

/// The names of interfaces, without interfaces that have gone meanwhile.
pub(crate) fn names(interfaces: HashSet<InterfaceIndex>) -> InterfaceNames {
    if interfaces.is_empty() {
        return InterfaceNames::new();
    }
    // Any kind of socket will do; this kind is allowed here, for it reported the indices.
    let kind = (AddressFamily::NETLINK, SocketType::RAW, Some(netlink::SOCK_DIAG));
    let Ok(socket) = socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, kind.2) else {
        return InterfaceNames::new();
    };
    let name = |interface: InterfaceIndex| {
        let name = index_to_name(&socket, interface.1).ok()?;
        Some((interface, name.into()))
    };
    interfaces.into_iter().filter_map(name).collect()
}
