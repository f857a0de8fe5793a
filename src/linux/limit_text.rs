//! The texts of `/proc` about open files and their limits. Pure functions over bytes.

use crate::error::Error;
use crate::linux::proc_text::number;

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// At most this number.
    Of(u64),
    /// None.
    Unlimited,
}

/// The soft limit of open files in `/proc/PID/limits` (`proc_pid_limits(5)`); `None` where the text
/// has none.
pub fn open_limit(limits: &[u8]) -> Option<Limit> {
    const NAME: &[u8] = b"Max open files";
    // There may be thousands of processes, and the lines have one length: first a look at the place
    // where the kernel prints this one.
    let length = limits.iter().position(|byte| *byte == b'\n')? + 1;
    let there = limits.get(length * OPEN_FILES_LINE..).and_then(|rest| rest.strip_prefix(NAME));
    let mut lines = limits.split(|byte| *byte == b'\n');
    let row = there.or_else(|| lines.find_map(|line| line.strip_prefix(NAME)))?;
    match words(row).next()? {
        b"unlimited" => Some(Limit::Unlimited),
        word => number(word).map(Limit::Of),
    }
}

/// The number of lines before the one of open files: the header, and those of `RLIMIT_NOFILE` limits
/// (`asm-generic/resource.h`).
const OPEN_FILES_LINE: usize = 8;

/// The parts of `/proc/PID/status` (`proc_pid_status(5)`) that open files are judged and shown with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The number of places in the table of files: a bound of the number of open files.
    pub places: Option<u64>,
    /// The effective user id.
    pub uid: Option<u32>,
    /// Whether it has memory of its own. A thread of the kernel and a thread that has ended have none.
    pub has_memory: bool,
}

/// Reads a status.
pub fn status(text: &[u8]) -> Status {
    let row = |name: &[u8]| {
        text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name)).map(words)
    };
    Status {
        places: row(b"FDSize:").and_then(|mut words| number(words.next()?)),
        uid: row(b"Uid:").and_then(|mut words| number(words.nth(1)?)),
        has_memory: row(b"VmSize:").is_some(),
    }
}

/// The thread whose directory this is: `/proc/7/task/8`.
pub fn thread_in(directory: &str) -> Option<u32> {
    directory.rsplit('/').next()?.parse().ok()
}

/// The setting that has the number of open files of the host.
pub const FILE_NR: &str = "fs/file-nr";

/// The number of open files in `/proc/sys/fs/file-nr`, and its limit (`proc_sys_fs(5)`). An error where the
/// text does not have three numbers: the open files, an unused number, and the limit.
pub fn file_nr(text: &str) -> Result<(u64, Limit), Error> {
    let numbers: Option<Vec<u64>> = words(text.as_bytes()).map(number).collect();
    let Some(&[open, _, limit]) = numbers.as_deref() else {
        return Err(Error::Garbled(format!(
            "{FILE_NR}: {:?}",
            text.chars().take(80).collect::<String>()
        )));
    };
    // The kernel's largest number, which is its default on hosts with systemd.
    let is_none = limit >= i64::MAX.unsigned_abs();
    Ok((open, if is_none { Limit::Unlimited } else { Limit::Of(limit) }))
}

/// Whether the name of a socket's protocol (`system.sockprotoname`) is one whose sockets are counted: TCP
/// or UDP.
pub fn is_counted(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == 0).next().unwrap_or(protocol);
    [&b"TCP"[..], b"TCPv6", b"UDP", b"UDPv6"].contains(&name)
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_first_number_of_its_line() {
        let limits = |soft| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max processes             7823                 7823                 processes \n\
                 Max open files            {soft:<20} 524288               files     \n\
                 Max locked memory         8388608              8388608              bytes     \n"
            )
        };
        for (soft, expected) in [
            ("1024", Some(Limit::Of(1024))),
            ("0", Some(Limit::Of(0))),
            ("unlimited", Some(Limit::Unlimited)),
            ("x", None),
        ] {
            assert_eq!(open_limit(limits(soft).as_bytes()), expected, "{soft}");
        }
        let all = format!("{}\n", "x".repeat(9)).repeat(OPEN_FILES_LINE) + "Max open files 7 8\n";
        assert_eq!(open_limit(all.as_bytes()), Some(Limit::Of(7)));
        assert_eq!(open_limit(b""), None);
        assert_eq!(open_limit(b"Max open files\n"), None);
    }

    #[test]
    fn a_status_has_places_a_user_and_memory() {
        let text =
            b"Name:\tVmSize: 7\nUid:\t0\t33\t0\t0\nFDSize:\t256\nVmSize:\t  8 kB\nThreads:\t1\n";
        let expected = Status { places: Some(256), uid: Some(33), has_memory: true };
        assert_eq!(status(text), expected);
        let kernel = b"Name:\tkthreadd\nUid:\t0\t0\t0\t0\nFDSize:\t64\nThreads:\t1\n";
        let expected = Status { places: Some(64), uid: Some(0), has_memory: false };
        assert_eq!(status(kernel), expected);
        assert_eq!(status(b"FDSize:\nUid:\t5\n"), Status::default());
    }

    #[test]
    fn a_directory_of_a_thread_ends_with_its_id() {
        for (directory, expected) in
            [("/proc/7/task/8", Some(8)), ("/proc/7/task", None), ("", None)]
        {
            assert_eq!(thread_in(directory), expected, "{directory}");
        }
    }

    #[test]
    fn tcp_and_udp_are_counted() {
        for (name, expected) in [
            (&b"TCP\0"[..], true),
            (b"TCPv6", true),
            (b"UDP\0", true),
            (b"UDPv6\0", true),
            (b"UNIX\0", false),
            (b"NETLINK", false),
            (b"UDP-Lite\0", false),
            (b"", false),
        ] {
            assert_eq!(is_counted(name), expected, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn the_largest_number_is_no_limit_of_the_host() {
        for (text, expected) in [
            ("434\t0\t2466170\n", Some((434, Limit::Of(2_466_170)))),
            ("434\t0\t9223372036854775806\n", Some((434, Limit::Of(9_223_372_036_854_775_806)))),
            ("434\t0\t9223372036854775807\n", Some((434, Limit::Unlimited))),
            ("434\t0\t18446744073709551615\n", Some((434, Limit::Unlimited))),
            ("434\t0\t18446744073709551616\n", None),
            ("434\t0\n", None),
            ("434\t0\tx\n", None),
            ("1\t2\t3\t4\n", None),
            ("", None),
        ] {
            assert_eq!(file_nr(text).ok(), expected, "{text:?}");
        }
        let message = file_nr("x").err().map(|error| error.to_string());
        assert!(message.is_some_and(|message| message.contains("fs/file-nr")));
    }
}
