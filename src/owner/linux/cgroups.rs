//! The names of cgroup ids.
//!
//! A cgroup's id is the inode number of its directory below the cgroup2 mount (`cgroups(7)`).
//!
//! Other users may make directories in a cgroup that was delegated to them: any number of them, to
//! any depth, with paths of any length. Each directory is opened relative to its parent, and the
//! search has limits. A directory behind a limit counts as forbidden.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, RawDir, fstat, openat, statfs};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::file_system::is_of_type;
use crate::linux::look::{Seen, beginning, look, open_directory, open_directory_in};
use crate::linux::mounts::{Mount, mounts};
use crate::linux::proc_text::numbers;
use crate::linux::processes::ENTRIES;
use crate::linux::units::{has_name, of_process, outer_names, short};
use crate::os_error;
use crate::owner::found::Units;
use crate::owner::unseen::{GONE, OUTSIDE};
use crate::printable::printable;

/// The inode number of the hierarchy's root. No other directory in the hierarchy has it.
const ROOT: u64 = 1;

/// `CGROUP2_SUPER_MAGIC` in `linux/magic.h`
const CGROUP2: rustix::fs::FsWord = 0x6367_7270;

/// The most levels of directories that are searched. Each level takes a file descriptor.
const DEEPEST: usize = 64;

/// The most directories that are searched below a unit, container or guest.
const MOST_BELOW: usize = 5_000;

/// The names of the cgroups with these ids.
pub fn names(wanted: HashSet<u64>, deadline: &Deadline) -> Result<Units, Error> {
    let mut names: HashMap<u64, Arc<str>> = HashMap::new();
    let missing = find(wanted, deadline, &mut |cgroup| {
        let path = cgroup.path.as_os_str().as_bytes();
        names.insert(cgroup.id, Arc::from(short(&printable(path))));
    })?;
    let (name, outer) = match missing.unseen {
        Unseen::Nothing => (GONE, BTreeSet::new()),
        Unseen::Below(outer) => (OUTSIDE, outer),
        Unseen::Anything => (OUTSIDE, BTreeSet::new()),
    };
    let name: Arc<str> = Arc::from(name);
    names.extend(missing.ids.into_iter().map(|id| (id, name.clone())));
    Ok(Units { names, outer: outer.into_iter().collect() })
}

/// The processes in the cgroups with these ids, without cgroups that cannot be read.
pub fn members(wanted: HashSet<u64>, deadline: &Deadline) -> Result<Vec<u32>, Error> {
    let mut members = Vec::new();
    find(wanted, deadline, &mut |cgroup| members.extend(numbers(&cgroup.processes())))?;
    members.sort_unstable();
    members.dedup();
    Ok(members)
}

/// Longer than `/proc/PID/cgroup` of any process.
const LONGEST_CGROUPS: usize = 16 * 1024;

/// The unit of a process; `None` where it cannot be read, or is outside the part of the hierarchy that
/// this process may see.
pub fn unit_of_process(pid: u32, deadline: &Deadline) -> Result<Option<String>, Error> {
    let mut room = vec![0; LONGEST_CGROUPS];
    let text = beginning(&format!("/proc/{pid}/cgroup"), &mut room, deadline)?;
    Ok(text.found().and_then(of_process))
}

/// A cgroup that was found.
struct Cgroup<'a> {
    id: u64,
    parent: &'a OwnedFd,
    name: &'a CStr,
    // Its path below the mount point.
    path: &'a Path,
}

impl Cgroup<'_> {
    /// The content of `cgroup.procs`; empty where it cannot be read.
    fn processes(&self) -> Vec<u8> {
        let file = Path::new(OsStr::from_bytes(self.name.to_bytes())).join("cgroup.procs");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut text = Vec::new();
        if let Ok(file) = openat(self.parent, &file, flags, Mode::empty())
            && File::from(file).read_to_end(&mut text).is_err()
        {
            text.clear();
        }
        text
    }
}

/// The cgroups that were not found.
struct Missing {
    ids: HashSet<u64>,
    unseen: Unseen,
}

/// The parts of the hierarchy that are invisible: a directory may be forbidden or behind a limit, and
/// a cgroup namespace shows only its own part.
enum Unseen {
    Nothing,
    /// Only cgroups whose names begin with one of these names.
    Below(BTreeSet<String>),
    Anything,
}

impl Unseen {
    /// Adds everything below a path.
    fn add(&mut self, path: &Path) {
        let outer = outer_names(&printable(path.as_os_str().as_bytes()));
        match (&mut *self, outer) {
            (Self::Anything, _) => {}
            (_, None) => *self = Self::Anything,
            (Self::Nothing, Some(outer)) => *self = Self::Below(outer.into()),
            (Self::Below(names), Some(outer)) => names.extend(outer),
        }
    }
}

/// A search for cgroups.
struct Search<'a> {
    deadline: &'a Deadline<'a>,
    found: &'a mut dyn FnMut(Cgroup),
    // The ids that were not found yet.
    wanted: HashSet<u64>,
    unseen: Unseen,
    limit: Option<Limit>,
}

/// The limit below a unit, container or guest.
#[derive(Clone, Copy)]
struct Limit {
    // The number of levels above it.
    levels: usize,
    // The number of directories that may still be searched.
    left: usize,
}

/// A directory that was listed, with those of its subdirectories that were not yet searched.
struct Level {
    directory: OwnedFd,
    below: Vec<CString>,
}

/// Searches for cgroups, and calls `found` for each one.
fn find(
    wanted: HashSet<u64>,
    deadline: &Deadline,
    found: &mut dyn FnMut(Cgroup),
) -> Result<Missing, Error> {
    let mount = mount(deadline)?;
    let file = mount.display().to_string();
    let top = open_directory(&mount, &file, deadline)?.there(&file)?;
    let id = look(&file, deadline, || fstat(&top))?.there(&file)?.st_ino;
    let unseen = if id == ROOT { Unseen::Nothing } else { Unseen::Anything };
    let mut search = Search { deadline, found, wanted, unseen, limit: None };
    if search.wanted.remove(&id) {
        (search.found)(Cgroup { id, parent: &top, name: c".", path: Path::new("") });
    }
    search.walk(&mount, top)?;
    Ok(Missing { ids: search.wanted, unseen: search.unseen })
}

impl Search<'_> {
    /// Searches all directories below the mount point.
    fn walk(&mut self, mount: &Path, top: OwnedFd) -> Result<(), Error> {
        let file = mount.display().to_string();
        let below = self.list(&top, &file, Path::new(""))?.there(&file)?;
        let mut open = vec![Level { directory: top, below }];
        let mut path = PathBuf::new();
        while !self.wanted.is_empty() {
            let levels = open.len();
            let Some(level) = open.last_mut() else {
                break;
            };
            let Some(name) = level.below.pop() else {
                open.pop();
                path.pop();
                continue;
            };
            let above = path.file_name().unwrap_or_default().to_string_lossy();
            let named = has_name(&name.to_string_lossy(), &above);
            path.push(OsStr::from_bytes(name.to_bytes()));
            let file = mount.join(&path).display().to_string();
            if self.limit.is_none_or(|limit| levels <= limit.levels) {
                self.limit = named.then_some(Limit { levels, left: MOST_BELOW });
            }
            let opened = self.open(&level.directory, &name, &file, &path)?;
            match opened.filter(|level| !level.below.is_empty()) {
                Some(level) if open.len() < DEEPEST => open.push(level),
                deeper => {
                    if deeper.is_some() {
                        self.unseen.add(&path);
                    }
                    path.pop();
                }
            }
        }
        Ok(())
    }

    /// Opens and lists a directory; `None` where it cannot be read.
    fn open(
        &mut self,
        parent: &OwnedFd,
        name: &CStr,
        file: &str,
        path: &Path,
    ) -> Result<Option<Level>, Error> {
        let directory = match open_directory_in(parent, name, file, self.deadline) {
            // The limit of the process: other users may have made more levels than it allows.
            Err(error) if error.errno() == Some(Errno::MFILE.raw_os_error()) => {
                Seen::Hidden(Errno::MFILE)
            }
            seen => seen?,
        };
        let listed = match directory.ok_or_status() {
            Ok(directory) => {
                let below = self.list(&directory, file, path)?;
                below.map(|below| Level { directory, below })
            }
            Err(seen) => seen,
        };
        if matches!(listed, Seen::Hidden(_)) {
            self.unseen.add(path);
        }
        Ok(listed.found())
    }

    /// The names of a directory's subdirectories. Calls `found` for the wanted ones.
    fn list(
        &mut self,
        directory: &OwnedFd,
        file: &str,
        path: &Path,
    ) -> Result<Seen<Vec<CString>>, Error> {
        let mut below = Vec::new();
        let mut space = Vec::with_capacity(ENTRIES);
        let mut entries = RawDir::new(directory, space.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            self.deadline.check()?;
            let entry = match entry {
                Err(Errno::INTR) => continue,
                entry => match Seen::of(file, entry)?.ok_or_status() {
                    Ok(entry) => entry,
                    Err(seen) => return Ok(seen),
                },
            };
            let (id, name) = (entry.ino(), entry.file_name());
            if entry.file_type() != FileType::Directory || [c".", c".."].contains(&name) {
                continue;
            }
            if let Some(limit) = &mut self.limit {
                let Some(left) = limit.left.checked_sub(1) else {
                    self.unseen.add(path);
                    break;
                };
                limit.left = left;
            }
            if self.wanted.remove(&id) {
                let path = path.join(OsStr::from_bytes(name.to_bytes()));
                (self.found)(Cgroup { id, parent: directory, name, path: &path });
            }
            below.push(name.to_owned());
        }
        Ok(Seen::There(below))
    }
}

/// The mount point of the cgroup2 hierarchy: `/sys/fs/cgroup`, or `unified` below it in the hybrid
/// layout.
fn mount(deadline: &Deadline) -> Result<PathBuf, Error> {
    let mut closed = None;
    for mount in mounts(deadline)? {
        let Mount { kind, point, .. } = mount?;
        if kind != "cgroup2" {
            continue;
        }
        let file = point.display().to_string();
        match look(&file, deadline, || statfs(&point))? {
            Seen::There(fs) if is_of_type(&fs, CGROUP2) => return Ok(point),
            // Another file system may be mounted over it, or over a directory above it.
            Seen::There(_) | Seen::Gone(_) => {}
            Seen::Hidden(error) => closed = closed.or(Some(os_error::of_file(&file, error))),
        }
    }
    let none = || {
        Error::Unsupported("no cgroup2 file system can be seen here (below ip netns exec: use --netns=NAME instead)"
            .to_owned())
    };
    Err(closed.unwrap_or_else(none))
}
