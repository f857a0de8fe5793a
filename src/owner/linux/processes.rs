//! The processes that have sockets, by inode number, from `/proc/PID/fd` (`proc_pid_fd(5)`).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fs::{RawDir, readlinkat_raw, stat};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, look, open_directory};
use crate::linux::proc_text::inode;
use crate::linux::processes::{ENTRIES, name, other_threads, pids, sees_every_process};
use crate::owner::process::{Process, Processes};

/// How many file descriptors of threads are looked at that are most likely their process's: by 500
/// threads with 10,000 each it would take seconds to find nothing.
const LIKELY_KNOWN: usize = 20_000;

/// Who has the sockets of these inode numbers, and whether there is somebody we cannot see.
///
/// Every process is looked at, also once each socket has a holder: it may have more, and the
/// number of them is part of the answer.
pub fn holders(
    wanted: &HashSet<u64>,
    deadline: &Deadline,
) -> Result<(HashMap<u64, Processes>, bool), Error> {
    // With hidepid, or in a namespace of processes, there is more than we are shown.
    let hidden = !rustix::process::geteuid().is_root() || !sees_every_process(deadline)?;
    let mut search = Search { deadline, found: HashMap::new(), hidden };
    let mut known = Vec::new();
    for pid in pids(deadline)? {
        let table = search.process(pid, wanted)?;
        known.push((pid, table));
    }
    let mut missing: HashSet<u64> =
        wanted.iter().copied().filter(|inode| !search.found.contains_key(inode)).collect();
    let mut left = LIKELY_KNOWN;
    for (pid, table) in known {
        if missing.is_empty() {
            break;
        }
        search.other_threads(pid, &table, &mut missing, &mut left)?;
    }
    Ok((search.found, search.hidden))
}

/// A table of file descriptors: the thread that it was read of, and how many it had.
struct Table {
    thread: String,
    size: usize,
}

struct Search<'a> {
    deadline: &'a Deadline<'a>,
    found: HashMap<u64, Processes>,
    hidden: bool,
}

impl Search<'_> {
    /// Finds the sockets of a process in the table of its first thread, which nearly always is that
    /// of all. Once that thread has ended it has none, though others may go on with what was its.
    fn process(&mut self, pid: u32, wanted: &HashSet<u64>) -> Result<Table, Error> {
        let mut table = Table { thread: format!("/proc/{pid}"), size: 0 };
        let mut sockets = HashSet::new();
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
    fn other_threads(
        &mut self,
        pid: u32,
        known: &Table,
        missing: &mut HashSet<u64>,
        left: &mut usize,
    ) -> Result<(), Error> {
        for thread in self.threads(pid)? {
            if missing.is_empty() {
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
            let mut sockets = HashSet::new();
            let seen = self.table(&thread, missing, &mut sockets)?;
            missing.retain(|inode| !sockets.contains(inode));
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

    /// Puts the wanted sockets of a thread into `sockets`, and says how many file descriptors there
    /// are; `None` where they are not for us to see.
    fn table(
        &mut self,
        thread: &str,
        wanted: &HashSet<u64>,
        sockets: &mut HashSet<u64>,
    ) -> Result<Option<usize>, Error> {
        match look_at(&format!("{thread}/fd"), wanted, sockets, self.deadline)? {
            Seen::There(size) => Ok(Some(size)),
            Seen::Gone(_) => Ok(Some(0)),
            Seen::Hidden(_) => {
                self.hidden = true;
                Ok(None)
            }
        }
    }

    /// Makes a process one of the holders of sockets that one of its threads has.
    fn add(&mut self, pid: u32, thread: &str, sockets: HashSet<u64>) -> Result<(), Error> {
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
        let process = Process { pid, name: Arc::from(name) };
        // Sockets with the same holders share one list of them: there may be a million.
        let alone: Processes = Arc::from([process.clone()]);
        let mut joined: HashMap<Processes, Processes> = HashMap::new();
        for inode in sockets {
            match self.found.entry(inode) {
                Entry::Vacant(entry) => drop(entry.insert(alone.clone())),
                Entry::Occupied(mut entry) => {
                    let before = entry.get().clone();
                    let all = joined.entry(before).or_insert_with_key(|before| {
                        before.iter().cloned().chain([process.clone()]).collect()
                    });
                    entry.insert(all.clone());
                }
            }
        }
        Ok(())
    }
}

/// Puts the wanted sockets in a table of file descriptors into `sockets`, and says how many
/// descriptors there are.
///
/// Below the directory's own descriptor: a path from the root costs twice as much, and there may
/// be a million.
fn look_at(
    table: &str,
    wanted: &HashSet<u64>,
    sockets: &mut HashSet<u64>,
    deadline: &Deadline,
) -> Result<Seen<usize>, Error> {
    let directory = match open_directory(table, table, deadline)? {
        Seen::There(directory) => directory,
        Seen::Gone(error) => return Ok(Seen::Gone(error)),
        Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
    };
    let mut space = Vec::with_capacity(ENTRIES);
    let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
    let mut target = [MaybeUninit::uninit(); 64];
    let mut size = 0;
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
            Seen::There(inode) => sockets.extend(inode.filter(|inode| wanted.contains(inode))),
            // Closed meanwhile.
            Seen::Gone(_) => {}
            Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
        }
    }
    Ok(Seen::There(size))
}
