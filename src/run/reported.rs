//! From the groups of a measure to its report: names, states and details.

use std::collections::HashMap;
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use crate::collect::breakdown::{Breakdowns, Sockets};
use crate::deadline::Deadline;
use crate::details::{self, Detail};
use crate::error::Error;
use crate::group::Group;
use crate::group_name::{GroupName, NETNS_SEPARATOR};
use crate::judge::state::State;
use crate::judge::{GroupState, Thresholds};
use crate::many_groups::ManyGroups;
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::Reading;
use crate::name::Named;
use crate::named_group::{NamedGroup, named_groups};
use crate::namespaces::Namespaces;
use crate::owner::{self, Names, Need, Unseen};
use crate::plan::Plan;
use crate::report::{LimitRow, Report};
use crate::run::{explained, open_files};
use crate::survey::{Findings, Host};
use crate::vocabulary::SourceName;

/// The input of the plan's measure. Owners and peers are left out: a caller that needs them sets
/// `lengthy`.
pub fn scope(plan: &Plan) -> Scope<'_> {
    Scope {
        selection: plan.selection(),
        group_by: plan.group_by(),
        aspect: plan.aspect(),
        lengthy: false,
        every_holder: false,
        every_name: true,
    }
}

/// Looks up the names of the groups, judges the groups, and adds the details. Where they were not
/// collected with the groups, they are read from `host`.
pub fn report(
    plan: Plan,
    thresholds: &Thresholds,
    counted: &mut Counted,
    namespaces: &Namespaces,
    host: Option<&Host>,
    deadline: &Deadline,
) -> Result<Report, Error> {
    add_expected(&plan, counted);
    let names = look_up_names(counted, namespaces, deadline)?;
    let many = many_groups(&plan, thresholds, counted, &names, namespaces);
    let mut groups = match &many {
        Some(many) => many.most_important(plan.most_shown()),
        None => name_groups(&plan, counted, &names, namespaces),
    };
    name_places(&mut groups, counted, namespaces, deadline)?;
    let mut report = Report { many, ..judge(plan, thresholds, groups, counted, deadline) };
    if let Some(tables) = counted.tables.take() {
        let needed = owner::needed(Unseen::Files, deadline);
        report.unseen_files = tables.note(needed.as_deref());
        if report.plan.presentation().lengthy && !report.explained().is_empty() {
            let explained = open_files::explain(&report, &tables, &names, deadline);
            let explained = explained.map(|found| (report.details, report.stateless) = found);
            or_without(&mut report, explained)?;
        }
        if names.have_ids_as_labels() {
            let printed = open_files::name_printed(&mut report, &tables, deadline);
            or_without(&mut report, printed)?;
        }
    }
    if let Some(breakdowns) = counted.breakdowns.take() {
        let explained = explain(&report, breakdowns, &names, namespaces, deadline);
        let explained = explained.map(|details| report.details = details);
        or_without(&mut report, explained)?;
    } else if let Some(host) = host
        && !report.is_huge()
        && !report.explained().is_empty()
    {
        let explained = read_again(&report, counted, names, host);
        let explained = explained.map(|details| report.details = details);
        or_without(&mut report, explained)?;
    }
    Ok(report)
}

/// Adds expected groups without connections, if the plan asks for them.
pub fn add_expected(plan: &Plan, counted: &mut Counted) {
    if plan.zero() {
        counted.add_missing(plan.group_by().expected(plan.selection()));
    }
}

/// Looks up the names of all groups. Takes over the names that were looked up already.
pub fn look_up_names(
    counted: &mut Counted,
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<Names, Error> {
    let interfaces = std::mem::take(&mut counted.findings.interfaces);
    let known = std::mem::take(&mut counted.names)
        .with_interfaces(interfaces)
        .with_listeners(counted.findings.listeners());
    let need = Need { units: true, every_holder: true };
    let groups = counted.groups.iter().map(|(group, _)| *group);
    Names::look_up(groups, need, &known, namespaces, deadline)
}

/// The groups with their names, the largest first.
pub fn name_groups(
    plan: &Plan,
    counted: &Counted,
    names: &Names,
    namespaces: &Namespaces,
) -> Vec<NamedGroup> {
    let merged = plan.group_by().is_merged(namespaces.are_several());
    named_groups(merged, &counted.groups, &counted.values, names)
}

/// Takes the groups where there may be very many, and where their states follow from their counts alone.
fn many_groups(
    plan: &Plan,
    thresholds: &Thresholds,
    counted: &mut Counted,
    names: &Names,
    namespaces: &Namespaces,
) -> Option<ManyGroups> {
    let by = plan.group_by();
    let are_many = plan.definition().reading == Reading::Count && !by.is_fixed();
    let are_named = by.is_merged(namespaces.are_several())
        || namespaces.are_asked_for()
        || thresholds.name_groups()
        || counted.groups.iter().any(|(group, _)| matches!(group, Group::Unix(_)));
    if !are_many || are_named || !counted.values.is_empty() {
        return None;
    }
    let more = counted.findings.coverage.skipped > 0;
    let groups = take(&mut counted.groups);
    let many = ManyGroups::new(groups, names.clone(), thresholds.clone(), more);
    counted.total = Some(many.total());
    Some(many)
}

/// The reason why the number of taken ports is not certain.
const BOUND_FIRST: &str = "the system does not report the ports that programs have bound before they \
     connected";
/// Adds the namespaces in which limits are fullest to the names of the limits, where several are read.
pub fn name_places(
    groups: &mut [NamedGroup],
    counted: &Counted,
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<(), Error> {
    if counted.places.is_empty() || !namespaces.are_several() {
        return Ok(());
    }
    let names = namespaces.names(&counted.places.values().copied().collect(), deadline)?;
    for group in groups {
        if let Some(Group::Limit(limit)) = group.group
            && let Some(netns) = counted.places.get(&limit).and_then(|netns| names.get(netns))
        {
            let label = format!("{}{NETNS_SEPARATOR}{}", limit.name(), netns.label);
            group.name = GroupName { label, interface: None, netns: Some(Arc::clone(netns)) };
        }
    }
    Ok(())
}

/// The limits that were found, with their ranges.
pub fn limit_rows(groups: &[NamedGroup], thresholds: &Thresholds) -> Vec<LimitRow> {
    let row = |group: &NamedGroup| match group.group {
        Some(Group::Limit(limit)) => Some(LimitRow {
            limit,
            used: group.count,
            share: group.share?,
            netns: group.name.netns.as_ref().map(|netns| netns.label.to_string()),
            ranges: thresholds.of(group),
        }),
        _ => None,
    };
    groups.iter().filter_map(row).collect()
}

/// Judges the groups and their total. The details are not filled in yet.
pub fn judge(
    plan: Plan,
    thresholds: &Thresholds,
    groups: Vec<NamedGroup>,
    counted: &Counted,
    deadline: &Deadline,
) -> Report {
    let Findings { sources, coverage, unseen_unix, .. } = &counted.findings;
    // The number of unseen processes is printed with the reason, and that of a process in an unseen unit
    // is known.
    let is_told = counted.tables.is_some()
        && !groups.iter().any(|group| group.hidden && group.share.is_some());
    let some_skipped = coverage.skipped > 0;
    let sum = || groups.iter().map(|group| group.count).sum();
    let total = counted.total.unwrap_or_else(sum);
    let most = total + groups.iter().map(|group| group.doubtful).sum::<u64>();
    let fullest = groups.first().filter(|group| group.share.is_some() || group.wait.is_some());
    // Where nothing is found, the graph keeps the ranges of all groups.
    let limits = fullest.map_or_else(|| thresholds.without_keys(), |one| thresholds.of(one));
    let host_is_unseen =
        groups.iter().any(|g| g.name.netns.as_ref().is_some_and(|n| n.may_be_host));
    let unseen = if host_is_unseen { Some(Unseen::HostNetns) } else { Unseen::of(plan.group_by()) };
    let is_denied = groups.iter().any(|group| group.hidden && owner::is_denied(group.label()));
    let limit_rows = limit_rows(&groups, thresholds);
    let mut groups = thresholds.judge(groups, some_skipped);
    let unseen_limits = counted.unseen_limits.clone();
    plan.asked(thresholds).doubt(&mut groups, unseen_limits.iter().copied().map(Group::Limit));
    let mut unclear = groups.iter().filter(|group| group.state == State::Unknown).peekable();
    let ports = |group: &GroupState| matches!(group.group, Some(Group::Ports(..)));
    Report {
        unseen_unix: unseen_unix.as_ref().map(ToString::to_string),
        unseen_files: None,
        stateless: None,
        unclear: match unseen {
            _ if is_told => None,
            Some(unseen) if unclear.peek().is_some() => {
                Some(owner::unseen_message(unseen, deadline))
            }
            Some(unseen) if is_denied => owner::denial(unseen, deadline),
            Some(_) => None,
            None => unclear.any(ports).then(|| BOUND_FIRST.to_owned()),
        },
        plan,
        groups,
        many: None,
        total,
        most,
        total_state: thresholds.judge_total(total, most, some_skipped),
        limits,
        details: Vec::new(),
        limit_rows,
        unseen_limits,
        missing_details: None,
        parts: Vec::new(),
        ephemeral: counted.findings.ephemeral(),
        host_drops: counted.host_drops,
        source: SourceName::join(sources),
        coverage: coverage.clone(),
        netns_unasked: 0,
        duration: Duration::ZERO,
    }
}

/// The details of the groups in `Report::explained`, from another dump.
fn read_again(
    report: &Report,
    counted: &mut Counted,
    names: Names,
    host: &Host,
) -> Result<Vec<Detail>, Error> {
    let (breakdowns, mut findings) = explained::read(report, &counted.groups, &names, host)?;
    let names = names
        .with_further_interfaces(take(&mut findings.interfaces))
        .with_listeners(findings.listeners());
    counted.findings = findings;
    explain(report, breakdowns, &names, &host.namespaces, host.deadline)
}

/// Returns the details (owners and peers) of the groups in `Report::explained`. `names` has the
/// names of the groups; this function looks up the names of the owners and peers.
pub fn explain(
    report: &Report,
    breakdowns: Breakdowns,
    names: &Names,
    namespaces: &Namespaces,
    deadline: &Deadline,
) -> Result<Vec<Detail>, Error> {
    let explained = report.explained();
    let places: HashMap<&str, usize> =
        explained.iter().enumerate().map(|(place, group)| (&*group.label, place)).collect();
    let place = |group| places.get(&*names.name(group).label).copied();
    let sums = breakdowns.sums(explained.len(), place);
    let groups = details::groups(&sums, namespaces.are_several());
    let need = Need { units: false, every_holder: false };
    let names = Names::look_up(groups, need, names, namespaces, deadline)?;
    let is_unix = |group: &GroupState| matches!(group.group, Some(Group::Unix(_)));
    let unix = explained.iter().zip(&sums).filter(|(group, _)| is_unix(group));
    let keys = unix.flat_map(|(_, sum)| sum.sockets.values().flat_map(Sockets::keys));
    let names = names.with_process_units(keys, deadline)?;
    let detail = |(group, sum): (&GroupState, _)| Detail::new(group.label.clone(), sum, &names);
    Ok(explained.into_iter().zip(sums).map(detail).collect())
}

/// Keeps a report whose details could not be read: its numbers are complete, and an alert is worth more
/// than its details. Only a caller who asks to stop ends the run.
pub fn or_without(report: &mut Report, details: Result<(), Error>) -> Result<(), Error> {
    match details {
        Ok(()) => Ok(()),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => {
            report.missing_details = Some(error.to_string());
            Ok(())
        }
    }
}
