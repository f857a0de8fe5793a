//! Reads the open files of processes from `/proc` (`proc_pid_fd(5)`).
//!
//! Since Linux 6.2 the size of the directory `/proc/PID/fd` is the number of open files, and everybody
//! may ask for it. Before, the directory has to be listed, which takes rights over the process. Without
//! them the size of the table of files (`FDSize`) is a bound.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, RawDir, getxattr, readlinkat_raw, statat};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::limit_text::{
    FILE_NR, Limit, file_nr, is_counted, open_limit, status, thread_in,
};
use crate::linux::look::{Seen, beginning, first_part, look, open_directory};
use crate::linux::proc_text::inode;
use crate::linux::processes::{ENTRIES, hidden_processes, other_threads, pids, sees_every_process};
use crate::linux::settings::setting;
use crate::open_files::tables::{Contents, Holder, OfHost, Table, Tables};

const PROC: &str = "/proc";

/// The descriptors of this process.
const OWN: &str = "/proc/self/fd";

/// Longer than `/proc/PID/limits`, and than the beginning of `/proc/PID/status`.
const LONGEST: usize = 4096;

/// Longer than the names of protocols (`struct proto` in `net/sock.h` has room for 32 bytes).
const LONGEST_PROTOCOL: usize = 64;

/// Reads the number of open files of every process, and of the host.
pub fn read(deadline: &Deadline) -> Result<Tables, Error> {
    let hiding = match hidden_processes(deadline) {
        Err(error) if error.is_final() => return Err(error),
        // Without an answer, some processes may be hidden.
        Err(error) => Some(error.to_string()),
        Ok(hiding) => hiding.map(|hiding| hiding.reason),
    };
    let mut found = Tables { of_processes: Vec::new(), host: of_host(), unseen: 0, hiding };
    let proc = open_directory(PROC, PROC, deadline)?.there(PROC)?;
    // Without an answer, tables of threads would be left out.
    let sizes_are_told = size(&proc, OWN, deadline)?.there(OWN)? > 0;
    let mut walk = Walk { deadline, sizes_are_told, proc, room: [0; LONGEST] };
    for pid in pids(deadline)? {
        match walk.table(pid)? {
            Seen::There(table) => found.of_processes.extend(table),
            Seen::Gone(_) => {}
            Seen::Hidden(_) => found.unseen += 1,
        }
    }
    Ok(found)
}

/// The open files of the host. The processes are judged without them, too.
fn of_host() -> OfHost {
    let told = setting(FILE_NR).and_then(|text| text.as_deref().map(file_nr).transpose());
    match told {
        Ok(Some((open, Limit::Of(limit)))) => OfHost::Told(open, limit),
        Ok(Some((_, Limit::Unlimited))) => OfHost::Unlimited,
        Ok(None) => OfHost::Unseen(format!("/proc/sys/{FILE_NR} is missing")),
        Err(error) => OfHost::Unseen(error.to_string()),
    }
}

/// The size of a directory of descriptors: since Linux 6.2 their number, before always 0.
fn size(proc: &OwnedFd, fd: &str, deadline: &Deadline) -> Result<Seen<u64>, Error> {
    let stat = look(fd, deadline, || statat(proc, fd, AtFlags::empty()))?;
    Ok(stat.map(|stat| u64::try_from(stat.st_size).unwrap_or(0)))
}

/// The number of open files of a thread, at least and at most.
#[derive(Clone, Copy, Default)]
struct Number {
    open: u64,
    most: u64,
}

impl Number {
    const fn exact(open: u64) -> Self {
        Self { open, most: open }
    }
}

struct Walk<'a> {
    deadline: &'a Deadline<'a>,
    // Whether the sizes of directories are the numbers of open files.
    sizes_are_told: bool,
    // The directory that paths begin in: there may be thousands of processes, and a path from the root
    // costs more.
    proc: OwnedFd,
    room: [u8; LONGEST],
}

impl Walk<'_> {
    /// The fullest table of a process; `None` where the process has no files or no limit.
    fn table(&mut self, pid: u32) -> Result<Seen<Option<Table>>, Error> {
        let process = pid.to_string();
        let first = match self.number(&process)?.ok_or_status() {
            Ok(number) => number,
            Err(seen) => return Ok(seen),
        };
        let (thread, number) = match self.fullest(pid, &process, first)?.ok_or_status() {
            Ok(fullest) => fullest,
            Err(seen) => return Ok(seen),
        };
        if number.most == 0 {
            return Ok(Seen::There(None));
        }
        let limit = match self.limit(&process)?.ok_or_status() {
            Ok(Limit::Of(limit)) => limit,
            Ok(Limit::Unlimited) => return Ok(Seen::There(None)),
            Err(seen) => return Ok(seen),
        };
        let Number { open, most } = number;
        Ok(Seen::There(Some(Table { pid, thread, open, most, limit })))
    }

    /// The fullest of the tables of a process's threads, and its thread where that is not the first.
    /// Threads nearly always share one table, but one may have a table of its own (`CLONE_FILES` in
    /// `unshare(2)`), and a first thread that has ended has none.
    ///
    /// Sizes and bounds cost little for each thread. A table that has to be listed costs more: other
    /// threads are then read only where the first one has no files.
    fn fullest(
        &mut self,
        pid: u32,
        process: &str,
        first: Number,
    ) -> Result<Seen<(Option<u32>, Number)>, Error> {
        let mut fullest = (None, first);
        let lists = !self.sizes_are_told;
        let is_listed = |number: Number| lists && number.open > 0;
        if is_listed(first) {
            return Ok(Seen::There(fullest));
        }
        // The directory has two links, like every directory, and another one for each thread.
        let task = [process, "/task"].concat();
        let links = look(&task, self.deadline, || statat(&self.proc, &task, AtFlags::empty()))?;
        match links.ok_or_status() {
            Ok(stat) if stat.st_nlink <= 3 => return Ok(Seen::There(fullest)),
            Ok(_) => {}
            Err(seen) => return Ok(seen),
        }
        let threads = match other_threads(pid, self.deadline)?.ok_or_status() {
            Ok(threads) => threads,
            Err(seen) => return Ok(seen),
        };
        for thread in threads {
            match self.number(below_proc(&thread))? {
                Seen::There(number) if number.most > fullest.1.most => {
                    fullest = (thread_in(&thread), number);
                }
                Seen::There(_) | Seen::Gone(_) => {}
                Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
            }
            if is_listed(fullest.1) {
                break;
            }
        }
        Ok(Seen::There(fullest))
    }

    /// The number of open files of a thread, by its path below `/proc`.
    fn number(&mut self, thread: &str) -> Result<Seen<Number>, Error> {
        let fd = [thread, "/fd"].concat();
        if self.sizes_are_told {
            return Ok(size(&self.proc, &fd, self.deadline)?.map(Number::exact));
        }
        let mut open = 0;
        let listed = each_descriptor(&format!("{PROC}/{fd}"), self.deadline, |_, _| {
            open += 1;
            Ok(())
        })?;
        match listed {
            Seen::There(()) => Ok(Seen::There(Number::exact(open))),
            Seen::Gone(error) => Ok(Seen::Gone(error)),
            Seen::Hidden(_) => self.bound(thread),
        }
    }

    /// The bound of the number of open files of a thread: the size of its table. A thread of the
    /// kernel and one that has ended have none.
    fn bound(&mut self, thread: &str) -> Result<Seen<Number>, Error> {
        let path = format!("{thread}/status");
        let text = first_part(&self.proc, &path, &mut self.room, self.deadline)?;
        let (status, is_cut) = match text.ok_or_status() {
            Ok(text) => (status(text), text.len() == LONGEST),
            Err(seen) => return Ok(seen),
        };
        Ok(match status.places {
            Some(most) if status.has_memory || is_cut => Seen::There(Number { open: 0, most }),
            Some(_) => Seen::There(Number::default()),
            None => Seen::Hidden(Errno::NODATA),
        })
    }

    fn limit(&mut self, process: &str) -> Result<Seen<Limit>, Error> {
        let path = [process, "/limits"].concat();
        let text = first_part(&self.proc, &path, &mut self.room, self.deadline)?;
        match text.ok_or_status() {
            // A process that ends while it is read leaves an empty text.
            Ok([]) => Ok(Seen::Gone(Errno::SRCH)),
            Ok(text) => {
                let limit = open_limit(text);
                let garbled = || Error::Garbled(format!("{PROC}/{path}: no limit of open files"));
                limit.map(Seen::There).ok_or_else(garbled)
            }
            Err(seen) => Ok(seen),
        }
    }
}

/// A path in `/proc`, from there.
fn below_proc(path: &str) -> &str {
    Path::new(path).strip_prefix(PROC).ok().and_then(Path::to_str).unwrap_or(path)
}

/// Calls a function with the directory and the name of each descriptor.
fn each_descriptor(
    fd: &str,
    deadline: &Deadline,
    mut each: impl FnMut(&OwnedFd, &CStr) -> Result<(), Error>,
) -> Result<Seen<()>, Error> {
    let directory = match open_directory(fd, fd, deadline)?.ok_or_status() {
        Ok(directory) => directory,
        Err(seen) => return Ok(seen),
    };
    let mut space = Vec::with_capacity(ENTRIES);
    let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        deadline.check()?;
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => match Seen::of(fd, entry)?.ok_or_status() {
                Ok(entry) => entry,
                Err(seen) => return Ok(seen),
            },
        };
        let name = entry.file_name();
        // `.` and `..` are directories.
        if name.to_bytes().starts_with(b".") {
            continue;
        }
        each(&directory, name)?;
    }
    Ok(Seen::There(()))
}

/// Reads user and files of the process that has a table.
pub fn holder(table: &Table, deadline: &Deadline) -> Result<Holder, Error> {
    let Table { pid, thread, .. } = table;
    let process = format!("/proc/{pid}");
    let mut room = [0; LONGEST];
    let text = beginning(&format!("{process}/status"), &mut room, deadline)?;
    let uid = text.found().and_then(|text| status(text).uid);
    let thread = thread.map_or_else(|| process.clone(), |id| format!("{process}/task/{id}"));
    let contents = contents(&format!("{thread}/fd"), deadline)?;
    Ok(Holder { uid, contents: contents.found() })
}

/// Sorts the files of a table.
fn contents(fd: &str, deadline: &Deadline) -> Result<Seen<Contents>, Error> {
    let mut found = Contents::default();
    let mut denied = None;
    let mut target = [MaybeUninit::uninit(); 64];
    let listed = each_descriptor(fd, deadline, |directory, name| {
        let link = look(fd, deadline, || match readlinkat_raw(directory, name, &mut target) {
            // A file with a path that is too long for the kernel is no socket.
            Err(Errno::NAMETOOLONG) => Ok(None),
            outcome => outcome.map(|(link, _)| inode(link)),
        })?;
        let counted = match link {
            Seen::There(Some(inode)) => {
                let path = format!("{fd}/{}", name.to_string_lossy());
                is_of_counted_protocol(&path, deadline)?.map(|counted| counted.then_some(inode))
            }
            other => other.map(|_| None),
        };
        match counted {
            Seen::There(Some(inode)) => found.sockets.push(inode),
            Seen::There(None) => found.others += 1,
            // The descriptor was closed meanwhile.
            Seen::Gone(_) => {}
            Seen::Hidden(error) => denied = Some(error),
        }
        Ok(())
    })?;
    Ok(denied.map_or_else(|| listed.map(|()| found), Seen::Hidden))
}

/// Whether a socket is one of TCP or UDP, which tables list. Only its protocol tells that of a socket
/// that is in no table.
fn is_of_counted_protocol(path: &str, deadline: &Deadline) -> Result<Seen<bool>, Error> {
    let mut name = [0; LONGEST_PROTOCOL];
    let length =
        look(path, deadline, || match getxattr(path, "system.sockprotoname", &mut name[..]) {
            Err(Errno::OPNOTSUPP | Errno::NODATA | Errno::RANGE) => Err(Errno::ACCESS),
            outcome => outcome,
        })?;
    Ok(length.map(|length| is_counted(name.get(..length).unwrap_or(&[]))))
}

/// Whether this process sees the whole host, so that sums of the whole host can be compared with what
/// it sees.
pub fn sees_whole_host(deadline: &Deadline) -> Result<bool, Error> {
    sees_every_process(deadline)
}
