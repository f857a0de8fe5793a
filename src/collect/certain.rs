//! Tables of the connections that are certainly selected, and of those that may be.

use std::collections::HashSet;

use crate::address::InterfaceIndex;
use crate::collect::collector::{Collector, NetnsFacts};
use crate::error::Error;
use crate::selection::{Certainty, Selection};
use crate::socket::{Socket, Wanted};
use crate::vocabulary::NetnsIndex;

/// Passes the connections that are certainly selected to one collector, and those that may be to
/// another.
#[derive(Clone, Debug)]
pub struct Certain<'a, C> {
    selection: &'a Selection,
    /// The collector of the connections that are certainly selected.
    pub sure: C,
    /// The collector of those that may be; `None` where the selection leaves no doubt.
    pub doubtful: Option<C>,
}

impl<'a, C: Collector> Certain<'a, C> {
    /// Passes connections on to `sure`, and to others like it.
    pub fn new(selection: &'a Selection, sure: C) -> Self {
        let doubtful = (!selection.stuck.is_empty()).then(|| sure.fresh());
        Self { selection, sure, doubtful }
    }
}

impl<C: Collector> Collector for Certain<'_, C> {
    fn wanted(&self) -> Wanted {
        self.sure.wanted()
    }

    fn fresh(&self) -> Self {
        let (sure, doubtful) = (self.sure.fresh(), self.doubtful.fresh());
        Self { selection: self.selection, sure, doubtful }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.sure.begin(facts)?;
        self.doubtful.begin(facts)
    }

    #[inline]
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        match &mut self.doubtful {
            None => self.sure.add(netns, socket),
            Some(doubtful) => match self.selection.certainty(socket)? {
                Certainty::Yes => self.sure.add(netns, socket),
                Certainty::Maybe => doubtful.add(netns, socket),
                Certainty::No => Ok(()),
            },
        }
    }

    fn merge(&mut self, dump: Self) {
        self.sure.merge(dump.sure);
        self.doubtful.merge(dump.doubtful);
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        self.sure.interfaces(found);
        self.doubtful.interfaces(found);
    }
}
