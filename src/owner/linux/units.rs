//! The names of cgroups' paths: systemd units, containers and pods. Pure functions over text.

use std::path::PathBuf;

/// The mount point of a line of `mountinfo` (`proc_pid_mountinfo(5)`), if it is of type cgroup2.
pub fn cgroup2_mount(line: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let line = str::from_utf8(line).ok()?;
    let (before, after) = line.split_once(" - ")?;
    if after.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let escaped = before.split(' ').nth(4)?.as_bytes();
    // Blanks and the like are written in octal.
    let mut path = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((first, others)) = rest.split_first() {
        let octal = others.get(..3).and_then(|digits| str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                path.push(byte);
                rest = others.get(3..).unwrap_or(&[]);
            }
            _ => {
                path.push(*first);
                rest = others;
            }
        }
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

/// The short name of a cgroup's path: of the innermost pod, container or unit, else the path.
pub fn short(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if let Some(pod) = parts.iter().rev().find_map(|part| pod(part)) {
        return pod;
    }
    let above = |number: usize| number.checked_sub(1).and_then(|above| parts.get(above)).copied();
    // Before its units: a container may run a systemd of its own.
    if let Some(container) =
        parts.iter().enumerate().rev().find_map(|(number, part)| container(part, above(number)))
    {
        return container;
    }
    for (number, part) in parts.iter().enumerate().rev() {
        if [".service", ".scope", ".socket", ".mount", ".swap"].iter().any(|s| part.ends_with(s)) {
            // A user's own units are told apart from the system's.
            let manager = parts.iter().take(number).find(|part| part.starts_with("user@"));
            return manager.map_or_else(|| (*part).to_owned(), |m| format!("{m}/{part}"));
        }
    }
    format!("/{}", parts.join("/"))
}

/// `kubepods-burstable-pod0a1b…_….slice` or `pod0a1b…-…` below `kubepods`.
fn pod(part: &str) -> Option<String> {
    let slice = part.strip_suffix(".slice");
    let id = match slice {
        Some(slice) if slice.starts_with("kubepods") => slice.rsplit_once("-pod")?.1,
        _ => part.strip_prefix("pod")?,
    };
    let valid = id.len() >= 32 && id.chars().all(|c| c.is_ascii_hexdigit() || "-_".contains(c));
    valid.then(|| format!("pod:{}", id.chars().take(8).collect::<String>()))
}

/// `docker-0a1b….scope`, `libpod-…`, `cri-containerd-…`, `crio-…`, or a bare id below `docker`.
fn container(part: &str, above: Option<&str>) -> Option<String> {
    let (runtime, id) = match part.strip_suffix(".scope").unwrap_or(part).rsplit_once('-') {
        Some((runtime, id)) => (runtime, id),
        None => (above.unwrap_or("container"), part),
    };
    let runtime = match runtime {
        "libpod" | "libpod_parent" => "podman",
        "cri-containerd" | "nerdctl" => "containerd",
        "crio" => "cri-o",
        other => other,
    };
    let valid = id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| format!("{runtime}:{}", id.chars().take(12).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_containers_and_pods_are_recognisable() {
        let id = "0123456789abcdef".repeat(4);
        for (path, expected) in [
            ("/system.slice/nginx.service".to_owned(), "nginx.service"),
            ("/system.slice/foo.service/worker".to_owned(), "foo.service"),
            ("/user.slice/user-1000.slice/session-3.scope".to_owned(), "session-3.scope"),
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/app.service".to_owned(),
                "user@1000.service/app.service",
            ),
            (format!("/system.slice/docker-{id}.scope"), "docker:0123456789ab"),
            (format!("/docker/{id}"), "docker:0123456789ab"),
            (
                format!("/system.slice/docker-{id}.scope/system.slice/nginx.service"),
                "docker:0123456789ab",
            ),
            (format!("/machine.slice/libpod-{id}.scope/container"), "podman:0123456789ab"),
            (format!("/system.slice/cri-containerd-{id}.scope"), "containerd:0123456789ab"),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-\
                     pod0a1b2c3d_1111_2222_3333_444455556666.slice/cri-containerd-{id}.scope"
                ),
                "pod:0a1b2c3d",
            ),
            (
                format!("/kubepods/besteffort/pod0a1b2c3d-1111-2222-3333-444455556666/{id}"),
                "pod:0a1b2c3d",
            ),
            ("/leaky/inner".to_owned(), "/leaky/inner"),
            ("/podium.service".to_owned(), "podium.service"),
        ] {
            assert_eq!(short(&path), expected, "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_a_pod_or_a_container_is_its_path() {
        let id = "0123456789abcdef".repeat(4);
        let pod = &id[..32];
        assert_eq!(short(&format!("/kubepods/pod{pod}")), "pod:01234567");
        for path in [
            format!("/kubepods/pod{}", &id[..31]),
            format!("/kubepods/pod{}g", &id[..31]),
            format!("/machine-pod{pod}.slice"),
            format!("/docker/{}", &id[..63]),
            format!("/docker/{}g", &id[..63]),
            "/kubepods.slice".to_owned(),
            "/".to_owned(),
        ] {
            assert_eq!(short(&path), path);
        }
        assert_eq!(short(&format!("/{id}")), "container:0123456789ab");
        assert_eq!(short(&format!("/nerdctl-{id}")), "containerd:0123456789ab");
        assert_eq!(short(&format!("/crio-{id}.scope")), "cri-o:0123456789ab");
        assert_eq!(short(&format!("/libpod_parent-{id}")), "podman:0123456789ab");
        assert_eq!(short("//a//b/"), "/a/b");
    }

    #[test]
    fn the_cgroup2_mount_is_found_in_pure_and_hybrid_layouts() {
        let mount = |line: &str| cgroup2_mount(line.as_bytes());
        assert_eq!(
            mount("30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw"),
            Some(PathBuf::from("/sys/fs/cgroup"))
        );
        assert_eq!(
            mount(r"31 24 0:27 / /a\040b/unified rw - cgroup2 cgroup rw"),
            Some(PathBuf::from("/a b/unified"))
        );
        assert_eq!(mount("30 24 0:26 / /sys/fs/cgroup rw - tmpfs cgroup2 rw"), None);
        // Digits alone are no blank.
        assert_eq!(
            mount(r"31 24 0:27 / /a040\134b\9 rw - cgroup2 cgroup rw"),
            Some(PathBuf::from(r"/a040\b\9"))
        );
    }
}
