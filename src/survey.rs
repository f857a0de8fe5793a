//! The survey: a walk that visits each network namespace once. A visit reads the sockets and the
//! listening ports, or the limits. A visit inside the namespace also reads the ephemeral ports and
//! interface names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::slice;
use std::sync::Arc;

use crate::address::{Endpoint, InterfaceNames};
use crate::collect::collector::Missing;
use crate::collect::directions::Directed;
use crate::collect::listeners::{BoundPorts, Listening as FoundListeners};
use crate::collect::ports::UsedPorts;
use crate::collect::{Collector, NetnsFacts};
use crate::deadline::Deadline;
use crate::ephemeral::{EphemeralPorts, PortSet};
use crate::error::Error;
use crate::listeners::Listeners;
use crate::name::Named;
use crate::namespaces::{Namespaces, NetnsCoverage, View};
use crate::netns::Netns;
use crate::selection::{Choice, Network, Ports, Selection, UnixListeners};
use crate::source::{self, Door, Dump};
use crate::vocabulary::{ConnectionStatus, ConnectionType, NetnsIndex, Protocol, SourceName};

const TCP: [ConnectionType; 2] = [ConnectionType::Tcp, ConnectionType::Tcp6];

/// The network namespaces and the source of one run.
pub struct Host<'a> {
    /// The namespaces.
    pub namespaces: Namespaces,
    source: Option<SourceName>,
    /// The time that is left.
    pub deadline: &'a Deadline<'a>,
}

/// The facts that a visit reads besides the selected sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Facts {
    /// The TCP listeners.
    pub listeners: Listening,
    /// The ephemeral ports of TCP.
    pub ephemeral: Ephemeral,
    /// The ephemeral ports of UDP, and the ports of bound sockets without a connection.
    pub taken: bool,
    /// Whether the walk selects only local ports from the lowest to the highest ephemeral port, so that
    /// the kernel can filter the sockets.
    pub only_ephemeral: bool,
    /// The limits.
    pub limits: bool,
    /// Whether no sockets are read.
    pub no_sockets: bool,
    /// Whether collectors get the directions of connections, which takes the listeners, too.
    pub directions: bool,
    /// Whether the walk keeps netlink sockets for [`Host::used_ports`].
    pub doors: bool,
    /// Whether a fact that cannot be read leaves its reason in [`NetnsFacts`], and is no error.
    pub lenient: bool,
}

/// Whether the TCP listeners of a namespace are read before its other sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listening {
    /// They are not.
    #[default]
    Unread,
    /// They are read.
    Read,
    /// They are read, and handed to the collector, so that no listener is read twice.
    Collected,
}

/// Whether the ephemeral ports of a namespace are read, which takes its listeners, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ephemeral {
    /// They are not.
    #[default]
    Unread,
    /// They are read where that is cheap.
    AtHand,
    /// They are read. A namespace that does not show them, or that has none, is an error.
    Required,
}

impl Facts {
    const OF_SOCKETS: Self = Self {
        listeners: Listening::Unread,
        ephemeral: Ephemeral::Unread,
        taken: false,
        only_ephemeral: false,
        limits: false,
        no_sockets: false,
        directions: false,
        doors: false,
        lenient: false,
    };
    /// None.
    pub const NONE: Self = Self::OF_SOCKETS;
    /// The listeners.
    pub const LISTENERS: Self = Self { listeners: Listening::Read, ..Self::OF_SOCKETS };
    /// The listeners and, where reading them is cheap, the ephemeral ports. The walk can be followed by
    /// [`Host::used_ports`].
    pub const PORTS: Self = Self { ephemeral: Ephemeral::AtHand, doors: true, ..Self::LISTENERS };
    /// The facts about ephemeral ports, and no sockets with other ports.
    pub const EPHEMERAL_ONLY: Self = Self {
        ephemeral: Ephemeral::Required,
        taken: true,
        only_ephemeral: true,
        ..Self::LISTENERS
    };
    /// The limits, and no sockets.
    pub const LIMITS: Self = Self { limits: true, no_sockets: true, ..Self::OF_SOCKETS };
    /// The facts of every measure, as far as they can be read, beside all sockets.
    pub const EVERY: Self = Self {
        listeners: Listening::Collected,
        ephemeral: Ephemeral::Required,
        taken: true,
        limits: true,
        lenient: true,
        ..Self::OF_SOCKETS
    };
}

impl Facts {
    /// The facts with the listeners, where the direction of connections is selected or told.
    fn with_listeners_of(self, selection: &Selection) -> Self {
        let are_needed = self.directions || selection.direction.is_some();
        match self.listeners {
            Listening::Unread if are_needed => Self { listeners: Listening::Read, ..self },
            Listening::Unread | Listening::Read | Listening::Collected => self,
        }
    }
}

/// The results of a walk besides the collected sockets.
#[derive(Debug, Default)]
pub struct Findings {
    /// The sources that answered.
    pub sources: Vec<SourceName>,
    /// The numbers of namespaces that were read and skipped.
    pub coverage: NetnsCoverage,
    /// The facts about each namespace that was read.
    pub facts: BTreeMap<NetnsIndex, NetnsFacts>,
    /// The reason why the unix listeners of a namespace were not seen.
    pub unseen_unix: Option<Error>,
    /// The names of the interfaces that the addresses of collected sockets belong to.
    pub interfaces: InterfaceNames,
    // The namespaces that can be read again, each with its netlink socket.
    doors: Vec<(NetnsIndex, Door)>,
}

impl Findings {
    /// The same for another measure of the same walk, without the namespaces that can be read again.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self {
            sources: self.sources.clone(),
            coverage: self.coverage.clone(),
            facts: self.facts.clone(),
            unseen_unix: None,
            interfaces: self.interfaces.clone(),
            doors: Vec::new(),
        }
    }

    /// The listeners of the namespaces, where they were wanted.
    pub fn listeners(&self) -> impl Iterator<Item = &Listeners> {
        self.facts.values().filter_map(|facts| facts.listeners.as_deref())
    }

    /// The ephemeral ports of each namespace where they could be read.
    #[must_use]
    pub fn ephemeral(&self) -> BTreeMap<NetnsIndex, EphemeralPorts> {
        let ports = self.facts.iter();
        ports.filter_map(|(netns, facts)| Some((*netns, facts.ephemeral.clone()?))).collect()
    }
}

/// A visit to one namespace.
struct Visit<'a> {
    netns: NetnsIndex,
    view: &'a View,
    door: Door,
    deadline: &'a Deadline<'a>,
    // The sources to try, the best first.
    chain: &'a [SourceName],
    // The protocols without sockets, by the kernel's counters.
    idle: Vec<Protocol>,
}

impl<'a> Host<'a> {
    /// Finds the requested namespaces.
    pub fn find(
        netns: &[Netns],
        source: Option<SourceName>,
        deadline: &'a Deadline<'a>,
    ) -> Result<Self, Error> {
        Ok(Self { namespaces: Namespaces::find(netns, deadline)?, source, deadline })
    }

    /// The sources to try, the best first. A chosen source has no fallback.
    fn chain(&self) -> &[SourceName] {
        self.source.as_ref().map_or(SourceName::AVAILABLE, slice::from_ref)
    }

    /// Walks through the namespaces and hands their selected sockets to `collector`. Returns the
    /// collector and the other results.
    pub fn survey<C: Collector + Send>(
        &self,
        selection: &Selection,
        wanted: Facts,
        mut collector: C,
    ) -> Result<(C, Findings), Error> {
        let (chain, chosen) = (self.chain(), self.source.is_some());
        let wanted = wanted.with_listeners_of(selection);
        let mut findings = Findings::default();
        // Only procfs can read a namespace through a process.
        let processes = chain.contains(&SourceName::Procfs);
        let coverage =
            self.namespaces.visit(processes, self.deadline, &mut |netns, view, deadline| {
                // Most of the other namespaces lack TCP sockets or UDP sockets. The counters report
                // this without a dump.
                let may_be_idle = !chosen && netns != NetnsIndex::OWN && !wanted.no_sockets;
                let idle = if may_be_idle { source::idle(view) } else { Vec::new() };
                let door = Door::default();
                let visit = Visit { netns, view, door, deadline, chain, idle };
                // A visit through a process can fail half-way. The walk then repeats the visit
                // through another process, so only a complete visit is merged.
                let mut visited =
                    Directed::new(selection.direction, wanted.directions, collector.fresh());
                let are_collected = wanted.listeners == Listening::Collected;
                let mut listeners = are_collected.then(|| visited.fresh());
                let facts = visit.facts(wanted, &mut listeners)?;
                visited.begin(&facts)?;
                if let Some(listeners) = listeners {
                    visited.merge(listeners);
                }
                let mut sources = visit.read(selection, wanted, &facts, &mut visited)?;
                match visit.unix_listeners(selection, &mut visited) {
                    Ok(source) => sources.extend(source),
                    Err(error) if may_be_unseen(&error, selection) => {
                        findings.unseen_unix.get_or_insert(error);
                    }
                    Err(error) => return Err(error),
                }
                findings.interfaces.extend(visit.interface_names(&visited)?);
                collector.merge(visited.into_collected());
                findings.add(visit, wanted, facts, sources);
                Ok(())
            })?;
        findings.coverage = coverage;
        Ok((collector, findings))
    }

    /// Counts the ephemeral ports that connections in any status use towards each destination, beside
    /// all ephemeral ports. The result lacks destinations in namespaces that cannot be read again.
    pub fn used_ports(
        &self,
        destinations: &HashSet<Endpoint>,
        findings: &Findings,
    ) -> Result<HashMap<Endpoint, (u64, u64)>, Error> {
        let selection = Selection {
            types: Choice::of(&TCP),
            remote_addresses: destinations.iter().map(|to| Network::of(to.address.ip())).collect(),
            remote_ports: destinations.iter().map(|to| Ports::of(to.port)).collect(),
            ..Selection::default()
        };
        let mut known = HashMap::new();
        for (netns, door) in &findings.doors {
            let asked: Vec<_> = destinations.iter().filter(|to| to.netns == *netns).collect();
            let facts = findings.facts.get(netns).filter(|_| !asked.is_empty());
            let Some((facts, ports)) = facts.and_then(|f| Some((f, f.ephemeral.as_ref()?))) else {
                continue;
            };
            let chain = match *netns {
                NetnsIndex::OWN => self.chain(),
                _ if door.is_open() => &[SourceName::Netlink],
                _ => continue,
            };
            let mut used = UsedPorts::default();
            used.begin(facts)?;
            let (view, deadline) = (&View::Inside, self.deadline);
            let (netns, selection, protocol) = (*netns, &selection, Protocol::Tcp);
            let dump = Dump { protocol, selection, netns, view, door, deadline };
            source::collect(&dump, chain, &mut used)?;
            let used = used.by_destination();
            known.extend(asked.into_iter().map(|to| {
                let used = used.get(to).copied().unwrap_or(0);
                (*to, (used, ports.of(to.address.ip()).count()))
            }));
        }
        Ok(known)
    }

    /// Reads the ephemeral ports of this thread's namespace, if the walk has left them out as too
    /// slow to read. The read gets half of the remaining time; after that the ports stay unknown.
    pub fn read_ephemeral(&self, findings: &mut Findings) -> Result<(), Error> {
        if source::PORTS_ARE_AT_HAND {
            return Ok(());
        }
        let patience = self.deadline.sooner(self.deadline.remaining()? / 2);
        let ranges = match source::ephemeral_ports(&View::Inside, &patience) {
            Err(Error::Timeout(_)) => return self.deadline.check(),
            ranges => ranges?,
        };
        if let Some(facts) = findings.facts.get_mut(&NetnsIndex::OWN) {
            let listeners = facts.listeners.clone().unwrap_or_default();
            let of_ranges = |ranges| EphemeralPorts::of_ranges(&ranges, &listeners.ports);
            facts.ephemeral = ranges.map(of_ranges);
        }
        Ok(())
    }
}

/// Whether a run goes on without the unix listeners.
fn may_be_unseen(error: &Error, selection: &Selection) -> bool {
    selection.unix == UnixListeners::WherePossible && !error.is_final()
}

impl Visit<'_> {
    fn dump<'a>(&'a self, protocol: Protocol, selection: &'a Selection) -> Dump<'a> {
        let Self { netns, view, door, deadline, .. } = self;
        Dump { protocol, selection, netns: *netns, view, door, deadline }
    }

    /// The facts about the namespace. Listeners are also handed to a collector, if there is one.
    fn facts<C: Collector>(
        &self,
        wanted: Facts,
        collector: &mut Option<C>,
    ) -> Result<NetnsFacts, Error> {
        let mut facts = NetnsFacts::default();
        if wanted.limits {
            match source::netns_limits(self.netns, self.view, self.deadline) {
                Ok(limits) => facts.limits = Some(limits),
                Err(error) if wanted.lenient && error.is_of_a_part() => {
                    facts.no_limits = Some(Missing::of(&error));
                }
                Err(error) => return Err(error),
            }
        }
        if wanted.listeners != Listening::Unread {
            match self.ports(wanted, collector, &mut facts) {
                Err(error) if wanted.lenient && error.is_of_a_part() => {
                    facts.no_ports = Some(Missing::of(&error));
                }
                read => read?,
            }
        }
        Ok(facts)
    }

    /// Adds the facts about the listeners and the ports.
    fn ports<C: Collector>(
        &self,
        wanted: Facts,
        collector: &mut Option<C>,
        facts: &mut NetnsFacts,
    ) -> Result<(), Error> {
        let (listeners, source) = self.listeners(collector)?;
        let listeners = facts.listeners.insert(Arc::new(listeners));
        let by_netlink = source == Some(SourceName::Netlink);
        let ranges = || source::ephemeral_ports(self.view, self.deadline);
        let ranges = match wanted.ephemeral {
            Ephemeral::AtHand if source::PORTS_ARE_AT_HAND => match ranges() {
                Err(error) if error.is_final() => return Err(error),
                ranges => ranges.ok().flatten(),
            },
            Ephemeral::Unread | Ephemeral::AtHand => None,
            Ephemeral::Required => ranges()?,
        };
        let of_tcp = |ranges| EphemeralPorts::of_ranges(ranges, &listeners.ports);
        let ephemeral = ranges.as_ref().map(of_tcp);
        match (wanted.ephemeral, &ephemeral) {
            (Ephemeral::Required, None) => {
                return Err(Error::Unsupported(source::PORTS_UNTOLD.to_owned()));
            }
            (Ephemeral::Required, Some(ports)) if ports.both().any(|ports| ports.count() == 0) => {
                return Err(Error::Unsupported(source::NO_PORTS.to_owned()));
            }
            (Ephemeral::Unread | Ephemeral::AtHand | Ephemeral::Required, _) => {}
        }
        if wanted.taken {
            let of_udp = |ranges| EphemeralPorts::of_ranges(ranges, &HashSet::new());
            facts.bound = self.bound_ports(ephemeral.as_ref(), by_netlink)?;
            facts.udp_ports = ranges.as_ref().map(of_udp);
        }
        facts.ephemeral = ephemeral;
        Ok(())
    }

    /// The ports of TCP sockets that are bound and have no connection; `None` where they cannot be
    /// read.
    fn bound_ports(
        &self,
        ports: Option<&EphemeralPorts>,
        by_netlink: bool,
    ) -> Result<Option<Arc<PortSet>>, Error> {
        let mut bound = BoundPorts::default();
        let is_read = self.bound_sockets(ports, by_netlink, &mut bound)?;
        Ok(is_read.then(|| Arc::new(bound.0)))
    }

    /// Hands the TCP sockets that are bound to an ephemeral port, and have no connection, to
    /// `collector`. Returns whether they can be read.
    fn bound_sockets<C: Collector>(
        &self,
        ports: Option<&EphemeralPorts>,
        by_netlink: bool,
        collector: &mut C,
    ) -> Result<bool, Error> {
        let Some(ports) = ports.and_then(EphemeralPorts::span) else { return Ok(false) };
        let selection = Selection::default();
        let dump = self.dump(Protocol::Tcp, &selection);
        source::bound_sockets(ports, &dump, self.chain, by_netlink, collector)
    }

    /// The TCP listeners, and the source that has answered. They are also handed to a collector, if
    /// there is one.
    fn listeners<C: Collector>(
        &self,
        collector: &mut Option<C>,
    ) -> Result<(Listeners, Option<SourceName>), Error> {
        let mut listening = (FoundListeners::default(), collector.take());
        let mut source = None;
        if !self.idle.contains(&Protocol::Tcp) {
            let selection = Selection {
                types: Choice::of(&TCP),
                statuses: Choice::of(&[ConnectionStatus::Listen]),
                ..Selection::default()
            };
            let dump = self.dump(Protocol::Tcp, &selection);
            source = Some(source::collect(&dump, self.chain, &mut listening)?);
        }
        let (listening, collected) = listening;
        *collector = collected;
        Ok((Listeners::new(self.netns, &listening.0), source))
    }

    /// Hands the selected sockets to `collector`; returns the sources that answered.
    fn read<C: Collector>(
        &self,
        selection: &Selection,
        wanted: Facts,
        facts: &NetnsFacts,
        collector: &mut C,
    ) -> Result<Vec<SourceName>, Error> {
        let mut sources: Vec<_> = wanted.limits.then_some(SourceName::Procfs).into_iter().collect();
        if wanted.no_sockets {
            return Ok(sources);
        }
        let mut narrowed = selection.clone();
        if let Some(ports) = facts.udp_ports.as_ref().filter(|_| wanted.only_ephemeral) {
            narrowed.local_ports = ports.span().into_iter().collect();
        }
        let are_collected = wanted.listeners == Listening::Collected && facts.listeners.is_some();
        let mut others = narrowed.clone();
        if are_collected {
            let statuses = ConnectionStatus::VALUES.iter().copied();
            let is_other = |s: &ConnectionStatus| {
                *s != ConnectionStatus::Listen && selection.statuses.contains(*s)
            };
            others.statuses = Choice::of(&statuses.filter(is_other).collect::<Vec<_>>());
        }
        // Their owners, where there are any.
        if facts.bound.as_ref().is_some_and(|bound| bound.count() > 0) {
            self.bound_sockets(facts.ephemeral.as_ref(), true, collector)?;
        }
        for protocol in Protocol::ALL {
            if narrowed.types_of(protocol).next().is_none() {
                continue;
            }
            if self.idle.contains(&protocol) {
                sources.push(SourceName::Counters);
                continue;
            }
            let selection = if protocol == Protocol::Tcp { &others } else { &narrowed };
            match source::collect(&self.dump(protocol, selection), self.chain, collector) {
                Ok(source) => sources.push(source),
                Err(error)
                    if error.is_of_a_part() && collector.goes_on_without(protocol, &error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sources)
    }

    /// Hands the unix listeners to `collector`, where they are selected; returns the source.
    fn unix_listeners<C: Collector>(
        &self,
        selection: &Selection,
        collector: &mut C,
    ) -> Result<Option<SourceName>, Error> {
        let Self { netns, view, door, deadline, .. } = self;
        match selection.unix {
            UnixListeners::Unread => Ok(None),
            UnixListeners::WherePossible | UnixListeners::Required => {
                let read = source::unix_listeners(*netns, view, door, deadline, collector);
                read.map(|()| Some(SourceName::Netlink))
            }
        }
    }

    /// Looks up the names of the interfaces that collected addresses belong to. The names can be
    /// read only inside the namespace.
    fn interface_names(&self, collector: &impl Collector) -> Result<InterfaceNames, Error> {
        match self.view {
            View::Inside => {
                let mut interfaces = HashSet::new();
                collector.interfaces(&mut interfaces);
                source::interface_names(interfaces, self.deadline)
            }
            View::Process { .. } => Ok(InterfaceNames::new()),
        }
    }
}

impl Findings {
    /// Adds the results of a complete visit.
    fn add(&mut self, visit: Visit, wanted: Facts, facts: NetnsFacts, sources: Vec<SourceName>) {
        for source in sources {
            if !self.sources.contains(&source) {
                self.sources.push(source);
            }
        }
        // Others may make many namespaces. One without TCP sockets has no listeners and no
        // destinations. The limits are in the collector.
        let has_bound = facts.bound.as_ref().is_some_and(|bound| bound.count() > 0);
        let is_idle = |protocol| visit.idle.contains(&protocol);
        let wants_udp = facts.udp_ports.is_some() && !is_idle(Protocol::Udp);
        let has_sockets = !is_idle(Protocol::Tcp) || has_bound || wants_udp;
        if has_sockets && !wanted.no_sockets {
            self.facts.insert(visit.netns, facts);
        }
        // This thread stays in its own namespace, which needs no open door.
        let may_be_asked_again = wanted.doors
            && (visit.netns == NetnsIndex::OWN
                || visit.door.is_open() && self.doors.len() < source::most_doors());
        if may_be_asked_again {
            self.doors.push((visit.netns, visit.door));
        }
    }
}
