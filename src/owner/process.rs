//! A process, as one of those that have a socket.

use std::fmt;
use std::sync::Arc;

/// A process, as one of those that have a socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name, made printable: `/proc/PID/comm`, completed where the kernel cut it short.
    pub name: Arc<str>,
}

impl Process {
    /// How many bytes of a name the kernel keeps.
    const COMM: usize = 15;

    /// What the kernel calls it where that is shorter, as `ps -o comm` and `ss -p` show it.
    #[must_use]
    pub fn comm(&self) -> Option<&str> {
        // A character that the kernel cut in two is left out.
        let cut = (1..=Self::COMM).rev().find_map(|end| self.name.get(..end));
        cut.filter(|cut| cut.len() < self.name.len())
    }
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
