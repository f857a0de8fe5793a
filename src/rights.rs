//! The capabilities that the executable file gives to a run (`capabilities(7)`). The run keeps only
//! the capabilities that its plan needs.

use log::warn;
use rustix::io::Result;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set, set_capabilities,
};

use crate::group::{GroupBy, Kind, Needs};
use crate::measure::Measure;
use crate::plan::Plan;

/// Gives up the capabilities of the file that this plan does not need; without a plan all of them.
/// Root keeps its capabilities: they do not come from the file.
pub fn give_up(plan: Option<&Plan>) {
    if rustix::process::geteuid().is_root() {
        return;
    }
    if let Err(error) = keep(plan.map_or(CapabilitySet::empty(), needed)) {
        warn!("capabilities are kept: {error}");
    }
}

fn keep(mut kept: CapabilitySet) -> Result<()> {
    let has = capabilities(None)?;
    for right in has.permitted {
        // A systemd unit gives ambient capabilities, and decides about them. Its filter of system
        // calls may kill a process that changes them.
        if capability_is_in_ambient_set(right)? {
            kept |= right;
        }
    }
    let [effective, permitted, inheritable] =
        [has.effective, has.permitted, has.inheritable].map(|set| set & kept);
    let kept = CapabilitySets { effective, permitted, inheritable };
    if kept == has { Ok(()) } else { set_capabilities(None, kept) }
}

fn needed(plan: &Plan) -> CapabilitySet {
    let mut needed = CapabilitySet::empty();
    // Listing /proc/PID/fd of other users, and reading its links.
    let lengthy = plan.presentation().lengthy && plan.measure() != Measure::HostLimits;
    if lengthy || reads_processes(plan.group_by()) {
        needed |= CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
    }
    // Entering a namespace, reading the link /proc/PID/ns/net, and going to a mount point.
    if plan.asks_for_namespaces() {
        needed |=
            CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
    }
    if [Measure::OpenFiles, Measure::Exhaustion].contains(&plan.measure()) {
        // Listing /proc/PID/fd, where it does not tell its size; with tables, the sockets of every
        // network namespace.
        needed |= CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
        if plan.presentation().lengthy {
            needed |= CapabilitySet::SYS_ADMIN;
        }
    }
    match plan.group_by().needs() {
        // Listing cgroups.
        Needs::Cgroup => needed |= CapabilitySet::DAC_READ_SEARCH,
        // Reading the link of process 1.
        Needs::Namespace => needed |= CapabilitySet::SYS_PTRACE,
        Needs::Nothing | Needs::Ends | Needs::Listeners | Needs::Owner => {}
    }
    needed
}

fn reads_processes(group_by: GroupBy) -> bool {
    match group_by.kind() {
        Kind::Processes(_) => true,
        Kind::Fixed(_)
        | Kind::Directions
        | Kind::Port(_)
        | Kind::Stuck
        | Kind::Limits
        | Kind::Unbounded => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Check, Presentation, Query};

    #[test]
    fn the_needed_capabilities_follow_from_the_plan() {
        let ptrace = CapabilitySet::SYS_PTRACE;
        let read = CapabilitySet::DAC_READ_SEARCH;
        let admin = CapabilitySet::SYS_ADMIN;
        let named = vec!["all".parse().unwrap_or_else(|e| panic!("{e}"))];
        let all = Query { netns: named, ..Query::default() };
        let process = Query { group_by: Some(GroupBy::Process), ..Query::default() };
        let netns = Query { group_by: Some(GroupBy::Netns), ..Query::default() };
        let unit = Query { group_by: Some(GroupBy::Unit), ..Query::default() };
        let limits = Query { measure: Measure::HostLimits, ..Query::default() };
        let exhaustion = Query { measure: Measure::Exhaustion, ..Query::default() };
        for (query, lengthy, expected) in [
            (limits, true, CapabilitySet::empty()),
            (exhaustion.clone(), false, ptrace | read),
            (exhaustion, true, admin | ptrace | read),
            (Query::default(), false, CapabilitySet::empty()),
            (unit, false, read),
            (netns, false, ptrace),
            (Query::default(), true, ptrace | read),
            (process, false, ptrace | read),
            (all.clone(), false, admin | ptrace | read),
            (all, true, admin | ptrace | read),
        ] {
            let presentation = Presentation { lengthy, ..Presentation::default() };
            let check = Check { query, presentation, ..Check::default() };
            let plan = Plan::new(check).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(needed(&plan), expected, "{plan:?}");
        }
    }
}
