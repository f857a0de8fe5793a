//! Parts of messages: numbers with their states, and notes.

use crate::format::tables::{Namer, dash, percent, table};
use crate::group::{Group, GroupBy};
use crate::host_limit::HostLimit;
use crate::judge::GroupState;
use crate::judge::state::State;
use crate::measure::definition::Reading;
use crate::name::Named;
use crate::namespaces::NetnsCoverage;
use crate::printable::{is_invisible, shortened};
use crate::report::Report;

/// The maximum length of the output in bytes. Nagios and NRPE cut longer outputs at the end, where
/// the performance data is.
pub const LIMIT: usize = 8_000;

/// The note about limits that the kernel does not show here.
pub fn unseen_limits(limits: &[HostLimit]) -> Option<String> {
    let mut reasons: Vec<&str> = Vec::new();
    for limit in limits {
        if !reasons.contains(&limit.why_unseen()) {
            reasons.push(limit.why_unseen());
        }
    }
    let of_reason = |reason: &str| {
        let limits = limits.iter().filter(|limit| limit.why_unseen() == reason);
        let names: Vec<_> = limits.map(|limit| limit.name()).collect();
        format!("{} ({reason})", names.join(", "))
    };
    let parts: Vec<_> = reasons.into_iter().map(of_reason).collect();
    (!parts.is_empty()).then(|| format!("not seen: {}", parts.join(", ")))
}

/// The note about namespaces that this process may not read.
pub fn skipped(coverage: &NetnsCoverage) -> Option<String> {
    let number = coverage.skipped.saturating_sub(coverage.failed);
    let up_to = if coverage.maybe_read > 0 { "up to " } else { "" };
    let plural = if number == 1 { "" } else { "s" };
    let why = match &*coverage.reasons {
        [] => String::new(),
        reasons => format!(" ({})", reasons.join("; ")),
    };
    (number > 0).then(|| format!("{up_to}{number} network namespace{plural} not seen{why}"))
}

/// The note about namespaces whose reading failed.
pub fn failed(NetnsCoverage { failed, failure, .. }: &NetnsCoverage) -> Option<String> {
    let plural = if *failed == 1 { "" } else { "s" };
    let failure = visible(failure.as_ref()?);
    Some(format!("{failed} network namespace{plural} could not be read: {failure}"))
}

/// The function that shows a label in a message.
pub fn namer(report: &Report) -> Namer {
    let by = report.plan.group_by();
    // The name of a limit may be followed by that of a network namespace.
    if by.is_fixed() && by != GroupBy::Limit { |label| label.replace('_', " ") } else { shortened }
}

/// `5`, `2 to 5`, `60% (3 of 5)`, `0% to 60% (0 to 3 of 5)`, `120% (6 of 5, 12 dropped)` or
/// `4512 s (37 connections)`
pub fn number(judged: &GroupState, reading: Reading) -> String {
    let GroupState { group, count, most, share, wait, unbounded, state, .. } = judged;
    let (count, most) = (*count, *most);
    let counted = if most > count { format!("{count} to {most}") } else { count.to_string() };
    if reading == Reading::Seconds {
        let plural = if most == 1 { "" } else { "s" };
        return format!("{} ({counted} connection{plural})", wait.unwrap_or_default());
    }
    let Some(share) = share else {
        let is_limit = matches!(group, Some(Group::Limit(_))) && *state == State::Unknown;
        return match (*unbounded || is_limit, group, count) {
            (false, ..) => counted,
            (true, Some(Group::Process(_) | Group::Program(_) | Group::Cgroup(_)), 1..) => {
                format!("{count} not seen")
            }
            (true, ..) => "not seen".to_owned(),
        };
    };
    let dropped = share.drops.filter(|drops| *drops > 0);
    let dropped = dropped.map_or_else(String::new, |drops| format!(", {drops} dropped"));
    let percent = |count| format!("{}%", percent(share.percent(count)));
    let percents = if most > count {
        format!("{} to {}", percent(count), percent(most))
    } else {
        percent(count)
    };
    let least = if *unbounded { "at least " } else { "" };
    format!("{least}{percents} ({counted} of {}{dropped})", share.of)
}

/// The state behind a number; empty for OK.
pub fn mark(state: State) -> String {
    if state == State::Ok { String::new() } else { format!(" [{}]", state.name()) }
}

/// A text in one line, in which nothing is invisible.
pub fn visible(text: &str) -> String {
    let visible = |c: char| match c {
        c if c.is_control() => ' ',
        c if is_invisible(c) => '?',
        c => c,
    };
    text.chars().map(visible).collect()
}

/// A table of the limits, where one is asked for.
#[must_use]
pub fn limits_table(report: &Report) -> String {
    if report.limit_rows.is_empty() || !report.plan.presentation().lengthy {
        return String::new();
    }
    let several = report.limit_rows.iter().any(|row| row.netns.is_some());
    let columns: &[&str] = &["Limit", "In use", "Of", "Percent", "Setting"];
    let netns = several.then_some("Network namespace");
    let header: Vec<_> = columns.iter().copied().chain(netns).collect();
    let rows = report.limit_rows.iter().map(|row| {
        let percent = format!("{}%", percent(row.share.percent(row.used)));
        let netns = several.then(|| row.netns.clone().unwrap_or_else(dash));
        let (used, of) = (row.used.to_string(), row.share.of.to_string());
        [row.limit.name().to_owned(), used, of, percent, row.limit.setting().to_owned()]
            .into_iter()
            .chain(netns)
            .collect()
    });
    format!("\n\n{}", table(&header, rows, usize::MAX))
}
