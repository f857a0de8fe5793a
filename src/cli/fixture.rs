//! The fixture of `--test`: a file in the only directory that it may read, or the value itself.

use std::fs::File;
use std::path::{Component, Path, PathBuf, Prefix};

use crate::cli::values::recorded;
use crate::error::Error;
use crate::os_error;

/// The origin of a fixture's text.
pub enum Fixture {
    /// A recorded file.
    File(File),
    /// The value itself.
    Text(String),
}

/// Reads `PATH[,STDERR[,RC]]` as the collection's test helper does.
///
/// The check may run as root: PATH is read only if it resolves to a regular file inside the real
/// directory `unit-test` beside the running program. Any other value is the fixture's text itself.
pub fn fixture(program: &Path, value: &str) -> Result<Fixture, Error> {
    let text = recorded(value)?;
    match confined(program, text) {
        Some(path) => File::open(&path)
            .map(Fixture::File)
            .map_err(|error| os_error::of_call(format!("fixture {}", path.display()), error)),
        None => Ok(Fixture::Text(text.to_owned())),
    }
}

fn confined(program: &Path, name: &str) -> Option<PathBuf> {
    let directory = program.canonicalize().ok()?.parent()?.join("unit-test");
    if name.is_empty()
        || is_foreign(Path::new(name))
        || directory.symlink_metadata().ok()?.is_symlink()
    {
        return None;
    }
    let directory = directory.canonicalize().ok()?;
    let path = directory.join(name).canonicalize().ok()?;
    (path.starts_with(&directory) && path.is_file()).then_some(path)
}

/// Whether a Windows path leads to another host, a pipe or a device. Even a check for its existence
/// would open it.
fn is_foreign(path: &Path) -> bool {
    let Some(Component::Prefix(prefix)) = path.components().next() else { return false };
    !matches!(prefix.kind(), Prefix::Disk(_) | Prefix::VerbatimDisk(_))
}

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    #[test]
    fn paths_to_hosts_pipes_and_devices_are_foreign() {
        for name in [r"\\host\share\a", "//host/share/a", r"\\.\pipe\a", r"\\?\UNC\host\share\a"] {
            assert!(is_foreign(Path::new(name)), "{name}");
        }
        for name in ["a", r"below\a", "below/../a", r"\a", r"C:\a", "C:a", r"\\?\C:\a", "[]", ""] {
            assert!(!is_foreign(Path::new(name)), "{name}");
        }
    }
}
