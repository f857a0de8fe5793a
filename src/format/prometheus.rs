//! The Prometheus text exposition format, as the textfile collector of `node_exporter` reads it.

use crate::format::exposition::Page;
use crate::judge::GroupState;
use crate::judge::state::State;
use crate::measure::Measure;
use crate::measure::definition::Series;
use crate::name::Named;
use crate::namespaces::NetnsCoverage;
use crate::report::{Part, Report};

/// A report as a page. It has every series that the selection can have, also with the value 0: a
/// missing series would be a gap and not a zero.
///
/// `name` distinguishes the series of one check from the series of others.
#[must_use]
pub fn report(report: &Report, name: &str) -> String {
    let mut page = Page::new(name);
    let plan = &report.plan;
    add_series(&mut page, report, &report.groups);
    for (part, report) in report.parts.iter().filter_map(|p| Some((p, p.report.as_ref()?))) {
        let is_stuck = part.measure == Measure::Stuck;
        add_series(&mut page, report, if is_stuck { &part.kinds } else { &report.groups });
        add_unix(&mut page, report);
    }
    if !report.parts.is_empty() {
        add_states(&mut page, report);
    }
    if plan.definition().is_of_sockets() {
        page.gauge("_selected", "Sockets selected.", report.total);
    }
    if plan.asks_for_namespaces() {
        let NetnsCoverage { read, skipped, maybe_read, .. } = &report.coverage;
        page.gauge("_netns_seen", "Network namespaces that were read.", read);
        let unseen = skipped.saturating_sub(*maybe_read);
        page.gauge("_netns_unseen", "Network namespaces that were not read.", unseen);
        let help = "Network namespaces that may have been read through a process, or not at all.";
        page.gauge("_netns_doubtful", help, maybe_read);
    }
    add_unix(&mut page, report);
    page.head("_check_source_info", "gauge", "Who answered.");
    page.sample("_check_source_info", &[("source", &report.source)], 1);
    let seconds = report.duration.as_secs_f64();
    page.gauge("_check_duration_seconds", "How long the check took.", seconds);
    page.end(report.state())
}

/// Adds the series of a measure.
fn add_series(page: &mut Page, report: &Report, groups: &[GroupState]) {
    let plan = &report.plan;
    let series = Series {
        group_by: plan.group_by(),
        selection: plan.selection(),
        ephemeral: &report.ephemeral,
        groups,
        number_found: report.number_found(),
    };
    (plan.definition().series)(page, &series);
}

/// Adds the state of each of several measures, whatever the exit code is to be. A measure that was not read,
/// and that nobody demands, has none.
fn add_states(page: &mut Page, report: &Report) {
    let is_known = |part: &&Part| part.report.is_some() || part.is_demanded;
    let states = report.parts.iter().filter(is_known);
    let states = states.map(|part| (part.measure.name(), u64::from(part.state() as u8)));
    let help = "State of each measure: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.";
    page.labelled(("_exhaustion_state", "gauge", help), "measure", states);
    let read = report.parts.iter();
    let read = read.map(|part| (part.measure.name(), u64::from(!part.is_incomplete())));
    let help = "1 if all of the measure was read, else 0.";
    page.labelled(("_exhaustion_read", "gauge", help), "measure", read);
}

fn add_unix(page: &mut Page, report: &Report) {
    if let Some(seen) = report.sees_unix() {
        let help = "1 if the unix listeners were read, else 0.";
        page.gauge("_unix_listeners_seen", help, u8::from(seen));
    }
}

/// The page for an error: the reason as a comment, and the state.
#[must_use]
pub fn failure(message: &str, name: &str) -> String {
    let mut page = Page::new(name);
    page.comment(message);
    page.end(State::Unknown)
}
