//! Refusals of the system that a policy (`selinux(8)`) may have caused.

use std::fs;
use std::io::ErrorKind::PermissionDenied;

use crate::error::Error;

/// "1" where the policy is enforced (`selinux(8)`).
const ENFORCE: &str = "/sys/fs/selinux/enforce";

/// Adds the page with the remedy where the policy is enforced and a call was refused. Nothing
/// is read unless a call was refused.
#[must_use]
pub fn with_policy(error: Error) -> Error {
    error.perhaps_of_selinux(&enforces)
}

fn enforces() -> bool {
    match fs::read(ENFORCE) {
        Ok(text) => text.first() == Some(&b'1'),
        // Everybody may read it, except where the policy says otherwise.
        Err(error) => error.kind() == PermissionDenied,
    }
}
