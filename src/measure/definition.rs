//! The parts of a measure's definition.

use std::collections::BTreeMap;

use crate::collect::breakdown::Aspect;
use crate::ephemeral::EphemeralPorts;
use crate::error::Error;
use crate::field::Field;
use crate::format::exposition::Page;
use crate::group::GroupBy;
use crate::judge::GroupState;
use crate::measure::counted::{Counted, Scope};
use crate::range::Numbers;
use crate::selection::Selection;
use crate::survey::Host;
use crate::vocabulary::{ConnectionStatus, NetnsIndex, Protocol, SourceName};

/// The definition of a measure: its groups, its numbers and its output.
#[derive(Debug)]
pub struct Definition {
    /// The name of the measure, as the user gives it.
    pub name: &'static str,
    /// The plural noun for the groups in messages, for example `listeners`.
    pub groups: &'static str,
    /// The part of the query that the measure decides; `None` where it decides nothing.
    pub implied: Option<Implied>,
    /// Whether the measure has groups of a kind. A plan refuses the other kinds.
    pub has_groups_by: fn(GroupBy) -> bool,
    /// The fields that have no meaning with this measure, in lists. A plan refuses them.
    pub refused: &'static [&'static [Field]],
    /// The numbers that a source cannot report, as in "the queue limits"; `None` where the source
    /// reports all numbers.
    pub unreported: fn(SourceName) -> Option<&'static str>,
    /// Whether a recorded list of connections has all facts that the measure needs.
    pub of_fixture: bool,
    /// The form of the numbers.
    pub reading: Reading,
    /// The numbers that a group can have.
    pub numbers: Numbers,
    /// Whether the reference has this measure, and its thresholds keep the reference's meaning.
    pub of_reference: bool,
    /// Collects the groups and their numbers.
    pub collect: fn(&Host, &Scope) -> Result<Counted, Error>,
    /// The message where no group is found.
    pub nothing: fn(&Selection) -> String,
    /// The criterion by which the tables of `--lengthy` break down connections, besides the owner.
    pub aspect: Aspect,
    /// The default thresholds, for WARNING and for CRITICAL. They apply where the check has neither
    /// threshold.
    pub thresholds: [Option<&'static str>; 2],
    /// Prints its Prometheus series.
    pub series: fn(&mut Page, &Series),
}

/// The fields without a meaning for the queues of sockets that have no peer.
pub const REFUSED_BY_QUEUES: &[Field] = &[
    Field::GroupBy,
    Field::Zero,
    Field::Stuck,
    Field::Direction,
    Field::Statuses,
    Field::RemoteAddresses,
    Field::RemotePorts,
];

/// The fields without a meaning where no sockets are read.
pub const REFUSED_WITHOUT_SOCKETS: &[Field] = &[
    Field::Zero,
    Field::Stuck,
    Field::Direction,
    Field::Types,
    Field::Statuses,
    Field::LocalAddresses,
    Field::LocalPorts,
    Field::RemoteAddresses,
    Field::RemotePorts,
];

/// The part of a query that a measure decides.
#[derive(Debug)]
pub struct Implied {
    /// The kind of groups. Another one can be asked for where [`Definition::refused`] does not have
    /// the field for it.
    pub group_by: GroupBy,
    /// The protocols that the types are limited to; empty where the measure is not about sockets.
    pub protocols: &'static [Protocol],
    /// The statuses that the measure is about; empty where it is about all.
    pub statuses: &'static [ConnectionStatus],
}

/// The form of a group's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A count. The counts of groups add up to a total.
    Count,
    /// A count in percent of a limit: a [`Share`](crate::measure::share::Share).
    Percent,
    /// Seconds: a [`Wait`](crate::stuck::Wait).
    Seconds,
}

impl Definition {
    /// Whether a field has no meaning with this measure.
    #[must_use]
    pub fn refuses(&self, field: Field) -> bool {
        self.refused.iter().any(|fields| fields.contains(&field))
    }

    /// Whether the measure is about sockets.
    #[must_use]
    pub fn is_of_sockets(&self) -> bool {
        self.implied.as_ref().is_none_or(|implied| !implied.protocols.is_empty())
    }
}

impl Reading {
    /// Whether the numbers of groups add up to a total that can be judged.
    #[must_use]
    pub const fn has_total(self) -> bool {
        match self {
            Self::Count => true,
            Self::Percent | Self::Seconds => false,
        }
    }
}

/// The judged groups, from which Prometheus series are made.
pub struct Series<'a> {
    /// The kind of groups.
    pub group_by: GroupBy,
    /// The selected connections.
    pub selection: &'a Selection,
    /// The ephemeral ports of each namespace, where the measure reads them and they are known.
    pub ephemeral: &'a BTreeMap<NetnsIndex, EphemeralPorts>,
    /// The groups that were found or that only a threshold names, the largest first.
    pub groups: &'a [GroupState],
    /// The number of groups that were found: of many, `groups` has only those that are printed.
    pub number_found: usize,
}

impl Series<'_> {
    /// The groups that were found.
    pub fn found(&self) -> impl Iterator<Item = &GroupState> {
        self.groups.iter().filter(|group| group.is_found())
    }
}
