//! The Prometheus text exposition format, as the textfile collector of `node_exporter` reads it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::group::Group;
use crate::judge::state::State;
use crate::measure::Measure;
use crate::name::Named;
use crate::report::Report;

/// A report as gauges. Every series that the selection can have is there: a gap is not a zero.
#[must_use]
pub fn report(report: &Report) -> String {
    let mut text = String::new();
    let question = &report.check.question;
    if question.measure == Measure::AcceptQueue {
        queues(&mut text, report);
    } else if question.measure == Measure::EphemeralPorts {
        let used = report.found().next().and_then(|j| Some(j.share?.percent(j.count) / 100.0));
        let help = "Ports in use towards the fullest destination, as a part of those there are.";
        gauge(&mut text, "ephemeral_ports_used_ratio", help, used.unwrap_or_default());
        let help = "Destinations of outgoing connections.";
        gauge(&mut text, "ephemeral_ports_destinations", help, report.found().count());
    } else if question.group_by.is_fixed() {
        let expected = question.group_by.expected(&question.selection);
        let mut series: BTreeMap<_, _> = expected.into_iter().map(|group| (group, 0)).collect();
        let found = report.groups.iter().filter_map(|judged| Some((judged.group?, judged.count)));
        series.extend(found);
        head(&mut text, "network_connections", "Sockets.");
        for (group, count) in series {
            if let Some(labels) = labels(group) {
                let _ = writeln!(text, "network_connections{{{labels}}} {count}");
            }
        }
    } else {
        let largest = report.groups.first().map_or(0, |judged| judged.count);
        gauge(&mut text, "groups", "Groups of sockets.", report.found().count());
        gauge(&mut text, "largest", "Sockets in the largest group.", largest);
    }
    gauge(&mut text, "selected", "Sockets selected.", report.total);
    if !question.netns.is_empty() {
        let help = "Network namespaces that nobody could look into.";
        gauge(&mut text, "netns_unseen", help, report.visited.unseen);
    }
    state(&mut text, report.state());
    head(&mut text, "network_connections_check_source_info", "Who answered.");
    let _ =
        writeln!(text, "network_connections_check_source_info{{source=\"{}\"}} 1", report.source);
    let seconds = report.duration.as_secs_f64();
    gauge(&mut text, "check_duration_seconds", "How long the check took.", seconds);
    text.truncate(text.trim_end().len());
    text
}

/// A series for every listener: they are few, and stay.
fn queues(text: &mut String, report: &Report) {
    let listeners = || report.groups.iter().filter_map(|j| Some((&*j.label, j.count, j.share?)));
    let mut series = |name: &str, kind: &str, help: &str, values: Vec<(&str, u64)>| {
        let metric = format!("network_connections_accept_queue_{name}");
        let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} {kind}");
        for (label, value) in values {
            let _ = writeln!(text, "{metric}{{listener=\"{}\"}} {value}", escaped(label));
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

/// The value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

/// What is printed instead of a report: the reason as a comment, and the state.
#[must_use]
pub fn failure(message: &str) -> String {
    let mut text = format!("# {message}\n");
    state(&mut text, State::Unknown);
    text.truncate(text.trim_end().len());
    text
}

fn state(text: &mut String, state: State) {
    let help = "State of the check: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.";
    gauge(text, "check_state", help, state as u8);
}

fn gauge(text: &mut String, name: &str, help: &str, value: impl fmt::Display) {
    head(text, &format!("network_connections_{name}"), help);
    let _ = writeln!(text, "network_connections_{name} {value}");
}

fn head(text: &mut String, metric: &str, help: &str) {
    let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} gauge");
}

/// The labels of a series; none for groups of which there are too many.
fn labels(group: Group) -> Option<String> {
    match group {
        Group::TypeStatus(t, status) => {
            Some(format!("type=\"{}\",state=\"{}\"", t.name(), status.name()))
        }
        Group::Type(t) => Some(format!("type=\"{}\"", t.name())),
        Group::Status(status) => Some(format!("state=\"{}\"", status.name())),
        Group::Port(_)
        | Group::Address(_)
        | Group::Endpoint(_)
        | Group::User(_)
        | Group::Cgroup(_)
        | Group::Inode(_)
        | Group::Net(_) => None,
    }
}
