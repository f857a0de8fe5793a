//! Owners that no source of a system tells, so that none is ever looked up.

// Their types are those of what can fail and is more.
#![allow(clippy::type_complexity, clippy::unnecessary_wraps)]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::Error;
#[cfg(not(windows))]
use crate::owner::holders::Holders;

pub fn users(
    _: HashSet<u32>,
    _: &Deadline,
) -> Result<(HashMap<u32, Arc<str>>, HashSet<u32>), Error> {
    Ok((HashMap::new(), HashSet::new()))
}

pub fn units(_: HashSet<u64>, _: &Deadline) -> Result<HashMap<u64, Arc<str>>, Error> {
    Ok(HashMap::new())
}

pub fn members(_: HashSet<u64>, _: &Deadline) -> Result<Vec<u32>, Error> {
    Ok(Vec::new())
}

#[cfg(not(windows))]
pub fn processes(_: Vec<u64>, _: &[u32], _: &Deadline) -> Result<(Holders, bool), Error> {
    Ok((Holders::default(), true))
}

/// The id of a user name, `None` where there is no such user.
pub fn user_id(_: &str, _: &Deadline) -> Result<Option<u32>, Error> {
    Ok(None)
}
