//! The outcome of a check.

use std::cmp::Reverse;
use std::time::Duration;

use crate::check::Check;
use crate::details::Detail;
use crate::judge::Judged;
use crate::judge::state::State;

/// How many groups are printed of a kind that has many, unless told otherwise.
pub const TOP: usize = 10;

/// The outcome of a check.
#[derive(Clone, Debug)]
pub struct Report {
    /// The check that was run.
    pub check: Check,
    /// Every group, the largest first.
    pub groups: Vec<Judged>,
    /// The number of selected connections.
    pub total: u64,
    /// The state of the total, where a threshold asks for one.
    pub total_state: Option<State>,
    /// What the groups in alert state consist of, or the largest one where all is fine; only if it
    /// was asked for.
    pub details: Vec<Detail>,
    /// Why owners cannot be seen, and what would be needed; where that matters to the state.
    pub unseen: Option<&'static str>,
    /// Who answered, for example `netlink`.
    pub source: String,
    /// How long it took.
    pub duration: Duration,
}

impl Report {
    /// The state of the whole check, which is the command's exit code.
    #[must_use]
    pub fn state(&self) -> State {
        let judgement = &self.check.judgement;
        if judgement.always_ok {
            return State::Ok;
        }
        let nothing = (self.total == 0).then_some(judgement.no_match.0);
        self.groups
            .iter()
            .map(|judged| judged.state)
            .chain(self.total_state)
            .chain(nothing)
            .max_by_key(|state| state.severity())
            .unwrap_or_default()
    }

    /// The groups that have connections.
    pub fn found(&self) -> impl Iterator<Item = &Judged> {
        self.groups.iter().filter(|judged| judged.count > 0)
    }

    /// The groups that are printed, the largest first, and how many are left out: never one in
    /// alert state before one that is fine.
    #[must_use]
    pub fn shown(&self) -> (Vec<&Judged>, usize) {
        let few = if self.check.question.group_by.is_fixed() { usize::MAX } else { TOP };
        self.shown_at_most(self.check.presentation.top.unwrap_or(few))
    }

    /// As many groups as `top` says.
    pub(crate) fn shown_at_most(&self, top: usize) -> (Vec<&Judged>, usize) {
        if self.groups.len() <= top {
            return (self.groups.iter().collect(), 0);
        }
        let mut places: Vec<_> = self.groups.iter().enumerate().collect();
        // Stable: among equally bad ones the largest stay.
        places.sort_by_key(|(_, judged)| Reverse(judged.state.severity()));
        places.truncate(top);
        places.sort_unstable_by_key(|(place, _)| *place);
        (places.into_iter().map(|(_, judged)| judged).collect(), self.groups.len() - top)
    }

    /// The labels of the groups that details are given of.
    #[must_use]
    pub fn explained(&self) -> Vec<String> {
        let (shown, _) = self.shown();
        let mut alerting: Vec<_> =
            shown.into_iter().filter(|judged| judged.state != State::Ok).collect();
        alerting.sort_by_key(|judged| Reverse(judged.state.severity()));
        let largest = self.groups.first().filter(|_| alerting.is_empty());
        alerting.into_iter().chain(largest).map(|judged| judged.label.clone()).collect()
    }
}
