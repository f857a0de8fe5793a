//! What is measured: what the groups are, and what number each of them has.

use crate::group::GroupBy;
use crate::name::named_enum;
use crate::vocabulary::ConnectionStatus;

named_enum! {
    /// What is measured.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum Measure("measure") {
        /// How many connections a group has.
        #[default]
        Connections = "connections",
        /// How much of the accept queue of a listener is in use, in percent of its limit.
        AcceptQueue = "accept-queue",
        /// How many of the ports that this host can give to new connections towards a destination are
        /// in use, in percent.
        EphemeralPorts = "ephemeral-ports",
    }
}

/// What a measure makes of a question.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// What its groups are.
    pub group_by: GroupBy,
    /// The only state that it is about; `None` where it is about all.
    pub status: Option<ConnectionStatus>,
    /// What its groups are called.
    pub groups: &'static str,
}

impl Measure {
    /// What it makes of a question; `None` where that is as it is asked.
    #[must_use]
    pub const fn meaning(self) -> Option<Meaning> {
        match self {
            Self::Connections => None,
            Self::AcceptQueue => Some(Meaning {
                group_by: GroupBy::LocalEndpoint,
                status: Some(ConnectionStatus::Listen),
                groups: "listeners",
            }),
            Self::EphemeralPorts => Some(Meaning {
                group_by: GroupBy::RemoteEndpoint,
                status: None,
                groups: "destinations",
            }),
        }
    }
}

/// What a number is a part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share {
    /// How many there can be.
    pub of: u64,
    /// How many of a listener's connections were dropped since it was made, where that is told.
    pub drops: Option<u64>,
}

impl Share {
    /// How many percent so many are. Where there can be none, each is a hundred.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn percent(self, count: u64) -> f64 {
        100.0 * count as f64 / self.of.max(1) as f64
    }
}

/// Of two numbers that are one to a person the one that fills more, with the drops of both.
#[must_use]
pub fn fuller(one: (u64, Share), other: (u64, Share)) -> (u64, Share) {
    let percent = |(count, share): (u64, Share)| share.percent(count);
    let (count, share) = if percent(other) > percent(one) { other } else { one };
    let drops = [one.1.drops, other.1.drops].into_iter().flatten();
    (count, Share { drops: drops.reduce(u64::saturating_add), ..share })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_nothing_is_a_hundred_percent_each() {
        let percent = |count, of| Share { of, drops: None }.percent(count);
        for (count, of, expected) in
            [(3, 5, 60.0), (0, 5, 0.0), (6, 5, 120.0), (0, 0, 0.0), (1, 0, 100.0), (1, 1, 100.0)]
        {
            assert!((percent(count, of) - expected).abs() < 1e-9, "{count} of {of}");
        }
    }

    #[test]
    fn what_is_not_of_connections_has_groups_of_its_own() {
        let meaning = |measure: Measure| {
            measure.meaning().map(|Meaning { group_by, status, groups }| (group_by, status, groups))
        };
        let listen = Some(ConnectionStatus::Listen);
        let queues = (GroupBy::LocalEndpoint, listen, "listeners");
        let ports = (GroupBy::RemoteEndpoint, None, "destinations");
        assert_eq!(meaning(Measure::Connections), None);
        assert_eq!(meaning(Measure::AcceptQueue), Some(queues));
        assert_eq!(meaning(Measure::EphemeralPorts), Some(ports));
    }

    #[test]
    fn the_fuller_one_counts_and_every_drop() {
        let part = |count, of, drops| (count, Share { of, drops });
        for (one, other, both) in [
            (part(2, 5, Some(1)), part(1, 100, None), part(2, 5, Some(1))),
            (part(2, 5, Some(1)), part(3, 5, Some(0)), part(3, 5, Some(1))),
            (part(3, 5, Some(1)), part(2, 5, Some(7)), part(3, 5, Some(8))),
            (part(3, 5, None), part(90, 100, None), part(90, 100, None)),
            // Where both fill as much, the one that came first.
            (part(1, 2, None), part(2, 4, None), part(1, 2, None)),
        ] {
            assert_eq!(fuller(one, other), both);
        }
    }
}
