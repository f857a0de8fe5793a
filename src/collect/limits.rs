//! Collects the fullest of each limit over all network namespaces.

use std::collections::{BTreeMap, BTreeSet};

use crate::collect::collector::{Collector, NetnsFacts};
use crate::error::Error;
use crate::host_limit::{HostLimit, NetnsLimits, Use};
use crate::measure::share::Share;
use crate::socket::Socket;
use crate::vocabulary::NetnsIndex;

/// The use of a limit in the namespace where it is fullest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fullest {
    /// The number in use.
    pub used: u64,
    /// The limit.
    pub share: Share,
    /// The namespace.
    pub netns: NetnsIndex,
}

/// The fullest of each limit.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// The limits with a number in use.
    pub fullest: BTreeMap<HostLimit, Fullest>,
    // The limits that some namespace does not show.
    unseen: BTreeSet<HostLimit>,
}

impl Limits {
    /// Adds the use of limits.
    pub fn add_limits(&mut self, limits: &NetnsLimits) {
        let netns = limits.netns;
        for (limit, used) in &limits.uses {
            match *used {
                Use::Of { used, of } => {
                    let share = Share { of, strict: true, ..Share::default() };
                    self.add_fullest(*limit, Fullest { used, share, netns });
                }
                Use::Unlimited => {}
                Use::Unseen => {
                    self.unseen.insert(*limit);
                }
            }
        }
    }

    fn add_fullest(&mut self, limit: HostLimit, other: Fullest) {
        let percent = |one: &Fullest| one.share.percent(one.used);
        let kept = self.fullest.entry(limit).or_insert(other);
        if percent(&other) > percent(kept) {
            *kept = other;
        }
    }

    /// The limits that are not shown: of the host in no namespace, or of a namespace in some.
    #[must_use]
    pub fn unseen(&self) -> Vec<HostLimit> {
        let is_unseen =
            |limit: &&HostLimit| limit.is_of_namespace() || !self.fullest.contains_key(limit);
        self.unseen.iter().filter(is_unseen).copied().collect()
    }
}

impl Collector for Limits {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        if let Some(limits) = &facts.limits {
            self.add_limits(limits);
        }
        Ok(())
    }

    fn add(&mut self, _: NetnsIndex, _: &impl Socket) -> Result<(), Error> {
        Ok(())
    }

    fn merge(&mut self, dump: Self) {
        for (limit, fullest) in dump.fullest {
            self.add_fullest(limit, fullest);
        }
        self.unseen.extend(dump.unseen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_namespace_counts_and_a_limit_of_the_host_is_shown_by_one() {
        let shown = |number, uses: &[(HostLimit, Use)]| {
            let limits = NetnsLimits { netns: NetnsIndex(number), uses: uses.to_vec() };
            let mut one = Limits::default();
            let facts = NetnsFacts { limits: Some(limits), ..NetnsFacts::default() };
            one.begin(&facts).unwrap_or_else(|e| panic!("{e}"));
            one
        };
        let of = |used, of| Use::Of { used, of };
        let mut all = Limits::default();
        for one in [
            shown(0, &[(HostLimit::TimeWait, of(5, 10)), (HostLimit::Orphans, Use::Unseen)]),
            shown(1, &[(HostLimit::TimeWait, of(80, 100)), (HostLimit::Orphans, of(1, 8))]),
            shown(2, &[(HostLimit::TimeWait, of(90, 200)), (HostLimit::Files, Use::Unlimited)]),
            shown(3, &[(HostLimit::TcpMemory, Use::Unseen), (HostLimit::TimeWait, Use::Unseen)]),
        ] {
            all.merge(one);
        }
        let found = |limit| all.fullest.get(&limit).map(|one| (one.used, one.netns.0));
        assert_eq!(found(HostLimit::TimeWait), Some((80, 1)));
        assert_eq!(found(HostLimit::Orphans), Some((1, 1)));
        assert_eq!((found(HostLimit::Files), found(HostLimit::TcpMemory)), (None, None));
        assert_eq!(all.unseen(), [HostLimit::TcpMemory, HostLimit::TimeWait]);
        // Of two namespaces that allow nothing, the one that has something is fuller.
        let mut all = shown(1, &[(HostLimit::TimeWait, of(0, 0))]);
        assert_eq!(
            all.fullest.get(&HostLimit::TimeWait).map(|one| one.share.percent(0)),
            Some(100.0)
        );
        all.merge(shown(2, &[(HostLimit::TimeWait, of(1, 0))]));
        assert_eq!(all.fullest.get(&HostLimit::TimeWait).map(|one| one.netns.0), Some(2));
    }
}
