//! Requests for network namespaces (`network_namespaces(7)`).

use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// The directory of the named namespaces of `ip netns` (`ip-netns(8)`).
pub const NAMED: &str = "/run/netns";

/// The word that requests every visible namespace.
pub const ALL: &str = "all";

/// A request for one or all network namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Netns {
    /// Every namespace that is mounted, or that a visible process is in.
    All,
    /// The namespace that a process is in.
    Process(u32),
    /// The namespace that a file stands for.
    File(PathBuf),
    /// The namespace that has this name below `/run/netns`.
    Name(String),
}

impl FromStr for Netns {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = || {
            Error::Argument(format!(
                "{text:?} is no network namespace (valid: {ALL}, a name below {NAMED}, a path as in \
                 /proc/1/ns/net, a process id)"
            ))
        };
        if text == ALL {
            Ok(Self::All)
        } else if text.contains('\0') || ["", ".", ".."].contains(&text) {
            Err(refused())
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse().map(Self::Process).map_err(|_| refused())
        } else if text.contains('/') {
            Ok(Self::File(text.into()))
        } else {
            Ok(Self::Name(text.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_process_a_slash_makes_a_file_and_the_rest_is_a_name() {
        for (text, expected) in [
            ("all", Netns::All),
            ("812", Netns::Process(812)),
            ("/run/netns/812", Netns::File("/run/netns/812".into())),
            ("./blue", Netns::File("./blue".into())),
            ("blue", Netns::Name("blue".to_owned())),
            ("All", Netns::Name("All".to_owned())),
            ("-1", Netns::Name("-1".to_owned())),
        ] {
            let parsed = text.parse::<Netns>();
            assert!(parsed.is_ok_and(|parsed| parsed == expected), "{text}");
        }
        for text in ["", ".", "..", "4294967296", "a\0b"] {
            let refused = text.parse::<Netns>().err().map(|error| error.to_string());
            let begin = format!("{text:?} is no network namespace (valid: all, ");
            assert!(refused.is_some_and(|message| message.starts_with(&begin)), "{text}");
        }
    }
}
