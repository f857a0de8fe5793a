//! The message and the performance data of several measures that were judged together.

use std::cmp::Reverse;

use crate::exhaustion::{seconds, section};
use crate::format::tables::{and_more, percent, tables};
use crate::format::words::{
    LIMIT, failed, limits_table, mark, number, skipped, unseen_limits, visible,
};
use crate::group::Group;
use crate::host_limit::HostLimit;
use crate::judge::GroupState;
use crate::judge::state::State;
use crate::measure::Measure;
use crate::name::Named;
use crate::plan::TOP;
use crate::printable::{neutralised, shortened};
use crate::report::{Part, Report};

/// The message: the alerts of all measures, the worst first, and what could not be asked. Below its first
/// line it has tables, where they are asked for.
#[must_use]
pub fn message(report: &Report) -> String {
    let room = (LIMIT - 1).saturating_sub(2 + perfdata(report).len());
    let mut top = report.plan.presentation().top.unwrap_or(TOP);
    let mut text = first_line(report, top);
    while text.len() > room && top > 1 {
        top /= 2;
        text = first_line(report, top);
    }
    let remedies: Vec<String> = report.parts.iter().map(remedy).collect();
    // The names of sections are short: the tables leave them room.
    let mut reserved: usize = remedies.iter().map(String::len).sum();
    for (part, remedy) in report.parts.iter().zip(remedies) {
        let Some(report) = &part.report else { continue };
        let details = &report.details;
        let left = room.saturating_sub(text.len() + reserved);
        let below = if details.is_empty() && !report.explained().is_empty() {
            Some(limits_table(report)).filter(|table| table.len() <= left).unwrap_or_default()
        } else {
            let of = format!("{} ", part.measure.name());
            tables(details, &of, report.plan.aspect(), shortened, left)
        };
        text.push_str(&below);
        reserved = reserved.saturating_sub(remedy.len());
        if text.len() + remedy.len() <= room {
            text.push_str(&remedy);
        }
    }
    text
}

/// The line below the tables of a measure in alert: the section that says what to do. Empty where nothing
/// alerts, and where no tables are asked for.
fn remedy(part: &Part) -> String {
    let Some(report) = &part.report else { return String::new() };
    let alerts = report.groups.iter().any(|judged| judged.state != State::Ok);
    if alerts && report.plan.presentation().lengthy {
        format!("\n\nWhat to do: {}", section(part.measure))
    } else {
        String::new()
    }
}

/// A group with its measure.
type Found<'a> = (&'a Part, &'a Report, &'a GroupState);

fn groups(report: &Report) -> impl Iterator<Item = Found<'_>> {
    let reports = report.parts.iter().filter_map(|part| Some((part, part.report.as_ref()?)));
    reports
        .flat_map(|(part, report)| report.groups.iter().map(move |judged| (part, report, judged)))
}

fn first_line(report: &Report, top: usize) -> String {
    let mut alerts: Vec<Found> =
        groups(report).filter(|(.., judged)| judged.state != State::Ok).collect();
    let fullness = |judged: &GroupState| judged.share.map_or(0.0, |s| s.percent(judged.count));
    alerts.sort_by(|(.., a), (.., b)| {
        let severity = |judged: &GroupState| Reverse(judged.state.severity());
        severity(a).cmp(&severity(b)).then_with(|| fullness(b).total_cmp(&fullness(a)))
    });
    let fine = groups(report).filter(|(.., judged)| {
        let is_listed = judged.group.is_none_or(Group::is_listed);
        judged.state == State::Ok && judged.share.is_some() && judged.is_found() && is_listed
    });
    let fine = fine.count();
    let left_out = alerts.len().saturating_sub(top);
    let mut texts: Vec<String> = alerts.iter().take(top).map(one).collect();
    texts.extend((left_out > 0).then(|| and_more(left_out as u64)));
    let aside = groups(report)
        .filter(|(.., judged)| judged.unmatched && judged.state == State::Ok)
        .collect::<Vec<_>>();
    if alerts.is_empty() {
        texts.push(nothing(report));
        texts.extend(aside.iter().map(one));
    } else {
        texts.extend(aside.iter().map(one));
        texts.push(format!("{fine} more fine"));
    }
    let mut message = texts.join(", ");
    for note in notes(report) {
        message.push_str("; ");
        message.push_str(&visible(&note));
    }
    if report.plan.policy().always_ok {
        message.push_str(" (always ok)");
    }
    neutralised(&message).into_owned()
}

/// `open-files nginx (812): 96% (983 of 1024) [CRITICAL]`, or
/// `stuck webapp half-closed: 37 for more than 600 s (longest 4512 s, at port 8080) [WARNING]`
fn one((part, report, judged): &Found) -> String {
    let number = match (judged.group, judged.place) {
        (Some(Group::Kind(kind)), Some(place)) => {
            let counted = match judged.most {
                most if most > judged.count => format!("{} to {most}", judged.count),
                _ => judged.count.to_string(),
            };
            let wait = judged.wait.unwrap_or_default();
            format!("{counted} for more than {} s (longest {wait}, {place})", seconds(kind))
        }
        (Some(Group::Kind(_)), None) => judged.count.to_string(),
        _ => number(judged, report.plan.definition().reading),
    };
    let nearest = judged.nearest.as_ref();
    let nearest = nearest.map(|nearest| format!(" (nearest: {})", shortened(nearest)));
    format!(
        "{} {}: {number}{}{}",
        part.measure.name(),
        shortened(&judged.label),
        mark(judged.state),
        nearest.unwrap_or_default()
    )
}

/// The message where nothing alerts: what was looked at.
fn nothing(report: &Report) -> String {
    let part = |part: &Part| {
        let report = part.report.as_ref()?;
        let name = part.measure.name();
        if part.measure == Measure::Stuck {
            let number: u64 = report.groups.iter().map(|judged| judged.count).sum();
            return Some(format!(
                "{name} {number} connection{}",
                if number == 1 { "" } else { "s" }
            ));
        }
        let groups = report.plan.definition().groups;
        let number = report.listed().filter(|judged| judged.share.is_some()).count();
        let most = percent(report.fullest());
        Some(match number {
            0 => format!("{name} 0 {groups}"),
            1 => format!("{name} {most}% (1 {})", singular(groups)),
            _ => format!("{name} at most {most}% ({number} {groups})"),
        })
    };
    let parts: Vec<_> = report.parts.iter().filter_map(part).collect();
    if parts.is_empty() {
        return format!("Nothing could be asked{}", mark(State::Unknown));
    }
    let coverage = &report.coverage;
    let is_whole = coverage.skipped == 0 && !report.parts.iter().any(Part::is_incomplete);
    let nothing = if is_whole { "Nothing" } else { "Of what could be asked, nothing" };
    format!("{nothing} runs out: {}", parts.join(", "))
}

fn singular(plural: &str) -> &str {
    plural.strip_suffix(if plural.ends_with("sses") { "es" } else { "s" }).unwrap_or(plural)
}

/// The notes behind the message: what could not be asked, each with its reason.
fn notes(report: &Report) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let unknown = |part: &Part| if part.is_demanded { mark(State::Unknown) } else { String::new() };
    for (begin, is_read) in [("not asked", false), ("not asked everywhere", true)] {
        let missing = report.parts.iter().filter(|part| part.report.is_some() == is_read);
        let mut reasons: Vec<(&String, Vec<String>)> = Vec::new();
        for part in missing {
            let Some(reason) = &part.missing else { continue };
            let name = format!("{}{}", part.measure.name(), unknown(part));
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, names)) => names.push(name),
                None => reasons.push((reason, vec![name])),
            }
        }
        for (reason, names) in reasons {
            notes.push(format!("{begin}: {} ({reason})", names.join(", ")));
        }
    }
    for part in &report.parts {
        let Some(report) = &part.report else { continue };
        let name = part.measure.name();
        let limits = unseen_limits(&report.unseen_limits);
        let files = report.unseen_files.as_ref().map(|note| format!("{name}: {note}"));
        let unix = report.unseen_unix.as_ref();
        let unix = unix.map(|reason| format!("{name}: unix listeners not seen: {reason}"));
        let incomplete = limits.into_iter().chain(files).chain(unix);
        notes.extend(incomplete.map(|note| format!("{note}{}", unknown(part))));
        notes.extend(report.unclear.as_ref().map(|note| format!("{name}: {note}")));
    }
    notes.extend(skipped(&report.coverage));
    notes.extend(failed(&report.coverage));
    let mut reports = report.parts.iter().filter_map(|part| part.report.as_ref());
    let missing = reports.find_map(|report| report.missing_details.as_ref());
    notes.extend(missing.map(|error| format!("details are missing: {error}")));
    notes
}

/// The performance data: for each measure its fullest group with its thresholds, for each limit of the
/// host its own, and for each kind of stuck connections the most of one program and port. Measures that
/// could not be asked have none.
#[must_use]
pub fn perfdata(report: &Report) -> String {
    if !report.plan.presentation().perfdata {
        return String::new();
    }
    let text = |ranges: &[Option<String>; 2]| {
        let [warning, critical] = ranges.each_ref().map(|range| range.as_deref().unwrap_or(""));
        format!("{warning};{critical}")
    };
    let mut metrics: Vec<String> = Vec::new();
    for part in &report.parts {
        let Some(report) = &part.report else { continue };
        let name = part.measure.name();
        match part.measure {
            Measure::HostLimits => {
                // The fullest limit changes: the series have the order of the limits.
                let rows = HostLimit::VALUES.iter();
                let rows = rows
                    .filter_map(|limit| report.limit_rows.iter().find(|row| row.limit == *limit));
                metrics.extend(rows.map(|row| {
                    let percent = percent(row.share.percent(row.used));
                    format!("'{}'={percent}%;{};0;100", row.limit.name(), text(&row.ranges))
                }));
            }
            Measure::Stuck => metrics.extend(part.stuck.iter().map(|row| {
                format!("'{name} {}'={};{};0", row.kind.name(), row.count, text(&row.ranges))
            })),
            Measure::Connections
            | Measure::AcceptQueue
            | Measure::SynQueue
            | Measure::ReceiveBuffer
            | Measure::EphemeralPorts
            | Measure::OpenFiles
            | Measure::Exhaustion => metrics.push(format!(
                "'{name}'={}%;{};0;100",
                percent(report.fullest()),
                text(&report.limits)
            )),
        }
    }
    metrics.join(" ")
}
