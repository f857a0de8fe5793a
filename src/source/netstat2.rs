//! Windows: connections from the netstat2 crate. Tests run it on Linux too.

use std::io;
use std::net::SocketAddr;

use netstat2::{
    AddressFamilyFlags, ProtocolFlags, ProtocolSocketInfo, SocketInfo, TcpState,
    iterate_sockets_info,
};

use crate::collect::Collector;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::name::Named;
use crate::socket::Socket;
use crate::source::dump::Dump;
use crate::vocabulary::{ConnectionStatus, ConnectionType, Protocol};
use crate::worker::Worker;

/// Hands every selected socket to `collector`.
pub fn read<C: Collector>(dump: &Dump, collector: &mut C) -> Result<(), Error> {
    let Dump { protocol, selection, netns, deadline, .. } = *dump;
    let flags = match protocol {
        Protocol::Tcp => ProtocolFlags::TCP,
        Protocol::Udp => ProtocolFlags::UDP,
        Protocol::Unix => {
            return Err(Error::Unsupported("netstat2 lists no unix sockets".to_owned()));
        }
    };
    for connection_type in selection.types_of(protocol) {
        let family = if connection_type.is_ipv6() {
            AddressFamilyFlags::IPV6
        } else {
            AddressFamilyFlags::IPV4
        };
        let failed = |error| Error::Garbled(format!("{}: {error}", connection_type.name()));
        for info in table(family, flags, deadline)?.map_err(failed)? {
            let SocketInfo { protocol_socket_info, associated_pids, .. } = info;
            let socket = Row::new(connection_type, protocol_socket_info, &associated_pids)?;
            if selection.matches(&socket)? {
                collector.add(netns, &socket)?;
            }
        }
    }
    Ok(())
}

/// The most attempts to read a table that grows between the call for its size and the call for its
/// rows. netstat2 leaves no room for such growth.
const ATTEMPTS: usize = 20;

/// The system's whole table, or the text of the error.
fn table(
    family: AddressFamilyFlags,
    flags: ProtocolFlags,
    deadline: &Deadline,
) -> Result<Result<Vec<SocketInfo>, String>, Error> {
    // Only half of the time is for new attempts, so that the last error is reported instead of a
    // timeout.
    let patience = deadline.sooner(deadline.remaining()? / 2);
    let mut table = attempt(family, flags, deadline)?;
    for _ in 1..ATTEMPTS {
        if !table.as_ref().is_err_and(has_grown) || patience.check().is_err() {
            break;
        }
        table = attempt(family, flags, deadline)?;
    }
    Ok(table.map_err(cause))
}

type Table = Result<Vec<SocketInfo>, netstat2::error::Error>;

/// Reads a table once, by a worker: the calls cannot be interrupted.
fn attempt(
    family: AddressFamilyFlags,
    flags: ProtocolFlags,
    deadline: &Deadline,
) -> Result<Table, Error> {
    static TABLES: Worker = Worker::new();
    TABLES.ask(deadline, move || iterate_sockets_info(family, flags).and_then(Iterator::collect))
}

/// Whether the error is that the table has grown meanwhile.
fn has_grown(error: &netstat2::error::Error) -> bool {
    use netstat2::error::Error::{
        FailedToAllocateBuffer, FailedToGetTcpTable, FailedToGetUdpTable,
    };
    // In winerror.h. Wine reports `OUT_OF_MEMORY`.
    const INSUFFICIENT_BUFFER: i32 = 122;
    const OUT_OF_MEMORY: i32 = 14;
    match error {
        FailedToGetTcpTable(code) | FailedToGetUdpTable(code) => {
            matches!(*code, INSUFFICIENT_BUFFER | OUT_OF_MEMORY)
        }
        // netstat2 gives up after a hundred such errors.
        FailedToAllocateBuffer => true,
        _ => false,
    }
}

/// The system's error, which some texts of netstat2 leave out.
fn cause(error: netstat2::error::Error) -> String {
    use netstat2::error::Error::{
        FailedToAllocateBuffer, FailedToGetTcpTable, FailedToGetUdpTable, OsError,
    };
    match error {
        FailedToGetTcpTable(code) | FailedToGetUdpTable(code) => {
            io::Error::from_raw_os_error(code).to_string()
        }
        FailedToAllocateBuffer => "the table grew whenever it was asked for".to_owned(),
        OsError(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// A socket as netstat2 shows it.
struct Row {
    connection_type: ConnectionType,
    status: ConnectionStatus,
    info: ProtocolSocketInfo,
    // The id of the process that made the socket, or that received it; `None` where it is unknown.
    pid: Option<u32>,
}

impl Row {
    fn new(
        connection_type: ConnectionType,
        info: ProtocolSocketInfo,
        pids: &[u32],
    ) -> Result<Self, Error> {
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
        // On Linux netstat2 searches all processes for sockets, and finds only sockets of processes
        // that it may read.
        let pid = pids.first().copied().filter(|_| cfg!(windows));
        Ok(Self { connection_type, status, info, pid })
    }
}

impl Socket for Row {
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

    fn process_key(&self) -> Result<u64, Error> {
        self.pid.map_or_else(|| self.inode(), |pid| Ok(pid.into()))
    }
}

#[cfg(test)]
mod rows {
    use std::net::{IpAddr, Ipv4Addr};

    use netstat2::TcpSocketInfo;

    use super::*;

    fn socket(state: TcpState) -> Result<Row, Error> {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let info = TcpSocketInfo {
            local_addr: address,
            local_port: 1,
            remote_addr: address,
            remote_port: 2,
            state,
        };
        Row::new(ConnectionType::Tcp, ProtocolSocketInfo::Tcp(info), &[4711])
    }

    /// The numbers of `MIB_TCP_STATE` (tcpmib.h), and psutil's names, which the reference prints.
    #[test]
    fn states_are_named_as_psutil_names_them() {
        for (number, state, name) in [
            (1, TcpState::Closed, "CLOSE"),
            (2, TcpState::Listen, "LISTEN"),
            (3, TcpState::SynSent, "SYN_SENT"),
            (4, TcpState::SynReceived, "SYN_RECV"),
            (5, TcpState::Established, "ESTABLISHED"),
            (6, TcpState::FinWait1, "FIN_WAIT1"),
            (7, TcpState::FinWait2, "FIN_WAIT2"),
            (8, TcpState::CloseWait, "CLOSE_WAIT"),
            (9, TcpState::Closing, "CLOSING"),
            (10, TcpState::LastAck, "LAST_ACK"),
            (11, TcpState::TimeWait, "TIME_WAIT"),
            (12, TcpState::DeleteTcb, "DELETE_TCB"),
        ] {
            #[cfg(windows)]
            assert_eq!(TcpState::from(number), state);
            let status = socket(state).map(|socket| socket.status().name());
            assert_eq!(status.ok(), Some(name), "{number}");
        }
    }

    #[test]
    fn an_unknown_state_is_an_error() {
        #[cfg(windows)]
        assert_eq!(TcpState::from(13_u32), TcpState::Unknown);
        assert!(matches!(socket(TcpState::Unknown), Err(Error::Garbled(_))));
    }

    #[test]
    fn an_error_with_a_number_has_the_text_of_the_system() {
        use netstat2::error::Error::{FailedToGetTcpTable, FailedToGetUdpTable, NotAValidSocket};
        for error in [FailedToGetTcpTable(5), FailedToGetUdpTable(5)] {
            assert!(cause(error).ends_with("(os error 5)"));
        }
        assert_eq!(cause(NotAValidSocket), "Not a valid socket");
        let os = io::Error::from_raw_os_error(5);
        assert!(cause(os.into()).ends_with("(os error 5)"));
    }

    #[test]
    fn only_a_table_that_has_grown_is_read_again() {
        use netstat2::error::Error::{
            FailedToAllocateBuffer, FailedToGetTcpTable, FailedToGetUdpTable, NotAValidSocket,
        };
        for (error, grown) in [
            (FailedToAllocateBuffer, true),
            (FailedToGetTcpTable(122), true),
            (FailedToGetUdpTable(122), true),
            (FailedToGetUdpTable(14), true),
            (FailedToGetTcpTable(5), false),
            (FailedToGetUdpTable(87), false),
            (NotAValidSocket, false),
        ] {
            assert_eq!(has_grown(&error), grown, "{error:?}");
        }
    }

    #[test]
    fn fields_that_netstat2_lacks_are_unsupported() {
        let row = socket(TcpState::Listen).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(row.queues(), Err(Error::Unsupported(_))));
        assert!(matches!(row.inode(), Err(Error::Unsupported(_))));
        let expected = if cfg!(windows) { Some(4711) } else { None };
        assert_eq!(row.process_key().ok(), expected);
        assert!(matches!(row.uid(), Err(Error::Unsupported(_))));
        assert!(matches!(row.cgroup(), Err(Error::Unsupported(_))));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::collect::counts::{Grid, Table};
    use crate::group::Group;
    use crate::namespaces::View;
    use crate::selection::{Among, Choice, Network, Ports, Selection};
    use crate::source::door::Door;
    use crate::source::linux::sock_diag;
    use crate::vocabulary::NetnsIndex;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Open sockets, selections that no other process's sockets can match, and the expected counts.
    #[derive(Default)]
    struct Sockets {
        tcp: Vec<(TcpListener, TcpStream, TcpStream)>,
        udp: Vec<UdpSocket>,
        cases: Vec<(Selection, Vec<(Group, u64)>)>,
    }

    impl Sockets {
        /// A listener, two whole connections and a connection that is closed on one side. The
        /// kernel never gives a port with a listener to another socket by chance.
        fn tcp(&mut self, t: ConnectionType, address: IpAddr) -> io::Result<()> {
            use ConnectionStatus::{CloseWait, Established, FinWait2, Listen};
            let listener = TcpListener::bind((address, 0))?;
            let end = listener.local_addr()?;
            for number in 0..3 {
                let client = TcpStream::connect(end)?;
                let (server, _) = listener.accept()?;
                if number == 0 {
                    client.shutdown(Shutdown::Write)?;
                }
                self.tcp.push((listener.try_clone()?, client, server));
            }
            let ports = Among::from(vec![Ports { first: end.port(), last: end.port() }]);
            // Earlier connections of this port may still be in TIME_WAIT.
            let statuses = Choice::of(&[Established, FinWait2, CloseWait, Listen]);
            let of = Selection { statuses, ..only(t, address) };
            let servers = Selection { local_ports: ports.clone(), ..of.clone() };
            let clients = Selection { remote_ports: ports, ..of };
            let group = |status, count| (Group::TypeStatus(t, status), count);
            let expected = vec![group(Established, 2), group(CloseWait, 1), group(Listen, 1)];
            self.cases.push((servers, expected));
            self.cases.push((clients, vec![group(Established, 2), group(FinWait2, 1)]));
            Ok(())
        }

        /// Two bound sockets and a connected socket.
        fn udp(&mut self, t: ConnectionType, address: IpAddr) -> io::Result<()> {
            let mut local_ports = Vec::new();
            for number in 0..3 {
                let socket = UdpSocket::bind((address, 0))?;
                let end = socket.local_addr()?;
                if number == 0 {
                    socket.connect(end)?;
                }
                local_ports.push(Ports { first: end.port(), last: end.port() });
                self.udp.push(socket);
            }
            let local_ports = local_ports.into();
            let selection = Selection { local_ports, ..only(t, address) };
            let expected = vec![(Group::TypeStatus(t, ConnectionStatus::None), 3)];
            self.cases.push((selection, expected));
            Ok(())
        }
    }

    fn only(t: ConnectionType, address: IpAddr) -> Selection {
        let types = Choice::parse(&[t.name()]).unwrap_or_else(|e| panic!("{e}"));
        let prefix = if t.is_ipv6() { 128 } else { 32 };
        let local_addresses = vec![Network { address, prefix }].into();
        Selection { types, local_addresses, ..Selection::default() }
    }

    fn loopback(t: ConnectionType) -> IpAddr {
        if t.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
    }

    type Read = fn(&Dump, &mut Grid) -> Result<(), Error>;

    fn counted(read: Read, selection: &Selection) -> Result<Vec<(Group, u64)>, Error> {
        let deadline = Deadline::new(PATIENCE, &|| false);
        let mut counts = Grid::new(Group::TypeStatus);
        for protocol in Protocol::ALL {
            let (netns, view, door) = (NetnsIndex::OWN, &View::Inside, &Door::default());
            let deadline = &deadline;
            read(&Dump { protocol, selection, netns, view, door, deadline }, &mut counts)?;
        }
        Ok(counts.groups())
    }

    fn by_netlink(selection: &Selection) -> Vec<(Group, u64)> {
        counted(sock_diag::read, selection).unwrap_or_else(|e| panic!("{e}"))
    }

    fn by_netstat2(selection: &Selection) -> Result<Vec<(Group, u64)>, Error> {
        counted(read, selection)
    }

    #[test]
    fn netstat2_counts_as_many_as_netlink() {
        let mut sockets = Sockets::default();
        for t in ConnectionType::COUNTED {
            let address = loopback(t);
            if t.is_ipv6() && UdpSocket::bind((address, 0)).is_err() {
                // A host without IPv6.
                continue;
            }
            let opened = match t.protocol() {
                Protocol::Tcp => sockets.tcp(t, address),
                Protocol::Udp => sockets.udp(t, address),
                Protocol::Unix => continue,
            };
            opened.unwrap_or_else(|e| panic!("{}: {e}", t.name()));
        }
        for (selection, expected) in &sockets.cases {
            // The segments of a shutdown may still be on their way.
            let start = Instant::now();
            while by_netlink(selection) != *expected && start.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(by_netlink(selection), *expected, "netlink");
            let counted = by_netstat2(selection).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(counted, *expected, "netstat2");
        }
    }

    #[test]
    fn the_remote_end_of_udp_is_not_guessed() {
        let address = loopback(ConnectionType::Udp);
        let socket = UdpSocket::bind((address, 0)).unwrap_or_else(|e| panic!("{e}"));
        let remote_addresses = only(ConnectionType::Udp, address).local_addresses;
        let selection = Selection { remote_addresses, ..only(ConnectionType::Udp, address) };
        let counted = by_netstat2(&selection);
        drop(socket);
        assert!(matches!(counted, Err(Error::Unsupported(_))), "{counted:?}");
    }
}
