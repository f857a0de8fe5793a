//! Groups of which there may be a million. They stay as they were counted: each gets its name and its
//! state where it is printed.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::group::Group;
use crate::group_name::GroupName;
use crate::judge::state::State;
use crate::judge::{GroupState, Thresholds};
use crate::named_group::NamedGroup;
use crate::owner::Names;

/// Groups whose states follow from their counts alone, the largest first.
#[derive(Clone, Debug)]
pub struct ManyGroups {
    groups: Vec<(Group, u64)>,
    names: Names,
    thresholds: Thresholds,
    // Whether a group may have more connections than were counted.
    more: bool,
}

impl ManyGroups {
    /// Groups of one kind, each with a label of its own. `thresholds` name none of them.
    #[must_use]
    pub fn new(
        mut groups: Vec<(Group, u64)>,
        names: Names,
        thresholds: Thresholds,
        more: bool,
    ) -> Self {
        groups.sort_by_key(|(_, count)| Reverse(*count));
        Self { groups, names, thresholds, more }
    }

    /// The number of groups.
    #[must_use]
    pub fn number(&self) -> usize {
        self.groups.len()
    }

    /// The number of connections.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.groups.iter().map(|(_, count)| count).sum()
    }

    /// The groups that a report of at most `top` groups needs: the largest, and those with the worst
    /// states, the largest of them first.
    #[must_use]
    pub fn most_important(&self, top: usize) -> Vec<NamedGroup> {
        let states: Vec<State> = self.judged_without_names().map(|judged| judged.state).collect();
        let mut severities: Vec<_> = states.iter().map(|state| state.severity()).collect();
        severities.sort_unstable_by_key(|severity| Reverse(*severity));
        severities.dedup();
        let mut worst = Vec::new();
        for severity in severities {
            let alike = states.iter().zip(0..).filter(|(state, _)| state.severity() == severity);
            worst.extend(alike.map(|(_, place)| place).take(top.max(1) - worst.len()));
        }
        let places: BTreeSet<usize> = worst.into_iter().chain([0]).collect();
        let groups = places.into_iter().filter_map(|place| self.groups.get(place));
        groups.map(|(group, count)| NamedGroup::found(*group, *count, &self.names)).collect()
    }

    /// Every group, judged.
    pub fn judged(&self) -> impl Iterator<Item = GroupState> {
        self.judged_without_names().map(|judged| {
            let label = judged.group.map(|group| self.names.name(group).label);
            GroupState { label: label.unwrap_or_default(), ..judged }
        })
    }

    fn judged_without_names(&self) -> impl Iterator<Item = GroupState> {
        // Neighbours often have the same count.
        let mut last = GroupState::default();
        self.groups.iter().map(move |(group, count)| {
            let (group, count) = (Some(*group), *count);
            if last.group.is_none() || last.count != count {
                let mut found = NamedGroup::without_sockets(group, GroupName::default());
                found.count = count;
                last = self.thresholds.judge_found(found, &[], self.more);
            }
            GroupState { group, ..last.clone() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(counts: &[(u16, u64)]) -> ManyGroups {
        let groups = counts.iter().map(|(port, count)| (Group::Port(*port), *count)).collect();
        ManyGroups::new(groups, Names::default(), Thresholds::default(), false)
    }

    #[test]
    fn the_largest_group_is_important_where_none_is_asked_for() {
        let important = |counts: &[(u16, u64)], top| -> Vec<_> {
            let found = many(counts).most_important(top).into_iter();
            found.map(|group| (group.label().to_owned(), group.count)).collect()
        };
        let counts = [(7, 1), (8, 3), (9, 1)];
        let largest = ("8".to_owned(), 3);
        assert_eq!(important(&counts, 2), [largest.clone(), ("7".to_owned(), 1)]);
        assert_eq!(important(&counts, 0), [largest]);
        assert_eq!(important(&counts, usize::MAX).len(), 3);
        assert_eq!(important(&[], 10), []);
        assert_eq!((many(&counts).number(), many(&counts).total()), (3, 5));
    }

    #[test]
    fn every_group_has_its_name_and_its_state() {
        let judged: Vec<_> = many(&[(7, 1), (8, 1)]).judged().collect();
        let found = judged.iter().map(|judged| (&*judged.label, judged.count, judged.state));
        assert_eq!(found.collect::<Vec<_>>(), [("7", 1, State::Ok), ("8", 1, State::Ok)]);
        assert!(judged.iter().all(|judged| judged.most == 1 && judged.is_found()));
    }
}
