//! Kernel settings in `/proc/sys` (`proc_sys(5)`).

use std::path::Path;

use rustix::fs::{FsWord, Mode, OFlags, PROC_SUPER_MAGIC, StatFs, fstatfs, open, statfs};
use rustix::io::{Errno, Result as Outcome, read};

use crate::error::Error;
use crate::linux::file_system::is_of_type;
use crate::os_error;

/// The directory of all settings.
const SETTINGS: &str = "/proc/sys";

/// The size of a read. The files are shorter.
const TEXT: usize = 512;

/// The text of a setting by its path below `/proc/sys`, such as `fs/file-nr`; `None` where the kernel does
/// not have it. An error where it cannot be read, and where something else is in the place of the
/// kernel's settings.
pub fn setting(file: &str) -> Result<Option<String>, Error> {
    let path = format!("{SETTINGS}/{file}");
    let failed = |error| os_error::of_call(path.clone(), error);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match open(&path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return directory_is_of_kernel(&path).map(|()| None),
        file => file.map_err(failed)?,
    };
    // A file that is mounted over it could have any content.
    is_of_kernel(&path, fstatfs(&file))?;
    let mut text = vec![0; TEXT];
    // The kernel returns a setting in a single read.
    let length = loop {
        match read(&file, &mut *text) {
            Err(Errno::INTR) => {}
            length => break length.map_err(failed)?,
        }
    };
    text.truncate(length);
    String::from_utf8(text).map(Some).map_err(|error| Error::Garbled(format!("{path}: {error}")))
}

/// An error where the directory of a missing setting is not the kernel's: `/proc` may be mounted with
/// `subset=pid` (`proc(5)`), which leaves out every setting, or a directory may be mounted over it.
fn directory_is_of_kernel(path: &str) -> Result<(), Error> {
    for directory in Path::new(path).ancestors().skip(1) {
        let shown = directory.to_string_lossy();
        match statfs(directory) {
            // A part of the kernel that is not loaded has no directory.
            Err(Errno::NOENT) if *shown != *SETTINGS => {}
            found => return is_of_kernel(&shown, found),
        }
    }
    Ok(())
}

fn is_of_kernel(path: &str, found: Outcome<StatFs>) -> Result<(), Error> {
    const MAGIC: FsWord = PROC_SUPER_MAGIC;
    let found = found.map_err(|error| os_error::of_call(path, error))?;
    if is_of_type(&found, MAGIC) {
        Ok(())
    } else {
        Err(Error::Garbled(format!("{path} is not the kernel's")))
    }
}
