//! What files of `/proc/PID` say. Pure functions over bytes.

/// The socket behind a link in `fd`: `socket:[4711]`.
pub fn inode(link: &[u8]) -> Option<u64> {
    str::from_utf8(link).ok()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// How many bytes of a name the kernel keeps: `TASK_COMM_LEN` in `linux/sched.h`, without its NUL.
const COMM: usize = 15;

/// Whether the kernel may have cut this name short.
pub const fn may_be_cut(comm: &[u8]) -> bool {
    comm.len() >= COMM
}

/// A name that may have been cut short, completed by the command line where that begins with it, as
/// psutil does.
pub fn full<'a>(comm: &'a [u8], cmdline: &'a [u8]) -> &'a [u8] {
    let (command, arguments) = split(cmdline, 0).unwrap_or((cmdline, b""));
    // Who writes a title over its arguments leaves one, or none that ends.
    let title = arguments.is_empty();
    let command = split(command, b' ').filter(|_| title).map_or(command, |(first, _)| first);
    let name = command.rsplit(|byte| *byte == b'/').next().unwrap_or(command);
    if may_be_cut(comm) && name.starts_with(comm) { name } else { comm }
}

/// What stands before and after the first of these bytes.
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
            // It goes by another name than it was started by.
            ("postgres_export", "/usr/bin/python3\0postgres_exporter.py\0", "postgres_export"),
            ("postgres_export", "", "postgres_export"),
            ("postgres_export", "\0", "postgres_export"),
            ("postgres_export", "/\0", "postgres_export"),
            // It was not cut.
            ("nginx", "nginx: master process\0", "nginx"),
            ("nginx", "nginx-debug\0-g\0", "nginx"),
        ] {
            let name = full(comm.as_bytes(), cmdline.as_bytes());
            assert_eq!(str::from_utf8(name), Ok(expected), "{comm:?} {cmdline:?}");
        }
    }

    #[test]
    fn links_to_sockets_have_a_number() {
        assert_eq!(inode(b"socket:[4711]"), Some(4711));
        for link in [&b"socket:[]"[..], b"pipe:[4711]", b"socket:[4711", b"/socket:[4711]", b"\xff"]
        {
            assert_eq!(inode(link), None);
        }
    }
}
