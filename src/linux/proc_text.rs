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
    let name = base(command(cmdline));
    if may_be_cut(comm) && name.starts_with(comm) { name } else { comm }
}

/// The path or the word that a process was started by: the first argument. A title
/// (`nginx: worker process`) is a single argument; its first word is returned.
fn command(cmdline: &[u8]) -> &[u8] {
    let (command, arguments) = split(cmdline, 0).unwrap_or((cmdline, b""));
    // Programs that overwrite their arguments with a title fill the rest with NULs.
    let is_title = arguments.iter().all(|byte| *byte == 0);
    split(command, b' ').filter(|_| is_title).map_or(command, |(first, _)| first)
}

/// The names by which users know the program that a process runs.
#[derive(Debug, PartialEq, Eq)]
pub struct Program<'a> {
    /// The name that is shown.
    pub name: &'a [u8],
    /// Other names: of the executable file, and of the title or first argument.
    pub others: [Option<&'a [u8]>; 2],
}

/// The program of a process, by its `comm`, the path of its executable file where that can be read,
/// and its command line.
///
/// The name is the one by which the process was started: of a script, of a title that the process
/// gave itself (`gunicorn: worker`), or of a link to the executable file (`python3`), where `comm`
/// agrees. Otherwise it is the name of the executable file: Node.js calls its main thread `MainThread`.
pub fn program<'a>(comm: &'a [u8], exe: Option<&'a [u8]>, cmdline: &'a [u8]) -> Program<'a> {
    let exe = exe.map(|path| base(path.strip_suffix(b" (deleted)").unwrap_or(path)));
    let exe = exe.filter(|exe| !exe.is_empty());
    let started = Some(word(command(cmdline))).filter(|word| !word.is_empty());
    // An interpreter gets the path of a script as its first argument or, after an option, as its
    // second.
    let scripts = cmdline.split(|byte| *byte == 0).skip(1).take(2).map(base);
    let whole = Some(base(command(cmdline))).filter(|command| *command == comm);
    let mut named = whole.into_iter().chain(started).chain(exe).chain(scripts);
    let agreed = named.find(|name| comm == *name || agree(comm, name));
    let name = agreed.or(exe).or(started).unwrap_or(comm);
    Program { name, others: [exe, started].map(|other| other.filter(|other| *other != name)) }
}

/// Whether `comm` is the name of a program, as far as the kernel keeps it, or a title that begins
/// with this name.
fn agree(comm: &[u8], name: &[u8]) -> bool {
    let title = comm.strip_prefix(b"[").unwrap_or(comm);
    let rest = title.strip_prefix(name).filter(|_| !name.is_empty());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b":") || rest.starts_with(b" "))
        || may_be_cut(comm) && name.starts_with(comm)
}

/// The name in a first argument: its file name up to `:`, without the `-` of a login shell and the
/// bracket of a title such as `[celeryd: worker]`.
fn word(command: &[u8]) -> &[u8] {
    let command = command.strip_prefix(b"[").or(command.strip_prefix(b"-")).unwrap_or(command);
    let end = command.windows(2).position(|pair| pair == b": ").and_then(|end| command.get(..end));
    base(end.or(command.strip_suffix(b":")).unwrap_or(command))
}

/// The file name of a path.
fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Whether a link in `/proc/PID/fd` names an `io_uring`.
pub fn is_ring(link: &[u8]) -> bool {
    link == b"anon_inode:[io_uring]"
}

/// The files that an `io_uring` keeps (`UserFiles` in `/proc/PID/fdinfo/N`): the inode numbers of the
/// sockets among them. `None` where the kernel left the list out, because the ring was in use.
pub fn ring_sockets(fdinfo: &[u8]) -> Option<impl Iterator<Item = u64>> {
    let mut lines = fdinfo.split(|byte| *byte == b'\n');
    lines.find(|line| line.starts_with(b"UserFiles:"))?;
    // `    3: socket:[4711]`
    let files = lines.map_while(|line| split(line, b':').filter(|_| line.starts_with(b" ")));
    Some(files.filter_map(|(_, file)| inode(file.trim_ascii())))
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
            ("postgres_export", "postgres_exporter: worker\0\0\0", "postgres_exporter:"),
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
    fn a_program_has_the_name_by_which_it_was_started() {
        for (comm, exe, cmdline, expected, others) in [
            ("nginx", "/usr/sbin/nginx", "nginx: worker process", "nginx", &[][..]),
            ("nginx", "/usr/sbin/nginx (deleted)", "nginx: worker\0", "nginx", &[]),
            // The main thread or a title has a name of its own.
            ("MainThread", "/usr/bin/node", "node\0app.js\0", "node", &[]),
            (
                "gunicorn: worke",
                "/usr/bin/python3.11",
                "gunicorn: worker [shop]\0\0",
                "gunicorn",
                &["python3.11"],
            ),
            (
                "[celeryd: celer",
                "/usr/bin/python3.11",
                "[celeryd: a@b:Main]",
                "celeryd",
                &["python3.11"],
            ),
            ("sshd", "/usr/sbin/sshd", "sshd: /usr/sbin/sshd -D [listener]", "sshd", &[]),
            (
                "sleep",
                "/usr/bin/sleep",
                "postgres_exporter: worker 1\09\0",
                "sleep",
                &["postgres_exporter"],
            ),
            (
                "postgres_export",
                "/x/postgres_exporter",
                "postgres_exporter: worker 1",
                "postgres_exporter",
                &[],
            ),
            // Scripts, and links to a file of another name.
            (
                "shop.py",
                "/usr/bin/python3.11",
                "/usr/bin/python3\0/srv/shop.py\0-v\0",
                "shop.py",
                &["python3.11", "python3"],
            ),
            (
                "very_long_scrip",
                "/usr/bin/python3.11",
                "python3\0-u\0/srv/very_long_script_name.py\0",
                "very_long_script_name.py",
                &["python3.11", "python3"],
            ),
            ("python3", "/usr/bin/python3.11", "python3\0shop.py\0", "python3", &["python3.11"]),
            ("httpd", "/bin/busybox", "httpd\0-f\0", "httpd", &["busybox"]),
            ("bash", "/usr/bin/bash", "-bash\0", "bash", &[]),
            // Nothing else may be read.
            ("nginx", "", "", "nginx", &[]),
            ("nginx", "", "other\0", "other", &[]),
            ("a b", "/x/a b", "/x/a b\0c\0", "a b", &[]),
            ("[x]: y", "/x/sh", "[x]: y\0-c\0", "[x]: y", &["sh", "x]"]),
            ("", "", "", "", &[]),
            (":", "/", ":\0", ":", &[]),
        ] {
            let exe = Some(exe.as_bytes()).filter(|exe| !exe.is_empty());
            let found = program(comm.as_bytes(), exe, cmdline.as_bytes());
            assert_eq!(str::from_utf8(found.name), Ok(expected), "{comm:?} {cmdline:?}");
            let names: Vec<_> = found.others.into_iter().flatten().map(str::from_utf8).collect();
            assert_eq!(names, others.iter().map(|name| Ok(*name)).collect::<Vec<_>>(), "{comm:?}");
        }
    }

    #[test]
    fn the_files_of_a_ring_are_read_as_a_whole_or_not_at_all() {
        let sockets = |text: &str| ring_sockets(text.as_bytes()).map(Iterator::collect::<Vec<_>>);
        let list =
            "UserFiles:\t4\n    0: socket:[4711]\n    2: /x: socket:[5]\n    3: socket:[23]\n";
        let fdinfo = format!("pos:\t0\nSqMask:\t0x3\n{list}UserBufs:\t1\n    0: socket:[9]\n");
        assert_eq!(sockets(&fdinfo), Some(vec![4711, 23]));
        assert_eq!(sockets("pos:\t0\nUserFiles:\t0\n"), Some(vec![]));
        assert_eq!(sockets("pos:\t0\nmnt_id:\t17\n"), None);
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
