//! The marks by which a namespace is recognised, and the ways that lead to it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::stat;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, look};
use crate::netns::NAMED;

/// The directory of this thread. `/proc/self` is the process's first thread, which may be in
/// another namespace.
pub const THREAD: &str = "/proc/thread-self";

/// The marks of a namespace, as far as they may be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The inode number of the namespace: of `/proc/PID/ns/net`, or of the mount.
    pub inode: Option<u64>,
    /// The inode number of `/proc/PID/net/tcp`: every namespace has its own.
    pub tcp: Option<u64>,
}

impl Identity {
    /// Reads the marks of the namespace that a process or thread is in, by its directory.
    pub fn of(task: &str, deadline: &Deadline) -> Result<Self, Error> {
        Ok(Self { inode: inode(task, deadline)?, tcp: tcp(task, deadline)?.found() })
    }

    /// Whether both are known to be the same namespace.
    pub fn is(&self, other: &Self) -> bool {
        match (self.inode, other.inode) {
            (Some(one), Some(other)) => one == other,
            (Some(_), None) | (None, _) => self.tcp.is_some() && self.tcp == other.tcp,
        }
    }

    /// Whether [`is`](Self::is) can tell both apart.
    pub fn can_be_compared(&self, other: &Self) -> bool {
        self.inode.is_some() && other.inode.is_some() || self.tcp.is_some() && other.tcp.is_some()
    }

    /// Adds the marks from another look at the same namespace.
    pub fn learn(&mut self, other: &Self) {
        self.inode = self.inode.or(other.inode);
        self.tcp = self.tcp.or(other.tcp);
    }
}

/// The places of namespaces in a list, by their marks. Others may make many namespaces, so that the
/// list is not searched.
#[derive(Debug, Default)]
pub struct Places {
    by_inode: HashMap<u64, usize>,
    by_tcp: HashMap<u64, usize>,
}

impl Places {
    /// Keeps the place of a namespace.
    pub fn insert(&mut self, identity: &Identity, place: usize) {
        self.by_inode.extend(identity.inode.map(|inode| (inode, place)));
        self.by_tcp.extend(identity.tcp.map(|tcp| (tcp, place)));
    }

    /// The place that may have a namespace: where the inode numbers of both are known, they must be
    /// equal, too.
    pub fn of(&self, identity: &Identity) -> Option<usize> {
        let by_inode = identity.inode.and_then(|inode| self.by_inode.get(&inode));
        by_inode.or_else(|| self.by_tcp.get(&identity.tcp?)).copied()
    }

    /// The namespace of a list that is the same as this one.
    pub fn find<'a>(
        &self,
        list: &'a mut [Namespace],
        same: &Namespace,
    ) -> Option<&'a mut Namespace> {
        list.get_mut(self.of(&same.identity)?).filter(|known| known.is(same))
    }
}

/// A namespace, with every known way that leads to it.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    /// Its marks.
    pub identity: Identity,
    /// The mount points where it is mounted.
    pub mounts: Vec<PathBuf>,
    /// Processes and threads in it.
    pub tasks: Vec<Task>,
    /// An open file of it: it keeps the namespace alive, and leads there after its last process.
    pub held: Option<Arc<OwnedFd>>,
    /// The user's text that requested it; `None` where all namespaces were requested.
    pub asked: Option<String>,
    /// Whether all processes were read, and none was found in it.
    pub searched: bool,
}

/// A process or thread in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its directory in `/proc`.
    pub directory: String,
    /// Whether its `ns/net` may be read, so that it may serve as an entrance.
    pub readable: bool,
}

impl Namespace {
    /// This thread's own namespace.
    pub fn of_thread(deadline: &Deadline) -> Result<Self, Error> {
        Ok(Self { identity: Identity::of(THREAD, deadline)?, ..Self::default() })
    }

    /// Whether both are known to be the same namespace.
    pub fn is(&self, other: &Self) -> bool {
        self.identity.is(&other.identity)
    }

    /// Adds the marks and ways from another discovery of the same namespace.
    pub fn learn(&mut self, other: Self) {
        self.identity.learn(&other.identity);
        for mount in other.mounts {
            if !self.mounts.contains(&mount) {
                self.mounts.push(mount);
            }
        }
        for task in other.tasks {
            if !self.tasks.contains(&task) {
                self.tasks.push(task);
            }
        }
        self.held = self.held.take().or(other.held);
        self.asked = self.asked.take().or(other.asked);
        self.searched |= other.searched;
    }

    /// The mount points, the names of `ip netns` first.
    pub fn mounts_by_name(&self) -> impl Iterator<Item = &Path> {
        let (named, others): (Vec<_>, Vec<_>) =
            self.mounts.iter().map(PathBuf::as_path).partition(|path| is_named(path));
        named.into_iter().chain(others)
    }

    /// The processes, possible entrances first.
    pub fn tasks_by_readability(&self) -> impl Iterator<Item = &str> {
        let readable = self.tasks.iter().filter(|task| task.readable);
        let others = self.tasks.iter().filter(|task| !task.readable);
        readable.chain(others).map(|task| task.directory.as_str())
    }
}

/// Whether a mount point is a name of `ip netns`.
pub fn is_named(path: &Path) -> bool {
    path.parent().is_some_and(|parent| [NAMED, "/var/run/netns"].map(Path::new).contains(&parent))
}

/// The inode number of the namespace that a process is in, where it may be read.
pub fn inode(task: &str, deadline: &Deadline) -> Result<Option<u64>, Error> {
    let link = format!("{task}/ns/net");
    Ok(look(&link, deadline, || stat(&link))?.map(|stat| stat.st_ino).found())
}

/// The inode number of `net/tcp` in the directory of a process.
pub fn tcp(task: &str, deadline: &Deadline) -> Result<Seen<u64>, Error> {
    let table = format!("{task}/net/tcp");
    Ok(look(&table, deadline, || stat(&table))?.map(|stat| stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(inode: Option<u64>, tcp: Option<u64>) -> Identity {
        Identity { inode, tcp }
    }

    #[test]
    fn namespaces_are_compared_by_inode_number_else_by_table() {
        for (one, other, same) in [
            (identity(Some(1), None), identity(Some(1), None), true),
            (identity(Some(1), Some(5)), identity(Some(2), Some(5)), false),
            (identity(Some(1), Some(5)), identity(None, Some(5)), true),
            (identity(None, Some(5)), identity(None, Some(5)), true),
            (identity(None, Some(5)), identity(None, Some(6)), false),
            (identity(Some(1), None), identity(None, None), false),
            (identity(None, None), identity(None, None), false),
        ] {
            assert_eq!((one.is(&other), other.is(&one)), (same, same), "{one:?} {other:?}");
        }
    }

    #[test]
    fn every_way_is_kept_once_and_the_best_come_first() {
        let task = |directory: &str, readable| Task { directory: directory.to_owned(), readable };
        let seen = |inode, tcp, mount: &str, task: Task| Namespace {
            identity: identity(inode, tcp),
            mounts: vec![mount.into()],
            tasks: vec![task],
            ..Namespace::default()
        };
        let mut namespace = seen(None, Some(5), "/mnt/a", task("/proc/7", false));
        namespace.learn(seen(Some(1), None, "/run/netns/a", task("/proc/8", true)));
        namespace.learn(seen(Some(1), Some(5), "/mnt/a", task("/proc/7", false)));
        assert_eq!(namespace.identity, identity(Some(1), Some(5)));
        let mounts: Vec<_> = namespace.mounts_by_name().collect();
        assert_eq!(mounts, [Path::new("/run/netns/a"), Path::new("/mnt/a")]);
        let tasks: Vec<_> = namespace.tasks_by_readability().collect();
        assert_eq!(tasks, ["/proc/8", "/proc/7"]);
    }

    #[test]
    fn mount_points_of_ip_netns_are_named() {
        for (path, named) in [
            ("/run/netns/blue", true),
            ("/var/run/netns/blue", true),
            ("/run/netns/a/blue", false),
            ("/mnt/blue", false),
            ("/", false),
        ] {
            assert_eq!(is_named(Path::new(path)), named, "{path}");
        }
    }
}
