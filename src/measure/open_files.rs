//! `--measure=open-files`: the open files of each process and of the host, in percent of their limit.

use std::collections::{BTreeMap, HashMap};

use crate::collect::breakdown::Aspect;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::field::Field;
use crate::format::exposition::Page;
use crate::group::{Group, GroupBy};
use crate::judge::GroupState;
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::{Definition, Implied, REFUSED_WITHOUT_SOCKETS, Reading, Series};
use crate::measure::share::Share;
use crate::open_files;
use crate::open_files::tables::{OfHost, Table, Tables};
use crate::owner::{Names, UNSEEN_PROCESSES, unit_of_process};
use crate::range::Numbers;
use crate::survey::{Findings, Host};
use crate::vocabulary::SourceName;

pub const DEFINITION: Definition = Definition {
    name: "open-files",
    groups: "processes",
    implied: Some(Implied {
        group_by: GroupBy::Process,
        protocols: &[],
        statuses: &[],
    }),
    has_groups_by: |kind| matches!(kind, GroupBy::Process | GroupBy::Program | GroupBy::Unit),
    refused: &[REFUSED_WITHOUT_SOCKETS, &[Field::Netns, Field::Source]],
    unreported: |_| None,
    of_fixture: false,
    reading: Reading::Percent,
    // A limit may be lowered below the number of open files.
    numbers: Numbers { most: f64::MAX, whole: false },
    of_reference: false,
    collect,
    nothing: |_| "No processes with open files found.".to_owned(),
    aspect: Aspect::Files,
    thresholds: [None, None],
    series,
};

fn collect(host: &Host, scope: &Scope) -> Result<Counted, Error> {
    groups(open_files::read(host.deadline)?, scope, host.deadline)
}

/// The groups of tables that were read. The names of processes are looked up where the groups follow
/// from them, or where every group needs its name.
pub fn groups(mut tables: Tables, scope: &Scope, deadline: &Deadline) -> Result<Counted, Error> {
    let group = group_by(scope.group_by);
    let names = match scope.group_by {
        GroupBy::Unit => units(&tables.of_processes, deadline)?,
        GroupBy::Process if !scope.every_name => Names::of_no_ids(),
        _ => processes(&mut tables, deadline)?,
    };
    let table = |table: &Table| {
        let share = share_of(table.limit);
        (group(table.pid.into()), table.open, share)
    };
    let of_host = match tables.host {
        OfHost::Told(open, limit) => Some((Group::Host, open, share_of(limit))),
        OfHost::Unlimited | OfHost::Unseen(_) => None,
    };
    let parts = tables.of_processes.iter().map(table).chain(of_host);
    let mut findings = Findings::default();
    findings.sources.push(SourceName::Procfs);
    let mut counted = Counted::of_shares(parts, None, findings);
    let bounded = tables.of_processes.iter().filter(|table| table.most > table.open);
    counted.values.doubtful =
        bounded.map(|table| (group(table.pid.into()), table.most - table.open)).collect();
    let unseen = tables.are_incomplete().then(|| (group(UNSEEN_PROCESSES), tables.unseen));
    let unseen_host = matches!(tables.host, OfHost::Unseen(_)).then_some((Group::Host, 0));
    for (group, number) in unseen.into_iter().chain(unseen_host) {
        counted.groups.push((group, number));
        counted.values.unbounded.insert(group);
    }
    let total = tables.of_processes.iter().map(|table| table.open).sum();
    Ok(Counted { names, total: Some(total), tables: Some(tables), ..counted })
}

/// A limit of open files. The kernel allows no file above it; a limit of 0 without files is not full, as
/// the process needs none.
fn share_of(limit: u64) -> Share {
    Share { of: limit, ..Share::default() }
}

/// The function that makes the group of a process from its id.
pub fn group_by(by: GroupBy) -> fn(u64) -> Group {
    match by {
        GroupBy::Program => Group::Program,
        GroupBy::Unit => |pid| Group::Cgroup(Some(pid)),
        // A plan refuses the others.
        _ => Group::Process,
    }
}

/// Looks up the processes of all tables. Processes that have ended since lose their table.
fn processes(tables: &mut Tables, deadline: &Deadline) -> Result<Names, Error> {
    let ids: Vec<_> = tables.of_processes.iter().map(|table| (table.pid, table.thread)).collect();
    let (names, unseen) = Names::of_ids(&ids, deadline)?;
    tables.of_processes.retain(|table| !names.processes(table.pid.into()).is_empty());
    tables.unseen += unseen;
    Ok(names)
}

/// Looks up the units of all tables.
fn units(tables: &[Table], deadline: &Deadline) -> Result<Names, Error> {
    let mut units = HashMap::new();
    for Table { pid, .. } in tables {
        units.insert(u64::from(*pid), unit_of_process(*pid, deadline)?);
    }
    Ok(Names::of_units(units))
}

/// Series of the fullest process of each name that a key has, and of the fullest of all. There may be
/// too many processes for a series each.
fn series(page: &mut Page, series: &Series) {
    let ratio = |group: &GroupState| {
        group.share.map_or(0.0, |share| share.percent(group.count) / 100.0)
    };
    let mut named: BTreeMap<&str, f64> = BTreeMap::new();
    for group in series.groups {
        if let Some(key) = &group.key {
            let fullest = named.entry(key).or_default();
            *fullest = fullest.max(ratio(group));
        }
    }
    let label = if series.group_by == GroupBy::Unit { "unit" } else { "program" };
    let help = "Open files of the fullest process of each name that a threshold has, as a part of its limit.";
    page.head("_open_files_ratio", "gauge", help);
    for (name, ratio) in named {
        page.sample("_open_files_ratio", &[(label, name)], ratio);
    }
    let fullest = series.found().next().map(ratio).unwrap_or_default();
    let help = "Open files of the fullest process, or of the host, as a part of their limit.";
    page.gauge("_open_files_fullest_ratio", help, fullest);
    let is_counted =
        |group: &&GroupState| group.share.is_some() && group.group.is_none_or(Group::is_listed);
    let number = series.found().filter(is_counted).count();
    let groups = if series.group_by == GroupBy::Process { "Processes" } else { "Groups of processes" };
    page.gauge("_open_files_groups", &format!("{groups} with open files."), number);
}
