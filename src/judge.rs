//! What is fine and what is not: numbers and ranges in, states out.

pub mod state;
pub mod threshold;

use crate::group::Group;
use crate::judge::state::State;
use crate::judge::threshold::Ranges;
use crate::owner::Labelled;
use crate::range::Range;

/// The ranges that hold.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Outside of these the state is CRITICAL.
    pub critical: Option<Ranges>,
    /// Outside of these it is WARNING, unless it is CRITICAL.
    pub warning: Option<Ranges>,
}

/// One group, counted and judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The group; of several that are one to a person, one of them.
    pub group: Group,
    /// Its label.
    pub label: String,
    /// Its connections.
    pub count: u64,
    /// Its own state.
    pub state: State,
}

impl Limits {
    /// Judges every group.
    #[must_use]
    pub fn judge(&self, groups: Vec<Labelled>) -> Vec<Judged> {
        let judge = |Labelled { group, label, count }| {
            let state = self.state(count, |ranges| ranges.of(group, &label));
            Judged { group, label, count, state }
        };
        groups.into_iter().map(judge).collect()
    }

    /// Judges the sum, where a threshold asks for it.
    #[must_use]
    pub fn judge_total(&self, total: u64) -> Option<State> {
        let asked = [&self.critical, &self.warning].into_iter().flatten();
        let asked = asked.into_iter().any(|ranges| ranges.total().is_some());
        asked.then(|| self.state(total, Ranges::total))
    }

    fn state<'a>(&'a self, count: u64, range: impl Fn(&'a Ranges) -> Option<&'a Range>) -> State {
        // Ranges compare 64-bit floats, as the reference and the C plugins do.
        #[allow(clippy::cast_precision_loss)]
        let value = count as f64;
        let left = |ranges: &'a Option<Ranges>| {
            ranges.as_ref().and_then(&range).is_some_and(|range| !range.contains(value))
        };
        if left(&self.critical) {
            State::Critical
        } else if left(&self.warning) {
            State::Warning
        } else {
            State::Ok
        }
    }
}
