//! What a run may do beyond what its user may, by capabilities of its file (`capabilities(7)`): as
//! little as its question needs.

use log::warn;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::check::Check;
use crate::group::GroupBy;

/// Gives up what this check does not need. Root keeps what it has: files are its own.
pub fn give_up(check: &Check) {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let given_up = capabilities(None).and_then(|has| {
        let kept = CapabilitySets {
            effective: has.effective & needed(check),
            permitted: has.permitted & needed(check),
            inheritable: CapabilitySet::empty(),
        };
        if kept == has { Ok(()) } else { set_capabilities(None, kept) }
    });
    if let Err(error) = given_up {
        warn!("capabilities are kept: {error}");
    }
}

fn needed(check: &Check) -> CapabilitySet {
    let mut needed = CapabilitySet::empty();
    // Descriptors of others' processes, and links to what they are.
    if check.presentation.lengthy || check.question.group_by == GroupBy::Process {
        needed |= CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
    }
    // Entering a namespace, and the link to that of a process.
    if !check.question.netns.is_empty() {
        needed |= CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE;
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Presentation, Question};

    #[test]
    fn what_is_needed_follows_from_the_question() {
        let ptrace = CapabilitySet::SYS_PTRACE;
        let read = CapabilitySet::DAC_READ_SEARCH;
        let admin = CapabilitySet::SYS_ADMIN;
        let netns = vec!["all".parse().unwrap_or_else(|e| panic!("{e}"))];
        let all = Question { netns, ..Question::default() };
        let process = Question { group_by: GroupBy::Process, ..Question::default() };
        let unit = Question { group_by: GroupBy::Unit, ..Question::default() };
        for (question, lengthy, expected) in [
            (Question::default(), false, CapabilitySet::empty()),
            (unit, false, CapabilitySet::empty()),
            (Question::default(), true, ptrace | read),
            (process, false, ptrace | read),
            (all.clone(), false, admin | ptrace),
            (all, true, admin | ptrace | read),
        ] {
            let presentation = Presentation { lengthy, ..Presentation::default() };
            let check = Check { question, presentation, ..Check::default() };
            assert_eq!(needed(&check), expected, "{check:?}");
        }
    }
}
