//! Tables of the connections that are certainly selected, and of those that may be.

use std::collections::HashSet;

use crate::address::InterfaceIndex;
use crate::collect::collector::{Collector, NetnsFacts, Wanted};
use crate::error::Error;
use crate::selection::{Certainty, Selection};
use crate::socket::Socket;
use crate::vocabulary::NetnsIndex;

/// Passes the connections that are certainly selected to one collector, and those that may be to
/// another.
#[derive(Clone, Debug)]
pub struct Certain<'a, C> {
    selection: &'a Selection,
    /// The collector of the connections that are certainly selected.
    pub certain: C,
    /// The collector of those that may be; `None` where the selection leaves no doubt.
    pub doubtful: Option<C>,
}

impl<'a, C: Collector> Certain<'a, C> {
    /// Passes connections on to `certain`, and to others like it.
    pub fn new(selection: &'a Selection, certain: C) -> Self {
        let doubtful = (!selection.stuck.is_empty()).then(|| certain.fresh());
        Self { selection, certain, doubtful }
    }
}

impl<C: Collector> Collector for Certain<'_, C> {
    fn wanted(&self) -> Wanted {
        self.certain.wanted()
    }

    fn fresh(&self) -> Self {
        let (certain, doubtful) = (self.certain.fresh(), self.doubtful.fresh());
        Self { selection: self.selection, certain, doubtful }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.certain.begin(facts)?;
        self.doubtful.begin(facts)
    }

    #[inline]
    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        match &mut self.doubtful {
            None => self.certain.add(netns, socket),
            Some(doubtful) => match self.selection.certainty(socket)? {
                Certainty::Yes => self.certain.add(netns, socket),
                Certainty::Maybe => doubtful.add(netns, socket),
                Certainty::No => Ok(()),
            },
        }
    }

    fn merge(&mut self, dump: Self) {
        self.certain.merge(dump.certain);
        self.doubtful.merge(dump.doubtful);
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        self.certain.interfaces(found);
        self.doubtful.interfaces(found);
    }
}
