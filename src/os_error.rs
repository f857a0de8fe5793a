//! Errors of the operating system, and the policy (`selinux(8)`) that may have caused them.

use std::fs;
use std::io::{self, ErrorKind};

use crate::error::Error;
#[cfg(target_os = "linux")]
use crate::printable::bounded;

/// "1" where the policy is enforced (`selinux(8)`).
const ENFORCE: &str = "/sys/fs/selinux/enforce";

/// A policy refuses with it, as other rules do (`errno(3)`).
const EACCES: i32 = 13;

/// The operating system's error for `call`. Nothing is read unless the call was refused.
pub fn of_call(call: impl Into<String>, error: impl Into<io::Error>) -> Error {
    with_policy(call.into(), error.into(), is_policy_enforced)
}

/// The operating system's error for a file. Other users choose the paths of their files, so a long
/// path is cut.
#[cfg(target_os = "linux")]
pub fn of_file(path: &str, error: impl Into<io::Error>) -> Error {
    of_call(bounded(path), error)
}

fn with_policy(call: String, error: io::Error, is_enforced: impl Fn() -> bool) -> Error {
    let policy = error.raw_os_error() == Some(EACCES) && is_enforced();
    Error::System { call, error, policy }
}

fn is_policy_enforced() -> bool {
    match fs::read(ENFORCE) {
        Ok(text) => text.first() == Some(&b'1'),
        // Everybody may read it, except where the policy says otherwise.
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_names_the_page_where_a_policy_is_enforced() {
        let told = |number, is_enforced: &dyn Fn() -> bool| {
            let error = io::Error::from_raw_os_error(number);
            with_policy("a".to_owned(), error, is_enforced).to_string()
        };
        assert!(
            told(EACCES, &|| true).ends_with("(os error 13) (SELinux? see docs/permissions.md)")
        );
        assert!(told(EACCES, &|| false).ends_with("(os error 13)"));
        assert!(told(2, &|| panic!("nothing was refused")).ends_with("(os error 2)"));
    }
}
