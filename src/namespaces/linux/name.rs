//! The names of namespaces.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::group_name::{HOST, NetnsName};
use crate::linux::look::{Seen, beginning};
use crate::linux::proc_text::line;
use crate::linux::processes::{LONGEST_COMM, sees_every_process};
use crate::namespaces::linux::discover::{mounted, scan};
use crate::namespaces::linux::identity::{Identity, Namespace, Places, is_named, tcp};
use crate::namespaces::linux::text::{container, process_of, seen_by_init, task_of, unit};
use crate::printable::printable;
use crate::vocabulary::NetnsIndex;

/// The name of this thread's own namespace, where nothing shows whether it is the host's.
const OWN: &str = "(own)";

/// Longer than `/proc/PID/cgroup` of any process.
const LONGEST_CGROUPS: usize = 16 * 1024;

/// The names of these namespaces. A name stays the same from run to run, wherever there is one. Names
/// of containers, units and mounts are not for any user to give.
pub fn names(
    namespaces: Vec<(NetnsIndex, Namespace)>,
    deadline: &Deadline,
) -> Result<HashMap<NetnsIndex, Arc<NetnsName>>, Error> {
    let (indices, mut namespaces): (Vec<_>, Vec<_>) = namespaces.into_iter().unzip();
    let mut host = host(deadline)?;
    learn(&mut namespaces, host.as_mut(), deadline)?;
    let mut chosen = Vec::new();
    for (netns, namespace) in indices.into_iter().zip(&namespaces) {
        chosen.push((netns, named(netns, namespace, host.as_ref(), deadline)?));
    }
    let mut called: HashMap<String, usize> = HashMap::new();
    for (_, (choice, _)) in &chosen {
        if let Choice::Process { label, .. } = choice {
            *called.entry(label.clone()).or_default() += 1;
        }
    }
    let name = |(netns, (choice, may_be_host))| {
        let (label, common) = match choice {
            Choice::Process { label, pid } if called.get(&label).is_some_and(|n| *n > 1) => {
                (format!("{label} ({pid})"), Some(label))
            }
            Choice::Process { label, .. } | Choice::Fixed(label) => (label, None),
        };
        (netns, Arc::new(NetnsName { label: label.into(), common, may_be_host }))
    };
    Ok(chosen.into_iter().map(name).collect())
}

/// The name of one namespace.
pub fn of_one(
    netns: NetnsIndex,
    namespace: &Namespace,
    deadline: &Deadline,
) -> Result<String, Error> {
    let names = names(vec![(netns, namespace.clone())], deadline)?;
    Ok(names.get(&netns).map(|name| name.label.to_string()).unwrap_or_default())
}

/// The marks of the namespace of the host's first process; `None` where that process cannot be
/// seen.
fn host(deadline: &Deadline) -> Result<Option<Identity>, Error> {
    if !sees_every_process(deadline)? {
        return Ok(None);
    }
    let mut host = Identity::of("/proc/1", deadline)?;
    // The link of process 1 may not be for everybody to read.
    let own = Namespace::of_thread(deadline)?.identity;
    if host.is(&own) {
        host.learn(&own);
    }
    Ok(host.tcp.is_some().then_some(host))
}

/// Adds ways that other processes and mounts show.
fn learn(
    namespaces: &mut [Namespace],
    mut host: Option<&mut Identity>,
    deadline: &Deadline,
) -> Result<(), Error> {
    let mut places = Places::default();
    for (place, namespace) in namespaces.iter().enumerate() {
        places.insert(&namespace.identity, place);
    }
    let unknown = namespaces.iter().any(|namespace| namespace.tasks.is_empty());
    let processes = if unknown { scan(0, deadline)?.namespaces } else { Vec::new() };
    for found in processes.into_iter().chain(mounted(deadline)?) {
        if let Some(host) = host.as_deref_mut().filter(|host| host.is(&found.identity)) {
            host.learn(&found.identity);
        }
        if let Some(namespace) = places.find(namespaces, &found) {
            namespace.learn(found);
        }
    }
    Ok(())
}

/// A name, before process ids are added to equal names.
enum Choice {
    Fixed(String),
    /// The name of a process, which any user may choose.
    Process {
        label: String,
        pid: String,
    },
}

/// The name of a namespace, and whether it may be the host's own.
fn named(
    netns: NetnsIndex,
    namespace: &Namespace,
    host: Option<&Identity>,
    deadline: &Deadline,
) -> Result<(Choice, bool), Error> {
    let identity = &namespace.identity;
    let may_be_host = match host {
        Some(host) if host.is(identity) => return Ok((Choice::Fixed(HOST.to_owned()), false)),
        Some(host) => !host.can_be_compared(identity),
        None => true,
    };
    let choice = match choice(namespace, deadline)? {
        Choice::Process { .. } if may_be_host && netns == NetnsIndex::OWN => {
            Choice::Fixed(OWN.to_owned())
        }
        choice => choice,
    };
    Ok((choice, may_be_host))
}

/// The best name of a namespace: its container, its name in `ip netns`, the unit of its first
/// process, its mount point, the name of its first process, or its inode number.
fn choice(namespace: &Namespace, deadline: &Deadline) -> Result<Choice, Error> {
    let fixed = |name| Ok(Choice::Fixed(name));
    let (task, cgroups) = first_process(namespace, deadline)?;
    if let Some(container) = container(&cgroups) {
        return fixed(container);
    }
    let mounts: Vec<_> = namespace.mounts_by_name().map(seen_by_init).collect();
    if let Some(name) = mounts.iter().find_map(|path| name_of_mount(path)) {
        return fixed(name);
    }
    if let Some(unit) = unit(&cgroups) {
        return fixed(unit);
    }
    let shown = |path: &PathBuf| printable(path.as_os_str().as_bytes());
    if let Some(mount) = mounts.iter().find(|path| task_of(path).is_none()) {
        return fixed(shown(mount));
    }
    if let Some(task) = task {
        let (process, pid) = process_of(task);
        let mut room = [0; LONGEST_COMM];
        // The command line is in the memory of the process, which may make the reader wait.
        if let Seen::There(comm) = beginning(&format!("{process}/comm"), &mut room, deadline)? {
            let label = format!("process:{}", printable(line(comm).trim_ascii_end()));
            return Ok(Choice::Process { label, pid: pid.to_owned() });
        }
    }
    let inode = namespace.identity.inode.map(|inode| format!("net:[{inode}]"));
    fixed(mounts.first().map(shown).or(inode).unwrap_or_else(|| "(gone)".to_owned()))
}

/// The first process of a namespace that is still in it, and the text of its cgroups.
fn first_process<'a>(
    namespace: &'a Namespace,
    deadline: &Deadline,
) -> Result<(Option<&'a str>, Vec<u8>), Error> {
    for task in &namespace.tasks {
        let task = &*task.directory;
        let table = tcp(task, deadline)?.found();
        if table.is_none() || namespace.identity.tcp.is_some_and(|known| table != Some(known)) {
            continue;
        }
        let mut room = vec![0; LONGEST_CGROUPS];
        return Ok(match beginning(&format!("{task}/cgroup"), &mut room, deadline)? {
            Seen::There(cgroups) => (Some(task), cgroups.to_vec()),
            Seen::Gone(_) => continue,
            Seen::Hidden(_) => (Some(task), Vec::new()),
        });
    }
    Ok((None, Vec::new()))
}

/// The name that `ip netns` knows a mount point by. A namespace with the name of the host's own
/// namespace is shown by its path.
fn name_of_mount(path: &Path) -> Option<String> {
    let name = printable(path.file_name().filter(|_| is_named(path))?.as_bytes());
    let is_taken = name.eq_ignore_ascii_case(HOST) || name.starts_with('(');
    Some(if is_taken { printable(path.as_os_str().as_bytes()) } else { name })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::namespaces::linux::identity::Task;

    #[test]
    fn a_name_of_ip_netns_precedes_a_unit_and_a_mount_precedes_a_process() {
        let deadline = Deadline::new(Duration::from_secs(20), &|| false);
        let name = |mounts: &[&str], process: bool, inode| {
            let directory = format!("/proc/{}", std::process::id());
            let namespace = Namespace {
                identity: Identity { inode, tcp: None },
                mounts: mounts.iter().map(Into::into).collect(),
                tasks: process.then_some(Task { directory, readable: true }).into_iter().collect(),
                ..Namespace::default()
            };
            match choice(&namespace, &deadline).unwrap_or_else(|e| panic!("{e}")) {
                Choice::Fixed(name) => name,
                Choice::Process { label, pid } => format!("{label} {pid}"),
            }
        };
        assert_eq!(name(&["/mnt/blue", "/run/netns/blue"], false, Some(7)), "blue");
        assert_eq!(name(&["/mnt/blue"], false, Some(7)), "/mnt/blue");
        assert_eq!(name(&["/proc/7/ns/net"], false, Some(7)), "/proc/7/ns/net");
        assert_eq!(name(&[], false, Some(7)), "net:[7]");
        assert_eq!(name(&[], false, None), "(gone)");
        // The cgroup of this process may have a name.
        let own = name(&["/proc/7/ns/net"], true, Some(7));
        let program = format!(" {}", std::process::id());
        assert!(own.starts_with("process:") && own.ends_with(&program) || !own.contains(':'));
    }

    #[test]
    fn the_name_of_the_host_is_given_to_no_other_namespace() {
        let name = |path: &str| name_of_mount(Path::new(path));
        for (path, expected) in [
            ("/run/netns/blue", Some("blue")),
            ("/run/netns/host", Some("/run/netns/host")),
            ("/run/netns/HOST", Some("/run/netns/HOST")),
            ("/run/netns/(own)", Some("/run/netns/(own)")),
            ("/run/netns/hosts", Some("hosts")),
            ("/mnt/host", None),
        ] {
            assert_eq!(name(path).as_deref(), expected, "{path}");
        }
    }
}
