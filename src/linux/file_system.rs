//! What a file system says of itself.

use rustix::fs::{FsWord, StatFs};

/// Whether a file system is of the type with this magic number. Both numbers are of one type, but not
/// on s390x.
pub(crate) fn is_of_type(file_system: &StatFs, magic: FsWord) -> bool {
    u64::try_from(file_system.f_type).ok() == u64::try_from(magic).ok()
}
