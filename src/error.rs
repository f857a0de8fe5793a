//! Errors, each with the facts that a person needs to act on it.

use std::collections::TryReserveError;
use std::io;
use std::time::Duration;

use crate::field::Field;
use crate::name::Unknown;
use crate::range::RangeError;
use crate::vocabulary::{Protocol, SourceName};

/// The page with the remedy for a call that a policy may have refused.
const POLICY: &str = " (SELinux? see docs/permissions.md)";

/// The reason for a missing answer. `Display` is one line, without a full stop, for the check's
/// first line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A threshold that does not parse.
    #[error(transparent)]
    Range(#[from] RangeError),

    /// An invalid argument; the text names it and the valid values.
    #[error("{0}")]
    Argument(String),

    /// An invalid value of a check's field.
    #[error("{field}: {problem}")]
    Value {
        /// The field.
        field: Field,
        /// The problem, and the valid values.
        problem: String,
    },

    /// Two fields of a check that contradict each other.
    #[error("{field}: {problem} (valid: {other}={valid})")]
    Conflict {
        /// The field that is refused.
        field: Field,
        /// The reason for the refusal.
        problem: String,
        /// The field that it contradicts.
        other: Field,
        /// The values of the other field that are valid with it.
        valid: String,
    },

    /// A fixture that is not a list of connections; the text names the entry.
    #[error("{0}")]
    Fixture(String),

    /// A call to the operating system failed.
    #[error("{call}: {error}{}", if *.policy { POLICY } else { "" })]
    System {
        /// The name of the call, or of the file that it was made for.
        call: String,
        /// The error of the operating system.
        error: io::Error,
        /// Whether the call was refused where a policy (`selinux(8)`) is enforced.
        policy: bool,
    },

    /// The kernel's answer breaks the format of its interface: it is cut short, damaged or unknown.
    #[error("{0}")]
    Garbled(String),

    /// A process that showed a network namespace has moved to another one.
    #[error("{0}: of another network namespace by now")]
    Moved(String),

    /// A network namespace that was asked for could not be read.
    #[error("Network namespace {name}: {error}")]
    Namespace {
        /// Its name.
        name: String,
        /// The reason.
        error: Box<Error>,
    },

    /// The source cannot answer this question at all.
    #[error("{0}")]
    Unsupported(String),

    /// Every source failed for a protocol.
    #[error("Cannot count {protocol} connections: {}", join(.causes))]
    Sources {
        /// The protocol.
        protocol: Protocol,
        /// Each source that was tried, with its error.
        causes: Vec<(SourceName, Error)>,
    },

    /// The deadline passed.
    #[error("Timeout: no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),

    /// The memory for an answer is missing.
    #[error("Out of memory")]
    Memory,

    /// A bug in this program, such as a panic.
    #[error("Internal error, please report it: {0}")]
    Internal(String),

    /// The caller asked to stop (Ctrl-C).
    #[error("Interrupted")]
    Interrupted,
}

fn join(causes: &[(SourceName, Error)]) -> String {
    causes.iter().map(|(source, error)| format!("{source}: {error}")).collect::<Vec<_>>().join("; ")
}

impl From<Unknown> for Error {
    fn from(unknown: Unknown) -> Self {
        Self::Argument(unknown.to_string())
    }
}

impl Error {
    /// An error of the operating system that the kernel's answer has.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn system(call: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::System { call: call.into(), error: error.into(), policy: false }
    }

    /// Adds a remedy to an error about something that a source does not report.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    #[must_use]
    pub(crate) fn with_remedy(self, remedy: &str) -> Self {
        match self {
            Self::Unsupported(problem) => Self::Unsupported(format!("{problem}; {remedy}")),
            Self::Namespace { name, error } => {
                Self::Namespace { name, error: Box::new(error.with_remedy(remedy)) }
            }
            Self::Sources { protocol, causes } => {
                let causes = causes.into_iter();
                let causes =
                    causes.map(|(source, error)| (source, error.with_remedy(remedy))).collect();
                Self::Sources { protocol, causes }
            }
            other => other,
        }
    }

    /// Adds the name of an option or keyword to an error about an argument.
    #[must_use]
    pub(crate) fn of_value(self, name: &str) -> Self {
        match self {
            Self::Argument(problem) => Self::Argument(format!("{name}: {problem}")),
            other => other,
        }
    }

    /// Adds the field to an error about an argument.
    #[must_use]
    pub(crate) fn of_field(self, field: Field) -> Self {
        match self {
            Self::Argument(problem) => Self::Value { field, problem },
            other => other,
        }
    }

    /// The same error with other names for the fields: the names of options, or of keywords.
    #[must_use]
    pub fn with_names(self, name: impl Fn(Field) -> &'static str) -> Self {
        match self {
            Self::Value { field, problem } => Self::Argument(format!("{}: {problem}", name(field))),
            Self::Conflict { field, problem, other, valid } => Self::Argument(format!(
                "{}: {problem} (valid: {}={valid})",
                name(field),
                name(other)
            )),
            other => other,
        }
    }

    /// Whether another source must not be tried: no time or memory is left, or the caller has asked to
    /// stop.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Memory | Self::Interrupted)
    }

    /// Whether this system, or the rights of this process, do not have the answer: nothing went wrong.
    pub(crate) fn is_of_this_place(&self) -> bool {
        match self {
            Self::Unsupported(_) => true,
            Self::System { error, .. } => matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::NotFound
                    | io::ErrorKind::Unsupported
            ),
            Self::Namespace { error, .. } => error.is_of_this_place(),
            Self::Sources { causes, .. } => {
                causes.iter().all(|(_, error)| error.is_of_this_place())
            }
            _ => false,
        }
    }

    /// Whether the rest of a run can go on without the part that has failed: there is time left, and
    /// no other process shows the same network namespace.
    pub(crate) fn is_of_a_part(&self) -> bool {
        !self.is_final() && !self.is_of_another_namespace()
    }

    /// Whether the cause is a process that has moved to another network namespace.
    pub(crate) fn is_of_another_namespace(&self) -> bool {
        match self {
            Self::Moved(_) => true,
            Self::Namespace { error, .. } => error.is_of_another_namespace(),
            Self::Sources { causes, .. } => {
                causes.iter().any(|(_, error)| error.is_of_another_namespace())
            }
            _ => false,
        }
    }

    /// The operating system's error number. Where several sources failed, the first source with a
    /// number counts.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::System { error, .. } => error.raw_os_error(),
            Self::Sources { causes, .. } => causes.iter().find_map(|(_, error)| error.errno()),
            Self::Namespace { error, .. } => error.errno(),
            _ => None,
        }
    }
}

/// No memory for a table.
impl From<TryReserveError> for Error {
    fn from(_: TryReserveError) -> Self {
        Self::Memory
    }
}

/// A result whose value the source may be unable to report.
pub(crate) trait Optional<T> {
    /// `None` for [`Error::Unsupported`]: the source does not report the value. Every other error
    /// stays an error.
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> Optional<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_is_the_first_number_of_several_sources() {
        let system = |number| Error::system("call", io::Error::from_raw_os_error(number));
        let garbled = || Error::Garbled("cut short".to_owned());
        let sources = |netlink, procfs| Error::Sources {
            protocol: Protocol::Tcp,
            causes: vec![(SourceName::Netlink, netlink), (SourceName::Procfs, procfs)],
        };
        for (error, expected) in [
            (system(13), Some(13)),
            (garbled(), None),
            (sources(system(13), system(2)), Some(13)),
            (sources(garbled(), system(2)), Some(2)),
            (sources(garbled(), garbled()), None),
        ] {
            assert_eq!(error.errno(), expected, "{error}");
        }
    }

    #[test]
    fn a_remedy_is_added_where_a_source_does_not_report_something() {
        let error = Error::Namespace {
            name: "blue".to_owned(),
            error: Box::new(Error::Sources {
                protocol: Protocol::Tcp,
                causes: vec![
                    (SourceName::Netlink, Error::system("socket", io::Error::from_raw_os_error(1))),
                    (SourceName::Procfs, Error::Unsupported("no cgroups".to_owned())),
                ],
            }),
        };
        let text = error.with_remedy("a right is needed").to_string();
        assert!(text.ends_with("; procfs: no cgroups; a right is needed"), "{text}");
    }

    #[test]
    fn optional_turns_only_unsupported_into_none() {
        let known = |value: Result<u8, Error>| value.optional().map_err(|error| error.to_string());
        assert_eq!(known(Ok(5)), Ok(Some(5)));
        assert_eq!(known(Err(Error::Unsupported("no uid".to_owned()))), Ok(None));
        assert_eq!(known(Err(Error::Interrupted)), Err("Interrupted".to_owned()));
    }
}
