//! The names of cgroup ids.
//!
//! A cgroup's id is the inode number of its directory below the cgroup2 mount (`cgroups(7)`).

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, RawDir, fstat, statfs};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::file_system::is_of_type;
use crate::linux::look::{Seen, look, open_directory};
use crate::linux::mounts::{Mount, mounts};
use crate::linux::proc_text::numbers;
use crate::linux::processes::ENTRIES;
use crate::linux::units::short;
use crate::owner::unseen::{GONE, OUTSIDE};
use crate::printable::printable;

/// The inode number of the hierarchy's root. No other directory in the hierarchy has it.
const ROOT: u64 = 1;

/// `CGROUP2_SUPER_MAGIC` in `linux/magic.h`
const CGROUP2: rustix::fs::FsWord = 0x6367_7270;

/// The names of the cgroups with these ids.
pub fn names(wanted: HashSet<u64>, deadline: &Deadline) -> Result<HashMap<u64, Arc<str>>, Error> {
    let Found { mount, paths, wanted, partial } = find(wanted, deadline)?;
    let name = |path: &PathBuf| if *path == mount { "/".to_owned() } else { unit(path, &mount) };
    let mut names: HashMap<u64, Arc<str>> =
        paths.iter().map(|(id, path)| (*id, Arc::from(name(path)))).collect();
    let missing: Arc<str> = Arc::from(if partial { OUTSIDE } else { GONE });
    names.extend(wanted.into_iter().map(|id| (id, missing.clone())));
    Ok(names)
}

/// The processes in the cgroups with these ids, without cgroups that cannot be read.
pub fn members(wanted: HashSet<u64>, deadline: &Deadline) -> Result<Vec<u32>, Error> {
    let mut members = Vec::new();
    for path in find(wanted, deadline)?.paths.into_values() {
        let file = path.join("cgroup.procs");
        members.extend(numbers(&std::fs::read(file).unwrap_or_default()));
        deadline.check()?;
    }
    members.sort_unstable();
    members.dedup();
    Ok(members)
}

/// The result of a search for cgroups.
struct Found {
    mount: PathBuf,
    paths: HashMap<u64, PathBuf>,
    // The ids that were not found.
    wanted: HashSet<u64>,
    // Whether parts of the hierarchy are invisible: a directory may be forbidden, and a cgroup
    // namespace shows only its own part.
    partial: bool,
}

fn find(mut wanted: HashSet<u64>, deadline: &Deadline) -> Result<Found, Error> {
    let mount = mount(deadline)?;
    let mut found = HashMap::new();
    let mut partial = false;
    let mut space = Vec::with_capacity(ENTRIES);
    let mut paths = vec![mount.clone()];
    while let Some(path) = paths.pop().filter(|_| !wanted.is_empty()) {
        let file = path.display().to_string();
        let directory = match open_directory(&path, &file, deadline)? {
            Seen::There(directory) => directory,
            seen if path == mount => seen.there(&file)?,
            Seen::Gone(_) => continue,
            Seen::Hidden(_) => {
                partial = true;
                continue;
            }
        };
        if path == mount {
            let top = look(&file, deadline, || fstat(&directory))?.there(&file)?.st_ino;
            partial = top != ROOT;
            if wanted.remove(&top) {
                found.insert(top, mount.clone());
            }
        }
        let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            deadline.check()?;
            let entry = match entry {
                Err(Errno::INTR) => continue,
                entry => match Seen::of(&file, entry)? {
                    Seen::There(entry) => entry,
                    seen if path == mount => seen.there(&file)?,
                    Seen::Gone(_) => break,
                    Seen::Hidden(_) => {
                        partial = true;
                        break;
                    }
                },
            };
            let name = entry.file_name().to_bytes();
            if entry.file_type() != FileType::Directory || [&b"."[..], b".."].contains(&name) {
                continue;
            }
            let path = path.join(std::ffi::OsStr::from_bytes(name));
            if wanted.remove(&entry.ino()) {
                found.insert(entry.ino(), path.clone());
            }
            paths.push(path);
        }
    }
    Ok(Found { mount, paths: found, wanted, partial })
}

/// The mount point of the cgroup2 hierarchy: `/sys/fs/cgroup`, or `unified` below it in the hybrid
/// layout.
fn mount(deadline: &Deadline) -> Result<PathBuf, Error> {
    let mut closed = None;
    for mount in mounts()? {
        let Mount { kind, point, .. } = mount?;
        if kind != "cgroup2" {
            continue;
        }
        let file = point.display().to_string();
        match look(&file, deadline, || statfs(&point))? {
            Seen::There(fs) if is_of_type(&fs, CGROUP2) => return Ok(point),
            // Another file system may be mounted over it, or over a directory above it.
            Seen::There(_) | Seen::Gone(_) => {}
            Seen::Hidden(error) => closed = closed.or(Some(Error::system(file, error))),
        }
    }
    let none = || Error::Unsupported("no cgroup2 file system can be seen here".to_owned());
    Err(closed.unwrap_or_else(none))
}

fn unit(path: &Path, mount: &Path) -> String {
    let path = path.strip_prefix(mount).unwrap_or(path);
    short(&printable(path.as_os_str().as_bytes()))
}
