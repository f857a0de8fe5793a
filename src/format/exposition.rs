//! A page in the Prometheus text exposition format.

use std::fmt::{self, Write};

use crate::judge::state::State;
use crate::printable::is_invisible;

const PREFIX: &str = "network_connections";

/// A page of series. Every series has the name of the check as a label.
pub struct Page<'a> {
    text: String,
    name: &'a str,
}

impl<'a> Page<'a> {
    /// An empty page.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self { text: String::new(), name }
    }

    /// Adds a gauge without labels of its own. `metric` is its name without the common prefix.
    pub fn gauge(&mut self, metric: &str, help: &str, value: impl fmt::Display) {
        self.head(metric, "gauge", help);
        self.sample(metric, &[], value);
    }

    /// Adds the `HELP` and `TYPE` lines of a metric.
    pub fn head(&mut self, metric: &str, kind: &str, help: &str) {
        let _ =
            writeln!(self.text, "# HELP {PREFIX}{metric} {help}\n# TYPE {PREFIX}{metric} {kind}");
    }

    /// Adds one sample.
    pub fn sample(&mut self, metric: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let name = Some(("check", self.name)).filter(|(_, name)| !name.is_empty());
        let labels: Vec<_> = name.iter().chain(labels).map(label).collect();
        let _ = match &*labels.join(",") {
            "" => writeln!(self.text, "{PREFIX}{metric} {value}"),
            labels => writeln!(self.text, "{PREFIX}{metric}{{{labels}}} {value}"),
        };
    }

    /// Adds a metric with a sample for each value of one label.
    pub fn labelled<'b>(
        &mut self,
        (metric, kind, help): (&str, &str, &str),
        label: &str,
        values: impl Iterator<Item = (&'b str, u64)>,
    ) {
        self.head(metric, kind, help);
        for (name, value) in values {
            self.sample(metric, &[(label, name)], value);
        }
    }

    /// Adds a comment line.
    pub fn comment(&mut self, text: &str) {
        let _ = writeln!(self.text, "# {text}");
    }

    /// Adds the state, and returns the page without its last line end. The state comes last: a
    /// reader that finds it has all other series.
    #[must_use]
    pub fn end(mut self, state: State) -> String {
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
