//! The rights that this process lacks to see every owner.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::rights::{Right, missing, needed as text};
use crate::owner::unseen::Unseen;

/// `CAP_SYS_PTRACE is needed`; `None` where this process lacks no right.
pub fn needed(unseen: Unseen, deadline: &Deadline) -> Result<Option<String>, Error> {
    let missing = match unseen {
        Unseen::Processes => missing(&[Right::Trace, Right::Search, Right::Processes], deadline)?,
        // In another cgroup namespace, no capability shows the cgroups outside of it.
        Unseen::Units if !Right::Cgroups.is_held(deadline)? => [Right::Cgroups].into(),
        Unseen::Units => missing(&[Right::Search], deadline)?,
        Unseen::Files => missing(&[Right::Trace, Right::Search], deadline)?,
        Unseen::HostNetns => missing(&[Right::Trace, Right::Processes], deadline)?,
        Unseen::Users => [].into(),
    };
    Ok(text(&missing))
}
