//! The type of a file system (`statfs(2)`).

use rustix::fs::{FsWord, StatFs};

/// Whether a file system has the type with this magic number. On s390x the two numbers are of
/// different integer types.
pub(crate) fn is_of_type(file_system: &StatFs, magic: FsWord) -> bool {
    u64::try_from(file_system.f_type).ok() == u64::try_from(magic).ok()
}
