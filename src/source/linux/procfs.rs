//! Linux: connections from `/proc/net/{tcp,tcp6,udp,udp6}` (`proc_net(5)`).
//!
//! This source is less reliable than `sock_diag`: while connections come and go, the kernel may
//! skip or repeat a row of `/proc/net/tcp`.

use std::io::{self, Read};
use std::os::fd::OwnedFd;

use log::debug;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, Mode, OFlags, fstatfs, open, openat, statat};
use rustix::io::{Errno, read as read_file};

use crate::collect::Collector;
use crate::deadline::Deadline;
use crate::ephemeral::{ByFamily, PortRange};
use crate::error::Error;
use crate::linux::file_system::is_of_type;
use crate::name::Named;
use crate::namespaces::View;
use crate::os_error;
use crate::socket::Socket;
use crate::source::dump::Dump;
use crate::source::linux::port_text::{range, reserved};
use crate::source::linux::proc_table::{Lines, Row};
use crate::source::summary::{DropCounter, SocketSummary, Sockstat};
use crate::vocabulary::{ConnectionType, Protocol};

const CHUNK: usize = 64 * 1024;

/// The size of a read of the kernel's counters. The files with the counters are shorter.
const TEXT: usize = 4 * 1024;

/// Hands every selected socket to `collector`. Reads a table again while the kernel's counters
/// disagree with its rows.
pub fn read<C: Collector>(dump: &Dump, collector: &mut C) -> Result<(), Error> {
    let Dump { protocol, selection, view, .. } = dump;
    if selection.linux_mask(*protocol) == 0 {
        return Ok(());
    }
    let directory = NetDirectory::open(view)?;
    for connection_type in selection.types_of(*protocol) {
        let counted = || sockstat(view).and_then(|counters| counters.in_use(connection_type)).ok();
        for attempt in 1..=ATTEMPTS {
            let before = counted();
            directory.check_namespace(view)?;
            let Some(table) = directory.open_table(connection_type)? else {
                break;
            };
            directory.check_namespace(view)?;
            let path = directory.path(connection_type.name());
            let mut part = collector.fresh();
            let full = read_table(&table, connection_type, &path, dump, &mut part)?;
            if attempt == ATTEMPTS || is_likely(full, before, counted()) {
                collector.merge(part);
                break;
            }
            debug!("{path}: {full} sockets, which the kernel's counters do not confirm");
        }
    }
    Ok(())
}

/// The maximum number of attempts to read a table. The last attempt counts even where the rows and
/// the kernel's counters disagree: both are slightly inexact while connections come and go.
const ATTEMPTS: u32 = 3;

/// Whether the number of full sockets in a table lies between the kernel's counts before and after
/// the read. Where a count is missing, every number is likely.
fn is_likely(full: u64, before: Option<u64>, after: Option<u64>) -> bool {
    before
        .zip(after)
        .is_none_or(|(before, after)| (before.min(after)..=before.max(after)).contains(&full))
}

/// The `net` directory of a process or thread.
struct NetDirectory {
    descriptor: OwnedFd,
    path: String,
}

impl NetDirectory {
    fn open(view: &View) -> Result<Self, Error> {
        let open = |path: String| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match open(&path, flags, Mode::empty()) {
                Ok(descriptor) => Ok(Self { descriptor, path }),
                Err(error) => Err(os_error::of_call(path, error)),
            }
        };
        match view {
            // /proc/net belongs to the process's first thread, which may be in another namespace.
            View::Inside => open("/proc/thread-self/net".to_owned()).or_else(|error| {
                // Linux before 3.17 has no thread-self.
                open(format!("/proc/self/task/{}/net", rustix::thread::gettid())).map_err(|_| error)
            }),
            View::Process { directory, .. } => open(format!("{directory}/net")),
        }
    }

    /// Checks that the directory still shows the namespace of `view`. The process may have moved to
    /// another namespace, or its id may belong to another process by now.
    fn check_namespace(&self, view: &View) -> Result<(), Error> {
        match view {
            View::Inside => Ok(()),
            View::Process { tcp, .. } => {
                let path = self.path("tcp");
                match statat(&self.descriptor, "tcp", AtFlags::empty()) {
                    Ok(stat) if stat.st_ino == *tcp => Ok(()),
                    Ok(_) => Err(Error::Moved(path)),
                    Err(error) => Err(os_error::of_call(path, error)),
                }
            }
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Opens a file in this directory; `None` where the file does not exist. An error where the
    /// file is not the kernel's.
    fn open_file(&self, name: &str) -> Result<Option<OwnedFd>, Error> {
        let failed = |error| os_error::of_call(self.path(name), error);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match openat(&self.descriptor, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            file => file.map_err(failed)?,
        };
        // A file system that is mounted over /proc could have any content.
        if is_of_type(&fstatfs(&file).map_err(failed)?, rustix::fs::PROC_SUPER_MAGIC) {
            Ok(Some(file))
        } else {
            Err(Error::Garbled(format!("{} is not the kernel's", self.path(name))))
        }
    }

    /// Opens the table of one type; `None` where the host has no IPv6.
    fn open_table(&self, connection_type: ConnectionType) -> Result<Option<OwnedFd>, Error> {
        if let Some(table) = self.open_file(connection_type.name())? {
            return Ok(Some(table));
        }
        let ipv4 = ConnectionType::new(connection_type.protocol(), false);
        let no_ipv6 = connection_type.is_ipv6()
            && statat(&self.descriptor, ipv4.name(), AtFlags::empty()).is_ok();
        if no_ipv6 { Ok(None) } else { Err(self.missing(connection_type.name())) }
    }

    /// The text of a small file; `None` where the file does not exist.
    fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(file) = self.open_file(name)? else {
            return Ok(None);
        };
        // std would first ask for the length of the file. The kernel does not know the length of
        // files in /proc.
        let mut text = Vec::new();
        loop {
            text.reserve(TEXT);
            match read_file(&file, spare_capacity(&mut text)) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(os_error::of_call(self.path(name), error)),
            }
        }
        String::from_utf8(text)
            .map(Some)
            .map_err(|error| Error::Garbled(format!("{}: {error}", self.path(name))))
    }

    /// The error for a missing file that must exist.
    fn missing(&self, name: &str) -> Error {
        os_error::of_call(self.path(name), Errno::NOENT)
    }
}

/// Hands every selected row to `collector`. Returns the number of full sockets in the table,
/// selected or not: the kernel's counters leave out timewait and request sockets, too.
fn read_table<C: Collector>(
    table: &OwnedFd,
    connection_type: ConnectionType,
    path: &str,
    dump: &Dump,
    collector: &mut C,
) -> Result<u64, Error> {
    let Dump { selection, netns, deadline, .. } = dump;
    let mut full = 0;
    let mut buffer = vec![0; CHUNK];
    let mut lines = Lines::default();
    loop {
        deadline.check()?;
        let chunk = match read_file(table, &mut buffer) {
            Ok(0) => break,
            Ok(length) => buffer.get(..length).unwrap_or(&[]),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(os_error::of_call(path, error)),
        };
        lines.feed(chunk, |line| {
            let row = Row::new(connection_type, line)
                .map_err(|error| Error::Garbled(format!("{path}: {error}")))?;
            full += u64::from(row.is_full()?);
            if selection.matches(&row)? {
                collector.add(*netns, &row)?;
            }
            Ok(())
        })?;
    }
    let rows = lines.finish().map_err(|error| Error::Garbled(format!("{path}: {error}")))?;
    debug!("{connection_type}: {rows} rows in {path}", connection_type = connection_type.name());
    Ok(full)
}

/// The protocols without sockets in a namespace, by the kernel's counters. A counter is a sum over
/// all processors, and may be zero for a moment although sockets exist. A protocol is idle if its
/// counters are zero in two reads.
#[must_use]
pub fn idle(view: &View) -> Vec<Protocol> {
    let mut idle = Protocol::ALL.to_vec();
    for _ in 0..2 {
        if !idle.is_empty() {
            // Without readable counters a protocol is not idle: its sockets are dumped.
            let counters = sockstat(view).unwrap_or_default();
            idle.retain(|protocol| counters.has_none(*protocol).unwrap_or(false));
        }
    }
    idle
}

/// The kernel's counters of sockets.
pub fn sockstat(view: &View) -> Result<Sockstat, Error> {
    let directory = NetDirectory::open(view)?;
    let ipv6 = directory.read("sockstat6")?.unwrap_or_default();
    let ipv4 = directory.read("sockstat")?.ok_or_else(|| directory.missing("sockstat"))?;
    directory.check_namespace(view)?;
    Ok(Sockstat { ipv4, ipv6 })
}

/// Whether the kernel tracks connections in a network namespace: it then has statistics of them.
pub fn counts_tracked(view: &View) -> Result<bool, Error> {
    Ok(NetDirectory::open(view)?.open_file("stat/nf_conntrack")?.is_some())
}

/// Whether the ephemeral ports are cheap to read on this system.
pub const PORTS_ARE_AT_HAND: bool = true;
/// The error where the ports are required and cannot be read.
pub const PORTS_UNTOLD: &str = "The ports for outgoing connections cannot be read here \
     (ip_local_port_range, ip_local_reserved_ports)";
/// The error where no port is left.
pub const NO_PORTS: &str = "No port is left for outgoing connections: all of ip_local_port_range are in \
     ip_local_reserved_ports or listened on";

/// The range from which the kernel takes ports for outgoing connections (`ip_local_port_range` in
/// `ip(7)`, `ip_local_reserved_ports`). Both families have the same range. `None` where a setting is
/// not a range, or for a view through a process: the kernel shows only the settings of the namespace
/// that this thread is in.
pub fn ephemeral_ports(
    view: &View,
    deadline: &Deadline,
) -> Result<Option<ByFamily<PortRange>>, Error> {
    deadline.check()?;
    if *view != View::Inside {
        return Ok(None);
    }
    let range = port_range().map_err(|error| os_error::of_call(PORTS_UNTOLD, error))?;
    Ok(range.map(|range| ByFamily { ipv4: range.clone(), ipv6: range }))
}

fn port_range() -> io::Result<Option<PortRange>> {
    let ports = setting("ip_local_port_range")?.and_then(|text| range(&text));
    let reserved = setting("ip_local_reserved_ports")?.and_then(|text| reserved(&text));
    Ok(ports.zip(reserved).map(|(ports, reserved)| PortRange { ports, reserved }))
}

/// The whole text of an IPv4 setting; `None` where the text may be longer than the buffer.
fn setting(name: &str) -> io::Result<Option<String>> {
    // The longest list of ports has 254 KiB. The kernel returns the list in a single read. A part
    // that does not fit into the buffer is lost.
    let mut text = vec![0; 256 << 10];
    let mut file = std::fs::File::open(format!("/proc/sys/net/ipv4/{name}"))?;
    let length = file.read(&mut text)?;
    let is_whole = length < text.len();
    text.truncate(length);
    Ok(String::from_utf8(text).ok().filter(|_| is_whole))
}

/// The kernel's own sums of sockets, as `ss -s` prints them: its counters and the number of
/// established connections.
pub fn summary() -> Result<SocketSummary, Error> {
    let directory = NetDirectory::open(&View::Inside)?;
    let text = |name| directory.read(name)?.ok_or_else(|| directory.missing(name));
    let sockstat6 = directory.read("sockstat6")?.unwrap_or_default();
    SocketSummary::parse(&text("sockstat")?, &sockstat6, &text("snmp")?)
}

/// A counter of this thread's network namespace.
pub fn drops(counter: DropCounter) -> Result<u64, Error> {
    let directory = NetDirectory::open(&View::Inside)?;
    let text = directory.read(counter.file())?.ok_or_else(|| directory.missing(counter.file()))?;
    counter.read(&text, &directory.read("snmp6")?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_between_the_counts_is_likely() {
        for (full, before, after, likely) in [
            (5, Some(5), Some(5), true),
            (4, Some(5), Some(5), false),
            (6, Some(5), Some(5), false),
            (6, Some(5), Some(7), true),
            (6, Some(7), Some(5), true),
            (8, Some(7), Some(5), false),
            // Where a count is missing, every number is likely.
            (4, None, Some(5), true),
            (4, Some(5), None, true),
        ] {
            assert_eq!(is_likely(full, before, after), likely, "{full} {before:?} {after:?}");
        }
    }
}
