//! Rights that this process may lack (`capabilities(7)`), and their names in messages.

use std::collections::BTreeSet;

use rustix::thread::{CapabilitySet, capabilities};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::initial::{CGROUPS, PIDS, USERS, is_in_initial};

/// A right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To enter a namespace.
    Admin,
    /// To go through any directory.
    Search,
    /// To look into any process.
    Trace,
    /// To be in the host's PID namespace, which has every process.
    Processes,
    /// To be in the host's cgroup namespace, which shows every cgroup.
    Cgroups,
    /// To be in the host's user namespace, where rights count for the whole host.
    Host,
}

impl Right {
    /// Its name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "CAP_SYS_ADMIN",
            Self::Search => "CAP_DAC_READ_SEARCH",
            Self::Trace => "CAP_SYS_PTRACE",
            Self::Processes => "the host's PID namespace",
            Self::Cgroups => "the host's cgroup namespace",
            Self::Host => "the host's user namespace",
        }
    }

    /// Whether this process has the right.
    pub fn is_held(self, deadline: &Deadline) -> Result<bool, Error> {
        let has = |right| capabilities(None).is_ok_and(|has| has.effective.contains(right));
        Ok(match self {
            Self::Admin => has(CapabilitySet::SYS_ADMIN),
            Self::Search => has(CapabilitySet::DAC_READ_SEARCH) || has(CapabilitySet::DAC_OVERRIDE),
            Self::Trace => has(CapabilitySet::SYS_PTRACE),
            Self::Processes => is_in_initial(PIDS, deadline)?,
            Self::Cgroups => is_in_initial(CGROUPS, deadline)?,
            Self::Host => is_in_initial(USERS, deadline)?,
        })
    }
}

/// The rights of these that this process lacks. A process that has all of them may be in a user
/// namespace, where they do not count.
pub fn missing(rights: &[Right], deadline: &Deadline) -> Result<BTreeSet<Right>, Error> {
    let mut missing = BTreeSet::new();
    for right in rights {
        if !right.is_held(deadline)? {
            missing.insert(*right);
        }
    }
    if missing.is_empty() && !Right::Host.is_held(deadline)? {
        missing.insert(Right::Host);
    }
    Ok(missing)
}

/// `CAP_SYS_ADMIN is needed`, or several as in `CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE and the host's PID
/// namespace are needed`; `None` without rights.
#[must_use]
pub fn needed(rights: &BTreeSet<Right>) -> Option<String> {
    let names: Vec<_> = rights.iter().map(|right| right.name()).collect();
    match names.as_slice() {
        [] => None,
        [name] => Some(format!("{name} is needed")),
        [names @ .., last] => Some(format!("{} and {last} are needed", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_rights_are_named() {
        let text = |rights: &[Right]| needed(&rights.iter().copied().collect());
        assert_eq!(text(&[]), None);
        assert_eq!(text(&[Right::Admin]).as_deref(), Some("CAP_SYS_ADMIN is needed"));
        assert_eq!(
            text(&[Right::Trace, Right::Admin]).as_deref(),
            Some("CAP_SYS_ADMIN and CAP_SYS_PTRACE are needed")
        );
        assert_eq!(text(&[Right::Host]).as_deref(), Some("the host's user namespace is needed"));
    }
}
