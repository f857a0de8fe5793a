//! A way to ask the kernel again about a network namespace that this thread has left.

#[cfg(target_os = "linux")]
use std::cell::RefCell;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;

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
