//! The processes that have sockets, by inode number, from `/proc/PID/fd` (`proc_pid_fd(5)`).

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::owner::{Holders, Process};
use crate::printable::printable;

/// Who has the sockets of these inode numbers, and whether there is somebody we cannot see.
///
/// Every process is looked at, also once each socket has a holder: it may have more, and the
/// number of them is part of the answer.
pub(super) fn holders(
    wanted: &HashSet<u64>,
    deadline: &Deadline,
) -> Result<(HashMap<u64, Holders>, bool), Error> {
    let mut found: HashMap<u64, Holders> = HashMap::new();
    // With hidepid, or in a user namespace, there is more than we are shown.
    let mut hidden = !rustix::process::geteuid().is_root();
    for pid in pids()? {
        deadline.remaining()?;
        let directory = format!("/proc/{pid}");
        let mut sockets = HashSet::new();
        match look_at(Path::new(&directory), wanted, &mut sockets) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => hidden = true,
            // Where it cannot be read for another reason, it went away meanwhile.
            _ => {}
        }
        if sockets.is_empty() {
            continue;
        }
        let name = fs::read(format!("{directory}/comm")).unwrap_or_default();
        let process = Process { pid, name: Arc::from(printable(name.trim_ascii_end())) };
        // Sockets with the same holders share one list of them: there may be a million.
        let alone: Holders = Arc::from([process.clone()]);
        let mut joined: HashMap<Holders, Holders> = HashMap::new();
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

/// Every process there is to see, the lowest id first.
fn pids() -> Result<Vec<u32>, Error> {
    let entries = fs::read_dir("/proc").map_err(|error| Error::system("/proc", error))?;
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

fn look_at(
    process: &Path,
    wanted: &HashSet<u64>,
    sockets: &mut HashSet<u64>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(process.join("fd"))?.flatten() {
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let inode = target
            .to_str()
            .and_then(|target| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        if let Some(inode) = inode.filter(|inode| wanted.contains(inode)) {
            sockets.insert(inode);
        }
    }
    Ok(())
}
