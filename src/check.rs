//! The request for a check: query, policy and presentation. These are plain values; a
//! [`Plan`](crate::Plan) validates them.

use std::time::Duration;

use crate::group::GroupBy;
use crate::judge::state::NoMatch;
use crate::judge::threshold::ThresholdSpec;
use crate::measure::Measure;
use crate::netns::Netns;
use crate::selection::Selection;
use crate::vocabulary::SourceName;

/// The default of [`Query::timeout`]: the convention of the collection.
pub const TIMEOUT: Duration = Duration::from_secs(8);

/// The request for a check.
#[derive(Clone, Debug, Default)]
pub struct Check {
    /// The connections, and how they are grouped and read.
    pub query: Query,
    /// The thresholds.
    pub policy: Policy,
    /// The form of the message.
    pub presentation: Presentation,
}

/// The connections, and how they are grouped and read.
#[derive(Clone, Debug)]
pub struct Query {
    /// The connections.
    pub selection: Selection,
    /// The number that is judged of each group.
    pub measure: Measure,
    /// The kind of groups. `None` stands for the kind that the measure implies, or for the default.
    pub group_by: Option<GroupBy>,
    /// Whether expected groups without connections count as 0.
    pub zero: bool,
    /// The network namespaces to read; only this thread's own where empty.
    pub netns: Vec<Netns>,
    /// The source that must answer; `None` for the best source that answers.
    pub source: Option<SourceName>,
    /// The time that the whole run may take.
    pub timeout: Duration,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            measure: Measure::default(),
            group_by: None,
            zero: false,
            netns: Vec::new(),
            source: None,
            timeout: TIMEOUT,
        }
    }
}

/// The thresholds, and the states that do not follow from them.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The warning thresholds.
    pub warning: Option<ThresholdSpec>,
    /// The critical thresholds.
    pub critical: Option<ThresholdSpec>,
    /// The state of a check that finds nothing.
    pub no_match: NoMatch,
    /// Whether the state is always OK.
    pub always_ok: bool,
}

/// The form of the message.
#[derive(Clone, Debug)]
pub struct Presentation {
    /// The maximum number of printed groups; `None` for all groups of a fixed kind, and 10 of
    /// others.
    pub top: Option<usize>,
    /// Whether performance data is printed.
    pub perfdata: bool,
    /// Whether tables of owners and peers are printed below the first line.
    pub lengthy: bool,
    /// Whether groups that are not printed get their names, too. Names take most of the time where each
    /// process is a group; without them, such a group has the id of the process as its label.
    pub every_name: bool,
}

impl Default for Presentation {
    fn default() -> Self {
        Self { top: None, perfdata: true, lengthy: false, every_name: true }
    }
}
