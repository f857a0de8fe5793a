//! Discovery of namespaces: all visible ones, or the requested ones.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, fstat, open, stat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, look};
use crate::linux::mounts::{Mount, mounts, mounts_of_init};
use crate::linux::processes::{Hiding, hidden_processes, other_threads, pids};
use crate::linux::rights::{missing, needed};
use crate::name::Unknown;
use crate::namespaces::linux::identity::{Identity, Namespace, Places, THREAD, Task, inode, tcp};
use crate::namespaces::linux::nsfs::{NO_NAMESPACE, file, no_network, to_open};
use crate::namespaces::linux::text::{INIT_ROOT, below, netns_inode, task_of};
use crate::netns::NAMED;
use crate::os_error;
use crate::printable::{bounded, printable};

/// The most processes that are kept per namespace. A search finds the others.
const TASKS: usize = 64;

/// The most times that new processes are listed.
const ROUNDS: usize = 30;

/// The namespace that a process is in.
pub fn of_process(pid: u32, deadline: &Deadline) -> Result<Namespace, Error> {
    let namespace = match of_task(pid, deadline)? {
        Seen::There(namespace) => namespace,
        Seen::Gone(_) => {
            return Err(Error::Argument(format!(
                "Network namespace {pid}: no process of this id can be seen (valid: the id of a \
                 running process, all, a name below {NAMED}, a path)"
            )));
        }
        Seen::Hidden(error) => {
            return Err(os_error::of_call(format!("Network namespace {pid}: /proc/{pid}"), error));
        }
    };
    Ok(Namespace { asked: Some(pid.to_string()), ..namespace })
}

/// The namespace that has a name below `/run/netns`.
pub fn of_name(name: &str, deadline: &Deadline) -> Result<Namespace, Error> {
    let path = Path::new(NAMED).join(name);
    match look(NAMED, deadline, || stat(&path))? {
        Seen::Gone(_) => Err(unknown_name(name)),
        Seen::There(_) | Seen::Hidden(_) => of_file(&path, name, deadline),
    }
}

/// The number of namespaces that have a name below `/run/netns`; 0 where this thread is in one of
/// them, which somebody has chosen, or where they cannot be read.
pub fn named(deadline: &Deadline) -> usize {
    let own = format!("{THREAD}/ns/net");
    let Ok(Seen::There(own)) = look(&own, deadline, || stat(own.as_str())) else { return 0 };
    let names = std::fs::read_dir(NAMED).into_iter().flatten().flatten().take(MOST_NAMES);
    let mut number = 0;
    for path in names.map(|entry| entry.path()) {
        match look(NAMED, deadline, || stat(&path)) {
            Ok(Seen::There(found)) if found.st_dev != own.st_dev => {}
            Ok(Seen::There(found)) if found.st_ino == own.st_ino => return 0,
            Ok(Seen::There(_)) => number += 1,
            // A name without a namespace.
            Ok(Seen::Gone(_) | Seen::Hidden(_)) | Err(_) => {}
        }
    }
    number
}

/// The most names that are looked at for their number.
const MOST_NAMES: usize = 1_000;

fn unknown_name(name: &str) -> Error {
    let mut names: Vec<String> = std::fs::read_dir(NAMED)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| printable(entry.file_name().as_bytes()))
        .collect();
    names.sort_unstable();
    match few(&names) {
        few if few.is_empty() => Error::Argument(format!(
            "unknown network namespace {name:?} (there is none below {NAMED}; valid: all, a path, a \
             process id)"
        )),
        few => Unknown::new("network namespace", name, &few).into(),
    }
}

/// The first of these names, at most 200 bytes, and how many others there are.
fn few(names: &[String]) -> Vec<String> {
    let mut room = 200;
    let fits = |name: &&String| {
        room -= bounded(name).len().min(room);
        room > 0
    };
    let mut few: Vec<_> =
        names.iter().take_while(fits).map(|name| bounded(name).into_owned()).collect();
    let others = names.len() - few.len();
    if others > 0 {
        few.push(format!("and {others} more"));
    }
    few
}

/// The namespace that a file stands for. Any other file must stay untouched: with sudo the caller
/// has fewer rights than this process.
pub fn of_file(path: &Path, asked: &str, deadline: &Deadline) -> Result<Namespace, Error> {
    let shown = printable(asked.as_bytes());
    match file(path, deadline) {
        Ok(Seen::There(file)) => {
            let inode = fstat(&file).map_err(|error| os_error::of_file(&shown, error))?.st_ino;
            let identity = Identity { inode: Some(inode), tcp: None };
            let mounts = vec![path.to_owned()];
            Ok(Namespace { identity, mounts, asked: Some(shown), ..Namespace::default() })
        }
        Ok(Seen::Hidden(error)) => {
            let task = task_of(path);
            let table = task.map(|task| tcp(task, deadline)).transpose()?;
            match task.zip(table) {
                // The link may not be read, but `/proc/PID/net` of the process may.
                Some((task, Seen::There(tcp))) => {
                    let identity = Identity { inode: None, tcp: Some(tcp) };
                    let tasks = vec![Task { directory: task.to_owned(), readable: false }];
                    Ok(Namespace { identity, tasks, asked: Some(shown), ..Namespace::default() })
                }
                Some((_, Seen::Gone(_) | Seen::Hidden(_))) | None => {
                    let missing = missing(&[to_open(path, deadline)?], deadline)?;
                    let needed = needed(&missing).map(|needed| format!(": {needed}"));
                    let needed = needed.unwrap_or_default();
                    let place = format!("Network namespace {}{needed}", bounded(&shown));
                    Err(os_error::of_call(place, error))
                }
            }
        }
        Ok(Seen::Gone(NO_NAMESPACE)) => Err(no_network(&shown)),
        Ok(Seen::Gone(error)) => {
            Err(os_error::of_call(format!("Network namespace {}", bounded(&shown)), error))
        }
        Err(error) => Err(error),
    }
}

/// The namespace that a process is in: the namespace of its first thread, or of another thread once
/// the first one has ended.
fn of_task(pid: u32, deadline: &Deadline) -> Result<Seen<Namespace>, Error> {
    let mut directory = format!("/proc/{pid}");
    let mut table = tcp(&directory, deadline)?;
    if let Seen::Gone(_) = table {
        for thread in other_threads(pid, deadline)?.found().unwrap_or_default() {
            table = tcp(&thread, deadline)?;
            if let Seen::There(_) = table {
                directory = thread;
                break;
            }
        }
    }
    let inode = inode(&directory, deadline)?;
    Ok(table.map(|table| Namespace {
        identity: Identity { inode, tcp: Some(table) },
        tasks: vec![Task { directory, readable: inode.is_some() }],
        ..Namespace::default()
    }))
}

/// A look at all visible processes, and the namespaces that they are in.
#[derive(Debug, Default)]
pub struct Scan {
    /// The namespaces.
    pub namespaces: Vec<Namespace>,
    /// Whether every process was read that was there at the end. A namespace that is not among
    /// `namespaces` then has no process.
    pub complete: bool,
    places: Places,
    // The most namespaces whose files are held open.
    held: usize,
}

/// Looks at all visible processes. Of the namespaces, the files of `held` are held open.
///
/// A process that ends before it is read may have started another one in its namespace. Every
/// process that is there at the end of a listing is in the listing, for ids rise. So new processes
/// are listed until all of them were read.
pub fn scan(held: usize, deadline: &Deadline) -> Result<Scan, Error> {
    let mut scan = Scan { held, ..Scan::default() };
    let mut read = HashSet::new();
    for _ in 0..ROUNDS {
        let mut new = pids(deadline)?;
        new.retain(|pid| read.insert(*pid));
        let mut has_ended = false;
        for pid in new {
            has_ended |= !scan.add(pid, deadline)?;
        }
        if !has_ended {
            scan.complete = true;
            break;
        }
    }
    Ok(scan)
}

impl Scan {
    /// The namespace that is the same as this one.
    pub fn find(&mut self, namespace: &Namespace) -> Option<&mut Namespace> {
        self.places.find(&mut self.namespaces, namespace)
    }

    /// Adds the namespace of a process; returns false where the process has ended.
    fn add(&mut self, pid: u32, deadline: &Deadline) -> Result<bool, Error> {
        let directory = format!("/proc/{pid}");
        // Most processes are in a namespace that is known already.
        if let Seen::There(table) = tcp(&directory, deadline)?
            && let identity = (Identity { inode: None, tcp: Some(table) })
            && let Some(place) = self.places.of(&identity)
            && let Some(known) = self.namespaces.get_mut(place)
        {
            remember(known, directory, deadline)?;
            return Ok(true);
        }
        match of_task(pid, deadline)? {
            Seen::There(namespace) => {
                if self.places.of(&namespace.identity).is_none() {
                    self.places.insert(&namespace.identity, self.namespaces.len());
                    let hold_it = self.namespaces.len() < self.held;
                    let held = if hold_it { hold(&namespace) } else { None };
                    self.namespaces.push(Namespace { held, ..namespace });
                }
                Ok(true)
            }
            Seen::Gone(_) => Ok(false),
            Seen::Hidden(error) => Err(hidden(&directory, error)),
        }
    }
}

/// Opens the file of a namespace that was just found. Without it there are other ways.
fn hold(namespace: &Namespace) -> Option<Arc<OwnedFd>> {
    let task = namespace.tasks.first().filter(|task| task.readable)?;
    let path = format!("{}/ns/net", task.directory);
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let inode = fstat(&file).ok()?.st_ino;
    (namespace.identity.inode == Some(inode)).then(|| Arc::new(file))
}

/// Adds another process of a namespace, if it is the first readable one, or while there are fewer
/// than `TASKS`.
fn remember(known: &mut Namespace, directory: String, deadline: &Deadline) -> Result<(), Error> {
    let unmarked = known.identity.inode.is_none();
    let readable = if unmarked {
        known.identity.inode = inode(&directory, deadline)?;
        known.identity.inode.is_some()
    } else {
        false
    };
    if readable || known.tasks.len() < TASKS {
        known.tasks.push(Task { directory, readable });
    }
    Ok(())
}

/// All namespaces that are mounted where this process or process 1 sees them.
pub fn mounted(deadline: &Deadline) -> Result<Vec<Namespace>, Error> {
    let mut found = Mounted::default();
    for mount in mounts(deadline)? {
        found.add(mount?, Path::new("/"));
    }
    for mount in mounts_of_init(deadline)? {
        found.add(mount?, Path::new(INIT_ROOT));
    }
    Ok(found.namespaces)
}

/// The namespaces of the mounts that were read.
#[derive(Default)]
struct Mounted {
    namespaces: Vec<Namespace>,
    places: Places,
    // The mount points of this process, with the inode numbers of the namespaces.
    own: HashSet<(u64, PathBuf)>,
}

impl Mounted {
    /// Adds the namespace of a mount, whose mount point lies below `root`.
    fn add(&mut self, mount: Mount, root: &Path) {
        let Mount { root: inode, point, kind, .. } = mount;
        let Some(inode) = netns_inode(&inode).filter(|_| kind == "nsfs") else {
            return;
        };
        // Process 1 and this process mostly see the same mounts.
        if !self.own.insert((inode, point.clone())) {
            return;
        }
        let identity = Identity { inode: Some(inode), tcp: None };
        let mounts = vec![below(root, &point)];
        let namespace = Namespace { identity, mounts, ..Namespace::default() };
        if let Some(known) = self.places.find(&mut self.namespaces, &namespace) {
            known.learn(namespace);
        } else {
            self.places.insert(&namespace.identity, self.namespaces.len());
            self.namespaces.push(namespace);
        }
    }
}

/// All visible namespaces.
pub fn everything(deadline: &Deadline) -> Result<Vec<Namespace>, Error> {
    refuse_hidden(deadline)?;
    Ok(combined(scan(held(), deadline)?, mounted(deadline)?))
}

/// The most namespaces whose files are held open: a quarter of the files that this process may have
/// open. Usually it may open 1,024 files.
fn held() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 4).unwrap_or(usize::MAX).min(256)
}

/// The namespaces of processes and mounts, each once.
fn combined(mut scan: Scan, mounted: Vec<Namespace>) -> Vec<Namespace> {
    for namespace in mounted {
        match scan.find(&namespace) {
            Some(known) => known.learn(namespace),
            None => scan.namespaces.push(Namespace { searched: true, ..namespace }),
        }
    }
    scan.namespaces
}

/// Refuses a `/proc` that does not show every process: a namespace could be left out.
fn refuse_hidden(deadline: &Deadline) -> Result<(), Error> {
    match hidden_processes(deadline)? {
        None => Ok(()),
        Some(Hiding { reason, error }) => Err(hidden(&reason, error)),
    }
}

fn hidden(reason: &str, error: Errno) -> Error {
    os_error::of_call(
        format!(
            "Not every process can be seen, so that network namespaces could be left out: {reason}"
        ),
        error,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(inode: Option<u64>, mounts: &[&str], tasks: &[&str]) -> Namespace {
        let task = |directory: &&str| Task { directory: (*directory).to_owned(), readable: true };
        Namespace {
            identity: Identity { inode, tcp: None },
            mounts: mounts.iter().map(Into::into).collect(),
            tasks: tasks.iter().map(task).collect(),
            ..Namespace::default()
        }
    }

    #[test]
    fn mounts_add_ways_to_known_namespaces_and_further_namespaces() {
        let processes =
            vec![namespace(Some(1), &[], &["/proc/7"]), namespace(None, &[], &["/proc/8"])];
        let mounts = vec![
            namespace(Some(1), &["/run/netns/a", "/mnt/a"], &[]),
            namespace(Some(2), &["/run/netns/b"], &[]),
        ];
        let mut scan = Scan::default();
        for (place, namespace) in processes.into_iter().enumerate() {
            scan.places.insert(&namespace.identity, place);
            scan.namespaces.push(namespace);
        }
        let found = combined(scan, mounts);
        let ways = |namespace: Namespace| {
            let Namespace { identity, mounts, tasks, searched, .. } = namespace;
            (identity, mounts, tasks, searched)
        };
        let searched = Namespace { searched: true, ..namespace(Some(2), &["/run/netns/b"], &[]) };
        let expected = [
            namespace(Some(1), &["/run/netns/a", "/mnt/a"], &["/proc/7"]),
            // This may be one of the mounted namespaces.
            namespace(None, &[], &["/proc/8"]),
            searched,
        ];
        assert!(found.into_iter().map(ways).eq(expected.map(ways)));
    }

    #[test]
    fn each_mount_is_a_way_and_those_that_only_process_1_sees_lead_through_its_root() {
        let mount = |inode: u64, point: &str| Mount {
            device: (0, 4),
            root: format!("net:[{inode}]").into(),
            point: point.into(),
            kind: "nsfs".to_owned(),
            options: String::new(),
        };
        let mut found = Mounted::default();
        for own in [mount(1, "/run/netns/a"), mount(1, "/mnt/a"), mount(2, "/run/netns/a")] {
            found.add(own, Path::new("/"));
        }
        for of_init in [mount(1, "/run/netns/a"), mount(3, "/tmp/b"), mount(1, "/tmp/a")] {
            found.add(of_init, Path::new(INIT_ROOT));
        }
        found.add(Mount { kind: "tmpfs".into(), ..mount(4, "/x") }, Path::new("/"));
        let found = found.namespaces.into_iter();
        let ways: Vec<_> = found.map(|one| (one.identity.inode, one.mounts)).collect();
        let paths = |paths: &[&str]| paths.iter().map(Into::into).collect::<Vec<_>>();
        assert_eq!(
            ways,
            [
                (Some(1), paths(&["/run/netns/a", "/mnt/a", "/proc/1/root/tmp/a"])),
                (Some(2), paths(&["/run/netns/a"])),
                (Some(3), paths(&["/proc/1/root/tmp/b"])),
            ]
        );
    }

    #[test]
    fn a_list_of_names_is_short() {
        let names =
            |number: usize| -> Vec<_> { (0..number).map(|n| format!("blue{n:04}")).collect() };
        assert_eq!(few(&names(0)), [""; 0]);
        assert_eq!(few(&names(2)), ["blue0000", "blue0001"]);
        let many = few(&names(5000));
        assert_eq!((many.len(), many.last().map(|last| &**last)), (25, Some("and 4976 more")));
        assert_eq!(
            few(&["x".repeat(250), "y".repeat(250)]).last().map(|last| &**last),
            Some("and 1 more")
        );
    }
}
