//! The parts of a measure's definition.

use crate::collect::breakdown::Aspect;
use crate::error::Error;
use crate::field::Field;
use crate::format::exposition::Page;
use crate::group::GroupBy;
use crate::judge::GroupState;
use crate::measure::counted::{Counted, Scope};
use crate::selection::Selection;
use crate::survey::Host;
use crate::vocabulary::{ConnectionStatus, SourceName};

/// A measure, from the groups that it implies to the series that it prints.
#[derive(Debug)]
pub struct Definition {
    /// The name that it is chosen by.
    pub name: &'static str,
    /// The name of its groups, for example `listeners`.
    pub groups: &'static str,
    /// The part of the query that it decides itself; `None` where the query decides.
    pub implied: Option<Implied>,
    /// The fields that have no meaning with it.
    pub refused: &'static [Field],
    /// What a source cannot report of it, as in "the queue limits"; `None` where it can report all.
    pub unreported: fn(SourceName) -> Option<&'static str>,
    /// Whether a recorded list of connections has all that it needs.
    pub of_fixture: bool,
    /// How its numbers read.
    pub reading: Reading,
    /// Collects the groups and their numbers.
    pub collect: fn(&Host, &Scope) -> Result<Counted, Error>,
    /// The message where no group is found.
    pub nothing: fn(&Selection) -> String,
    /// The aspect that tables of owners show.
    pub aspect: Aspect,
    /// The thresholds of a check without any, for WARNING and for CRITICAL.
    pub thresholds: [Option<&'static str>; 2],
    /// Prints its Prometheus series.
    pub series: fn(&mut Page, &Series),
}

/// The part of a query that a measure decides. Its connections are those of TCP.
#[derive(Debug)]
pub struct Implied {
    /// The kind of groups.
    pub group_by: GroupBy,
    /// The only status, where it is about one.
    pub status: Option<ConnectionStatus>,
}

/// How the number of a group reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As a count. Counts of groups add up to a total.
    Count,
    /// As a count in percent of a limit: a [`Share`](crate::measure::share::Share).
    Percent,
}

impl Reading {
    /// Whether the numbers of groups add up to a total that can be judged.
    #[must_use]
    pub const fn has_total(self) -> bool {
        match self {
            Self::Count => true,
            Self::Percent => false,
        }
    }
}

/// The judged groups, as Prometheus series are made of them.
pub struct Series<'a> {
    /// The kind of groups.
    pub group_by: GroupBy,
    /// The selected connections.
    pub selection: &'a Selection,
    /// Every group that was found, and those that only a threshold names; the largest first.
    pub groups: &'a [GroupState],
}

impl Series<'_> {
    /// The groups that were found.
    pub fn found(&self) -> impl Iterator<Item = &GroupState> {
        self.groups.iter().filter(|group| group.is_found())
    }
}
