//! The names of cgroup ids.
//!
//! A cgroup's id is the inode number of its directory below the cgroup2 mount (`cgroups(7)`).

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::statfs;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::file_system::is_of_type;
use crate::owner::linux::units::{cgroup2_mount, short};
use crate::owner::unseen::{GONE, OUTSIDE};
use crate::printable::printable;

/// The inode number of the hierarchy's root, and of no other directory in it.
const ROOT: u64 = 1;

/// `CGROUP2_SUPER_MAGIC` in `linux/magic.h`
const CGROUP2: rustix::fs::FsWord = 0x6367_7270;

/// The names of these ids.
pub fn names(
    mut wanted: HashSet<u64>,
    deadline: &Deadline,
) -> Result<HashMap<u64, Arc<str>>, Error> {
    let mount = mount()?;
    let failed = |error| Error::system(mount.display().to_string(), error);
    let top = fs::metadata(&mount).map_err(failed)?.ino();
    let mut names = HashMap::new();
    if wanted.remove(&top) {
        names.insert(top, Arc::from("/"));
    }
    // Some part may be closed to us, and a cgroup namespace shows only its own part.
    let mut partial = top != ROOT;
    let mut directories = vec![mount.clone()];
    while let Some(directory) = directories.pop().filter(|_| !wanted.is_empty()) {
        deadline.check()?;
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if directory == mount => return Err(failed(error)),
            // It went away meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(_) => {
                partial = true;
                continue;
            }
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                if wanted.remove(&entry.ino()) {
                    names.insert(entry.ino(), Arc::from(name(&path, &mount)));
                }
                directories.push(path);
            }
        }
    }
    let missing: Arc<str> = Arc::from(if partial { OUTSIDE } else { GONE });
    names.extend(wanted.into_iter().map(|id| (id, missing.clone())));
    Ok(names)
}

/// Where the cgroup2 hierarchy is mounted: `/sys/fs/cgroup`, or `unified` below it in the hybrid
/// layout.
fn mount() -> Result<PathBuf, Error> {
    const TABLE: &str = "/proc/self/mountinfo";
    let table = File::open(TABLE).map_err(|error| Error::system(TABLE, error))?;
    for line in BufReader::new(table).split(b'\n') {
        let line = line.map_err(|error| Error::system(TABLE, error))?;
        // Something else may be mounted over it.
        let visible = |mount: &PathBuf| statfs(mount).map_or(true, |fs| is_of_type(&fs, CGROUP2));
        if let Some(mount) = cgroup2_mount(&line).filter(visible) {
            return Ok(mount);
        }
    }
    Err(Error::Unsupported("no cgroup2 file system can be seen here".to_owned()))
}

fn name(path: &Path, mount: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let path = path.strip_prefix(mount).unwrap_or(path);
    short(&printable(path.as_os_str().as_bytes()))
}
