//! The Prometheus text exposition format, as the textfile collector of `node_exporter` reads it.

use std::fmt::{self, Write};

use crate::check::{Report, State};
use crate::group::Group;

impl Report {
    /// The report as gauges. Every series that the selection can have is there: a gap is not a
    /// zero.
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        if self.check.group_by.is_small() {
            let found = self.groups.iter().map(|judged| (judged.group, judged.count));
            let missing = self
                .check
                .group_by
                .expected(&self.check.selection)
                .into_iter()
                .filter(|group| self.groups.iter().all(|judged| judged.group != *group))
                .map(|group| (group, 0));
            let mut series: Vec<_> = found.chain(missing).collect();
            series.sort_unstable_by_key(|(group, _)| *group);
            head(&mut text, "network_connections", "Sockets.");
            for (group, count) in series {
                let _ = writeln!(text, "network_connections{{{}}} {count}", labels(group));
            }
        } else {
            let largest = self.groups.first().map_or(0, |judged| judged.count);
            gauge(&mut text, "groups", "Groups of sockets.", self.groups.len());
            gauge(&mut text, "largest", "Sockets in the largest group.", largest);
        }
        gauge(&mut text, "selected", "Sockets selected.", self.total);
        state(&mut text, self.state());
        head(&mut text, "network_connections_check_source_info", "Who answered.");
        let _ =
            writeln!(text, "network_connections_check_source_info{{source=\"{}\"}} 1", self.source);
        let seconds = self.duration.as_secs_f64();
        gauge(&mut text, "check_duration_seconds", "How long the check took.", seconds);
        text.truncate(text.trim_end().len());
        text
    }
}

/// What is printed instead of a report: the reason as a comment, and the state.
pub(super) fn failure(message: &str) -> String {
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

fn labels(group: Group) -> String {
    match group {
        Group::TypeStatus(t, status) => {
            format!("type=\"{}\",state=\"{}\"", t.name(), status.name())
        }
        Group::Type(t) => format!("type=\"{}\"", t.name()),
        group => format!("state=\"{group}\""),
    }
}
