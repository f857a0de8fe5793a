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
    /// The program that it runs, made printable: the name by which it was started, where `comm` or a
    /// title that the process gave itself agrees, else the name of its executable file.
    pub program: Arc<str>,
    /// Other names of the program: of its executable file, and of its title or first argument.
    pub aliases: Arc<[Arc<str>]>,
}

impl Process {
    /// A process whose program has the same name.
    #[must_use]
    pub fn new(pid: u32, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        Self { pid, program: Arc::clone(&name), name, aliases: Arc::from([]) }
    }

    /// All its names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let aliases = self.aliases.iter().map(|alias| &**alias);
        [&*self.program, &*self.name].into_iter().chain(aliases)
    }

    /// Whether a key is a name of the process or of its program, whatever its case. A key also meets
    /// a name that the kernel cut short, where the whole name is not known.
    #[must_use]
    pub fn is_called(&self, key: &str) -> bool {
        let is = |name: &str| name.eq_ignore_ascii_case(key);
        let is_cut = |name: &str| {
            let cut = key.get(..COMM).filter(|_| !cfg!(windows) && name.len() == COMM);
            cut.is_some_and(|cut| cut.eq_ignore_ascii_case(name) && *name == *self.program)
        };
        self.names().any(is) || self.short_name().is_some_and(is) || is_cut(&self.name)
    }

    /// Whether a key is a name of the process or of its program with the id of the process, as in
    /// `nginx (812)`.
    #[must_use]
    pub fn is_called_with_id(&self, key: &str) -> bool {
        let id = format!(" ({})", self.pid);
        key.strip_suffix(&*id).is_some_and(|key| self.is_called(key)) || key == self.to_string()
    }

    /// A shorter name of the process: on Linux the name that the kernel keeps, on Windows the name
    /// that `Get-Process` shows.
    #[must_use]
    pub fn short_name(&self) -> Option<&str> {
        if cfg!(windows) { without_exe(&self.name) } else { comm(&self.name) }
    }
}

/// The number of bytes of a name that the kernel keeps (`TASK_COMM_LEN` in `linux/sched.h`, without
/// its NUL).
const COMM: usize = 15;

/// The name as `ps -o comm` and `ss -p` show it; `None` where the kernel keeps the whole name.
fn comm(name: &str) -> Option<&str> {
    // A character that the kernel cut in two is left out.
    let cut = (1..=COMM).rev().find_map(|end| name.get(..end));
    cut.filter(|cut| cut.len() < name.len())
}

fn without_exe(name: &str) -> Option<&str> {
    let (name, extension) = name.rsplit_once('.')?;
    extension.eq_ignore_ascii_case("exe").then_some(name)
}

/// `nginx (812)`, or `node/MainThread (812)` where the process has another name than its program.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, name, program, .. } = self;
        if program.starts_with(&**name) || name.starts_with(&**program) {
            write!(f, "{program} ({pid})")
        } else {
            write!(f, "{program}/{name} ({pid})")
        }
    }
}

/// The processes that have a socket, the lowest id first.
pub type Processes = Arc<[Process]>;

/// `nginx (812)`, or `nginx (812) +2` where two more processes have the same sockets.
#[must_use]
pub fn label(processes: &[Process]) -> Option<String> {
    let (first, others) = processes.split_first()?;
    Some(first.to_string() + &more(others.len()))
}

/// `nginx`, or `nginx +2` where processes of two more programs have the same sockets. Process 1 counts
/// only where it is alone: it makes sockets for other processes.
#[must_use]
pub fn program_label(processes: &[Process]) -> Option<String> {
    first_of(users(processes).map(|process| &*process.program))
}

/// The processes that use a socket: process 1 is among them only where it is alone.
pub fn users(processes: &[Process]) -> impl Iterator<Item = &Process> {
    let is_alone = processes.iter().all(|process| process.pid == 1);
    processes.iter().filter(move |process| is_alone || process.pid != 1)
}

/// `nginx`, or `nginx +2` where there are two more names; `None` for no name.
#[must_use]
pub fn first_of<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut different: Vec<&str> = Vec::new();
    for name in names {
        if !different.contains(&name) {
            different.push(name);
        }
    }
    let (first, others) = different.split_first()?;
    Some((*first).to_owned() + &more(others.len()))
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" +{others}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_processes_are_labelled_by_the_first_and_the_number_of_others() {
        let process = |pid| Process::new(pid, "nginx");
        assert_eq!(label(&[]), None);
        assert_eq!(label(&[process(812)]).as_deref(), Some("nginx (812)"));
        let all = [process(812), process(813), process(900)];
        assert_eq!(label(&all).as_deref(), Some("nginx (812) +2"));
    }

    fn running(pid: u32, name: &str, program: &str, aliases: &[&str]) -> Process {
        let aliases = aliases.iter().map(|alias| Arc::from(*alias)).collect();
        Process { program: program.into(), aliases, ..Process::new(pid, name) }
    }

    #[test]
    fn programs_are_labelled_by_the_first_and_the_number_of_others() {
        let systemd = Process::new(1, "systemd");
        let (node, other) = (running(7, "MainThread", "node", &[]), Process::new(9, "nginx"));
        let workers = [running(8, "worker", "node", &[]), node.clone()];
        assert_eq!(program_label(&[]), None);
        assert_eq!(program_label(std::slice::from_ref(&systemd)).as_deref(), Some("systemd"));
        assert_eq!(program_label(&workers).as_deref(), Some("node"));
        assert_eq!(program_label(&[systemd, node, other]).as_deref(), Some("node +1"));
    }

    #[test]
    fn a_label_has_the_program_and_a_name_that_differs() {
        for (name, program, label) in [
            ("nginx", "nginx", "nginx (7)"),
            ("MainThread", "node", "node/MainThread (7)"),
            ("python3", "python3.11", "python3.11 (7)"),
            ("gunicorn: worke", "gunicorn", "gunicorn (7)"),
        ] {
            assert_eq!(running(7, name, program, &[]).to_string(), label);
        }
    }

    #[test]
    fn a_process_is_called_by_every_name_that_it_has() {
        let node = running(7, "MainThread", "node", &["nodejs"]);
        for (key, expected) in [
            ("node", true),
            ("NODE", true),
            ("MainThread", true),
            ("nodejs", true),
            ("node (7)", false),
            ("nod", false),
            ("", false),
        ] {
            assert_eq!(node.is_called(key), expected, "{key}");
        }
        for (key, expected) in [
            ("node (7)", true),
            ("mainthread (7)", true),
            ("node/MainThread (7)", true),
            ("node", false),
            ("node (77)", false),
        ] {
            assert_eq!(node.is_called_with_id(key), expected, "{key}");
        }
    }

    #[cfg(not(windows))]
    #[test]
    fn a_long_key_meets_a_name_that_was_cut_short() {
        let unknown = Process::new(7, "very_long_scrip");
        let known = running(7, "very_long_scrip", "very_long_script.py", &[]);
        assert!(unknown.is_called("very_long_script_name.py"));
        assert!(!unknown.is_called("very_long_scr_name.py"));
        assert!(!Process::new(7, "very_long").is_called("very_long_script_name.py"));
        assert!(known.is_called("very_long_script.py") && known.is_called("very_long_scrip"));
        assert!(!known.is_called("very_long_script_name.py"));
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
