//! Files that stand for namespaces (`namespaces(7)`).

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstatfs, open, stat};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::file_system::is_of_type;
use crate::linux::look::{Seen, look};
use crate::linux::rights::Right;
use crate::namespaces::linux::text::{INIT_ROOT, task_of};
use crate::netns::NAMED;
use crate::os_error;
use crate::printable::{bounded, printable};

/// `NSFS_MAGIC` in `linux/magic.h`; since Linux 3.19.
const NSFS: rustix::fs::FsWord = 0x6e73_6673;

/// Stands for a file that does not represent a namespace. A mount point is such a file before and
/// after the mount.
pub const NO_NAMESPACE: Errno = Errno::INVAL;

/// Opens the file of a namespace as a path only (`O_PATH`): any other file stays untouched.
pub fn file(path: &Path, deadline: &Deadline) -> Result<Seen<OwnedFd>, Error> {
    let shown = printable(path.as_os_str().as_bytes());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = match look(&shown, deadline, || open(path, flags, Mode::empty()))? {
        Seen::There(file) => file,
        seen => return Ok(seen),
    };
    let file_system = fstatfs(&file).map_err(|error| os_error::of_file(&shown, error))?;
    let is_namespace = is_of_type(&file_system, NSFS);
    Ok(if is_namespace { Seen::There(file) } else { Seen::Gone(NO_NAMESPACE) })
}

/// The right that opens a file where this process may not.
pub fn to_open(path: &Path, deadline: &Deadline) -> Result<Right, Error> {
    // `/proc/1/root/` is the directory, `/proc/1/root` is the link.
    let root = format!("{INIT_ROOT}/");
    let of_init = path.starts_with(INIT_ROOT)
        && matches!(look(&root, deadline, || stat(&*root))?, Seen::Hidden(_));
    let of_process = task_of(path).is_some();
    Ok(if of_init || of_process { Right::Trace } else { Right::Search })
}

/// The error for a file that does not represent a network namespace.
pub fn no_network(shown: &str) -> Error {
    Error::Argument(format!(
        "{} is no network namespace (valid: a file as /proc/PID/ns/net or below {NAMED})",
        bounded(shown)
    ))
}
