//! The processes that have sockets, by inode number, from `/proc/PID/fd` (`proc_pid_fd(5)`).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, RawDir, open, readlinkat_raw};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::owner::process::{Process, Processes};
use crate::printable::printable;

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
    let mut hidden = !rustix::process::geteuid().is_root() || !sees_every_process();
    for pid in pids()? {
        let directory = format!("/proc/{pid}");
        let mut sockets = HashSet::new();
        match look_at(&directory, wanted, &mut sockets, deadline) {
            Err(error) if error.is_final() => return Err(error),
            Err(Error::System { error, .. }) if error.kind() == ErrorKind::PermissionDenied => {
                hidden = true;
            }
            // Where it cannot be read for another reason, it went away meanwhile.
            _ => {}
        }
        if sockets.is_empty() {
            continue;
        }
        let name = fs::read(format!("{directory}/comm")).unwrap_or_default();
        let process = Process { pid, name: Arc::from(printable(name.trim_ascii_end())) };
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
fn sees_every_process() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == "pid:[4026531836]")
}

/// Every process there is to see, the lowest id first.
fn pids() -> Result<Vec<u32>, Error> {
    let entries = fs::read_dir("/proc").map_err(|error| Error::system("/proc", error))?;
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// Puts the wanted sockets among a process's file descriptors into `sockets`.
///
/// Below the directory's own descriptor: a path from the root costs twice as much, and there may
/// be a million.
fn look_at(
    process: &str,
    wanted: &HashSet<u64>,
    sockets: &mut HashSet<u64>,
    deadline: &Deadline,
) -> Result<(), Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let failed = |error| Error::system(process, error);
    let directory = open(format!("{process}/fd"), flags, Mode::empty()).map_err(failed)?;
    let mut space = Vec::with_capacity(16 * 1024);
    let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
    let mut target = [MaybeUninit::uninit(); 64];
    while let Some(entry) = entries.next() {
        deadline.check()?;
        let entry = entry.map_err(failed)?;
        let target = match readlinkat_raw(&directory, entry.file_name(), &mut target) {
            Ok((target, _)) => target,
            Err(error @ (Errno::ACCESS | Errno::PERM)) => return Err(failed(error)),
            // Closed meanwhile.
            Err(_) => continue,
        };
        if let Some(inode) = inode(target).filter(|inode| wanted.contains(inode)) {
            sockets.insert(inode);
        }
    }
    Ok(())
}

/// `socket:[4711]`
fn inode(target: &[u8]) -> Option<u64> {
    str::from_utf8(target).ok()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}
