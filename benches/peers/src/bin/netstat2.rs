//! Counts with the netstat2 crate: prints the sockets per type and state.
//!
//! ```text
//! netstat2 [--pids]
//! ```

use netstat2::error::Error;
use netstat2::{
    AddressFamilyFlags, ProtocolFlags, ProtocolSocketInfo, SocketInfo, TcpState,
    iterate_sockets_info, iterate_sockets_info_without_pids,
};

/// Whether the socket is IPv6, and its state; `None` for UDP.
type Group = (bool, Option<TcpState>);

fn main() -> Result<(), Error> {
    let families = AddressFamilyFlags::all();
    let protocols = ProtocolFlags::all();
    let counts = if std::env::args().any(|argument| argument == "--pids") {
        count(iterate_sockets_info(families, protocols)?)?
    } else {
        count(iterate_sockets_info_without_pids(families, protocols)?)?
    };
    for ((ipv6, state), number) in counts {
        let family = if ipv6 { "6" } else { "" };
        match state {
            Some(state) => println!("tcp{family} {state}: {number}"),
            None => println!("udp{family}: {number}"),
        }
    }
    Ok(())
}

fn count(
    sockets: impl Iterator<Item = Result<SocketInfo, Error>>,
) -> Result<Vec<(Group, u64)>, Error> {
    let mut counts: Vec<(Group, u64)> = Vec::new();
    for socket in sockets {
        let group = match socket?.protocol_socket_info {
            ProtocolSocketInfo::Tcp(tcp) => (tcp.local_addr.is_ipv6(), Some(tcp.state)),
            ProtocolSocketInfo::Udp(udp) => (udp.local_addr.is_ipv6(), None),
        };
        // For a handful of groups a hash table is not faster.
        match counts.iter_mut().find(|(known, _)| *known == group) {
            Some((_, number)) => *number += 1,
            None => counts.push((group, 1)),
        }
    }
    Ok(counts)
}
