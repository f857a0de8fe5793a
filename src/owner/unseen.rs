//! Texts for owners without a name, and the reasons why they cannot be seen.

use crate::group::GroupBy;

/// Processes that only their user, or root, may see.
pub const OTHERS: &str = "(other users' processes)";
/// Processes of which some threads were not read, because there are very many.
#[cfg(target_os = "linux")]
pub const UNREAD: &str = "(processes not read)";
/// No process, though the kernel shows an inode number.
pub const NONE: &str = "(no process)";
/// A connection that waits at one of several listeners of different processes, or at a listener that
/// was not found.
pub const WAITING: &str = "(not accepted)";
/// A cgroup that no longer exists.
#[cfg(target_os = "linux")]
pub const GONE: &str = "(gone)";
/// A cgroup outside the part of the hierarchy that this process may see, or behind a limit of the
/// search.
pub const OUTSIDE: &str = "(outside)";

/// The key of processes that cannot be seen, where the keys are the ids of processes. No process has
/// this id (`PID_MAX_LIMIT` in `linux/threads.h`).
pub const UNSEEN_PROCESSES: u64 = u32::MAX as u64;

/// Whether a label stands for owners that more rights may show.
#[must_use]
pub fn is_denied(label: &str) -> bool {
    label == OTHERS || label == OUTSIDE
}

/// Groups that may have more connections than were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// The processes of some sockets are not known.
    Processes,
    /// The units of some sockets are not known.
    Units,
    /// The users of some sockets are not known.
    Users,
    /// It is not known which network namespace is the host's own.
    HostNetns,
    /// The open files of some processes are not known.
    Files,
}

impl Unseen {
    /// The owners of this kind.
    #[must_use]
    pub const fn of(by: GroupBy) -> Option<Self> {
        match by {
            GroupBy::Process | GroupBy::Program => Some(Self::Processes),
            GroupBy::Unit => Some(Self::Units),
            GroupBy::User => Some(Self::Users),
            GroupBy::TypeStatus
            | GroupBy::Type
            | GroupBy::Status
            | GroupBy::LocalPort
            | GroupBy::RemotePort
            | GroupBy::LocalAddress
            | GroupBy::RemoteAddress
            | GroupBy::LocalNetwork
            | GroupBy::RemoteNetwork
            | GroupBy::LocalEndpoint
            | GroupBy::RemoteEndpoint
            | GroupBy::Netns
            | GroupBy::Direction
            | GroupBy::Kind
            | GroupBy::Limit => None,
        }
    }

    /// The message about rights alone; `None` where no right is missing.
    #[must_use]
    pub fn denial(self, needed: Option<String>) -> Option<String> {
        needed.map(|needed| format!("{} ({needed})", self.fact()))
    }

    const fn fact(self) -> &'static str {
        match self {
            Self::Processes => "some processes cannot be seen",
            Self::Units => "some units cannot be seen",
            Self::Users => "some users are not known",
            Self::HostNetns => "the host's own network namespace is not known",
            Self::Files => "the open files of some processes are not known",
        }
    }

    /// The message: the rights that are `needed`, if some are missing, and the other reasons.
    #[must_use]
    pub fn message(self, needed: Option<String>) -> String {
        let fact = self.fact();
        let other = match self {
            Self::Processes => {
                "of very many threads some are not read; connections may wait at any of several \
                 listeners"
            }
            Self::Units => "of very many or deep cgroups some are not read",
            Self::Users => {
                "their names do not come in time, or are those of another namespace of users; a key \
                 may be an id"
            }
            Self::HostNetns | Self::Files => "",
        };
        let reasons = needed.into_iter().chain((!other.is_empty()).then(|| other.to_owned()));
        match reasons.collect::<Vec<_>>().join("; ") {
            reasons if reasons.is_empty() => fact.to_owned(),
            reasons => format!("{fact} ({reasons})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_missing_rights_only() {
        let needed = || Some("CAP_SYS_PTRACE is needed".to_owned());
        assert_eq!(
            Unseen::HostNetns.message(needed()),
            "the host's own network namespace is not known (CAP_SYS_PTRACE is needed)"
        );
        assert_eq!(
            Unseen::HostNetns.message(None),
            "the host's own network namespace is not known"
        );
        assert_eq!(
            Unseen::Units.message(needed()),
            "some units cannot be seen (CAP_SYS_PTRACE is needed; of very many or deep cgroups some \
             are not read)"
        );
        assert_eq!(
            Unseen::Units.denial(needed()).as_deref(),
            Some("some units cannot be seen (CAP_SYS_PTRACE is needed)")
        );
        assert_eq!(Unseen::Units.denial(None), None);
        assert_eq!(
            Unseen::Units.message(None),
            "some units cannot be seen (of very many or deep cgroups some are not read)"
        );
    }
}
