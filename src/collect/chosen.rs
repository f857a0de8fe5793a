//! Owners and peers of some groups alone.

use std::collections::HashSet;

use crate::address::InterfaceIndex;
use crate::collect::breakdown::Breakdowns;
use crate::collect::collector::{Collector, NetnsFacts};
use crate::error::Error;
use crate::group::{Group, GroupBy};
use crate::socket::{Socket, Wanted};
use crate::vocabulary::NetnsIndex;

/// The group that stands for all groups with the same name; `None` for a group that is not chosen.
pub type Choose<'a> = &'a (dyn Fn(Group) -> Option<Group> + Sync);

/// Passes the sockets of chosen groups on to a breakdown.
pub struct Chosen<'a> {
    by: GroupBy,
    choose: Choose<'a>,
    // The group of the last socket, and the answer for it: neighbours often have the same group.
    last: Option<(Group, Option<Group>)>,
    breakdowns: Breakdowns,
}

impl<'a> Chosen<'a> {
    /// Passes the sockets of the groups that `choose` returns on to `breakdowns`.
    pub fn new(by: GroupBy, choose: Choose<'a>, breakdowns: Breakdowns) -> Self {
        Self { by, choose, last: None, breakdowns }
    }

    /// The breakdowns of the chosen groups.
    pub fn into_collected(self) -> Breakdowns {
        self.breakdowns
    }
}

impl Collector for Chosen<'_> {
    fn wanted(&self) -> Wanted {
        self.breakdowns.wanted()
    }

    fn fresh(&self) -> Self {
        Self { last: None, breakdowns: self.breakdowns.fresh(), ..*self }
    }

    fn begin(&mut self, facts: &NetnsFacts) -> Result<(), Error> {
        self.breakdowns.begin(facts)
    }

    fn add(&mut self, netns: NetnsIndex, socket: &impl Socket) -> Result<(), Error> {
        // A connection may be of several kinds.
        if self.by == GroupBy::Kind {
            return self.breakdowns.add(netns, socket);
        }
        let group = self.by.group(netns, socket)?;
        let chosen = match self.last {
            Some((last, chosen)) if last == group => chosen,
            Some(_) | None => (self.choose)(group),
        };
        self.last = Some((group, chosen));
        chosen.map_or(Ok(()), |chosen| self.breakdowns.add_to(chosen, netns, socket))
    }

    fn merge(&mut self, dump: Self) {
        self.breakdowns.merge(dump.breakdowns);
    }

    fn interfaces(&self, found: &mut HashSet<InterfaceIndex>) {
        self.breakdowns.interfaces(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::breakdown::{Aspect, Breakdown};
    use crate::socket::made::Made;
    use crate::vocabulary::{ConnectionStatus, ConnectionType};
    use ConnectionStatus::{CloseWait, Established};
    use ConnectionType::Tcp;

    /// The number of connections of each process, and of each peer.
    fn numbers(sum: &Breakdown) -> (Vec<(Option<u64>, u64)>, Vec<u64>) {
        let of_owner = |owners: &crate::collect::breakdown::Owners| owners.process();
        let owners = sum.owners.iter().map(|(owners, sum)| (of_owner(owners), sum.count));
        let (mut owners, mut peers): (Vec<_>, Vec<_>) =
            (owners.collect(), sum.peers.values().map(|sum| sum.count).collect());
        owners.sort_unstable();
        peers.sort_unstable();
        (owners, peers)
    }

    #[test]
    fn chosen_groups_are_broken_down_by_processes() {
        let socket = |status, key, remote| Made {
            process_key: key,
            ..Made::new(Tcp, status, "192.0.2.1:80", remote)
        };
        // Both states are one group; the others are left out.
        let choose = |group: Group| match group {
            Group::Status(Established | CloseWait) => Some(Group::Status(CloseWait)),
            _ => None,
        };
        let breakdowns = Breakdowns::new(GroupBy::Status, Aspect::Peer, Vec::new());
        let mut all = Chosen::new(GroupBy::Status, &choose, breakdowns);
        for dump in [&[3, 5, 4][..], &[0, 9, 0, 8]] {
            let mut fresh = all.fresh();
            for (key, status) in dump.iter().zip([CloseWait, Established].iter().cycle()) {
                let left_out = socket(ConnectionStatus::Listen, *key, "0.0.0.0:0");
                let made = socket(*status, *key, "192.0.2.2:7");
                for socket in [made, left_out] {
                    fresh.add(NetnsIndex::OWN, &socket).unwrap_or_else(|e| panic!("{e}"));
                }
            }
            all.merge(fresh);
        }
        let sums =
            all.into_collected().sums(1, |group| (group == Group::Status(CloseWait)).then_some(0));
        let mut sums = sums.into_iter();
        let mut sum = sums.next().unwrap_or_default();
        // Keys up to 5 are of one process; the process of 9 is not known.
        sum.by_process(|key, _| match key {
            ..=5 => Some(1),
            8 => Some(2),
            _ => None,
        });
        assert!(sum.sockets.is_empty());
        assert_eq!(
            numbers(&sum),
            (vec![(Some(0), 2), (Some(3), 3), (Some(8), 1), (Some(9), 1)], vec![7])
        );
    }
}
