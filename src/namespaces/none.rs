//! Systems without network namespaces.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::namespaces::view::{NetnsCoverage, View, Visit};
use crate::netns::Netns;
use crate::vocabulary::NetnsIndex;

/// The whole system.
#[derive(Debug, Default)]
pub struct Namespaces {}

impl Namespaces {
    /// Those that are asked for.
    pub fn find(asked: &[Netns], _: &Deadline) -> Result<Self, Error> {
        if asked.is_empty() {
            return Ok(Self {});
        }
        Err(Error::Unsupported("This system has no network namespaces (Linux has them)".to_owned()))
    }

    /// Whether any were named.
    #[must_use]
    pub fn are_asked_for(&self) -> bool {
        false
    }

    /// Whether there may be more than one.
    #[must_use]
    pub fn are_several(&self) -> bool {
        false
    }

    /// Does something in each.
    pub fn visit(
        &self,
        _: bool,
        deadline: &Deadline,
        visit: &mut Visit,
    ) -> Result<NetnsCoverage, Error> {
        visit(NetnsIndex::OWN, &View::Inside, deadline)?;
        Ok(NetnsCoverage { read: 1, ..NetnsCoverage::default() })
    }

    /// What people call them.
    pub fn names(
        &self,
        wanted: &HashSet<NetnsIndex>,
        _: &Deadline,
    ) -> Result<HashMap<NetnsIndex, Arc<str>>, Error> {
        Ok(wanted.iter().map(|net| (*net, Arc::from("host"))).collect())
    }
}
