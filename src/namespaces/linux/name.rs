//! The names of namespaces.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::beginning;
use crate::linux::processes::{name, sees_every_process};
use crate::namespaces::linux::discover::{mounted, of_processes};
use crate::namespaces::linux::identity::{Namespace, is_named, tcp};
use crate::namespaces::linux::text::{container, process_of, seen_by_init};
use crate::printable::printable;
use crate::vocabulary::NetnsIndex;

/// The name of the namespace of the system's first process.
const HOST: &str = "host";

/// Longer than `/proc/PID/cgroup` of any process.
const LONGEST_CGROUPS: usize = 16 * 1024;

/// The names of these namespaces.
pub fn names(
    mut namespaces: HashMap<NetnsIndex, Namespace>,
    deadline: &Deadline,
) -> Result<HashMap<NetnsIndex, Arc<str>>, Error> {
    let unknown = namespaces.values().any(|namespace| namespace.tasks.is_empty());
    let processes = if unknown { of_processes(deadline)? } else { Vec::new() };
    for found in processes.into_iter().chain(mounted(deadline)?) {
        for namespace in namespaces.values_mut().filter(|namespace| namespace.is(&found)) {
            namespace.learn(found.clone());
        }
    }
    let host = if sees_every_process(deadline)? { tcp("/proc/1", deadline)?.found() } else { None };
    let named = |(netns, namespace): (NetnsIndex, Namespace)| {
        let is_host = host.is_some() && namespace.identity.tcp == host;
        let name = if is_host { HOST.to_owned() } else { choice(&namespace, deadline)? };
        Ok((netns, Arc::from(name)))
    };
    namespaces.into_iter().map(named).collect()
}

/// The best name of a namespace: its container, its name in `ip netns`, its first process, its mount
/// point, or its inode number.
fn choice(namespace: &Namespace, deadline: &Deadline) -> Result<String, Error> {
    let task = namespace.tasks.first().map(|task| task.directory.as_str());
    if let Some(container) = task.map(|task| container_of(task, deadline)).transpose()?.flatten() {
        return Ok(container);
    }
    let mounts: Vec<_> = namespace.mounts_by_name().map(seen_by_init).collect();
    let mount = mounts.iter().find(|path| is_named(path)).or(mounts.first()).map(PathBuf::as_path);
    if let Some(name) = mount.and_then(name_of_mount) {
        return Ok(name);
    }
    if let Some(process) = task.map(|task| label_of(task, deadline)).transpose()?.flatten() {
        return Ok(process);
    }
    let inode = || {
        let inode = namespace.identity.inode;
        inode.map_or_else(|| "(gone)".to_owned(), |inode| format!("net:[{inode}]"))
    };
    Ok(mount.map_or_else(inode, |path| printable(path.as_os_str().as_bytes())))
}

fn container_of(task: &str, deadline: &Deadline) -> Result<Option<String>, Error> {
    let mut room = vec![0; LONGEST_CGROUPS];
    let cgroups = beginning(&format!("{task}/cgroup"), &mut room, deadline)?;
    Ok(cgroups.found().and_then(container))
}

/// The name that `ip netns` knows a mount point by.
fn name_of_mount(path: &Path) -> Option<String> {
    is_named(path).then(|| printable(path.file_name().unwrap_or_default().as_bytes()))
}

/// `nginx (812)`
fn label_of(task: &str, deadline: &Deadline) -> Result<Option<String>, Error> {
    let (process, pid) = process_of(task);
    Ok(name(process, task, deadline)?.found().map(|name| format!("{name} ({pid})")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::namespaces::linux::identity::{Identity, Task};

    #[test]
    fn a_name_of_ip_netns_precedes_a_process_and_a_process_precedes_a_mount() {
        let deadline = Deadline::new(Duration::from_secs(20), &|| false);
        let name = |mounts: &[&str], process: bool, inode| {
            let directory = format!("/proc/{}", std::process::id());
            let namespace = Namespace {
                identity: Identity { inode, tcp: None },
                mounts: mounts.iter().map(Into::into).collect(),
                tasks: process.then_some(Task { directory, readable: true }).into_iter().collect(),
                ..Namespace::default()
            };
            choice(&namespace, &deadline).unwrap_or_else(|e| panic!("{e}"))
        };
        assert_eq!(name(&["/mnt/blue", "/run/netns/blue"], false, Some(7)), "blue");
        assert_eq!(name(&["/mnt/blue"], false, Some(7)), "/mnt/blue");
        assert_eq!(name(&[], false, Some(7)), "net:[7]");
        assert_eq!(name(&[], false, None), "(gone)");
        let own = name(&["/mnt/blue"], true, Some(7));
        assert!(own.ends_with(&format!("({})", std::process::id())) || !own.starts_with("/mnt"));
    }
}
