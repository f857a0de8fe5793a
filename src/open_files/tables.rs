//! The tables of open files of a host's processes, and the host's own number.

/// The open files of a process: the fullest of the tables that its threads have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// The process.
    pub pid: u32,
    /// The thread that has the table, where it is not the first thread of the process.
    pub thread: Option<u32>,
    /// The number of open files, at least.
    pub open: u64,
    /// The number of open files, at most. It is above `open` where only a bound is known.
    pub most: u64,
    /// The limit of open files (`RLIMIT_NOFILE` in `getrlimit(2)`, the soft limit).
    pub limit: u64,
}

/// The open files of the whole host (`/proc/sys/fs/file-nr` in `proc_sys_fs(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfHost {
    /// The number of open files, and its limit.
    Told(u64, u64),
    /// The host has no limit.
    Unlimited,
    /// The number cannot be read, for this reason.
    Unseen(String),
}

/// The tables of all processes.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The table of each process that has open files and a limit.
    pub of_processes: Vec<Table>,
    /// The number of open files of the whole host.
    pub host: OfHost,
    /// The processes whose open files or limit may not be read.
    pub unseen: u64,
    /// The reason why `/proc` may leave out processes.
    pub hiding: Option<String>,
}

impl Tables {
    /// Whether there may be processes without a table here.
    #[must_use]
    pub fn are_incomplete(&self) -> bool {
        self.unseen > 0 || self.hiding.is_some()
    }

    /// The note about processes and a host whose number of open files is not known; `needed` are the
    /// rights that would tell that of processes.
    #[must_use]
    pub fn note(&self, needed: Option<&str>) -> Option<String> {
        let bounded = self.of_processes.iter().filter(|table| table.most > table.open).count();
        let processes =
            |number: u64| format!("{number} process{}", if number == 1 { "" } else { "es" });
        let with = |text: String, reason: Option<&str>| {
            reason.map_or_else(|| text.clone(), |reason| format!("{text} ({reason})"))
        };
        let unseen = match (&self.hiding, self.unseen) {
            (None, 0) => None,
            (Some(hiding), 0) => Some(format!("processes may not be seen: {hiding}")),
            (Some(hiding), unseen) => Some(format!("{} not seen: {hiding}", processes(unseen))),
            (None, unseen) => Some(with(format!("{} not seen", processes(unseen)), needed)),
        };
        let bounded = (bounded > 0).then(|| {
            let number = processes(u64::try_from(bounded).unwrap_or(u64::MAX));
            with(format!("of {number} only an upper bound is told before Linux 6.2"), needed)
        });
        let host = match &self.host {
            OfHost::Unseen(reason) => Some(format!("host not seen: {reason}")),
            OfHost::Told(..) | OfHost::Unlimited => None,
        };
        let notes: Vec<_> = unseen.into_iter().chain(bounded).chain(host).collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

/// The files of one table, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The inode numbers of sockets of TCP and UDP.
    pub sockets: Vec<u64>,
    /// The number of other files.
    pub others: u64,
}

/// The files of a process, as a row of a table shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Files {
    /// The limit of open files.
    pub limit: u64,
    /// The sockets of TCP and UDP in a state, where the files may be read.
    pub in_state: Option<u64>,
    /// The sockets of TCP and UDP in no state: neither bound nor connected, or closed and still held.
    pub stateless: Option<u64>,
    /// Whether every socket in a state was found, and not only those of some network namespaces.
    pub complete: bool,
    /// The other files.
    pub others: Option<u64>,
}

/// A process as a row of a table shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The effective user id.
    pub uid: Option<u32>,
    /// The files, where they may be read.
    pub contents: Option<Contents>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unseen_and_bounded_processes_are_told_with_the_right_that_is_missing() {
        let table = |open, most| Table { pid: 7, thread: None, open, most, limit: 1024 };
        let needed = Some("CAP_SYS_PTRACE is needed");
        for (of_processes, unseen, hiding, expected) in [
            (vec![table(3, 3)], 0, None, None),
            (vec![], 1, None, Some("1 process not seen (CAP_SYS_PTRACE is needed)")),
            (
                vec![table(0, 64), table(0, 256)],
                2,
                None,
                Some(
                    "2 processes not seen (CAP_SYS_PTRACE is needed); of 2 processes only an upper \
                     bound is told before Linux 6.2 (CAP_SYS_PTRACE is needed)",
                ),
            ),
            (
                vec![table(3, 3)],
                0,
                Some("/proc is mounted with hidepid=2 (CAP_SYS_PTRACE is needed)"),
                Some(
                    "processes may not be seen: /proc is mounted with hidepid=2 (CAP_SYS_PTRACE is \
                     needed)",
                ),
            ),
            (vec![], 5, Some("/proc/1 is hidden"), Some("5 processes not seen: /proc/1 is hidden")),
        ] {
            let hiding = hiding.map(str::to_owned);
            let tables = Tables { of_processes, host: OfHost::Unlimited, unseen, hiding };
            assert_eq!(tables.note(needed).as_deref(), expected);
            assert_eq!(tables.are_incomplete(), unseen > 0 || tables.hiding.is_some());
        }
        let host = OfHost::Unseen("/proc/sys/fs/file-nr: Permission denied".to_owned());
        let tables = Tables { of_processes: Vec::new(), host, unseen: 1, hiding: None };
        let expected = "1 process not seen; host not seen: /proc/sys/fs/file-nr: Permission denied";
        assert_eq!(tables.note(None).as_deref(), Some(expected));
    }
}
