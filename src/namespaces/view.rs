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

/// The numbers of requested namespaces that were read and not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetnsCoverage {
    /// Namespaces that were read.
    pub read: usize,
    /// Namespaces that were not read, at most.
    pub skipped: usize,
    /// Skipped namespaces that this user may not enter, or whose mount point is covered, that may
    /// have been read all the same, through a process whose namespace could not be matched to a mount.
    pub maybe_read: usize,
    /// The reasons why namespaces were skipped, as in "`CAP_SYS_ADMIN` is needed".
    pub reasons: Vec<String>,
    /// Skipped namespaces whose reading failed.
    pub failed: usize,
    /// The name of the first of them, and the error.
    pub failure: Option<String>,
}

impl NetnsCoverage {
    /// Adds a namespace whose reading failed.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn add_failed(&mut self, number: usize, failure: impl FnOnce() -> String) {
        if number > 0 {
            self.skipped += number;
            self.failed += number;
            self.failure.get_or_insert_with(failure);
        }
    }
}
