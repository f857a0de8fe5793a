//! The texts of small files and links of `/proc` and of cgroups. Pure functions over bytes.

use std::str::FromStr;

/// The number in a text, with or without blanks around it.
pub fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.trim().parse().ok()
}

/// The numbers of a text with a number on each line, such as `cgroup.procs`.
pub fn numbers(text: &[u8]) -> impl Iterator<Item = u32> {
    text.split(|byte| *byte == b'\n').filter_map(number)
}

/// A line without its final newline.
pub fn line(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n").unwrap_or(text)
}

/// Whether a `uid_map` (`user_namespaces(7)`) maps every user id to itself, as in the initial user
/// namespace.
pub fn maps_every_id(map: &[u8]) -> bool {
    id_ranges(map).any(|range| range == [0, 0, u32::MAX])
}

/// Whether a `uid_map` has this id inside its user namespace.
pub fn maps_id(map: &[u8], id: u32) -> bool {
    id_ranges(map).any(|[first, _, count]| id.checked_sub(first).is_some_and(|place| place < count))
}

/// The lines of a `uid_map`: the first id inside, the first id outside, and a count.
fn id_ranges(map: &[u8]) -> impl Iterator<Item = [u32; 3]> {
    map.split(|byte| *byte == b'\n').filter_map(|line| {
        let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.map(number).collect::<Option<Vec<_>>>()?.try_into().ok()
    })
}

/// The inode number of the socket that a link in `/proc/PID/fd` names: `socket:[4711]`.
pub fn inode(link: &[u8]) -> Option<u64> {
    str::from_utf8(link).ok()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The number of bytes that the kernel keeps of a name: `TASK_COMM_LEN` in `linux/sched.h`, without
/// its NUL.
const COMM: usize = 15;

/// Whether the kernel may have cut this name short.
pub const fn may_be_cut(comm: &[u8]) -> bool {
    comm.len() >= COMM
}

/// The full name of a process, as in psutil: the name in the command line, where it begins with a
/// `comm` that the kernel may have cut short; else `comm`.
pub fn full<'a>(comm: &'a [u8], cmdline: &'a [u8]) -> &'a [u8] {
    let (command, arguments) = split(cmdline, 0).unwrap_or((cmdline, b""));
    // A process that overwrites its arguments with a title leaves a single argument, or no NUL at
    // all.
    let title = arguments.is_empty();
    let command = split(command, b' ').filter(|_| title).map_or(command, |(first, _)| first);
    let name = command.rsplit(|byte| *byte == b'/').next().unwrap_or(command);
    if may_be_cut(comm) && name.starts_with(comm) { name } else { comm }
}

/// The bytes before and after the first `by`.
fn split(bytes: &[u8], by: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == by)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_was_cut_is_completed_from_the_command_line() {
        for (comm, cmdline, expected) in [
            ("postgres_export", "/usr/bin/postgres_exporter\0--web\0/x\0", "postgres_exporter"),
            ("postgres_export", "postgres_exporter\0", "postgres_exporter"),
            ("postgres_export", "/opt/postgres_exporter --web /x\0", "postgres_exporter"),
            ("postgres_export", "postgres_exporter --web", "postgres_exporter"),
            ("exactly_fifteen", "/bin/exactly_fifteen\0", "exactly_fifteen"),
            // The process has another name than its command.
            ("postgres_export", "/usr/bin/python3\0postgres_exporter.py\0", "postgres_export"),
            ("postgres_export", "", "postgres_export"),
            ("postgres_export", "\0", "postgres_export"),
            ("postgres_export", "/\0", "postgres_export"),
            // The name is too short to have been cut.
            ("nginx", "nginx: master process\0", "nginx"),
            ("nginx", "nginx-debug\0-g\0", "nginx"),
        ] {
            let name = full(comm.as_bytes(), cmdline.as_bytes());
            assert_eq!(str::from_utf8(name), Ok(expected), "{comm:?} {cmdline:?}");
        }
    }

    #[test]
    fn a_number_is_a_whole_text_or_line() {
        assert_eq!(number(b" 65534\n"), Some(65534));
        for text in [&b""[..], b"-1", b"1 2", b"4294967296", b"self", b"\xff"] {
            assert_eq!(number::<u32>(text), None, "{}", text.escape_ascii());
        }
        assert_eq!(numbers(b"1\n\n4711\nx\n23").collect::<Vec<_>>(), [1, 4711, 23]);
    }

    #[test]
    fn a_line_ends_before_its_newline() {
        assert_eq!(line(b"nginx \n"), b"nginx ");
        assert_eq!(line(b"a\nb\n"), b"a\nb");
        assert_eq!(line(b"cut"), b"cut");
    }

    #[test]
    fn the_initial_user_namespace_maps_every_id() {
        assert!(maps_every_id(b"         0          0 4294967295\n"));
        for map in [
            "",
            "0 0 1\n",
            "0 0 4294967294\n",
            "0 1000 4294967295\n",
            "0 0 1000\n1000 1000 64536\n",
            "x 0 1\n",
        ] {
            assert!(!maps_every_id(map.as_bytes()), "{map}");
        }
    }

    #[test]
    fn a_user_namespace_has_the_ids_of_its_map() {
        let map = b"         0       1000          1\n  10  5000 3\nx y z\n";
        let mapped: Vec<_> = (0..20).filter(|id| maps_id(map, *id)).collect();
        assert_eq!(mapped, [0, 10, 11, 12]);
        assert!(maps_id(b"0 0 4294967295", 65534) && !maps_id(b"", 0));
    }

    #[test]
    fn links_to_sockets_have_an_inode_number() {
        assert_eq!(inode(b"socket:[4711]"), Some(4711));
        for link in [&b"socket:[]"[..], b"pipe:[4711]", b"socket:[4711", b"/socket:[4711]", b"\xff"]
        {
            assert_eq!(inode(link), None);
        }
    }
}
