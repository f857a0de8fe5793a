//! Visits to namespaces: the way to read a namespace, and the number of namespaces read.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::vocabulary::NetnsIndex;

/// The way in which a namespace is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// From inside: this thread is in the namespace.
    Inside,
    /// Through the `/proc` directory of a process in the namespace.
    Process {
        /// The directory of the process, or of one of its threads.
        directory: String,
        /// The inode number of `net/tcp` in that directory: every namespace has its own.
        tcp: u64,
    },
}

/// A function that is called for every namespace.
pub type Visit<'a> = dyn FnMut(NetnsIndex, &View, &Deadline) -> Result<(), Error> + Send + 'a;

/// The numbers of requested namespaces that were read and skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetnsCoverage {
    /// Namespaces that were read.
    pub read: usize,
    /// Namespaces that were not read, at most. Each is mounted, has no known process, and may not be
    /// entered or has a covered mount point; or its processes were not found again.
    pub skipped: usize,
    /// Skipped namespaces that this user may not enter.
    pub denied: usize,
    /// Skipped namespaces that may have been read all the same, through a process whose namespace
    /// could not be matched to a mount.
    pub maybe_read: usize,
}
