//! A way to ask the kernel again about a network namespace that this thread has left.

#[cfg(target_os = "linux")]
use std::cell::RefCell;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;

#[cfg(target_os = "linux")]
use rustix::process::{Resource, getrlimit};

/// The most doors that are kept open: a quarter of the files that this process may have open. Usually
/// it may open 1,024 files.
#[must_use]
pub fn most_doors() -> usize {
    #[cfg(target_os = "linux")]
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    #[cfg(windows)]
    let files = 0;
    usize::try_from(files / 4).unwrap_or(usize::MAX).min(256)
}

/// A place for an open `NETLINK_SOCK_DIAG` socket. The socket answers for the network namespace
/// that it was opened in (`netlink(7)`), also in a thread that is in another namespace.
#[derive(Debug, Default)]
pub struct Door {
    #[cfg(target_os = "linux")]
    socket: RefCell<Option<OwnedFd>>,
}

#[cfg(target_os = "linux")]
impl Door {
    /// Whether there is a socket.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.socket.borrow().is_some()
    }

    /// Takes the socket out. Only a socket that answered completely may be put back: the rest of an
    /// answer would be read as the next answer.
    #[must_use]
    pub fn take(&self) -> Option<OwnedFd> {
        self.socket.take()
    }

    /// Puts a socket in.
    pub fn put(&self, socket: OwnedFd) {
        self.socket.replace(Some(socket));
    }
}

#[cfg(windows)]
impl Door {
    /// Always false: Windows has no network namespaces.
    #[must_use]
    pub fn is_open(&self) -> bool {
        false
    }
}
