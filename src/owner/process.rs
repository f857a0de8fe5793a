//! Processes that have sockets, and their labels.

use std::fmt;
use std::sync::Arc;

/// A process that has sockets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name, made printable: `/proc/PID/comm`, completed where the kernel cut it short; on Windows
    /// the file that it runs.
    pub name: Arc<str>,
}

impl Process {
    /// A shorter name of the process: on Linux the name that the kernel keeps, on Windows the name
    /// that `Get-Process` shows.
    #[must_use]
    pub fn short_name(&self) -> Option<&str> {
        if cfg!(windows) { without_exe(&self.name) } else { comm(&self.name) }
    }
}

/// The name as `ps -o comm` and `ss -p` show it; `None` where the kernel keeps the whole name.
fn comm(name: &str) -> Option<&str> {
    /// The number of bytes that the kernel keeps.
    const COMM: usize = 15;
    // A character that the kernel cut in two is left out.
    let cut = (1..=COMM).rev().find_map(|end| name.get(..end));
    cut.filter(|cut| cut.len() < name.len())
}

fn without_exe(name: &str) -> Option<&str> {
    let (name, extension) = name.rsplit_once('.')?;
    extension.eq_ignore_ascii_case("exe").then_some(name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_processes_are_labelled_by_the_first_and_the_number_of_others() {
        let process = |pid| Process { pid, name: "nginx".into() };
        assert_eq!(label(&[]), None);
        assert_eq!(label(&[process(812)]).as_deref(), Some("nginx (812)"));
        let all = [process(812), process(813), process(900)];
        assert_eq!(label(&all).as_deref(), Some("nginx (812) +2"));
    }

    #[test]
    fn a_long_name_has_a_short_form() {
        for (name, cut) in [
            ("nginx", None),
            ("fifteen-letters", None),
            ("sixteen-letters!", Some("sixteen-letters")),
            ("fourteen-byte-\u{e4}", Some("fourteen-byte-")),
        ] {
            assert_eq!(comm(name), cut, "{name}");
        }
        for (name, cut) in [
            ("nginx.exe", Some("nginx")),
            ("A.B.EXE", Some("A.B")),
            ("System", None),
            ("nginx.exe.bak", None),
            ("exe", None),
        ] {
            assert_eq!(without_exe(name), cut, "{name}");
        }
    }
}
