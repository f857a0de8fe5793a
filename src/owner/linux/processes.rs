//! The processes that have sockets, by inode number, from `/proc/PID/fd` (`proc_pid_fd(5)`).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fs::{RawDir, readlinkat_raw};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::owner::linux::look::{Seen, beginning, look, open_directory};
use crate::owner::linux::proc_text::{full, inode, may_be_cut};
use crate::owner::process::{Process, Processes};
use crate::printable::printable;

/// How much is asked for of a directory at once.
const ENTRIES: usize = 16 * 1024;

/// Longer than any name that the kernel gives.
const LONGEST_COMM: usize = 256;

/// `PATH_MAX` in `linux/limits.h`: what is longer was not started by that name.
const LONGEST_PATH: usize = 4096;

/// Who has the sockets of these inode numbers, and whether there is somebody we cannot see.
///
/// Every process is looked at, also once each socket has a holder: it may have more, and the
/// number of them is part of the answer.
pub fn holders(
    wanted: &HashSet<u64>,
    deadline: &Deadline,
) -> Result<(HashMap<u64, Processes>, bool), Error> {
    let mut found: HashMap<u64, Processes> = HashMap::new();
    // With hidepid, or in a namespace of processes, there is more than we are shown.
    let mut hidden = !rustix::process::geteuid().is_root() || !sees_every_process(deadline)?;
    for pid in pids(deadline)? {
        let directory = format!("/proc/{pid}");
        let mut sockets = HashSet::new();
        match look_at(&format!("{directory}/fd"), wanted, &mut sockets, deadline)? {
            Seen::There(()) | Seen::Gone(_) => {}
            Seen::Hidden(_) => hidden = true,
        }
        if sockets.is_empty() {
            continue;
        }
        let name = match name(&directory, deadline)? {
            Seen::There(name) => name,
            Seen::Gone(_) => continue,
            Seen::Hidden(_) => {
                hidden = true;
                continue;
            }
        };
        let process = Process { pid, name: Arc::from(name) };
        // Sockets with the same holders share one list of them: there may be a million.
        let alone: Processes = Arc::from([process.clone()]);
        let mut joined: HashMap<Processes, Processes> = HashMap::new();
        for inode in sockets {
            match found.entry(inode) {
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
    }
    Ok((found, hidden))
}

/// Whether this is the first namespace of processes, which has all of them: its inode number is
/// `PROC_PID_INIT_INO` in `linux/proc_ns.h`.
fn sees_every_process(deadline: &Deadline) -> Result<bool, Error> {
    const LINK: &str = "/proc/self/ns/pid";
    let mut target = [MaybeUninit::uninit(); 64];
    let target = look(LINK, deadline, || {
        let (target, _) = readlinkat_raw(rustix::fs::CWD, LINK, &mut target)?;
        Ok(*target == *b"pid:[4026531836]")
    })?;
    match target {
        Seen::There(first) => Ok(first),
        Seen::Gone(_) | Seen::Hidden(_) => Ok(false),
    }
}

/// Every process there is to see, the lowest id first.
fn pids(deadline: &Deadline) -> Result<Vec<u32>, Error> {
    const ALL: &str = "/proc";
    numbers(ALL, deadline)?.there(ALL)
}

/// The entries of a directory that are numbers, the lowest first.
fn numbers(path: &str, deadline: &Deadline) -> Result<Seen<Vec<u32>>, Error> {
    let directory = match open_directory(path, path, deadline)? {
        Seen::There(directory) => directory,
        Seen::Gone(error) => return Ok(Seen::Gone(error)),
        Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
    };
    let mut space = Vec::with_capacity(ENTRIES);
    let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
    let mut numbers = Vec::new();
    while let Some(entry) = entries.next() {
        deadline.check()?;
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => match Seen::of(path, entry)? {
                Seen::There(entry) => entry,
                Seen::Gone(error) => return Ok(Seen::Gone(error)),
                Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
            },
        };
        let number: Option<u32> =
            entry.file_name().to_str().ok().and_then(|name| name.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(Seen::There(numbers))
}

/// The name of the process with this directory.
fn name(process: &str, deadline: &Deadline) -> Result<Seen<String>, Error> {
    let mut room = [0; LONGEST_COMM];
    let comm = match beginning(&format!("{process}/comm"), &mut room, deadline)? {
        Seen::There(comm) => comm.strip_suffix(b"\n").unwrap_or(comm),
        Seen::Gone(error) => return Ok(Seen::Gone(error)),
        Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
    };
    if !may_be_cut(comm) {
        return Ok(Seen::There(printable(comm.trim_ascii_end())));
    }
    let mut room = [0; LONGEST_PATH];
    Ok(match beginning(&format!("{process}/cmdline"), &mut room, deadline)? {
        Seen::There(cmdline) => Seen::There(printable(full(comm, cmdline).trim_ascii_end())),
        Seen::Gone(error) => Seen::Gone(error),
        Seen::Hidden(error) => Seen::Hidden(error),
    })
}

/// Puts the wanted sockets in a table of file descriptors into `sockets`.
///
/// Below the directory's own descriptor: a path from the root costs twice as much, and there may
/// be a million.
fn look_at(
    table: &str,
    wanted: &HashSet<u64>,
    sockets: &mut HashSet<u64>,
    deadline: &Deadline,
) -> Result<Seen<()>, Error> {
    let directory = match open_directory(table, table, deadline)? {
        Seen::There(directory) => directory,
        Seen::Gone(error) => return Ok(Seen::Gone(error)),
        Seen::Hidden(error) => return Ok(Seen::Hidden(error)),
    };
    let mut space = Vec::with_capacity(ENTRIES);
    let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
    let mut target = [MaybeUninit::uninit(); 64];
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
    Ok(Seen::There(()))
}
