//! What is done in namespaces, and what came of it.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::vocabulary::NetnsIndex;

/// How a namespace is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// This thread is in it.
    Inside,
    /// As `/proc` shows it of a process that is in it.
    Process {
        /// The process's directory, or that of one of its threads.
        directory: String,
        /// The inode number of `net/tcp` below it, which every namespace has its own of.
        tcp: u64,
    },
}

/// What is done in every namespace.
pub type Visit<'a> = dyn FnMut(NetnsIndex, &View, &Deadline) -> Result<(), Error> + Send + 'a;

/// How many of the requested namespaces were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetnsCoverage {
    /// Namespaces that were read.
    pub read: usize,
    /// Namespaces that were not read, at most: each is mounted, has no known process, and may not be
    /// entered by this user.
    pub skipped: usize,
    /// Skipped namespaces that may have been read all the same, through a process whose namespace
    /// could not be matched to a mount.
    pub maybe_read: usize,
}
