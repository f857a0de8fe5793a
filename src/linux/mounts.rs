//! The table of mounts (`proc_pid_mountinfo(5)`).

use std::fs::File;
use std::io::ErrorKind::{NotFound, PermissionDenied};
use std::io::{BufRead, BufReader};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::os_error;

pub use crate::linux::mount_text::Mount;

/// The mounts that this process sees, in the order of the table.
pub fn mounts(deadline: &Deadline) -> Result<impl Iterator<Item = Result<Mount, Error>>, Error> {
    const TABLE: &str = "/proc/self/mountinfo";
    let file = File::open(TABLE).map_err(|error| os_error::of_call(TABLE, error))?;
    Ok(lines(TABLE, file, deadline))
}

/// The mounts that process 1 sees: more than this process sees, where a service manager hides some
/// from it (`PrivateTmp=` and the like in `systemd.exec(5)`). Empty where they may not be read.
pub fn mounts_of_init(
    deadline: &Deadline,
) -> Result<impl Iterator<Item = Result<Mount, Error>>, Error> {
    const TABLE: &str = "/proc/1/mountinfo";
    let file = match File::open(TABLE) {
        Ok(file) => Some(file),
        Err(error) if matches!(error.kind(), NotFound | PermissionDenied) => None,
        Err(error) => return Err(os_error::of_call(TABLE, error)),
    };
    Ok(file.into_iter().flat_map(|file| lines(TABLE, file, deadline)))
}

/// The mounts in the lines of a table. Other users make mounts, too, so that the table may be long.
fn lines(
    table: &'static str,
    file: File,
    deadline: &Deadline,
) -> impl Iterator<Item = Result<Mount, Error>> {
    let lines = BufRead::split(BufReader::new(file), b'\n');
    lines.filter_map(move |line| {
        let line = line.map_err(|error| os_error::of_call(table, error));
        match deadline.check().and(line) {
            Ok(line) => Mount::of(&line).map(Ok),
            Err(error) => Some(Err(error)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    #[test]
    fn this_process_sees_proc_mounted() {
        let deadline = Deadline::new(Duration::from_secs(20), &|| false);
        let mounts: Result<Vec<_>, _> =
            mounts(&deadline).unwrap_or_else(|e| panic!("{e}")).collect();
        let mounts = mounts.unwrap_or_else(|e| panic!("{e}"));
        let proc = mounts.iter().filter(|mount| mount.point == Path::new("/proc"));
        assert!(proc.map(|mount| &*mount.kind).any(|kind| kind == "proc"));
    }
}
