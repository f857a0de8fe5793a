//! The processes that have sockets, by inode number, from `/proc/PID/fd` (`proc_pid_fd(5)`).

use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fs::{RawDir, readlinkat_raw, stat};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, look, open_directory};
use crate::linux::proc_text::inode;
use crate::linux::processes::{ENTRIES, name, other_threads, pids, sees_every_process};
use crate::owner::holders::Holders;
use crate::owner::process::Process;

/// How many file descriptors of threads are looked at that are most likely their process's: by 500
/// threads with 10,000 each it would take seconds to find nothing.
const LIKELY_KNOWN: usize = 20_000;

/// Who has the sockets of these inode numbers, and whether there is somebody we cannot see.
///
/// Those who are `likely` to have them are looked at first, and then all others for what nobody of
/// them has. Without, every process is looked at, also once each socket has a holder: it may have
/// more, and the number of them is part of the answer.
pub fn holders(
    inodes: Vec<u64>,
    likely: &[u32],
    deadline: &Deadline,
) -> Result<(Holders, bool), Error> {
    // With hidepid, or in a namespace of processes, there is more than we are shown.
    let hidden = !rustix::process::geteuid().is_root() || !sees_every_process(deadline)?;
    let mut search = Search { deadline, found: Holders::new(inodes), hidden };
    let mut known = Vec::new();
    for pid in likely {
        known.push((*pid, search.process(*pid, Wanted::All)?));
    }
    let wanted = if likely.is_empty() { Wanted::All } else { Wanted::Open };
    if search.lacks(wanted) {
        for pid in pids(deadline)? {
            if !likely.contains(&pid) {
                known.push((pid, search.process(pid, wanted)?));
            }
        }
    }
    let mut left = LIKELY_KNOWN;
    for (pid, table) in known {
        if !search.lacks(Wanted::Missing) {
            break;
        }
        search.other_threads(pid, &table, &mut left)?;
    }
    Ok((search.found, search.hidden))
}

/// Which sockets are looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// Those that nobody has yet, or the first process alone.
    Open,
    /// Those that nobody has yet.
    Missing,
}

/// A table of file descriptors: the thread that it was read of, and how many it had.
struct Table {
    thread: String,
    size: usize,
}

struct Search<'a> {
    deadline: &'a Deadline<'a>,
    found: Holders,
    hidden: bool,
}

impl Search<'_> {
    /// Whether there is anything that is wanted.
    fn lacks(&self, wanted: Wanted) -> bool {
        self.found.places().any(|place| self.wants(wanted, place))
    }

    fn wants(&self, wanted: Wanted, place: usize) -> bool {
        match wanted {
            Wanted::All => true,
            Wanted::Open => self.found.is_open(place),
            Wanted::Missing => self.found.is_missing(place),
        }
    }

    /// Finds the sockets of a process in the table of its first thread, which nearly always is that
    /// of all. Once that thread has ended it has none, though others may go on with what was its.
    fn process(&mut self, pid: u32, wanted: Wanted) -> Result<Table, Error> {
        let mut table = Table { thread: format!("/proc/{pid}"), size: 0 };
        let mut sockets = Vec::new();
        let seen = self.table(&table.thread, wanted, &mut sockets)?;
        table.size = seen.unwrap_or(0);
        if seen == Some(0) {
            for thread in self.threads(pid)? {
                let size = self.table(&thread, wanted, &mut sockets)?;
                if let Some(size @ 1..) = size {
                    table = Table { thread, size };
                    break;
                }
            }
        }
        self.add(pid, &table.thread, sockets)?;
        Ok(table)
    }

    /// Finds what is missing in tables that other threads of a process may have for themselves
    /// (`CLONE_FILES` in `unshare(2)`).
    fn other_threads(&mut self, pid: u32, known: &Table, left: &mut usize) -> Result<(), Error> {
        for thread in self.threads(pid)? {
            if !self.lacks(Wanted::Missing) {
                break;
            }
            if thread == known.thread {
                continue;
            }
            if !self.differ(&thread, &known.thread)? {
                match left.checked_sub(known.size) {
                    Some(rest) => *left = rest,
                    None => continue,
                }
            }
            let mut sockets = Vec::new();
            let seen = self.table(&thread, Wanted::Missing, &mut sockets)?;
            self.add(pid, &thread, sockets)?;
            if seen.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Whether two threads certainly have different tables: since Linux 6.2 the size of `fd` is the
    /// number of its entries, before it is 0.
    fn differ(&self, one: &str, other: &str) -> Result<bool, Error> {
        let size = |thread: &str| -> Result<Option<i64>, Error> {
            let path = format!("{thread}/fd");
            Ok(match look(&path, self.deadline, || stat(&path))? {
                Seen::There(stat) => Some(stat.st_size),
                Seen::Gone(_) | Seen::Hidden(_) => None,
            })
        };
        let (before, size_of_one, after) = (size(other)?, size(one)?, size(other)?);
        // In between it may have changed.
        Ok(before == after && size_of_one != before)
    }

    /// The directories of a process's other threads.
    fn threads(&mut self, pid: u32) -> Result<Vec<String>, Error> {
        match other_threads(pid, self.deadline)? {
            Seen::There(threads) => Ok(threads),
            Seen::Gone(_) => Ok(Vec::new()),
            Seen::Hidden(_) => {
                self.hidden = true;
                Ok(Vec::new())
            }
        }
    }

    /// Puts the places of a thread's wanted sockets into `sockets`, and says how many file descriptors
    /// there are; `None` where they are not for us to see.
    fn table(
        &mut self,
        thread: &str,
        wanted: Wanted,
        sockets: &mut Vec<usize>,
    ) -> Result<Option<usize>, Error> {
        match self.look_at(&format!("{thread}/fd"), wanted, sockets)? {
            Seen::There(size) => Ok(Some(size)),
            Seen::Gone(_) => Ok(Some(0)),
            Seen::Hidden(_) => {
                self.hidden = true;
                Ok(None)
            }
        }
    }

    /// Makes a process one of the holders of sockets that one of its threads has.
    fn add(&mut self, pid: u32, thread: &str, sockets: Vec<usize>) -> Result<(), Error> {
        if sockets.is_empty() {
            return Ok(());
        }
        let name = match name(&format!("/proc/{pid}"), thread, self.deadline)? {
            Seen::There(name) => name,
            Seen::Gone(_) => return Ok(()),
            Seen::Hidden(_) => {
                self.hidden = true;
                return Ok(());
            }
        };
        self.found.add(&Process { pid, name: Arc::from(name) }, sockets);
        Ok(())
    }

    /// Puts the places of the wanted sockets in a table of file descriptors into `sockets`, and says how
    /// many descriptors there are.
    ///
    /// Below the directory's own descriptor: a path from the root costs twice as much, and there may
    /// be a million.
    fn look_at(
        &self,
        table: &str,
        wanted: Wanted,
        sockets: &mut Vec<usize>,
    ) -> Result<Seen<usize>, Error> {
        let deadline = self.deadline;
        let directory = match open_directory(table, table, deadline)?.ok_or_status() {
            Ok(directory) => directory,
            Err(seen) => return Ok(seen),
        };
        let mut space = Vec::with_capacity(ENTRIES);
        let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
        let mut target = [MaybeUninit::uninit(); 64];
        let (mut size, mut last) = (0, 0);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::INTR) => {
                    deadline.check()?;
                    continue;
                }
                entry => match Seen::of(table, entry)? {
                    Seen::There(entry) => entry,
                    Seen::Gone(error) => return Ok(Seen::Gone(error)),
                    Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
                },
            };
            let name = entry.file_name();
            // The directory itself and the one above it are no links.
            if name.to_bytes().starts_with(b".") {
                continue;
            }
            size += 1;
            let link = look(table, deadline, || {
                readlinkat_raw(&directory, name, &mut target).map(|(target, _)| inode(target))
            })?;
            match link {
                Seen::There(inode) => {
                    if let Some(place) = inode.and_then(|inode| self.found.place(inode, last)) {
                        last = place;
                        sockets.extend(self.wants(wanted, place).then_some(place));
                    }
                }
                // Closed meanwhile.
                Seen::Gone(_) => {}
                Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
            }
        }
        Ok(Seen::There(size))
    }
}
