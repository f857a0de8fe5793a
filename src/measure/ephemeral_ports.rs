//! `--measure=ephemeral-ports`: the ports that outgoing connections use towards each destination, and
//! the ports that TCP and UDP sockets have taken from every destination, in percent of all ports that
//! they can get.

use crate::collect::breakdown::{Aspect, Breakdowns};
use crate::collect::Collector;
use crate::collect::ports::{Outgoing, UsedPorts};
use crate::error::Error;
use crate::field::Field;
use crate::format::exposition::Page;
use crate::group::{Group, GroupBy};
use crate::judge::GroupState;
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::{Definition, Implied, Reading, Series};
use crate::measure::share::Share;
use crate::range::Numbers;
use crate::survey::{Facts, Findings, Host};
use crate::vocabulary::Protocol;

/// The protocols with ports to judge. Windows has other ports for UDP, which are not read.
const PROTOCOLS: &[Protocol] =
    if cfg!(windows) { &[Protocol::Tcp] } else { &[Protocol::Tcp, Protocol::Udp] };

pub const DEFINITION: Definition = Definition {
    name: "ephemeral-ports",
    groups: "destinations",
    implied: Some(Implied {
        group_by: GroupBy::RemoteEndpoint,
        protocols: PROTOCOLS,
        statuses: &[],
    }),
    has_groups_by: |kind| kind == GroupBy::RemoteEndpoint,
    refused: &[&[
        Field::GroupBy,
        Field::Zero,
        Field::Stuck,
        Field::Direction,
        Field::Statuses,
        Field::LocalPorts,
    ]],
    unreported: |_| None,
    of_fixture: false,
    reading: Reading::Percent,
    numbers: Numbers { most: 100.0, whole: false },
    of_reference: false,
    collect,
    nothing: |selection| format!("No destinations{} found.", selection.ends()),
    aspect: Aspect::Status,
    thresholds: [None, None],
    series,
};

fn collect(host: &Host, scope: &Scope) -> Result<Counted, Error> {
    let (collected, findings) =
        host.survey(scope.selection, Facts::EPHEMERAL_ONLY, collector(scope))?;
    Ok(finish(collected, findings, scope))
}

/// The collector of ports in use, and of the owners of connections.
pub type Collected = (UsedPorts, Outgoing<Option<Breakdowns>>);

/// The collector of a walk.
#[must_use]
pub fn collector(scope: &Scope) -> Collected {
    (UsedPorts::new(scope.breakdowns()), Outgoing::new(scope.breakdowns()))
}

/// The groups of the destinations that a walk has found, and of the ports of whole namespaces.
#[must_use]
pub fn finish(collected: Collected, findings: Findings, scope: &Scope) -> Counted {
    let (mut used, outgoing) = collected;
    let mut breakdowns = used.take_breakdowns();
    breakdowns.merge(outgoing.into_collected());
    let (mut groups, mut doubtful) = (Vec::new(), Vec::new());
    let share = |of| Share { of, ..Share::default() };
    for (destination, own) in used.by_destination() {
        let Some(facts) = findings.facts.get(&destination.netns) else { continue };
        let ports = facts.ephemeral.as_ref().map(|of| of.of(destination.address.ip()));
        let (taken, of) = ports.map_or((0, 0), |ports| (facts.bound_within(ports), ports.count()));
        groups.push((Group::Endpoint(destination), own + taken, share(of)));
    }
    // The ports of a whole namespace: selected ends have no ports of their own.
    if !scope.selection.is_of_ends() {
        for (netns, facts) in &findings.facts {
            for (protocol, taken) in [
                (Protocol::Tcp, used.taken_of_tcp(*netns, facts)),
                (Protocol::Udp, used.taken_of_udp(*netns, facts)),
            ] {
                let is_selected = scope.selection.types_of(protocol).next().is_some();
                if let Some(taken) = taken.filter(|taken| is_selected && taken.most() > 0) {
                    let group = Group::Ports(protocol, *netns);
                    groups.push((group, taken.certain, share(taken.of)));
                    doubtful.push((group, taken.doubtful));
                }
            }
        }
    }
    doubtful.retain(|(_, ports)| *ports > 0);
    Counted::of_shares(groups.into_iter(), breakdowns, findings).with_doubtful(doubtful)
}

/// Series of the fullest destination and of the number of destinations: there may be too many for a
/// series each.
fn series(page: &mut Page, series: &Series) {
    let fullest = series.found().next();
    let percent = fullest.and_then(|g| Some(g.share?.percent(g.count))).unwrap_or_default();
    let help = "Ports in use towards the fullest destination, as a part of those there are.";
    page.gauge("_ephemeral_ports_used_ratio", help, percent / 100.0);
    let help = "Destinations of outgoing connections.";
    let destinations = series.found().filter(|found| found.group.is_some_and(Group::is_listed));
    page.gauge("_ephemeral_ports_destinations", help, destinations.count());
    let taken = |protocol: Protocol, value: &dyn Fn(&GroupState) -> u64| {
        let of_protocol = |group: &&GroupState| matches!(group.group, Some(Group::Ports(p, _)) if p == protocol);
        let parts = series.groups.iter().filter(of_protocol);
        let parts = parts.filter_map(|group| Some(group.share?.percent(value(group)) / 100.0));
        parts.fold(0.0, f64::max)
    };
    let mut print = |name: &str, help: &str, value: &dyn Fn(&GroupState) -> u64| {
        page.head(name, "gauge", help);
        for protocol in PROTOCOLS {
            page.sample(name, &[("protocol", protocol.name())], taken(*protocol, value));
        }
    };
    let help = "Ports taken from every destination, as a part of those there are.";
    print("_ephemeral_ports_taken_ratio", help, &|group| group.count);
    let help = "The same with ports that one connection uses: a program may have bound each first.";
    print("_ephemeral_ports_maybe_taken_ratio", help, &|group| group.most);
}
