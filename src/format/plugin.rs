//! The message and performance data of a Nagios plugin.

use crate::error::Error;
use crate::format::exhaustion;
use crate::format::tables::{and_more, percent, tables};
use crate::format::words::{
    LIMIT, failed, limits_table, mark, namer, number, skipped, unseen_limits, visible,
};
use crate::group::Group;
use crate::judge::GroupState;
use crate::judge::key::TOTAL;
use crate::judge::state::State;
use crate::measure::definition::Reading;
use crate::name::Named;
use crate::printable::neutralised;
use crate::report::{MOST_UNASKED, Report};

/// The line that the command prints.
#[must_use]
pub fn report(report: &Report) -> String {
    line(&message(report), &perfdata(report))
}

/// The message: everything before the performance data. Below its first line it has the details,
/// where they are asked for.
#[must_use]
pub fn message(report: &Report) -> String {
    if !report.parts.is_empty() {
        return exhaustion::message(report);
    }
    if report.details.is_empty() {
        let line = first_line(report, report.shown());
        let table = limits_table(report) + &left_out(report);
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
    line + &tables(&report.details, "", report.plan.aspect(), namer(report), left) + &hint
}

/// The text in the place of tables that are left out; empty where none are.
fn left_out(report: &Report) -> String {
    if !report.plan.explains_later() || !report.is_huge() {
        return String::new();
    }
    let further = if is_unjudged(report) { " -w 0 adds those of every group." } else { "" };
    format!(
        "\n\nThe tables of the largest group are left out: it is fine, and has more than \
         {MOST_UNASKED} connections.{further}"
    )
}

/// Whether the check has no thresholds.
fn is_unjudged(report: &Report) -> bool {
    let policy = report.plan.policy();
    policy.warning.is_none() && policy.critical.is_none()
}

/// The text below the tables.
fn hint(report: &Report) -> String {
    let unasked = match report.netns_unasked {
        0 => String::new(),
        number => format!(
            "\n\nNetwork namespaces that were not read: {number}. --netns=all reads them, too."
        ),
    };
    hint_at_more(report) + &unasked
}

/// The sockets of the host in no state, or a hint where a report without
/// thresholds has tables of one group alone.
fn hint_at_more(report: &Report) -> String {
    if let Some(number) = report.stateless {
        return format!("\n\nTCP sockets of the host in no state: {number}");
    }
    let counts = match report.plan.definition().reading {
        Reading::Count | Reading::Seconds => true,
        Reading::Percent => false,
    };
    if is_unjudged(report) && counts && report.every_group().nth(1).is_some() {
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
            "{label}: {}{}{}{}",
            number(judged, report.plan.definition().reading),
            if judged.unexpected { " (not expected)" } else { "" },
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
    if !report.parts.is_empty() {
        return exhaustion::perfdata(report);
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
        metrics.push(format!("'groups'={}", report.number_found()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_and_hides_nothing() {
        let error = Error::Argument("a\nb\r\u{1b}[31m|\u{202e}\u{200b}".to_owned());
        assert_eq!(failure(&error), "a b  [31m!??");
    }
}
