//! The names of cgroups' paths: systemd units, containers and pods. Pure functions over text.

use crate::printable::printable;

/// The short name of a cgroup's path: its names joined by `/`, else the path.
pub fn short(path: &str) -> String {
    name_of(path).unwrap_or_else(|| format!("/{}", parts(path).join("/")))
}

/// The names of a cgroup's path joined by `/`; `None` for a path without names.
pub fn name_of(path: &str) -> Option<String> {
    let names = names(&parts(path));
    (!names.is_empty()).then(|| joined(&names))
}

/// The paths of a process in the hierarchy of cgroup v2 and in the one that systemd names in v1, from
/// the text of `/proc/PID/cgroup` (`cgroups(7)`).
pub fn paths(cgroups: &[u8]) -> impl Iterator<Item = String> {
    let lines = cgroups.split(|byte| *byte == b'\n').map(printable);
    lines.filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, hierarchy) = (fields.next()?, fields.next()?);
        fields.next().filter(|_| ["", "name=systemd"].contains(&hierarchy)).map(str::to_owned)
    })
}

/// The short name of the cgroup of a process, from the text of `/proc/PID/cgroup`; `None` where the
/// text has none, or where the cgroup is outside the part of the hierarchy that this process may see.
pub fn of_process(cgroups: &[u8]) -> Option<String> {
    let path = paths(cgroups).find(|path| name_of(path).is_some());
    let path = path.or_else(|| paths(cgroups).last())?;
    (!path.starts_with("/..")).then(|| short(&path))
}

/// The innermost pod, container or guest of a cgroup's path, after the names of everything around it.
pub fn container_of(path: &str) -> Option<String> {
    let names = names(&parts(path));
    let last = names.iter().rposition(|name| name.kind != Kind::Unit)?;
    names.get(..=last).map(joined)
}

/// The names of which one is the first in the name of any cgroup below this path; `None` where such a
/// cgroup may have any name.
pub fn outer_names(path: &str) -> Option<[String; 2]> {
    let first = |path: &str| names(&parts(path)).into_iter().next().map(|name| name.text);
    let outer = first(path)?;
    // A guest and its supervisor have different names.
    let of_supervisor = first(&format!("{path}/supervisor"))?;
    Some([outer, of_supervisor])
}

/// Whether a part of a path, below the part `above`, has a name of its own. Whoever runs in it may
/// make directories of any number and name below it.
pub fn has_name(part: &str, above: &str) -> bool {
    is_unit(part)
        || pod(part).is_some()
        || container(part, Some(above)).is_some()
        || guest(part, &[]).is_some()
        || guest(above, &[part]).is_some()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unit,
    Pod,
    Container,
    // A container or virtual machine with a system of its own, whose units are named, too.
    Guest,
}

struct Name {
    kind: Kind,
    text: String,
}

fn joined(names: &[Name]) -> String {
    names.iter().map(|name| name.text.as_str()).collect::<Vec<_>>().join("/")
}

fn parts(path: &str) -> Vec<&str> {
    path.split('/').filter(|part| !part.is_empty()).collect()
}

/// The names along a path, the outermost first. A unit, container or guest may name everything below
/// it as it likes (`Delegate=` in `systemd.resource-control(5)`), also like a container or unit of
/// the host. So no name stands without the names around it.
fn names(parts: &[&str]) -> Vec<Name> {
    let mut names = Vec::new();
    let (mut above, mut rest) = (None, parts);
    while let Some((part, below)) = rest.split_first() {
        rest = below;
        if let Some(text) = pod(part) {
            add(&mut names, Kind::Pod, text);
        } else if let Some(text) = container(part, above) {
            add(&mut names, Kind::Container, text);
        } else if let Some((text, inside)) = guest(part, below) {
            rest = inside;
            add(&mut names, Kind::Guest, text);
        } else if is_unit(part) {
            add(&mut names, Kind::Unit, (*part).to_owned());
        }
        above = Some(*part);
    }
    names
}

/// Adds the name of a part inside of those that are already named.
fn add(names: &mut Vec<Name>, kind: Kind, text: String) {
    let mut around = names.iter().rev().map(|name| name.kind);
    match (kind, around.next(), around.next()) {
        // The containers of a pod are not named, nor units in a container, which may run its own
        // systemd.
        (Kind::Container | Kind::Unit, Some(Kind::Pod), _)
        | (Kind::Unit, Some(Kind::Container), _) => return,
        // Of the units below another unit, such as a user's manager, the innermost one is named.
        (Kind::Unit, Some(Kind::Unit), Some(Kind::Unit)) => {
            names.pop();
        }
        _ => {}
    }
    names.push(Name { kind, text });
}

fn is_unit(part: &str) -> bool {
    [".service", ".scope", ".socket", ".mount", ".swap"].iter().any(|end| part.ends_with(end))
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
        // A pod of Podman, which has only containers.
        None if above == Some("libpod_parent") => return None,
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
            (format!("/lxc.payload.a/system.slice/docker-{id}.scope"), "lxc:a/docker:0123456789ab"),
            (format!("/libpod_parent/{id}/libpod-{id}"), "podman:0123456789ab"),
            (
                "/lxc.payload.a/lxc.payload.b/user@1.service/x.service/y.service".to_owned(),
                "lxc:a/lxc:b/user@1.service/y.service",
            ),
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
    fn the_unit_of_a_process_is_that_of_its_cgroup() {
        for (text, expected) in [
            ("0::/system.slice/php-fpm.service\n", Some("php-fpm.service")),
            ("4:pids:/a\n1:name=systemd:/system.slice/a.service\n0::/\n", Some("a.service")),
            ("1:name=systemd:/\n0::/leaky/inner\n", Some("/leaky/inner")),
            ("0::/\n", Some("/")),
            ("0::/../other\n", None),
            ("4:pids:/a.service\n", None),
            ("", None),
            ("x\n", None),
        ] {
            assert_eq!(of_process(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_name_below_a_unit_container_or_guest_stands_behind_its_name() {
        let id = "0123456789abcdef".repeat(4);
        let pod = "pod0a1b2c3d_1111_2222_3333_444455556666";
        let user = "/user.slice/user-1000.slice/user@1000.service";
        for (outer, name) in [
            (user, "user@1000.service"),
            ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
            ("/system.slice/app.service", "app.service"),
            ("/lxc.payload.a", "lxc:a"),
            (&*format!("/docker/{id}"), "docker:0123456789ab"),
        ] {
            for (inner, contained) in [
                (format!("docker-{id}.scope"), "docker:0123456789ab"),
                (format!("docker/{id}"), "docker:0123456789ab"),
                (format!("user.slice/libpod-{id}.scope/container"), "podman:0123456789ab"),
                ("lxc.payload.web1".to_owned(), "lxc:web1"),
                ("lxc/web1".to_owned(), "lxc:web1"),
                ("machine-db.scope".to_owned(), "machine:db"),
                ("systemd-nspawn@db.service/payload".to_owned(), "machine:db"),
                (format!("kubepods.slice/kubepods-{pod}.slice"), "pod:0a1b2c3d"),
                (format!("kubepods/{pod}/{id}"), "pod:0a1b2c3d"),
            ] {
                let path = format!("{outer}/{inner}");
                let expected = format!("{name}/{contained}");
                assert_eq!(short(&path), expected, "{path}");
                assert_eq!(container_of(&path), Some(expected), "{path}");
            }
        }
        for (below, expected) in [
            ("app.slice/a.service/b.service", "user@1000.service/b.service"),
            ("machine-db.scope/nginx.service", "user@1000.service/machine:db/nginx.service"),
            ("plain", "user@1000.service"),
        ] {
            assert_eq!(short(&format!("{user}/{below}")), expected);
        }
        assert_eq!(short("/system.slice/app.service/nginx.service"), "app.service/nginx.service");
        assert_eq!(short(&format!("/docker/{id}/nginx.service")), "docker:0123456789ab");
    }

    #[test]
    fn every_name_below_a_named_part_begins_with_its_name() {
        let both = |name: &str| Some([name.to_owned(), name.to_owned()]);
        for (path, expected) in [
            ("/user.slice/user-1000.slice/user@1000.service", both("user@1000.service")),
            ("/user.slice/user-1000.slice/user@1000.service/a/b", both("user@1000.service")),
            ("/system.slice/a.service/b.service/c.service/d.service", both("a.service")),
            ("/lxc.payload.a/lxc", both("lxc:a")),
            (
                "/machine.slice/machine-web.scope",
                Some(["machine:web".to_owned(), "machine-web.scope".to_owned()]),
            ),
            ("/machine.slice/machine-web.scope/payload", both("machine:web")),
            ("/system.slice", None),
            ("/lxc", None),
            ("/", None),
            ("", None),
        ] {
            let outer = outer_names(path);
            assert_eq!(outer, expected, "{path}");
            for below in ["x", "x.service/y.service", "lxc/z/x.service", "supervisor"] {
                let name = short(&format!("{path}/{below}"));
                let is_below = |outer: &String| {
                    name.strip_prefix(&**outer)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                assert!(outer.iter().flatten().any(is_below) || outer.is_none(), "{path} {name}");
            }
        }
    }

    #[test]
    fn a_part_with_a_name_may_have_any_number_of_directories_below_it() {
        let id = "0123456789abcdef".repeat(4);
        for (part, above, named) in [
            ("user@1000.service", "user-1000.slice", true),
            ("session-3.scope", "user-1000.slice", true),
            (&*id, "docker", true),
            ("lxc.payload.a", "", true),
            ("101", "lxc", true),
            ("101", "lxd", false),
            ("pod0a1b2c3d-1111-2222-3333-444455556666", "burstable", true),
            ("system.slice", "", false),
            ("lxc", "", false),
        ] {
            assert_eq!(has_name(part, above), named, "{above}/{part}");
        }
    }

    #[test]
    fn only_containers_and_guests_count_as_containers() {
        let id = "0123456789abcdef".repeat(4);
        let container = format!("/machine.slice/libpod-{id}.scope/container");
        for (path, expected) in [
            (&*container, Some("podman:0123456789ab")),
            ("/lxc.payload.a/lxc.payload.b/system.slice/nginx.service", Some("lxc:a/lxc:b")),
            ("/lxc.payload.a/user.slice/user@1.service/x.service", Some("lxc:a")),
            ("/user.slice/user-1000.slice/user@1000.service/app.service", None),
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
