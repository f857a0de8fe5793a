//! The Prometheus text exposition format, as the textfile collector of `node_exporter` reads it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::group::Group;
use crate::judge::state::State;
use crate::measure::Measure;
use crate::name::Named;
use crate::printable::is_invisible;
use crate::report::Report;

const PREFIX: &str = "network_connections";

/// A report as gauges. Every series that the selection can have is there: a gap is not a zero.
///
/// `name` tells the series of one check from those of others. The check's state comes last: who
/// sees it has seen the others.
#[must_use]
pub fn report(report: &Report, name: &str) -> String {
    let mut page = Page::new(name);
    let query = &report.check.query;
    match query.measure {
        Measure::Connections => connections(&mut page, report),
        Measure::AcceptQueue => queues(&mut page, report),
        Measure::EphemeralPorts => ports(&mut page, report),
    }
    page.gauge("_selected", "Sockets selected.", report.total);
    if !query.netns.is_empty() {
        let help = "Network namespaces that nobody could look into.";
        page.gauge("_netns_unseen", help, report.coverage.skipped);
    }
    page.head("_check_source_info", "gauge", "Who answered.");
    page.sample("_check_source_info", &[("source", &report.source)], 1);
    let seconds = report.duration.as_secs_f64();
    page.gauge("_check_duration_seconds", "How long the check took.", seconds);
    page.end(report.state())
}

/// A series for every group where they are few, else how many there are.
fn connections(page: &mut Page, report: &Report) {
    let query = &report.check.query;
    if query.group_by.is_fixed() {
        let expected = query.group_by.expected(&query.selection);
        let mut series: BTreeMap<_, _> = expected.into_iter().map(|group| (group, 0)).collect();
        let found = report.groups.iter().filter_map(|judged| Some((judged.group?, judged.count)));
        series.extend(found);
        page.head("", "gauge", "Sockets.");
        for (group, count) in series {
            if let Some(labels) = labels(group) {
                page.sample("", &labels, count);
            }
        }
    } else {
        let largest = report.groups.first().map_or(0, |judged| judged.count);
        page.gauge("_groups", "Groups of sockets.", report.found().count());
        page.gauge("_largest", "Sockets in the largest group.", largest);
    }
}

/// Of all destinations the fullest: there is no end of them.
fn ports(page: &mut Page, report: &Report) {
    let help = "Ports in use towards the fullest destination, as a part of those there are.";
    page.gauge("_ephemeral_ports_used_ratio", help, report.fullest() / 100.0);
    let help = "Destinations of outgoing connections.";
    page.gauge("_ephemeral_ports_destinations", help, report.found().count());
}

/// A series for every listener: they are few, and stay.
fn queues(page: &mut Page, report: &Report) {
    let listeners = || report.found().filter_map(|j| Some((&*j.label, j.count, j.share?)));
    let mut series = |name: &str, kind: &str, help: &str, values: Vec<(&str, u64)>| {
        let metric = format!("_accept_queue_{name}");
        page.head(&metric, kind, help);
        for (label, value) in values {
            page.sample(&metric, &[("listener", label)], value);
        }
    };
    let waiting = listeners().map(|(label, count, _)| (label, count)).collect();
    series("connections", "gauge", "Connections that wait to be accepted.", waiting);
    let limits = listeners().map(|(label, _, share)| (label, share.of)).collect();
    series("limit", "gauge", "Connections that may wait to be accepted.", limits);
    let drops = listeners().filter_map(|(label, _, share)| Some((label, share.drops?))).collect();
    series(
        "drops_total",
        "counter",
        "Packets dropped for a listener, most of them requests and connections without room.",
        drops,
    );
}

/// What is printed instead of a report: the reason as a comment, and the state.
#[must_use]
pub fn failure(message: &str, name: &str) -> String {
    let mut page = Page::new(name);
    let _ = writeln!(page.text, "# {message}");
    page.end(State::Unknown)
}

/// What is printed, and the name of the check that all its series have.
struct Page<'a> {
    text: String,
    name: &'a str,
}

impl<'a> Page<'a> {
    const fn new(name: &'a str) -> Self {
        Self { text: String::new(), name }
    }

    /// A metric without labels of its own; what it is called after the prefix of all.
    fn gauge(&mut self, metric: &str, help: &str, value: impl fmt::Display) {
        self.head(metric, "gauge", help);
        self.sample(metric, &[], value);
    }

    fn head(&mut self, metric: &str, kind: &str, help: &str) {
        let _ =
            writeln!(self.text, "# HELP {PREFIX}{metric} {help}\n# TYPE {PREFIX}{metric} {kind}");
    }

    fn sample(&mut self, metric: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let name = Some(("check", self.name)).filter(|(_, name)| !name.is_empty());
        let labels: Vec<_> = name.iter().chain(labels).map(label).collect();
        let _ = match &*labels.join(",") {
            "" => writeln!(self.text, "{PREFIX}{metric} {value}"),
            labels => writeln!(self.text, "{PREFIX}{metric}{{{labels}}} {value}"),
        };
    }

    /// All of it, without its last line end.
    fn end(mut self, state: State) -> String {
        let help = "State of the check: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.";
        self.gauge("_check_state", help, state as u8);
        self.text.truncate(self.text.trim_end().len());
        self.text
    }
}

fn label((name, value): &(&str, &str)) -> String {
    let shown = |c| if is_invisible(c) { '?' } else { c };
    let value: String = value.chars().map(shown).collect();
    format!("{name}=\"{}\"", value.replace('\\', r"\\").replace('"', r#"\""#))
}

/// The labels of a series; none for groups of which there are too many.
fn labels(group: Group) -> Option<Vec<(&'static str, &'static str)>> {
    match group {
        Group::TypeStatus(t, status) => Some(vec![("type", t.name()), ("state", status.name())]),
        Group::Type(t) => Some(vec![("type", t.name())]),
        Group::Status(status) => Some(vec![("state", status.name())]),
        Group::Port(_)
        | Group::Address(_)
        | Group::Endpoint(_)
        | Group::User(_)
        | Group::Cgroup(_)
        | Group::Process(_)
        | Group::Netns(_) => None,
    }
}
