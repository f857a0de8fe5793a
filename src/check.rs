//! One check: what is asked, what is fine, what is shown. Nothing but values.

use std::time::Duration;

use crate::group::GroupBy;
use crate::judge::state::NoMatch;
use crate::judge::threshold::ThresholdSpec;
use crate::measure::{Meaning, Measure};
use crate::netns::Netns;
use crate::selection::{Choice, Selection};
use crate::vocabulary::{Protocol, SourceName};

/// How long a run may take unless told otherwise: the convention of the collection.
pub const TIMEOUT: Duration = Duration::from_secs(8);

/// One check.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// What is asked.
    pub query: Query,
    /// What is fine.
    pub policy: Policy,
    /// What is shown.
    pub presentation: Presentation,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which connections are counted.
    pub selection: Selection,
    /// What is measured.
    pub measure: Measure,
    /// What they are counted, judged and printed by.
    pub group_by: GroupBy,
    /// Whether expected groups without connections count as 0.
    pub zero: bool,
    /// The network namespaces that are looked at; this thread's own where none is named.
    pub netns: Vec<Netns>,
    /// The source that must answer; `None` for the best one that does.
    pub source: Option<SourceName>,
    /// The deadline of the whole run.
    pub timeout: Duration,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            measure: Measure::default(),
            group_by: GroupBy::default(),
            zero: false,
            netns: Vec::new(),
            source: None,
            timeout: TIMEOUT,
        }
    }
}

impl Query {
    /// Makes of it what its measure is about.
    pub fn be_measured(&mut self) {
        if let Some(Meaning { group_by, status, .. }) = self.measure.meaning() {
            self.group_by = group_by;
            let tcp: Vec<_> = self.selection.types_of(Protocol::Tcp).collect();
            self.selection.types = Choice::of(&tcp);
            if let Some(status) = status {
                self.selection.statuses = Choice::of(&[status]);
            }
        }
    }
}

/// What is fine.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The warning thresholds.
    pub warning: Option<ThresholdSpec>,
    /// The critical thresholds.
    pub critical: Option<ThresholdSpec>,
    /// The state where nothing is found.
    pub no_match: NoMatch,
    /// Whether the state is OK whatever was found.
    pub always_ok: bool,
}

/// What is shown.
#[derive(Clone, Debug)]
pub struct Presentation {
    /// How many groups are printed at most; `None` for all where there are few, else 10.
    pub top: Option<usize>,
    /// Whether performance data is printed.
    pub perfdata: bool,
    /// Whether the message goes on with who has the connections and where they lead.
    pub lengthy: bool,
}

impl Default for Presentation {
    fn default() -> Self {
        Self { top: None, perfdata: true, lengthy: false }
    }
}
