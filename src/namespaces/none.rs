//! Systems without network namespaces.

// The signatures are those of `linux.rs`.
#![allow(clippy::unnecessary_wraps, clippy::unused_self)]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::group_name::NetnsName;
use crate::namespaces::view::{NetnsCoverage, View, Visit};
use crate::netns::Netns;
use crate::vocabulary::NetnsIndex;

/// The whole system.
#[derive(Debug, Default)]
pub struct Namespaces {}

impl Namespaces {
    /// Finds the requested namespaces; any request is an error.
    pub fn find(asked: &[Netns], _: &Deadline) -> Result<Self, Error> {
        if asked.is_empty() {
            return Ok(Self {});
        }
        Err(Error::Unsupported("This system has no network namespaces (Linux has them)".to_owned()))
    }

    /// Whether namespaces were requested.
    #[must_use]
    pub fn are_asked_for(&self) -> bool {
        false
    }

    /// None.
    #[must_use]
    pub fn named_others(&self, _: &Deadline) -> usize {
        0
    }

    /// Whether there is more than one namespace to read.
    #[must_use]
    pub fn are_several(&self) -> bool {
        false
    }

    /// Calls `visit` once.
    pub fn visit(
        &self,
        _: bool,
        deadline: &Deadline,
        visit: &mut Visit,
    ) -> Result<NetnsCoverage, Error> {
        visit(NetnsIndex::OWN, &View::Inside, deadline)?;
        Ok(NetnsCoverage { read: 1, ..NetnsCoverage::default() })
    }

    /// The names of namespaces.
    pub fn names(
        &self,
        wanted: &HashSet<NetnsIndex>,
        _: &Deadline,
    ) -> Result<HashMap<NetnsIndex, Arc<NetnsName>>, Error> {
        Ok(wanted.iter().map(|net| (*net, Arc::new(NetnsName::host()))).collect())
    }
}
