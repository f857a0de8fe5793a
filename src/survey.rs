//! One walk through the network namespaces. Each namespace is visited once, and the visit reads
//! everything that only the inside of the namespace shows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::slice;
use std::sync::Arc;

use crate::address::{Endpoint, InterfaceNames};
use crate::collect::ports::{LocalPorts, Outgoing, UsedPorts};
use crate::collect::{Collector, NetnsFacts};
use crate::deadline::Deadline;
use crate::ephemeral::EphemeralPorts;
use crate::error::Error;
use crate::namespaces::{Namespaces, NetnsCoverage, View};
use crate::netns::Netns;
use crate::selection::{Choice, Network, Ports, Selection};
use crate::source::{self, Door, Dump};
use crate::vocabulary::{ConnectionStatus, ConnectionType, NetnsIndex, Protocol, SourceName};

const TCP: [ConnectionType; 2] = [ConnectionType::Tcp, ConnectionType::Tcp6];

/// The most namespaces that can be asked again: each keeps a socket open, and a process may open
/// 1,024 files.
const DOORS: usize = 256;

/// The network namespaces and the source of one run.
pub struct Host<'a> {
    /// The namespaces.
    pub namespaces: Namespaces,
    source: Option<SourceName>,
    /// The time that is left.
    pub deadline: &'a Deadline<'a>,
}

/// The facts that are read of each namespace besides the selected sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Facts {
    /// None.
    #[default]
    None,
    /// Ports with a listener and, where they cost little, the ephemeral ports; the ports in use can be
    /// asked for later.
    Ports,
    /// Ports with a listener and the ephemeral ports. Only sockets with an ephemeral port are wanted,
    /// so that the kernel leaves out the others.
    EphemeralOnly,
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
    /// The names of the interfaces that the collected sockets name.
    pub interfaces: InterfaceNames,
    doors: Vec<(NetnsIndex, Door)>,
}

impl Findings {
    /// The ports for outgoing connections of each namespace that shows them.
    #[must_use]
    pub fn ephemeral(&self) -> BTreeMap<NetnsIndex, EphemeralPorts> {
        let ports = self.facts.iter();
        ports.filter_map(|(netns, facts)| Some((*netns, facts.ephemeral.clone()?))).collect()
    }
}

/// A namespace during its visit.
struct Visit<'a> {
    netns: NetnsIndex,
    view: &'a View,
    door: Door,
    deadline: &'a Deadline<'a>,
    chain: &'a [SourceName],
    // Protocols that are known to have no sockets.
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

    /// Hands the selected sockets of every namespace to `collector`.
    pub fn survey<C: Collector + Send>(
        &self,
        selection: &Selection,
        wanted: Facts,
        mut collector: C,
    ) -> Result<(C, Findings), Error> {
        let (chain, chosen) = (self.chain(), self.source.is_some());
        let mut findings = Findings::default();
        let processes = chain.contains(&SourceName::Procfs);
        let coverage =
            self.namespaces.visit(processes, self.deadline, &mut |netns, view, deadline| {
                // Most other namespaces have no sockets of one protocol or the other.
                let may_be_idle = !chosen && netns != NetnsIndex::OWN;
                let idle = if may_be_idle { source::idle(view) } else { Vec::new() };
                let door = Door::default();
                let visit = Visit { netns, view, door, deadline, chain, idle };
                // A visit may fail half-way, and is then repeated through another process.
                let mut complete = collector.fresh();
                let facts = visit.facts(wanted)?;
                complete.begin(&facts)?;
                let sources = visit.read(selection, wanted, &facts, &mut complete)?;
                findings.interfaces.extend(visit.interface_names(&complete));
                collector.merge(complete);
                findings.complete(visit, wanted, facts, sources);
                Ok(())
            })?;
        findings.coverage = coverage;
        Ok((collector, findings))
    }

    /// The ephemeral ports in use towards destinations, by connections in any status, as far as their
    /// namespaces can be asked again.
    pub fn used_ports(
        &self,
        destinations: &HashSet<Endpoint>,
        findings: &Findings,
    ) -> Result<HashMap<Endpoint, u64>, Error> {
        let selection = Selection {
            types: Choice::of(&TCP),
            remote_addresses: destinations.iter().map(|to| Network::of(to.address.ip())).collect(),
            remote_ports: destinations.iter().map(|to| Ports::of(to.port)).collect(),
            ..Selection::default()
        };
        let mut used = UsedPorts::default();
        for (netns, door) in &findings.doors {
            let is_asked = destinations.iter().any(|to| to.netns == *netns);
            let chain = match *netns {
                NetnsIndex::OWN => self.chain(),
                _ if door.is_open() => &[SourceName::Netlink],
                _ => continue,
            };
            if let Some(facts) = findings.facts.get(netns).filter(|_| is_asked) {
                let mut outgoing = Outgoing::new(UsedPorts::default());
                outgoing.begin(facts)?;
                let (view, deadline) = (&View::Inside, self.deadline);
                let (netns, selection, protocol) = (*netns, &selection, Protocol::Tcp);
                let dump = Dump { protocol, selection, netns, view, door, deadline };
                source::collect(&dump, chain, &mut outgoing)?;
                used.merge(outgoing.into_collected());
            }
        }
        Ok(used.by_destination())
    }

    /// Reads the ephemeral ports of this system, where they cost too much to be read in every run.
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
            let listening = facts.listening.clone().unwrap_or_default();
            facts.ephemeral = ranges.map(|ranges| EphemeralPorts::of_ranges(&ranges, &listening));
        }
        Ok(())
    }
}

impl Visit<'_> {
    fn dump<'a>(&'a self, protocol: Protocol, selection: &'a Selection) -> Dump<'a> {
        let Self { netns, view, door, deadline, .. } = self;
        Dump { protocol, selection, netns: *netns, view, door, deadline }
    }

    fn facts(&self, wanted: Facts) -> Result<NetnsFacts, Error> {
        let ephemeral = match wanted {
            Facts::None => return Ok(NetnsFacts::default()),
            Facts::Ports => source::PORTS_ARE_AT_HAND,
            Facts::EphemeralOnly => true,
        };
        let listening = Arc::new(self.listening()?);
        let ranges =
            if ephemeral { source::ephemeral_ports(self.view, self.deadline)? } else { None };
        let ephemeral = ranges.map(|ranges| EphemeralPorts::of_ranges(&ranges, &listening));
        Ok(NetnsFacts { listening: Some(listening), ephemeral })
    }

    fn listening(&self) -> Result<HashSet<u16>, Error> {
        let mut listening = LocalPorts::default();
        if !self.idle.contains(&Protocol::Tcp) {
            let selection = Selection {
                types: Choice::of(&TCP),
                statuses: Choice::of(&[ConnectionStatus::Listen]),
                ..Selection::default()
            };
            source::collect(&self.dump(Protocol::Tcp, &selection), self.chain, &mut listening)?;
        }
        Ok(listening.0)
    }

    /// Hands the selected sockets to `collector`; returns the sources that answered.
    fn read<C: Collector>(
        &self,
        selection: &Selection,
        wanted: Facts,
        facts: &NetnsFacts,
        collector: &mut C,
    ) -> Result<Vec<SourceName>, Error> {
        let mut narrowed = selection.clone();
        match (wanted, &facts.ephemeral) {
            (Facts::EphemeralOnly, Some(ports)) => {
                narrowed.local_ports = ports.span().into_iter().collect();
            }
            (Facts::None | Facts::Ports | Facts::EphemeralOnly, _) => {}
        }
        let mut sources = Vec::new();
        for protocol in Protocol::ALL {
            if narrowed.types_of(protocol).next().is_none() {
                continue;
            }
            sources.push(if self.idle.contains(&protocol) {
                SourceName::Counters
            } else {
                source::collect(&self.dump(protocol, &narrowed), self.chain, collector)?
            });
        }
        Ok(sources)
    }

    /// The names of the interfaces of collected addresses: only the inside of a namespace shows them.
    fn interface_names(&self, collector: &impl Collector) -> InterfaceNames {
        match self.view {
            View::Inside => {
                let mut interfaces = HashSet::new();
                collector.interfaces(&mut interfaces);
                source::interface_names(interfaces)
            }
            View::Process { .. } => InterfaceNames::new(),
        }
    }
}

impl Findings {
    fn complete(
        &mut self,
        visit: Visit,
        wanted: Facts,
        facts: NetnsFacts,
        sources: Vec<SourceName>,
    ) {
        for source in sources {
            if !self.sources.contains(&source) {
                self.sources.push(source);
            }
        }
        self.facts.insert(visit.netns, facts);
        let may_be_asked_again = match wanted {
            Facts::Ports => visit.netns == NetnsIndex::OWN || visit.door.is_open(),
            Facts::None | Facts::EphemeralOnly => false,
        };
        if may_be_asked_again && self.doors.len() < DOORS {
            self.doors.push((visit.netns, visit.door));
        }
    }
}
