//! The way of a check, from top to bottom. Only here are sources and owners asked.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::address::Endpoint;
use crate::check::{Check, Query};
use crate::collect::Collector;
use crate::collect::connections::{Connection, Connections};
use crate::collect::counts::{CountMap, Grid, PortTable, ProcessKeys, Recorded, Table};
use crate::collect::details::Details;
use crate::collect::ports::{
    ByFamily, Ephemeral, EphemeralPorts, LocalPorts, Outgoing, PortRange, UsedPorts, span,
};
use crate::collect::queues::{Queue, Queues};
use crate::deadline::Deadline;
use crate::details::{self, Detail};
use crate::error::Error;
use crate::group::{Group, GroupBy, Kind};
use crate::judge::state::State;
use crate::judge::threshold::{KeyContext, ThresholdSpec};
use crate::judge::{GroupState, Thresholds};
use crate::measure::{Measure, Share};
use crate::named_group::{NamedGroup, named_groups};
use crate::namespaces::{Namespaces, NetnsCoverage};
use crate::owner::{self, Names, Need};
use crate::report::Report;
use crate::selection::{Choice, Network, Ports, Selection};
use crate::source::{self, Provenance};
use crate::vocabulary::{ConnectionStatus, ConnectionType, NetnsIndex, SourceName};

/// Counts this host's connections and judges them. `interrupted` says whether the caller wants to
/// stop.
pub fn check(check: Check, interrupted: &dyn Fn() -> bool) -> Result<Report, Error> {
    let start = Instant::now();
    let deadline = Deadline::new(check.query.timeout, interrupted);
    let limits = limits(&check, true, &deadline)?;
    let host = Host::of(&check.query, check.presentation.lengthy, &deadline)?;
    let every_holder = limits.ask_for_owners();
    let counted = host.measure(&check.query, check.presentation.lengthy, every_holder)?;
    let mut report = report(check, &limits, counted, &host.namespaces, &deadline)?;
    // What takes more than the dump is asked for where something is wrong.
    let asked = source::PORTS_ARE_AT_HAND || report.state() != State::Ok;
    if report.check.presentation.lengthy && asked {
        host.fill_in_ports(&mut report.details)?;
    }
    report.duration = start.elapsed();
    Ok(report)
}

/// Judges the connections of a fixture.
pub fn fixture(
    check: Check,
    text: impl Read,
    interrupted: &dyn Fn() -> bool,
) -> Result<Report, Error> {
    let start = Instant::now();
    let deadline = Deadline::new(check.query.timeout, interrupted);
    let limits = limits(&check, false, &deadline)?;
    let by = check.query.group_by;
    if by == GroupBy::Netns {
        return Err(Error::Fixture("Fixture has no network namespaces".to_owned()));
    }
    if check.query.measure != Measure::Connections {
        return Err(Error::Fixture(
            "Fixture has connections, which are all it can tell".to_owned(),
        ));
    }
    let details = check.presentation.lengthy.then(|| Details::new(by, None));
    let mut collected = (Recorded::new(by), details);
    source::fixture::read(text, &check.query.selection, &deadline, &mut collected)?;
    let (table, details) = collected;
    let source = "fixture".to_owned();
    let counted = Counted { groups: table.groups(), details, source, ..Counted::default() };
    let mut report = report(check, &limits, counted, &Namespaces::default(), &deadline)?;
    report.duration = start.elapsed();
    Ok(report)
}

/// Counts this host's connections per group, the largest first.
pub fn counts(query: &Query, interrupted: &dyn Fn() -> bool) -> Result<Vec<NamedGroup>, Error> {
    let deadline = Deadline::new(query.timeout, interrupted);
    let host = Host::of(query, false, &deadline)?;
    let counted = host.count(query, None, false)?;
    let groups = with_zeros(query, counted.groups);
    let need = Need { units: true, every_holder: true };
    let known = Some(&counted.names);
    let names = Names::look_up(keys(&groups), need, known, &host.namespaces, &deadline)?;
    let merged = query.group_by.is_merged(host.namespaces.are_several());
    Ok(named_groups(merged, groups, &|_| None, &names))
}

/// The selected connections themselves, in the kernel's order. `processes` asks for the processes
/// that have them too, which reads all of `/proc/PID/fd`.
pub fn connections(
    query: &Query,
    processes: bool,
    interrupted: &dyn Fn() -> bool,
) -> Result<Vec<Connection>, Error> {
    let deadline = Deadline::new(query.timeout, interrupted);
    let host = Host::of(query, true, &deadline)?;
    let (connections, _) = host.collect(&query.selection, Connections::default())?;
    let owners = connections.owners(processes, !query.netns.is_empty());
    let need = Need { units: false, every_holder: true };
    let names = Names::look_up(owners, need, None, &host.namespaces, &deadline)?;
    Ok(connections.named(processes, &names))
}

/// What the thresholds mean here; `live` where it is this system that is asked.
fn limits(check: &Check, live: bool, deadline: &Deadline) -> Result<Thresholds, Error> {
    let Query { measure, group_by: by, selection, netns, .. } = &check.query;
    let user_id = |name: &str| owner::user_id(name, deadline);
    let netns = !netns.is_empty();
    let place =
        KeyContext { measure: *measure, netns, by: *by, selection, live, user_id: &user_id };
    let resolved = |thresholds: &Option<ThresholdSpec>| {
        thresholds.as_ref().map(|thresholds| thresholds.resolved(&place)).transpose()
    };
    // Where both are wrong the critical one is named.
    let critical = resolved(&check.policy.critical)?;
    Ok(Thresholds { critical, warning: resolved(&check.policy.warning)? })
}

/// What a dump gave.
#[derive(Default)]
struct Counted {
    groups: Vec<(Group, u64)>,
    // What the numbers are parts of, where they are.
    shares: HashMap<Group, Share>,
    details: Option<Details>,
    // Of owners that had to be known to count by them.
    names: Names,
    source: String,
    coverage: NetnsCoverage,
}

impl Counted {
    /// What was counted where numbers are parts of others.
    fn parts(
        parts: impl Iterator<Item = (Group, u64, Share)>,
        details: Option<Details>,
        answer: &Provenance,
    ) -> Self {
        let (mut groups, mut shares) = (Vec::new(), HashMap::new());
        for (group, count, share) in parts {
            groups.push((group, count));
            shares.insert(group, share);
        }
        // Equal ones in an order of their own, not that of a map.
        groups.sort_unstable_by_key(|(group, _)| *group);
        Self { groups, shares, details, ..Self::of(answer) }
    }

    /// Nothing yet, by whom it is told.
    fn of(Provenance { sources, coverage }: &Provenance) -> Self {
        Self { source: SourceName::join(sources), coverage: *coverage, ..Self::default() }
    }
}

/// What is asked for and a source never tells.
fn untold(query: &Query, details: bool, source: SourceName) -> Option<&'static str> {
    let Query { measure, group_by, selection, .. } = query;
    match source {
        SourceName::Procfs | SourceName::Netstat2 if *group_by == GroupBy::Unit => {
            Some("the units")
        }
        SourceName::Procfs | SourceName::Netstat2 if *measure == Measure::AcceptQueue => {
            Some("the queue limits")
        }
        SourceName::Netlink | SourceName::Procfs | SourceName::Netstat2 => None,
        SourceName::Counters => {
            let counted = group_by.is_fixed() || *group_by == GroupBy::Netns;
            let more = details || !counted || selection.is_of_ends();
            more.then_some("ports, addresses and owners")
        }
    }
}

/// This host as it is asked: which of its namespaces, and by which source.
struct Host<'a> {
    namespaces: Namespaces,
    source: Option<SourceName>,
    deadline: &'a Deadline<'a>,
    // The local ports that somebody listens on, once they were asked for.
    listening: OnceCell<HashSet<(NetnsIndex, u16)>>,
}

impl<'a> Host<'a> {
    /// `details` are what no group tells: who has connections, and where they lead.
    fn of(query: &Query, details: bool, deadline: &'a Deadline<'a>) -> Result<Self, Error> {
        // Also where no connection is there to show it.
        if let Some(source) = query.source
            && let Some(what) = untold(query, details, source)
        {
            let tells = |source: &&SourceName| untold(query, details, **source).is_none();
            let telling: Vec<_> = SourceName::CHOICES.iter().filter(tells).copied().collect();
            let valid = if telling.is_empty() {
                String::new()
            } else {
                format!(" (valid: auto, {})", SourceName::join(&telling))
            };
            return Err(Error::Unsupported(format!(
                "The source {source} does not tell {what} of sockets{valid}"
            )));
        }
        let namespaces = Namespaces::find(&query.netns, deadline)?;
        Ok(Self { namespaces, source: query.source, deadline, listening: OnceCell::new() })
    }

    /// Measures what is asked for, with what `--lengthy` tells of it.
    fn measure(&self, query: &Query, lengthy: bool, every_holder: bool) -> Result<Counted, Error> {
        match query.measure {
            Measure::Connections => {
                let listening = lengthy.then(|| self.listening()).transpose()?.cloned();
                let details =
                    listening.map(|listening| Details::new(query.group_by, Some(listening)));
                self.count(query, details, every_holder)
            }
            Measure::AcceptQueue => {
                let details = lengthy.then(|| Details::by_queue(query.group_by));
                let ((Queues(queues), details), answer) =
                    self.collect(&query.selection, (Queues::default(), details))?;
                let queue = |(endpoint, queue): (Endpoint, Queue)| {
                    (Group::Endpoint(endpoint), queue.waiting, queue.share)
                };
                Ok(Counted::parts(queues.into_iter().map(queue), details, &answer))
            }
            Measure::EphemeralPorts => {
                let ports = self.ephemeral_ports(self.deadline)?;
                for net in self.namespaces.numbers() {
                    let Some(ports) = ports.get(&net) else {
                        return Err(Error::Unsupported(source::PORTS_UNTOLD.to_owned()));
                    };
                    if ports.both().any(|ports| ports.count() == 0) {
                        return Err(Error::Unsupported(source::NO_PORTS.to_owned()));
                    }
                }
                let details = lengthy.then(|| Details::by_status(query.group_by));
                // What comes in is mostly left out by the kernel.
                let local_ports = span(&ports).into_iter().collect();
                let selection = Selection { local_ports, ..query.selection.clone() };
                let outgoing = Outgoing::new(ports.clone(), (UsedPorts::default(), details));
                let (outgoing, answer) = self.collect(&selection, outgoing)?;
                let (used, details) = outgoing.collected();
                let used = used.by_destination().into_iter().map(|(destination, used)| {
                    let of = ports.get(&destination.net).map(|of| of.of(destination.address.ip()));
                    let of = of.map_or(0, |ports| ports.count());
                    (Group::Endpoint(destination), used, Share { of, drops: None })
                });
                Ok(Counted::parts(used, details, &answer))
            }
        }
    }

    /// The ports that each namespace can give to outgoing connections, where it tells.
    fn ephemeral_ports(&self, deadline: &Deadline) -> Result<EphemeralPorts, Error> {
        let listening = self.listening()?;
        let ranges = source::ephemeral_ports(&self.namespaces, deadline)?;
        let ports = ranges.into_iter().map(|(net, ByFamily { ipv4, ipv6 })| {
            let ports = |range: &PortRange| {
                Arc::new(Ephemeral::new(range, |port| listening.contains(&(net, port))))
            };
            let of_ipv4 = ports(&ipv4);
            let of_ipv6 = if ipv4 == ipv6 { Arc::clone(&of_ipv4) } else { ports(&ipv6) };
            (net, ByFamily { ipv4: of_ipv4, ipv6: of_ipv6 })
        });
        Ok(Arc::new(ports.collect()))
    }

    /// Counts the selected connections in the table that suits their groups.
    fn count(
        &self,
        query: &Query,
        details: Option<Details>,
        every_holder: bool,
    ) -> Result<Counted, Error> {
        fn by<T: Table + Send>(
            host: &Host,
            table: T,
            query: &Query,
            details: Option<Details>,
        ) -> Result<Counted, Error> {
            let ((table, details), answer) = host.collect(&query.selection, (table, details))?;
            Ok(Counted { groups: table.groups(), details, ..Counted::of(&answer) })
        }
        match query.group_by.kind() {
            Kind::Fixed(group) => by(self, Grid::new(group), query, details),
            Kind::Port(end) => by(self, PortTable::new(end), query, details),
            Kind::Open => by(self, CountMap::new(query.group_by), query, details),
            Kind::Socket => {
                let ((table, details), answer) =
                    self.collect(&query.selection, (ProcessKeys::default(), details))?;
                let ProcessKeys { mut keys, without, cgroups, .. } = table;
                keys.sort_unstable();
                let cgroups = if every_holder { HashSet::new() } else { cgroups };
                let names = Names::of_processes(keys.clone(), cgroups, self.deadline)?;
                let mut groups = names.by_process(&keys);
                groups.extend((without > 0).then_some((Group::Process(0), without)));
                Ok(Counted { groups, details, names, ..Counted::of(&answer) })
            }
        }
    }

    /// What a collector collects of the selected connections, and who answered.
    fn collect<C: Collector + Send>(
        &self,
        selection: &Selection,
        mut collector: C,
    ) -> Result<(C, Provenance), Error> {
        let Self { namespaces, source, deadline, .. } = self;
        let answer = source::collect(selection, *source, namespaces, deadline, &mut collector)?;
        Ok((collector, answer))
    }

    /// The local ports that somebody listens on.
    fn listening(&self) -> Result<&HashSet<(NetnsIndex, u16)>, Error> {
        if let Some(listening) = self.listening.get() {
            return Ok(listening);
        }
        let selection = Selection {
            types: Choice::of(&TCP),
            statuses: Choice::of(&[ConnectionStatus::Listen]),
            ..Selection::default()
        };
        let (LocalPorts(ports), _) = self.collect(&selection, LocalPorts::default())?;
        Ok(self.listening.get_or_init(|| ports))
    }

    /// Fills in how much of the ephemeral port range is in use towards the peers that are shown.
    ///
    /// That takes another, filtered dump: what is in use is in use in whatever state, and a table may
    /// be of one state alone.
    fn fill_in_ports(&self, details: &mut [Detail]) -> Result<(), Error> {
        let destinations: HashSet<_> = details.iter().flat_map(Detail::destinations).collect();
        if destinations.is_empty() {
            return Ok(());
        }
        // An alert is worth more than what is told of it.
        let patience = self.deadline.sooner(self.deadline.remaining()? / 2);
        let ports = match self.ephemeral_ports(&patience) {
            Err(Error::Timeout(_)) => return self.deadline.check(),
            ports => ports?,
        };
        let selection = Selection {
            types: Choice::of(&TCP),
            remote_addresses: destinations.iter().map(|to| Network::of(to.address.ip())).collect(),
            remote_ports: destinations.iter().map(|to| Ports::of(to.port)).collect(),
            ..Selection::default()
        };
        let used = Outgoing::new(ports.clone(), UsedPorts::default());
        let (used, _) = self.collect(&selection, used)?;
        let used = used.collected().by_destination();
        for detail in details {
            detail.fill_in(&used, &ports);
        }
        Ok(())
    }
}

/// Names, labels, judges and explains what was counted.
fn report(
    check: Check,
    limits: &Thresholds,
    counted: Counted,
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<Report, Error> {
    let groups = with_zeros(&check.query, counted.groups);
    let need = Need { units: true, every_holder: true };
    let known = Some(&counted.names);
    let names = Names::look_up(keys(&groups), need, known, namespaces, deadline)?;
    let merged = check.query.group_by.is_merged(namespaces.are_several());
    let share = |group| counted.shares.get(&group).copied();
    let named = named_groups(merged, groups, &share, &names);
    let total = named.iter().map(|labelled| labelled.count).sum();
    let more = counted.coverage.skipped > 0;
    let fullest = named.first().filter(|labelled| labelled.share.is_some());
    let holding = fullest.map(|fullest| limits.of(fullest)).unwrap_or_default();
    let groups = limits.judge(named, more);
    let unclear = groups.iter().any(|judged| judged.state == State::Unknown);
    let mut report = Report {
        unseen: unclear.then(|| owner::unseen(check.query.group_by)).flatten(),
        check,
        groups,
        total,
        total_state: limits.judge_total(total, more),
        limits: holding,
        details: Vec::new(),
        source: counted.source,
        coverage: counted.coverage,
        duration: Duration::ZERO,
    };
    if let Some(details) = counted.details {
        report.details = explained(&report, details, &names, namespaces, deadline)?;
    }
    Ok(report)
}

/// The groups that were found and, where they are asked for, those without connections.
fn with_zeros(query: &Query, mut groups: Vec<(Group, u64)>) -> Vec<(Group, u64)> {
    if query.zero {
        let mut missing = query.group_by.expected(&query.selection);
        missing.retain(|group| groups.iter().all(|(found, _)| found != group));
        groups.extend(missing.into_iter().map(|group| (group, 0)));
    }
    groups
}

fn keys(groups: &[(Group, u64)]) -> impl Iterator<Item = Group> {
    groups.iter().map(|(group, _)| *group)
}

/// What the groups that matter consist of. `names` has the labels of groups.
fn explained(
    report: &Report,
    details: Details,
    names: &Names,
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<Vec<Detail>, Error> {
    let explained = report.explained();
    let places: HashMap<&str, usize> = explained
        .iter()
        .enumerate()
        .map(|(place, judged)| (judged.label.as_str(), place))
        .collect();
    let parts =
        details.parts(explained.len(), |group| places.get(names.label(group).as_str()).copied());
    // Where there is one namespace only, nobody asks which.
    let shown = |group: &Group| namespaces.are_several() || !matches!(group, Group::Netns(_));
    let groups = details::groups(&parts).filter(shown);
    let need = Need { units: false, every_holder: false };
    let names = Names::look_up(groups, need, Some(names), namespaces, deadline)?;
    let detail =
        |(judged, parts): (&GroupState, _)| Detail::new(judged.label.clone(), parts, &names);
    Ok(explained.into_iter().zip(parts).map(detail).collect())
}

const TCP: [ConnectionType; 2] = [ConnectionType::Tcp, ConnectionType::Tcp6];
