//! The lines of the table of mounts (`proc_pid_mountinfo(5)`). Pure functions over bytes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The device number of the file system: major and minor.
    pub device: (u32, u32),
    /// The mounted part of the file system: a directory in it, for nsfs a namespace as in
    /// `net:[4026531833]`.
    pub root: PathBuf,
    /// The path that it is mounted at.
    pub point: PathBuf,
    /// The type of the file system.
    pub kind: String,
    /// Its options.
    pub options: String,
}

impl Mount {
    /// Reads a line of the table; `None` where the line is malformed. Paths are bytes and need not
    /// be UTF-8.
    pub fn of(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ').skip(2);
        let device = device(fields.next()?)?;
        let (root, point) = (path(fields.next()?), path(fields.next()?));
        fields.find(|field| *field == b"-")?;
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let kind = text(fields.next()?);
        // The field between the type and the options is the source.
        let options = fields.nth(1).map(text).unwrap_or_default();
        Some(Self { device, root, point, kind, options })
    }
}

/// Reads a device number: `0:26`.
fn device(field: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = str::from_utf8(field).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The users to whom `/proc` shows every process (`proc(5)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownTo {
    /// Every user.
    Everybody,
    /// The members of a group, and users that may trace the processes. `None` is a group whose id is
    /// malformed.
    Group(Option<u32>),
    /// Users that may trace the processes.
    Tracers,
}

/// The users to whom a `/proc` with these mount options shows every process.
pub fn shown_to(options: &str) -> ShownTo {
    let value = |name| options.split(',').find_map(|option| option.strip_prefix(name));
    match value("hidepid=") {
        None | Some("0" | "off") => ShownTo::Everybody,
        Some("4" | "ptraceable") => ShownTo::Tracers,
        Some(_) => ShownTo::Group(value("gid=").map_or(Some(0), |group| group.parse().ok())),
    }
}

/// Decodes a path: the table writes blanks and the like in octal.
fn path(escaped: &[u8]) -> PathBuf {
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
    OsString::from_vec(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_root_mount_point_type_and_options() {
        let mount = |line: &str| Mount::of(line.as_bytes());
        let expected = |minor, root: &str, point: &str, kind: &str, options: &str| {
            let (kind, options) = (kind.to_owned(), options.to_owned());
            let (root, point) = (root.into(), point.into());
            Some(Mount { device: (0, minor), root, point, kind, options })
        };
        assert_eq!(
            mount("30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,x"),
            expected(26, "/", "/sys/fs/cgroup", "cgroup2", "rw,x")
        );
        assert_eq!(
            mount("43 42 0:4 net:[4026532177] /run/netns/blue rw shared:2 - nsfs nsfs rw"),
            expected(4, "net:[4026532177]", "/run/netns/blue", "nsfs", "rw")
        );
        assert_eq!(
            mount(r"31 24 0:27 / /a\040b/unified rw - cgroup2 cgroup rw"),
            expected(27, "/", "/a b/unified", "cgroup2", "rw")
        );
        // Digits without a backslash are not an escape.
        assert_eq!(
            mount(r"31 24 0:27 / /a040\134b\9 rw - cgroup2 cgroup rw"),
            expected(27, "/", r"/a040\b\9", "cgroup2", "rw")
        );
        assert_eq!(mount("30 24 0:26 / /x rw - tmpfs"), expected(26, "/", "/x", "tmpfs", ""));
        let latin1 = Mount::of(b"43 42 0:4 net:[7] /run/netns/bl\xfc rw - nsfs nsfs rw");
        let point = latin1.map(|mount| mount.point.into_os_string().into_vec());
        assert_eq!(point.as_deref(), Some(&b"/run/netns/bl\xfc"[..]));
        for line in
            ["", "30 24 0:26 / /x rw", "30 24 0:26 / - tmpfs", "30 24 x / /x rw - tmpfs", "\u{0}"]
        {
            assert_eq!(mount(line), None, "{line}");
        }
    }

    #[test]
    fn hidepid_hides_processes_from_all_but_a_group_or_tracers() {
        for (options, shown) in [
            ("rw,nosuid", ShownTo::Everybody),
            ("rw,hidepid=0", ShownTo::Everybody),
            ("rw,hidepid=off", ShownTo::Everybody),
            ("rw,hidepid=invisible", ShownTo::Group(Some(0))),
            ("rw,hidepid=1", ShownTo::Group(Some(0))),
            ("rw,gid=7,hidepid=invisible", ShownTo::Group(Some(7))),
            ("rw,gid=x,hidepid=2", ShownTo::Group(None)),
            ("rw,gid=7,hidepid=4", ShownTo::Tracers),
            ("rw,gid=7,hidepid=ptraceable", ShownTo::Tracers),
        ] {
            assert_eq!(shown_to(options), shown, "{options}");
        }
    }
}
