//! What a run may do beyond what its user may, by capabilities of its file (`capabilities(7)`): as
//! little as its question needs.

use log::warn;
use rustix::io::Result;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set, set_capabilities,
};

use crate::check::Check;
use crate::group::GroupBy;

/// Gives up what this check does not need of what its file gave it. Root keeps what it has, for files
/// are its own.
pub fn give_up(check: &Check) {
    if rustix::process::geteuid().is_root() {
        return;
    }
    if let Err(error) = keep(needed(check)) {
        warn!("capabilities are kept: {error}");
    }
}

fn keep(mut kept: CapabilitySet) -> Result<()> {
    let has = capabilities(None)?;
    for right in has.permitted {
        // What a unit gave is the unit's to decide on, and its filter of system calls may end whoever
        // changes it.
        if capability_is_in_ambient_set(right)? {
            kept |= right;
        }
    }
    let [effective, permitted, inheritable] =
        [has.effective, has.permitted, has.inheritable].map(|set| set & kept);
    let kept = CapabilitySets { effective, permitted, inheritable };
    if kept == has { Ok(()) } else { set_capabilities(None, kept) }
}

fn needed(check: &Check) -> CapabilitySet {
    let mut needed = CapabilitySet::empty();
    // Descriptors of others' processes, and links to what they are.
    if check.presentation.lengthy || check.query.group_by == GroupBy::Process {
        needed |= CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
    }
    // Entering a namespace, and the link to that of a process.
    if !check.query.netns.is_empty() {
        needed |= CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE;
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Presentation, Query};

    #[test]
    fn what_is_needed_follows_from_the_question() {
        let ptrace = CapabilitySet::SYS_PTRACE;
        let read = CapabilitySet::DAC_READ_SEARCH;
        let admin = CapabilitySet::SYS_ADMIN;
        let netns = vec!["all".parse().unwrap_or_else(|e| panic!("{e}"))];
        let all = Query { netns, ..Query::default() };
        let process = Query { group_by: GroupBy::Process, ..Query::default() };
        let unit = Query { group_by: GroupBy::Unit, ..Query::default() };
        for (query, lengthy, expected) in [
            (Query::default(), false, CapabilitySet::empty()),
            (unit, false, CapabilitySet::empty()),
            (Query::default(), true, ptrace | read),
            (process, false, ptrace | read),
            (all.clone(), false, admin | ptrace),
            (all, true, admin | ptrace | read),
        ] {
            let presentation = Presentation { lengthy, ..Presentation::default() };
            let check = Check { query, presentation, ..Check::default() };
            assert_eq!(needed(&check), expected, "{check:?}");
        }
    }
}
