//! The owners and peers of the groups that a report explains, from a dump of its own: the groups are
//! counted and judged by then, and the kernel leaves out the sockets of most others.

use std::collections::HashMap;

use crate::address::{Address, Endpoint};
use crate::collect::breakdown::Breakdowns;
use crate::collect::chosen::Chosen;
use crate::collect::listeners::Attributed;
use crate::error::Error;
use crate::group::{Group, GroupBy, Needs, Owner};
use crate::owner::Names;
use crate::report::Report;
use crate::selection::{Choice, Network, Ports, Selection};
use crate::survey::{Facts, Findings, Host};

/// The most groups whose ports or addresses the kernel filters by. Each port and address is compared with
/// every socket.
const MOST_ENDS: usize = 32;

/// Reads the owners and peers of the groups that a report explains. `groups` has every group that was
/// counted, with the names in `names`, where several groups can have one label.
pub fn read(
    report: &Report,
    groups: &[(Group, u64)],
    names: &Names,
    host: &Host,
) -> Result<(Breakdowns, Findings), Error> {
    let plan = &report.plan;
    let (by, selection) = (plan.group_by(), plan.selection());
    let mut chosen = groups_of(report, groups, names, host);
    let narrowed = narrowed(selection, by, chosen.keys().copied());
    let mut lists = HashMap::new();
    chosen.retain(|group, first| {
        let list = list_of(*group, names);
        lists.extend(list.map(|list| (list, *first)));
        list.is_none()
    });
    let choose = |group: Group| match list_of(group, names) {
        Some(list) => lists.get(&list).copied(),
        None => chosen.get(&group).copied(),
    };
    let breakdowns = Breakdowns::new(by, plan.aspect(), selection.stuck.clone());
    let facts = Facts { directions: by.needs() == Needs::Listeners, ..Facts::PORTS };
    let collector = Attributed::new(Chosen::new(by, &choose, breakdowns));
    let (collector, findings) = host.survey(&narrowed, facts, collector)?;
    Ok((collector.into_collected().into_collected(), findings))
}

/// The groups behind each explained label, with the first of them: several groups may have one label.
fn groups_of(
    report: &Report,
    groups: &[(Group, u64)],
    names: &Names,
    host: &Host,
) -> HashMap<Group, Group> {
    let explained = report.explained();
    let firsts: HashMap<&str, Group> =
        explained.iter().filter_map(|judged| Some((&*judged.label, judged.group?))).collect();
    if !report.plan.group_by().is_merged(host.namespaces.are_several()) {
        return firsts.into_values().map(|group| (group, group)).collect();
    }
    let of_label =
        |(group, _): &(Group, u64)| Some((*group, *firsts.get(&*names.name(*group).label)?));
    groups.iter().filter_map(of_label).collect()
}

/// The number of the list of a group's processes, where the group is that of a socket's key.
fn list_of(group: Group, names: &Names) -> Option<u32> {
    match group.owner()? {
        Owner::Process(key) | Owner::Program(key) => names.list_of(key, &mut 0),
        Owner::User(_) | Owner::Cgroup(_) => None,
    }
}

/// The selection with the types, states, ports or addresses of these groups alone, as far as these follow
/// from the groups. It may have connections of other groups, too.
fn narrowed(selection: &Selection, by: GroupBy, groups: impl Iterator<Item = Group>) -> Selection {
    let (mut types, mut statuses) = (Vec::new(), Vec::new());
    let (mut ports, mut addresses) = (Vec::new(), Vec::new());
    for group in groups {
        match group {
            Group::TypeStatus(t, status) => {
                types.push(t);
                statuses.push(status);
            }
            Group::Type(t) => types.push(t),
            Group::Status(status) => statuses.push(status),
            Group::Kind(kind) => {
                let selected = kind.states().iter().filter(|s| selection.statuses.contains(**s));
                statuses.extend(selected.copied());
            }
            Group::Port(port) => ports.push(Ports::of(port)),
            Group::Address(address) => addresses.push(network(address)),
            Group::Network(network) => addresses.push(network),
            Group::Endpoint(Endpoint { address, port, .. }) => {
                ports.push(Ports::of(port));
                addresses.push(network(address));
            }
            Group::Unix(_)
            | Group::User(_)
            | Group::Cgroup(_)
            | Group::Process(_)
            | Group::Program(_)
            | Group::Netns(_)
            | Group::Direction(_)
            | Group::Limit(_)
            | Group::Ports(..)
            | Group::Host => {}
        }
    }
    let mut narrowed = selection.clone();
    if !types.is_empty() {
        narrowed.types = Choice::of(&types);
    }
    if !statuses.is_empty() {
        narrowed.statuses = Choice::of(&statuses);
    }
    let (of_ports, of_addresses) = match by {
        GroupBy::RemotePort
        | GroupBy::RemoteAddress
        | GroupBy::RemoteNetwork
        | GroupBy::RemoteEndpoint => (&mut narrowed.remote_ports, &mut narrowed.remote_addresses),
        GroupBy::LocalPort
        | GroupBy::LocalAddress
        | GroupBy::LocalNetwork
        | GroupBy::LocalEndpoint
        | GroupBy::Direction
        | GroupBy::TypeStatus
        | GroupBy::Type
        | GroupBy::Status
        | GroupBy::User
        | GroupBy::Unit
        | GroupBy::Process
        | GroupBy::Program
        | GroupBy::Netns
        | GroupBy::Kind
        | GroupBy::Limit => (&mut narrowed.local_ports, &mut narrowed.local_addresses),
    };
    if (1..=MOST_ENDS).contains(&ports.len()) {
        of_ports.any_of = ports;
    }
    // Of a network that is a group, a part may be selected.
    let are_parts = matches!(by, GroupBy::RemoteNetwork | GroupBy::LocalNetwork)
        && !of_addresses.any_of.is_empty();
    if (1..=MOST_ENDS).contains(&addresses.len()) && !are_parts {
        of_addresses.any_of = addresses;
    }
    narrowed
}

fn network(address: Address) -> Network {
    Network::of(address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stuck::StuckKind;
    use crate::vocabulary::{ConnectionStatus, ConnectionType, NetnsIndex};
    use ConnectionStatus::{CloseWait, Established, Listen};
    use ConnectionType::{Tcp, Udp};

    fn endpoint(text: &str) -> Endpoint {
        let end = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        Endpoint::within(end, NetnsIndex::OWN)
    }

    /// The types and states, and the ends, that a selection of all is narrowed to.
    fn of(by: GroupBy, groups: &[Group]) -> (Vec<(ConnectionType, ConnectionStatus)>, String) {
        let narrowed = narrowed(&Selection::default(), by, groups.iter().copied());
        (narrowed.pairs().collect(), narrowed.ends())
    }

    #[test]
    fn a_selection_is_narrowed_to_what_groups_follow_from() {
        let all: Vec<_> = Selection::default().pairs().collect();
        let (one, other) = (endpoint("192.0.2.1:80"), endpoint("[::ffff:192.0.2.2]:81"));
        assert_eq!(
            of(GroupBy::TypeStatus, &[Group::TypeStatus(Tcp, CloseWait)]),
            (vec![(Tcp, CloseWait)], String::new())
        );
        let (pairs, _) = of(GroupBy::Type, &[Group::Type(Udp)]);
        assert!(!pairs.is_empty() && pairs.iter().all(|(t, _)| *t == Udp));
        let (pairs, _) = of(GroupBy::Status, &[Group::Status(Listen)]);
        assert!(!pairs.is_empty() && pairs.iter().all(|(_, status)| *status == Listen));
        let (pairs, _) = of(GroupBy::Kind, &[Group::Kind(StuckKind::Unread)]);
        assert!(pairs.contains(&(Tcp, Established)) && !pairs.contains(&(Tcp, Listen)));
        for (by, groups, ends) in [
            (GroupBy::LocalPort, vec![Group::Port(80)], " at port 80"),
            (GroupBy::RemotePort, vec![Group::Port(80), Group::Port(81)], " to port 80, 81"),
            (GroupBy::RemoteAddress, vec![Group::Address(other.address)], " to 192.0.2.2"),
            (GroupBy::LocalEndpoint, vec![Group::Endpoint(one)], " at 192.0.2.1 port 80"),
            (GroupBy::User, vec![Group::User(Some(7))], ""),
            (GroupBy::LocalPort, (0..33).map(Group::Port).collect(), ""),
        ] {
            assert_eq!(of(by, &groups), (all.clone(), ends.to_owned()), "{groups:?}");
        }
    }
}
