//! The table of mounts (`proc_pid_mountinfo(5)`).

use std::fs::File;
use std::io::{BufRead, BufReader};

use crate::error::Error;

pub use crate::linux::mount_text::Mount;

/// The mounts that this process sees, in the order of the table.
pub fn mounts() -> Result<impl Iterator<Item = Result<Mount, Error>>, Error> {
    const TABLE: &str = "/proc/self/mountinfo";
    let failed = |error| Error::system(TABLE, error);
    let lines = BufRead::split(BufReader::new(File::open(TABLE).map_err(failed)?), b'\n');
    Ok(lines.filter_map(move |line| match line {
        Ok(line) => Mount::of(&line).map(Ok),
        Err(error) => Some(Err(failed(error))),
    }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn this_process_sees_proc_mounted() {
        let mounts: Result<Vec<_>, _> = mounts().unwrap_or_else(|e| panic!("{e}")).collect();
        let mounts = mounts.unwrap_or_else(|e| panic!("{e}"));
        let proc = mounts.iter().filter(|mount| mount.point == Path::new("/proc"));
        assert!(proc.map(|mount| &*mount.kind).any(|kind| kind == "proc"));
    }
}
