//! What is done in namespaces, and what came of it.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::vocabulary::Net;

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
pub type Visit<'a> = dyn FnMut(Net, &View, &Deadline) -> Result<(), Error> + Send + 'a;

/// How many namespaces were looked at, and how many could not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visited {
    /// Those that were.
    pub seen: usize,
    /// At most so many were not: they are mounted, no process in them is known, and entering them
    /// is not allowed.
    pub unseen: usize,
    /// Of those so many may have been looked at, by processes of which it cannot be told in which of
    /// them they are.
    pub doubtful: usize,
}
