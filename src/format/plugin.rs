//! The message and performance data of a Nagios plugin.

use crate::error::Error;
use crate::format::tables::{Namer, and_more, dash, percent, table, tables};
use crate::group::{Group, GroupBy};
use crate::host_limit::HostLimit;
use crate::judge::GroupState;
use crate::judge::key::TOTAL;
use crate::judge::state::State;
use crate::measure::definition::Reading;
use crate::name::Named;
use crate::namespaces::NetnsCoverage;
use crate::printable::{is_invisible, neutralised, shortened};
use crate::report::Report;

/// The maximum length of the output in bytes. Nagios and NRPE cut longer outputs at the end, where
/// the performance data is.
const LIMIT: usize = 8_000;

/// The line that the command prints.
#[must_use]
pub fn report(report: &Report) -> String {
    line(&message(report), &perfdata(report))
}

/// The message: everything before the performance data. Below its first line it has the details,
/// where they are asked for.
#[must_use]
pub fn message(report: &Report) -> String {
    if report.details.is_empty() {
        let line = first_line(report, report.shown());
        let table = limits_table(report);
        return match room(report, line.len()) {
            Some(room) if table.len() <= room => line + &table,
            Some(_) | None => line,
        };
    }
    // Where the first line is too long, it gets fewer groups.
    let mut shown = report.shown();
    let mut line = first_line(report, shown.clone());
    while room(report, line.len()).is_none() && shown.0.len() > 1 {
        shown = report.shown_at_most(shown.0.len() / 2);
        line = first_line(report, shown.clone());
    }
    let room = room(report, line.len()).unwrap_or(0);
    let hint = Some(hint(report)).filter(|hint| hint.len() <= room).unwrap_or_default();
    let left = room - hint.len();
    line + &tables(&report.details, report.plan.aspect(), namer(report), left) + &hint
}

/// A table of the limits, where one is asked for.
fn limits_table(report: &Report) -> String {
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

/// The text below the tables: the sockets of the host in no state, or a hint where a report without
/// thresholds has tables of one group alone.
fn hint(report: &Report) -> String {
    if let Some(number) = report.stateless {
        return format!("\n\nTCP sockets of the host in no state: {number}");
    }
    let policy = report.plan.policy();
    let without_thresholds = policy.warning.is_none() && policy.critical.is_none();
    let counts = match report.plan.definition().reading {
        Reading::Count | Reading::Seconds => true,
        Reading::Percent => false,
    };
    if without_thresholds && counts && report.groups.len() > 1 {
        "\n\nThese are the tables of the largest group. -w 0 adds those of every group.".to_owned()
    } else {
        String::new()
    }
}

/// The number of bytes that are left for tables below a first line of this length; `None` where the
/// first line alone is too long.
fn room(report: &Report, first_line: usize) -> Option<usize> {
    // The line end, the separator of the performance data and the performance data itself.
    (LIMIT - 1).checked_sub(first_line + 2 + perfdata(report).len())
}

fn first_line(report: &Report, (shown, left_out): (Vec<&GroupState>, usize)) -> String {
    let mut parts = Vec::new();
    if let Some(state) = report.total_state {
        let total = match report.most {
            most if most > report.total => format!("{} to {most}", report.total),
            _ => report.total.to_string(),
        };
        parts.push(format!("{TOTAL}: {total}{}", mark(state)));
    }
    let name = namer(report);
    let part = |judged: &GroupState| {
        let nearest = judged.nearest.as_ref();
        let nearest = nearest.map(|nearest| format!(" (nearest: {})", name(nearest)));
        // The address `::` would run into the colon.
        let label = name(&judged.label);
        let label = if label.ends_with(':') { format!("[{label}]") } else { label };
        format!(
            "{label}: {}{}{}",
            number(judged, report.plan.definition().reading),
            mark(judged.state),
            nearest.unwrap_or_default()
        )
    };
    let nothing_is_shown = shown.is_empty();
    parts.extend(shown.into_iter().map(part));
    if left_out > 0 {
        parts.push(and_more(left_out as u64));
    }
    parts.extend(report.aside().map(part));
    let nothing_is_ok = report.plan.policy().no_match.0 == State::Ok;
    if nothing_is_shown || report.is_empty() && !nothing_is_ok {
        parts.push(nothing(report));
    }
    let mut message = parts.join(", ");
    if let Some(note) = &report.unclear {
        message.push_str("; ");
        message.push_str(note);
    }
    if let Some(note) = unseen_limits(&report.unseen_limits) {
        message.push_str("; ");
        message.push_str(&note);
    }
    if let Some(note) = &report.unseen_files {
        message.push_str("; ");
        message.push_str(&visible(note));
    }
    if let Some(reason) = &report.unseen_unix {
        message.push_str("; unix listeners not seen: ");
        message.push_str(&visible(reason));
    }
    for note in [skipped(&report.coverage), failed(&report.coverage)].into_iter().flatten() {
        message.push_str("; ");
        message.push_str(&note);
    }
    if let Some(error) = &report.missing_details {
        message.push_str("; details are missing: ");
        message.push_str(&visible(error));
    }
    if report.plan.policy().always_ok {
        message.push_str(" (always ok)");
    }
    neutralised(&message).into_owned()
}

/// The note about limits that the kernel does not show here.
fn unseen_limits(limits: &[HostLimit]) -> Option<String> {
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
fn namer(report: &Report) -> Namer {
    let by = report.plan.group_by();
    // The name of a limit may be followed by that of a network namespace.
    if by.is_fixed() && by != GroupBy::Limit { |label| label.replace('_', " ") } else { shortened }
}

/// `5`, `2 to 5`, `60% (3 of 5)`, `0% to 60% (0 to 3 of 5)`, `120% (6 of 5, 12 dropped)` or
/// `4512 s (37 connections)`
fn number(judged: &GroupState, reading: Reading) -> String {
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

fn nothing(report: &Report) -> String {
    let nothing = (report.plan.definition().nothing)(report.plan.selection());
    format!("{nothing}{}", mark(report.nothing()))
}

/// The performance data, empty where it is switched off. Groups of a fixed kind are few, and have a
/// metric each. Other kinds have metrics only for the number of groups and the largest group, so
/// that they do not flood a time series database.
#[must_use]
pub fn perfdata(report: &Report) -> String {
    if !report.plan.presentation().perfdata {
        return String::new();
    }
    match report.plan.definition().reading {
        Reading::Count => perfdata_of_counts(report),
        Reading::Percent => perfdata_of_shares(report),
        Reading::Seconds => perfdata_of_waits(report),
    }
}

fn perfdata_of_counts(report: &Report) -> String {
    let fixed = report.plan.group_by().is_fixed();
    let mut metrics = Vec::new();
    if !fixed {
        let largest = report.groups.first().map_or(0, |judged| judged.count);
        metrics.push(format!("'groups'={}", report.found().count()));
        metrics.push(format!("'largest'={largest}"));
    }
    if !fixed || report.total_state.is_some() {
        metrics.push(format!("'{TOTAL}'={}", report.total));
    }
    if fixed {
        let metric = |judged: &GroupState| format!("'{}'={}", judged.label, judged.count);
        metrics.extend(report.groups.iter().map(metric));
    }
    metrics.join(" ")
}

/// The fullest group with its thresholds, the number of groups, and the drops. Limits of the host are
/// few and always the same, and have a metric each.
fn perfdata_of_shares(report: &Report) -> String {
    let [warning, critical] = report.limits.each_ref().map(|range| range.as_deref().unwrap_or(""));
    let definition = report.plan.definition();
    let implied = definition.implied.as_ref().map(|implied| implied.group_by);
    let is_implied = implied.is_none_or(|implied| implied == report.plan.group_by());
    let groups = if is_implied { definition.groups } else { "groups" };
    let mut metrics = vec![
        format!("'fullest'={}%;{warning};{critical};0;100", percent(report.fullest())),
        format!("'{groups}'={}", report.listed().filter(|judged| judged.share.is_some()).count()),
    ];
    let drops = report.found().filter_map(|judged| judged.share?.drops).reduce(u64::saturating_add);
    if let Some(drops) = drops {
        // A sum over sockets: it falls when one is closed, so it is no counter.
        metrics.push(format!("'drops'={drops}"));
        let counter = report.host_drops.iter();
        metrics.extend(counter.map(|(counter, drops)| format!("'{}'={drops}c", counter.name())));
    }
    metrics.extend(report.limit_rows.iter().map(|row| {
        let [warning, critical] = row.ranges.each_ref().map(|range| range.as_deref().unwrap_or(""));
        let percent = percent(row.share.percent(row.used));
        format!("'{}'={percent}%;{warning};{critical};0;100", row.limit.name())
    }));
    metrics.join(" ")
}

/// The seconds and the number of each kind, or of the group with the longest time where the groups are
/// of another kind.
fn perfdata_of_waits(report: &Report) -> String {
    let seconds = |judged: &GroupState| judged.wait.map_or(0, |wait| wait.seconds().0);
    if !report.plan.group_by().is_fixed() {
        let [warning, critical] =
            report.limits.each_ref().map(|range| range.as_deref().unwrap_or(""));
        let longest = report.found().next().map_or(0, seconds);
        let groups = report.found().count();
        return format!(
            "'groups'={groups} 'longest'={longest}s;{warning};{critical};0 '{TOTAL}'={}",
            report.total
        );
    }
    let expected = report.plan.group_by().expected(report.plan.selection());
    let metric = |group: Group| {
        let found = report.groups.iter().find(|judged| judged.group == Some(group));
        let (seconds, count) = found.map_or((0, 0), |judged| (seconds(judged), judged.count));
        format!("'{group}'={seconds}s '{group}_connections'={count}")
    };
    expected.into_iter().map(metric).collect::<Vec<_>>().join(" ")
}

/// The state behind a number; empty for OK.
fn mark(state: State) -> String {
    if state == State::Ok { String::new() } else { format!(" [{}]", state.name()) }
}

/// A message and its performance data, put together.
#[must_use]
pub fn line(message: &str, perfdata: &str) -> String {
    let separator = if perfdata.is_empty() { "" } else { "|" };
    format!("{message}{separator}{perfdata}")
}

/// The line that the command prints instead of a report.
#[must_use]
pub fn failure(error: &Error) -> String {
    neutralised(&visible(&error.to_string())).into_owned()
}

/// A text in one line, in which nothing is invisible.
fn visible(text: &str) -> String {
    let visible = |c: char| match c {
        c if c.is_control() => ' ',
        c if is_invisible(c) => '?',
        c => c,
    };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_and_hides_nothing() {
        let error = Error::Argument("a\nb\r\u{1b}[31m|\u{202e}\u{200b}".to_owned());
        assert_eq!(failure(&error), "a b  [31m!??");
    }
}
