//! What is fine and what is not: numbers and ranges in, states out.

pub mod state;
pub mod threshold;

use crate::group::Group;
use crate::judge::state::State;
use crate::judge::threshold::{Key, Ranges, Specificity};
use crate::labelled::Labelled;
use crate::range::{Range, Verdict};

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
    /// The group; of several that are one to a person, one of them. `None` where only a threshold
    /// names it.
    pub group: Option<Group>,
    /// Its label.
    pub label: String,
    /// Its connections; where some cannot be told, the fewest that it has.
    pub count: u64,
    /// The most connections that it can have: more than `count` only where some cannot be told.
    pub most: u64,
    /// Its own state.
    pub state: State,
}

/// From how many connections to how many a group has.
type Between = (u64, u64);

impl Limits {
    /// Judges every group, and what thresholds name and nobody found: that has no connections.
    #[must_use]
    pub fn judge(&self, groups: Vec<Labelled>) -> Vec<Judged> {
        let hidden = groups.iter().filter(|group| group.hidden).map(|group| group.count).sum();
        let unfound = self.unfound(&groups, hidden);
        let mut judged: Vec<Judged> =
            groups.into_iter().map(|group| self.found(group, hidden)).collect();
        judged.extend(unfound);
        judged
    }

    fn found(&self, group: Labelled, hidden: u64) -> Judged {
        let count = group.count;
        let state = |between| self.state(between, |ranges| ranges.of(&group));
        let (most, state) = if group.hidden {
            // Several owners may be behind it, each with a part.
            let certain = state((count, count));
            let parts = state((1.min(count), count));
            (
                count,
                if certain == State::Ok && parts != State::Ok { State::Unknown } else { certain },
            )
        } else if self.may_be_more(&group) {
            (count + hidden, state((count, count + hidden)))
        } else {
            (count, state((count, count)))
        };
        Judged { group: group.group, label: group.label, count, most, state }
    }

    /// Whether a key asks for a group that connections of hidden owners may belong to as well. The
    /// sockets of a process are all hidden or none; those of a unit are not.
    fn may_be_more(&self, group: &Labelled) -> bool {
        matches!(group.group, Some(Group::Cgroup(Some(_))))
            && self.keys().any(|key| key.specificity(group).is_some())
    }

    /// What keys name and nobody found, as far as that is not fine.
    fn unfound(&self, groups: &[Labelled], hidden: u64) -> Vec<Judged> {
        let mut judged: Vec<Judged> = Vec::new();
        let mut seen: Vec<&Key> = Vec::new();
        for key in self.keys() {
            if *key == Key::Total || seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let best = groups.iter().filter_map(|group| key.specificity(group)).max();
            let group = key.group();
            let state = |between| match key {
                Key::Type(_) | Key::Status(_) => self.state(between, |ranges| ranges.of_key(key)),
                Key::Total | Key::Group(_) | Key::LinkLocal(_) | Key::User(..) | Key::Owner(_) => {
                    self.state(between, |ranges| ranges.of(&group))
                }
            };
            let hidden = match key {
                Key::Owner(_) => hidden,
                Key::LinkLocal(_) => key.elsewhere(groups),
                Key::Total | Key::Group(_) | Key::Type(_) | Key::Status(_) | Key::User(..) => 0,
            };
            let state = match best {
                None => state((0, hidden)),
                // There may be more processes of that name.
                Some(Specificity::Broad) if hidden > 0 && state((1, hidden)) != State::Ok => {
                    State::Unknown
                }
                Some(Specificity::Broad | Specificity::Exact) => State::Ok,
            };
            if state != State::Ok {
                let Labelled { group, label, .. } = group;
                judged.push(Judged { group, label, count: 0, most: hidden, state });
            }
        }
        judged
    }

    /// Judges the sum, where a threshold asks for it.
    #[must_use]
    pub fn judge_total(&self, total: u64) -> Option<State> {
        let asked = self.keys().any(|key| *key == Key::Total);
        asked.then(|| self.state((total, total), |ranges| ranges.of_key(&Key::Total)))
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        [&self.critical, &self.warning].into_iter().flatten().flat_map(Ranges::keys)
    }

    /// The state of a number that lies between two others: an alert where it is certain, else
    /// whether there may be one.
    fn state<'a>(
        &'a self,
        (low, high): Between,
        range: impl Fn(&'a Ranges) -> Option<&'a Range>,
    ) -> State {
        // Ranges compare 64-bit floats, as the reference and the C plugins do.
        #[allow(clippy::cast_precision_loss)]
        let between = (low as f64, high as f64);
        let verdict = |ranges: &'a Option<Ranges>| {
            let range = ranges.as_ref().and_then(&range);
            range.map_or(Verdict::Fine, |range| range.between(between.0, between.1))
        };
        match (verdict(&self.critical), verdict(&self.warning)) {
            (Verdict::Left, _) => State::Critical,
            (Verdict::Fine | Verdict::Unclear, Verdict::Left) => State::Warning,
            (Verdict::Unclear, _) | (_, Verdict::Unclear) => State::Unknown,
            (Verdict::Fine, Verdict::Fine) => State::Ok,
        }
    }
}
