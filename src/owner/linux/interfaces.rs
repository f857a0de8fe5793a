//! Names of network interfaces, in the network namespace of this very thread.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustix::net::netdevice::index_to_name;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

/// The names of interfaces by their numbers, of those that have one: an interface may be gone.
pub fn names(indices: HashSet<u32>) -> HashMap<u32, Arc<str>> {
    // Any socket will do; this kind is allowed here, as one told the numbers.
    let kind = (AddressFamily::NETLINK, SocketType::RAW, Some(netlink::SOCK_DIAG));
    let Ok(socket) = socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, kind.2) else {
        return HashMap::new();
    };
    let name = |index| index_to_name(&socket, index).ok().map(|name| (index, name.into()));
    indices.into_iter().filter_map(name).collect()
}
