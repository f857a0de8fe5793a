//! The lines of the table of mounts (`proc_pid_mountinfo(5)`). Pure functions over bytes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
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
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        let (root, point) = (path(fields.next()?), path(fields.next()?));
        fields.find(|field| *field == b"-")?;
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let kind = text(fields.next()?);
        // The field between the type and the options is the source.
        let options = fields.nth(1).map(text).unwrap_or_default();
        Some(Self { root, point, kind, options })
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
        let expected = |root: &str, point: &str, kind: &str, options: &str| {
            let (kind, options) = (kind.to_owned(), options.to_owned());
            Some(Mount { root: root.into(), point: point.into(), kind, options })
        };
        assert_eq!(
            mount("30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,x"),
            expected("/", "/sys/fs/cgroup", "cgroup2", "rw,x")
        );
        assert_eq!(
            mount("43 42 0:4 net:[4026532177] /run/netns/blue rw shared:2 - nsfs nsfs rw"),
            expected("net:[4026532177]", "/run/netns/blue", "nsfs", "rw")
        );
        assert_eq!(
            mount(r"31 24 0:27 / /a\040b/unified rw - cgroup2 cgroup rw"),
            expected("/", "/a b/unified", "cgroup2", "rw")
        );
        // Digits without a backslash are not an escape.
        assert_eq!(
            mount(r"31 24 0:27 / /a040\134b\9 rw - cgroup2 cgroup rw"),
            expected("/", r"/a040\b\9", "cgroup2", "rw")
        );
        assert_eq!(mount("30 24 0:26 / /x rw - tmpfs"), expected("/", "/x", "tmpfs", ""));
        let latin1 = Mount::of(b"43 42 0:4 net:[7] /run/netns/bl\xfc rw - nsfs nsfs rw");
        let point = latin1.map(|mount| mount.point.into_os_string().into_vec());
        assert_eq!(point.as_deref(), Some(&b"/run/netns/bl\xfc"[..]));
        for line in ["", "30 24 0:26 / /x rw", "30 24 0:26 / - tmpfs", "\u{0}"] {
            assert_eq!(mount(line), None, "{line}");
        }
    }
}
