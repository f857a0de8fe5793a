//! Texts for owners without a name, and for the rights that would show them.

use crate::group::GroupBy;

/// Processes that only their user, or root, may see.
#[cfg(target_os = "linux")]
pub const OTHERS: &str = "(other users' processes)";
/// Processes of which some threads were not read, because there are very many.
#[cfg(target_os = "linux")]
pub const UNREAD: &str = "(processes not read)";
/// No process, though the kernel shows an inode number.
pub const NONE: &str = "(no process)";
/// A connection that waits at one of several listeners of different processes, or at a listener that
/// was not found.
pub const WAITING: &str = "(not accepted)";
/// A cgroup that no longer exists.
#[cfg(target_os = "linux")]
pub const GONE: &str = "(gone)";
/// A cgroup outside the part of the hierarchy that this process may see, or behind a limit of the
/// search.
pub const OUTSIDE: &str = "(outside)";

/// The reason why the host's own network namespace cannot be told.
pub const HOST_UNSEEN: &str = "the host's own network namespace cannot be told (CAP_SYS_PTRACE shows \
                               process 1, in the host's PID namespace)";

/// The reason why some owners of this kind cannot be seen, and the rights that would be needed.
#[must_use]
pub const fn unseen(by: GroupBy) -> Option<&'static str> {
    match by {
        GroupBy::Process | GroupBy::Program => Some(
            "some processes cannot be seen (root can, and CAP_SYS_PTRACE with \
             CAP_DAC_READ_SEARCH, in the host's PID namespace; of very many threads some are not \
             read; connections may wait at any of several listeners)",
        ),
        GroupBy::Unit => Some(
            "some units cannot be seen (root can, in the host's cgroup namespace; of very many \
                 or deep cgroups some are not read)",
        ),
        GroupBy::User => Some(
            "some users cannot be told (their names do not come in time, or are those of another \
             namespace of users; a key may be an id)",
        ),
        GroupBy::TypeStatus
        | GroupBy::Type
        | GroupBy::Status
        | GroupBy::LocalPort
        | GroupBy::RemotePort
        | GroupBy::LocalAddress
        | GroupBy::RemoteAddress
        | GroupBy::LocalEndpoint
        | GroupBy::RemoteEndpoint
        | GroupBy::Netns => None,
    }
}
