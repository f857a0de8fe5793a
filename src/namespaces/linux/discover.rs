//! Discovery of namespaces: all visible ones, or the requested ones.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{fstat, stat};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::{Seen, look};
use crate::linux::mounts::{Mount, mounts};
use crate::linux::processes::{other_threads, pids};
use crate::name::Unknown;
use crate::namespaces::linux::identity::{Identity, Namespace, Task, inode, tcp};
use crate::namespaces::linux::nsfs::{NO_NAMESPACE, file, no_network};
use crate::namespaces::linux::text::{hides_processes, netns_inode, task_of};
use crate::netns::NAMED;
use crate::printable::printable;

/// The most processes that are kept per namespace. A search finds the others.
const TASKS: usize = 64;

/// The namespace that a process is in.
pub fn of_process(pid: u32, deadline: &Deadline) -> Result<Namespace, Error> {
    let namespace = match of_task(pid, deadline)? {
        Seen::There(namespace) => namespace,
        Seen::Gone(_) => {
            return Err(Error::Argument(format!(
                "Network namespace {pid}: no process of this id can be seen"
            )));
        }
        Seen::Hidden(error) => {
            return Err(Error::system(format!("Network namespace {pid}: /proc/{pid}"), error));
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

fn unknown_name(name: &str) -> Error {
    let mut names: Vec<String> = std::fs::read_dir(NAMED)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| printable(entry.file_name().as_bytes()))
        .collect();
    names.sort_unstable();
    match &*names {
        [] => Error::Argument(format!(
            "unknown network namespace {name:?} (there is none below {NAMED}; valid: all, a path, a \
             process id)"
        )),
        names => Unknown::new("network namespace", name, names).into(),
    }
}

/// The namespace that a file stands for. Any other file must stay untouched: with sudo the caller
/// has fewer rights than this process.
pub fn of_file(path: &Path, asked: &str, deadline: &Deadline) -> Result<Namespace, Error> {
    let shown = printable(asked.as_bytes());
    match file(path, deadline) {
        Ok(Seen::There(file)) => {
            let inode = fstat(&file).map_err(|error| Error::system(&*shown, error))?.st_ino;
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
                Some((_, Seen::Gone(_) | Seen::Hidden(_))) | None => Err(Error::system(
                    format!("Network namespace {shown}: CAP_SYS_PTRACE may be needed"),
                    error,
                )),
            }
        }
        Ok(Seen::Gone(NO_NAMESPACE)) => Err(no_network(&shown)),
        Ok(Seen::Gone(error)) => Err(Error::system(format!("Network namespace {shown}"), error)),
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

/// Finds a process in a namespace that is not in `tried`.
pub fn another_task(
    namespace: &Namespace,
    tried: &HashSet<String>,
    deadline: &Deadline,
) -> Result<Option<String>, Error> {
    for pid in pids(deadline)? {
        if let Seen::There(found) = of_task(pid, deadline)?
            && namespace.is(&found)
            && let Some(task) = found.tasks.into_iter().next()
            && !tried.contains(&task.directory)
        {
            return Ok(Some(task.directory));
        }
    }
    Ok(None)
}

/// The namespaces that processes are in.
pub fn of_processes(deadline: &Deadline) -> Result<Vec<Namespace>, Error> {
    let mut found: Vec<Namespace> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    for pid in pids(deadline)? {
        let directory = format!("/proc/{pid}");
        // Most processes are in a namespace that was found before.
        if let Seen::There(table) = tcp(&directory, deadline)?
            && let Some(known) = places.get(&table).and_then(|place| found.get_mut(*place))
        {
            remember(known, directory, deadline)?;
            continue;
        }
        match of_task(pid, deadline)? {
            Seen::There(namespace) => {
                if let Some(table) = namespace.identity.tcp
                    && let Entry::Vacant(place) = places.entry(table)
                {
                    place.insert(found.len());
                    found.push(namespace);
                }
            }
            Seen::Gone(_) => {}
            Seen::Hidden(error) => return Err(hidden(&directory, error)),
        }
    }
    Ok(found)
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

/// All mounted namespaces.
pub fn mounted() -> Result<Vec<Namespace>, Error> {
    let mut found: Vec<Namespace> = Vec::new();
    for mount in mounts()? {
        let Mount { root, point, kind, .. } = mount?;
        if let Some(inode) = netns_inode(&root).filter(|_| kind == "nsfs") {
            let identity = Identity { inode: Some(inode), tcp: None };
            let mounts = vec![point];
            let namespace = Namespace { identity, mounts, ..Namespace::default() };
            match found.iter_mut().find(|known| known.is(&namespace)) {
                Some(known) => known.learn(namespace),
                None => found.push(namespace),
            }
        }
    }
    Ok(found)
}

/// All visible namespaces.
pub fn everything(deadline: &Deadline) -> Result<Vec<Namespace>, Error> {
    refuse_hidepid(deadline)?;
    Ok(combined(of_processes(deadline)?, mounted()?))
}

/// The namespaces of processes and mounts, each once.
fn combined(mut found: Vec<Namespace>, mounted: Vec<Namespace>) -> Vec<Namespace> {
    let places: HashMap<_, _> = found
        .iter()
        .enumerate()
        .filter_map(|(place, namespace)| Some((namespace.identity.inode?, place)))
        .collect();
    for namespace in mounted {
        let known = namespace.identity.inode.and_then(|inode| places.get(&inode));
        match known.and_then(|place| found.get_mut(*place)) {
            Some(known) => known.learn(namespace),
            None => found.push(Namespace { searched: true, ..namespace }),
        }
    }
    found
}

/// Refuses a `/proc` that does not show every process: a namespace could be left out.
fn refuse_hidepid(deadline: &Deadline) -> Result<(), Error> {
    const FIRST: &str = "/proc/1";
    match look(FIRST, deadline, || stat(FIRST))? {
        Seen::There(_) => {}
        Seen::Gone(error) | Seen::Hidden(error) => return Err(hidden(FIRST, error)),
    }
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let groups = rustix::process::getgroups().unwrap_or_default();
    let is_ours = |group: u32| {
        let all = groups.iter().copied().chain([rustix::process::getegid()]);
        all.into_iter().any(|own| own.as_raw() == group)
    };
    for mount in mounts()? {
        let Mount { point, kind, options, .. } = mount?;
        if kind == "proc" && point == Path::new("/proc") && hides_processes(&options, &is_ours) {
            return Err(hidden(&format!("/proc ({options})"), Errno::ACCESS));
        }
    }
    Ok(())
}

fn hidden(what: &str, error: Errno) -> Error {
    Error::system(
        format!(
            "Not every process can be seen, so that network namespaces could be left out (root \
             sees them, and who has CAP_SYS_PTRACE, and the group that /proc is mounted with): \
             {what}"
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
        let found = combined(processes, mounts);
        let searched = Namespace { searched: true, ..namespace(Some(2), &["/run/netns/b"], &[]) };
        assert_eq!(
            found,
            [
                namespace(Some(1), &["/run/netns/a", "/mnt/a"], &["/proc/7"]),
                // This may be one of the mounted namespaces.
                namespace(None, &[], &["/proc/8"]),
                searched,
            ]
        );
    }
}
