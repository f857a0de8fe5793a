//! Linux: connections from a `NETLINK_SOCK_DIAG` socket (`sock_diag(7)`); I/O only.

use std::os::fd::OwnedFd;
use std::time::Duration;

use log::debug;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, netlink, recv, send,
    socket_with,
};

use crate::collect::Collector;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::os_error;
use crate::selection::Ports;
use crate::socket::Wanted;
use crate::source::door::Door;
use crate::source::dump::Dump;
use crate::source::linux::inet_diag::{self, Event, Request};
use crate::source::linux::unix_diag;
use crate::vocabulary::NetnsIndex;

/// The kernel never puts more bytes than this into a datagram of a dump.
const DATAGRAM: usize = 32 * 1024;

/// The longest wait before the deadline, and the caller's request to stop, are checked again.
const WAIT: Duration = Duration::from_millis(200);

/// Hands every selected socket to `collector`.
pub fn read<C: Collector>(dump: &Dump, collector: &mut C) -> Result<(), Error> {
    let of_selection = Wanted { transfer: !dump.selection.stuck.is_empty(), ..Wanted::default() };
    let wanted = collector.wanted().or(of_selection);
    let requests = inet_diag::requests(dump.protocol, dump.selection, wanted);
    if requests.is_empty() {
        return Ok(());
    }
    let socket = match dump.door.take() {
        Some(socket) => socket,
        None => open()?,
    };
    // Not zeroed: zeroing would touch every page, and most answers need the first page only.
    let mut buffer = Vec::with_capacity(DATAGRAM);
    for request in &requests {
        answer(&socket, request, &mut buffer, dump, collector)?;
    }
    dump.door.put(socket);
    Ok(())
}

/// Hands the sockets of the answer to one request to `collector`.
fn answer<C: Collector>(
    socket: &OwnedFd,
    request: &Request,
    buffer: &mut Vec<u8>,
    dump: &Dump,
    collector: &mut C,
) -> Result<(), Error> {
    let Dump { protocol, selection, netns, deadline, .. } = dump;
    transmit(socket, request.bytes(), deadline)?;
    let mut datagrams = 0_u32;
    let mut done = false;
    while !done {
        let datagram = receive(socket, buffer, deadline)?;
        datagrams += 1;
        for event in request.messages(datagram) {
            match event? {
                Event::Message(socket) if selection.matches(&socket)? => {
                    collector.add(*netns, &socket)?;
                }
                Event::Message(_) => {}
                Event::Done => done = true,
            }
        }
    }
    debug!("{protocol}: complete after {datagrams} datagrams");
    Ok(())
}

/// Hands every TCP socket that is bound to one of these ports, and has no connection, to `collector`.
pub fn read_bound<C: Collector>(ports: Ports, dump: &Dump, collector: &mut C) -> Result<(), Error> {
    let socket = match dump.door.take() {
        Some(socket) => socket,
        None => open()?,
    };
    let request = inet_diag::request_of_bound(ports);
    answer(&socket, &request, &mut Vec::with_capacity(DATAGRAM), dump, collector)?;
    dump.door.put(socket);
    Ok(())
}

/// Hands every unix listener of a network namespace to `collector`.
pub fn read_unix<C: Collector>(
    netns: NetnsIndex,
    door: &Door,
    deadline: &Deadline,
    collector: &mut C,
) -> Result<(), Error> {
    let socket = match door.take() {
        Some(socket) => socket,
        None => open()?,
    };
    let mut buffer = Vec::with_capacity(DATAGRAM);
    transmit(&socket, &unix_diag::request(), deadline)?;
    let mut done = false;
    while !done {
        for event in unix_diag::messages(receive(&socket, &mut buffer, deadline)?) {
            match event.map_err(absent)? {
                unix_diag::Event::Listener(listener) => collector.add(netns, &listener)?,
                unix_diag::Event::Done => done = true,
            }
        }
    }
    door.put(socket);
    Ok(())
}

/// The error of a kernel that does not list unix sockets, in words.
fn absent(error: Error) -> Error {
    if error.errno() == Some(Errno::NOENT.raw_os_error()) {
        let reason = "this kernel does not list unix sockets (the module unix_diag is missing)";
        return Error::Unsupported(reason.to_owned());
    }
    error
}

/// Opens a socket that is connected to the kernel: datagrams of other senders do not reach it.
fn open() -> Result<OwnedFd, Error> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )
    .map_err(|e| os_error::of_call("socket", e))?;
    connect(&socket, &netlink::SocketAddrNetlink::new(0, 0))
        .map_err(|e| os_error::of_call("connect", e))?;
    Ok(socket)
}

fn transmit(socket: &OwnedFd, request: &[u8], deadline: &Deadline) -> Result<(), Error> {
    loop {
        deadline.check()?;
        match send(socket, request, SendFlags::empty()) {
            Ok(sent) if sent == request.len() => return Ok(()),
            Ok(_) => return Err(Error::Garbled("send: the request was cut short".to_owned())),
            Err(Errno::INTR) => {}
            Err(error) => return Err(os_error::of_call("send", error)),
        }
    }
}

/// The next datagram. The kernel writes a datagram during `recv`, so that `recv` comes first, and
/// `poll` only where the kernel has no datagram.
fn receive<'a>(
    socket: &OwnedFd,
    buffer: &'a mut Vec<u8>,
    deadline: &Deadline,
) -> Result<&'a [u8], Error> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    let mut readable = false;
    let length = loop {
        deadline.check()?;
        buffer.clear();
        match recv(socket, spare_capacity(buffer), flags) {
            Ok((_, length)) => break length,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if !readable => readable = wait(socket, deadline)?,
            Err(error) => return Err(os_error::of_call("recv", error)),
        }
    };
    match buffer.get(..length) {
        Some([]) => Err(Error::Garbled("recv: the kernel's answer is empty".to_owned())),
        Some(datagram) => Ok(datagram),
        None => Err(Error::Garbled(format!("recv: a datagram of {length} bytes was cut short"))),
    }
}

/// Waits for a datagram, at most for [`WAIT`]. Returns whether the socket is readable.
fn wait(socket: &OwnedFd, deadline: &Deadline) -> Result<bool, Error> {
    let left = deadline.remaining()?.min(WAIT);
    let timeout = Timespec::try_from(left).map_err(|_| os_error::of_call("poll", Errno::INVAL))?;
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(os_error::of_call("poll", error)),
    }
}
