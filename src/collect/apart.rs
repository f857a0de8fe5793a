//! One of several measures that a single walk serves.

use std::collections::HashSet;
use std::fmt::Write;

use crate::address::InterfaceIndex;
use crate::collect::collector::{Collector, Missing, NetnsFacts};
use crate::error::Error;
use crate::selection::Selection;
use crate::socket::{Socket, Wanted};
use crate::vocabulary::{NetnsIndex, Protocol, SourceName};

/// Passes the selected sockets on to the collector of a measure. A part of the answer that a source does
/// not have leaves its reason here, so that the other measures of the walk go on.
#[derive(Debug)]
pub struct Apart<C> {
    selection: Selection,
    // The reason why a fact that the measure needs could not be read.
    unread: fn(&NetnsFacts) -> Option<Missing>,
    collector: C,
    missing: Option<Missing>,
    failed: bool,
}

impl<C: Collector> Apart<C> {
    /// Passes these sockets on to `collector`. `unread` returns the reason why a fact that the measure
    /// needs could not be read.
    pub fn new(
        selection: Selection,
        unread: fn(&NetnsFacts) -> Option<Missing>,
        collector: C,
    ) -> Self {
        Self { selection, unread, collector, missing: None, failed: false }
    }

    /// The inner collector, and the reason why it may lack a part of the answer.
    pub fn into_collected(self) -> (C, Option<Missing>) {
        (self.collector, self.missing)
    }

    /// Drops the sockets of this dump: a part of them would look like all.
    fn fail(&mut self, reason: Missing) {
        self.collector = self.collector.fresh();
        self.missing.get_or_insert(reason);
        self.failed = true;
    }
}

impl<C: Collector> Collector for Apart<C> {
    fn wanted(&self) -> Wanted {
        self.collector.wanted()
    }

    fn fresh(&self) -> Self {
        Self {
            selection: self.selection.clone(),
            unread: self.unread,
            collector: self.collector.fresh(),
            missing: None,
            failed: self.failed,
        }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.collector.begin(facts)?;
        if let Some(reason) = (self.unread)(facts) {
            self.fail(reason);
        }
        Ok(())
    }

    #[inline]
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        if self.failed || !self.selection.matches(socket)? {
            return Ok(());
        }
        match self.collector.add(netns, socket) {
            Err(error @ Error::Unsupported(_)) => {
                self.fail(Missing::of(&error));
                Ok(())
            }
            added => added,
        }
    }

    fn merge(&mut self, dump: Self) {
        if let Some(reason) = dump.missing {
            self.missing.get_or_insert(reason);
        }
        self.collector.merge(dump.collector);
    }

    fn falls_back(&mut self, protocol: Protocol, causes: &[(SourceName, Error)]) {
        if let Some(missing) = &mut self.missing
            && self.selection.types_of(protocol).next().is_some()
        {
            for (source, error) in causes {
                let _ = write!(missing.reason, "; {source}: {error}");
                missing.is_failure |= !error.is_of_this_place();
            }
        }
    }

    fn goes_on_without(&mut self, protocol: Protocol, error: &Error) -> bool {
        if self.selection.types_of(protocol).next().is_some() {
            self.missing.get_or_insert_with(|| Missing::of(error));
        }
        true
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        self.collector.interfaces(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::limits::Limits;
    use crate::host_limit::{HostLimit, NetnsLimits, Use};

    #[test]
    fn a_namespace_without_an_answer_leaves_the_others() {
        let new = || Apart::new(Selection::default(), |f| f.no_limits.clone(), Limits::default());
        let uses = vec![(HostLimit::Files, Use::Of { used: 1, of: 2 })];
        let limits = NetnsLimits { netns: NetnsIndex::OWN, uses };
        let denied = Missing { reason: "no right".to_owned(), is_failure: false };
        let mut all = new();
        for facts in [
            NetnsFacts { limits: Some(limits), ..NetnsFacts::default() },
            NetnsFacts { no_limits: Some(denied.clone()), ..NetnsFacts::default() },
        ] {
            let mut visited = all.fresh();
            visited.begin(&facts).unwrap_or_else(|e| panic!("{e}"));
            all.merge(visited);
        }
        let (limits, missing) = all.into_collected();
        assert_eq!(limits.fullest.len(), 1);
        assert_eq!(missing, Some(denied));
        let mut all = new();
        let error = Error::Unsupported("no table".to_owned());
        assert!(all.goes_on_without(Protocol::Udp, &error));
        assert_eq!(all.into_collected().1, Some(Missing::of(&error)));
    }
}
