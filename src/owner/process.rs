//! A process, as one of those that have a socket.

use std::fmt;
use std::sync::Arc;

/// A process, as one of those that have a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name: `/proc/PID/comm`, made printable.
    pub name: Arc<str>,
}

/// `nginx (812)`
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.pid)
    }
}

/// The processes that have a socket, the lowest id first.
pub type Processes = Arc<[Process]>;

/// `nginx (812)`, or `nginx (812) +2` where two more processes have the same sockets.
#[must_use]
pub fn label(processes: &[Process]) -> Option<String> {
    let (first, others) = processes.split_first()?;
    let more = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
    Some(format!("{first}{more}"))
}
