//! The names of cgroups' paths: systemd units, containers and pods. Pure functions over text.

use crate::printable::printable;

/// The short name of a cgroup's path: the innermost pod, container or unit, else the path. The name
/// of a guest's unit begins with the guest's name: guest and host may have units of the same name.
pub fn short(path: &str) -> String {
    let parts = parts(path);
    if let Some(contained) = contained(&parts) {
        return contained;
    }
    let (mut names, own) = guests(&parts);
    names.extend(unit(own));
    if names.is_empty() { format!("/{}", parts.join("/")) } else { names.join("/") }
}

/// The innermost pod, container or guest of a cgroup's path.
pub fn container_of(path: &str) -> Option<String> {
    let parts = parts(path);
    contained(&parts).or_else(|| Some(guests(&parts).0.join("/")).filter(|names| !names.is_empty()))
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

/// The innermost pod, else the innermost container. Units in a container are not named: a container
/// may run its own systemd.
fn contained(parts: &[&str]) -> Option<String> {
    let above = |number: usize| number.checked_sub(1).and_then(|above| parts.get(above)).copied();
    let mut innermost = parts.iter().enumerate().rev();
    parts
        .iter()
        .rev()
        .find_map(|part| pod(part))
        .or_else(|| innermost.find_map(|(number, part)| container(part, above(number))))
}

/// The names of nested guests, the outermost first, and the path inside the innermost guest.
fn guests<'a, 'b>(parts: &'a [&'b str]) -> (Vec<String>, &'a [&'b str]) {
    let (mut names, mut own) = (Vec::new(), parts);
    let mut rest = own;
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if let Some((guest, inside)) = guest(first, others) {
            names.push(guest);
            (own, rest) = (inside, inside);
        }
    }
    (names, own)
}

/// The innermost unit. The name of a user's own unit begins with the user's manager, to distinguish
/// it from the system's unit of the same name.
fn unit(parts: &[&str]) -> Option<String> {
    let is_unit = |part: &&str| {
        [".service", ".scope", ".socket", ".mount", ".swap"].iter().any(|end| part.ends_with(end))
    };
    let number = parts.iter().rposition(is_unit)?;
    let (above, from) = parts.split_at_checked(number)?;
    let unit = from.first()?;
    let manager = above.iter().find(|part| part.starts_with("user@"));
    Some(manager.map_or_else(|| (*unit).to_owned(), |manager| format!("{manager}/{unit}")))
}

/// The guest that a part of a path names, and the path inside the guest.
fn guest<'a, 'b>(part: &'b str, below: &'a [&'b str]) -> Option<(String, &'a [&'b str])> {
    // `lxc.payload.NAME` is LXC, `lxc/NAME` is LXC 3 and Proxmox VE. The monitor of a guest belongs
    // to the host.
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some((format!("lxc:{name}"), below));
    }
    if part == "lxc" {
        let (name, inside) = below.split_first()?;
        return Some((format!("lxc:{name}"), inside));
    }
    // systemd-machined. The supervisor of systemd-nspawn belongs to the host.
    let nspawn = part.strip_prefix("systemd-nspawn@").and_then(|n| n.strip_suffix(".service"));
    let name =
        nspawn.or_else(|| part.strip_prefix("machine-").and_then(|n| n.strip_suffix(".scope")))?;
    (below.first() != Some(&"supervisor")).then(|| (format!("machine:{}", unescaped(name)), below))
}

/// The text that a part of a unit's name encodes (`systemd-escape(1)`), made printable.
fn unescaped(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            // A decoded `/` would split the name.
            None | Some(b'/') => {
                bytes.extend(b"\\x");
                rest = after;
            }
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or("");
            }
        }
    }
    bytes.extend(rest.as_bytes());
    printable(&bytes)
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
    fn units_containers_and_pods_have_short_names() {
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
            ("/lxc.payload.web1/system.slice/nginx.service".to_owned(), "lxc:web1/nginx.service"),
            ("/lxc.payload.web1".to_owned(), "lxc:web1"),
            ("/lxc/101/ns/system.slice/nginx.service".to_owned(), "lxc:101/nginx.service"),
            ("/lxc.monitor.web1".to_owned(), "/lxc.monitor.web1"),
            (
                "/lxc.payload.a/lxc.payload.b/system.slice/nginx.service".to_owned(),
                "lxc:a/lxc:b/nginx.service",
            ),
            (
                "/lxc.payload.a/user.slice/user-1.slice/user@1.service/x.service".to_owned(),
                "lxc:a/user@1.service/x.service",
            ),
            (format!("/lxc.payload.a/system.slice/docker-{id}.scope"), "docker:0123456789ab"),
            (
                "/machine.slice/systemd-nspawn@db.service/payload/system.slice/nginx.service"
                    .to_owned(),
                "machine:db/nginx.service",
            ),
            (r"/machine.slice/systemd-nspawn@my\x2ddb.service/payload".to_owned(), "machine:my-db"),
            ("/machine.slice/systemd-nspawn@db.service".to_owned(), "machine:db"),
            (
                "/machine.slice/systemd-nspawn@db.service/supervisor".to_owned(),
                "systemd-nspawn@db.service",
            ),
            (
                "/machine.slice/machine-web.scope/payload/init.scope".to_owned(),
                "machine:web/init.scope",
            ),
            ("/machine.slice/machine-web.scope/supervisor".to_owned(), "machine-web.scope"),
            (
                r"/machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt/emulator".to_owned(),
                "machine:qemu-1-web",
            ),
            (r"/machine-a\x0ab\x2f\xzz\x.scope".to_owned(), r"machine:a?b\x2f\xzz\x"),
            ("/leaky/inner".to_owned(), "/leaky/inner"),
            ("/podium.service".to_owned(), "podium.service"),
        ] {
            assert_eq!(short(&path), expected, "{path}");
        }
    }

    #[test]
    fn only_containers_and_guests_count_as_containers() {
        let id = "0123456789abcdef".repeat(4);
        let container = format!("/machine.slice/libpod-{id}.scope/container");
        for (path, expected) in [
            (&*container, Some("podman:0123456789ab")),
            ("/lxc.payload.a/lxc.payload.b/system.slice/nginx.service", Some("lxc:a/lxc:b")),
            ("/machine.slice/systemd-nspawn@db.service/payload/init.scope", Some("machine:db")),
            ("/system.slice/nginx.service", None),
            ("/", None),
        ] {
            assert_eq!(container_of(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_path_that_only_resembles_a_pod_or_container_stays_a_path() {
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
}
