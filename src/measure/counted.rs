//! The input and the result of a measure.

use std::collections::HashMap;

use crate::collect::breakdown::{Aspect, Breakdowns};
use crate::group::{Group, GroupBy};
use crate::measure::share::Share;
use crate::owner::Names;
use crate::selection::Selection;
use crate::survey::Findings;

/// The input of a measure.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The connections.
    pub selection: &'a Selection,
    /// The kind of groups.
    pub group_by: GroupBy,
    /// Whether owners and peers are wanted, too.
    pub lengthy: bool,
    /// Whether all processes of a socket must be found, and not only the most likely ones.
    pub every_holder: bool,
}

impl Scope<'_> {
    /// An empty table of owners and peers, where they are wanted.
    #[must_use]
    pub fn breakdowns(&self, aspect: Aspect) -> Option<Breakdowns> {
        self.lengthy.then(|| Breakdowns::new(self.group_by, aspect))
    }
}

/// The result of a measure: groups and their numbers.
#[derive(Default)]
pub struct Counted {
    /// The groups, with the number of each.
    pub groups: Vec<(Group, u64)>,
    /// The limits of the numbers, where the measure has limits.
    pub shares: HashMap<Group, Share>,
    /// Owners and peers, where they are wanted.
    pub breakdowns: Option<Breakdowns>,
    /// The names of owners that were looked up to count by owner.
    pub names: Names,
    /// The other results of the walk through the network namespaces.
    pub findings: Findings,
}

impl Counted {
    /// The result of a measure whose numbers have limits.
    pub fn of_shares(
        parts: impl Iterator<Item = (Group, u64, Share)>,
        breakdowns: Option<Breakdowns>,
        findings: Findings,
    ) -> Self {
        let (mut groups, mut shares) = (Vec::new(), HashMap::new());
        for (group, count, share) in parts {
            groups.push((group, count));
            shares.insert(group, share);
        }
        // Groups with equal numbers get a fixed order: the order of a map is random.
        groups.sort_unstable_by_key(|(group, _)| *group);
        Self { groups, shares, breakdowns, names: Names::default(), findings }
    }
}
