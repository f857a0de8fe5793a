//! The initial namespaces, which the host's own processes are in (`namespaces(7)`).

use std::mem::MaybeUninit;

use rustix::fs::{CWD, readlinkat_raw};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::linux::look::look;

/// A kind of namespaces: the link of this process, and its target in the initial namespace
/// (`PROC_PID_INIT_INO` and the like in `linux/proc_ns.h`).
pub type Kind = (&'static str, &'static [u8]);

/// The PID namespace, which has every process.
pub const PIDS: Kind = ("/proc/self/ns/pid", b"pid:[4026531836]");

/// The cgroup namespace, which shows every cgroup.
pub const CGROUPS: Kind = ("/proc/self/ns/cgroup", b"cgroup:[4026531835]");

/// The user namespace, whose capabilities count for the whole host.
pub const USERS: Kind = ("/proc/self/ns/user", b"user:[4026531837]");

/// Whether this process is in the initial namespace of a kind.
pub fn is_in_initial((link, initial): Kind, deadline: &Deadline) -> Result<bool, Error> {
    let mut target = [MaybeUninit::uninit(); 64];
    let is_initial = look(link, deadline, || {
        let (target, _) = readlinkat_raw(CWD, link, &mut target)?;
        Ok(*target == *initial)
    })?;
    Ok(is_initial.found().unwrap_or(false))
}
