//! Texts about namespaces in `/proc`. Pure functions over text.

use std::path::{Path, PathBuf};

use crate::linux::units::{container_of, name_of, paths};
use crate::printable::printable;

/// The inode number of the network namespace that is mounted with this root: `net:[4026531833]`.
pub fn netns_inode(root: &Path) -> Option<u64> {
    root.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// The root directory of process 1, as other processes reach it.
pub const INIT_ROOT: &str = "/proc/1/root";

/// An absolute path as it is reached below another root directory.
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A mount point as process 1 sees it.
pub fn seen_by_init(point: &Path) -> PathBuf {
    point
        .strip_prefix(INIT_ROOT)
        .map_or_else(|_| point.to_owned(), |rest| Path::new("/").join(rest))
}

/// The directory of the process whose network namespace a link stands for: `/proc/7/ns/net`.
pub fn task_of(link: &Path) -> Option<&str> {
    link.to_str()?.strip_suffix("/ns/net")
}

/// The container that the cgroups of a process belong to (`cgroups(7)`), in any hierarchy.
pub fn container(cgroups: &[u8]) -> Option<String> {
    let mut lines = cgroups.split(|byte| *byte == b'\n').map(printable);
    lines.find_map(|line| container_of(line.splitn(3, ':').nth(2)?))
}

/// The unit that the cgroups of a process belong to: in the hierarchy of cgroup v2, or in the one
/// that systemd names in v1.
pub fn unit(cgroups: &[u8]) -> Option<String> {
    paths(cgroups).find_map(|path| name_of(&path))
}

/// The directory and the id of the process that a directory in `/proc` belongs to, also for the
/// directory of a thread.
pub fn process_of(task: &str) -> (&str, &str) {
    let (process, _) = task.split_once("/task/").unwrap_or((task, ""));
    let (_, pid) = process.rsplit_once('/').unwrap_or(("", process));
    (process, pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_of_nsfs_has_an_inode_number() {
        let inode = |root: &str| netns_inode(Path::new(root));
        assert_eq!(inode("net:[4026531833]"), Some(4_026_531_833));
        for root in ["mnt:[4026531833]", "net:[]", "net:[x]", "/", "net:[4026531833"] {
            assert_eq!(inode(root), None, "{root}");
        }
    }

    #[test]
    fn a_container_is_found_in_any_hierarchy() {
        let id = "0123456789abcdef".repeat(4);
        let text = format!("12:pids:/user.slice\n1:name=systemd:/docker/{id}\n0::/\n");
        assert_eq!(container(text.as_bytes()).as_deref(), Some("docker:0123456789ab"));
        for text in ["", "0::/system.slice/nginx.service\n", "x\n", "\n\n"] {
            assert_eq!(container(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_unit_is_found_in_the_hierarchies_of_systemd() {
        for (text, expected) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            ("1:name=systemd:/system.slice/a:b.service\n0::/\n", Some("a:b.service")),
            ("0::/user.slice/user@7.service/x.scope\n", Some("user@7.service/x.scope")),
            ("4:pids:/system.slice/nginx.service\n0::/\n", None),
            ("0::/leaky/inner\n", None),
            ("0::\nx\n\n", None),
        ] {
            assert_eq!(unit(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_thread_belongs_to_its_process() {
        assert_eq!(task_of(Path::new("/proc/7/ns/net")), Some("/proc/7"));
        assert_eq!(task_of(Path::new("/run/netns/blue")), None);
        assert_eq!(seen_by_init(Path::new("/proc/1/root/tmp/a")), Path::new("/tmp/a"));
        assert_eq!(seen_by_init(Path::new("/run/netns/a")), Path::new("/run/netns/a"));
        assert_eq!(process_of("/proc/7"), ("/proc/7", "7"));
        assert_eq!(process_of("/proc/7/task/9"), ("/proc/7", "7"));
        assert_eq!(process_of("/other/proc/7/task/9"), ("/other/proc/7", "7"));
    }
}
