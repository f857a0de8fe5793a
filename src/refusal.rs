//! The policy of the system (`selinux(8)`), which may refuse a call that other rules allow.

use std::fs;
use std::io::ErrorKind::PermissionDenied;

/// "1" where the policy is enforced (`selinux(8)`).
const ENFORCE: &str = "/sys/fs/selinux/enforce";

/// Whether a policy is enforced.
pub fn is_policy_enforced() -> bool {
    match fs::read(ENFORCE) {
        Ok(text) => text.first() == Some(&b'1'),
        // Everybody may read it, except where the policy says otherwise.
        Err(error) => error.kind() == PermissionDenied,
    }
}
