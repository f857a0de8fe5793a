//! The names and the tables of processes with open files, once they are judged.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use log::warn;

use crate::collect::Collector;
use crate::collect::breakdown::Extra;
use crate::collect::inodes::Inodes;
use crate::deadline::Deadline;
use crate::details::{Detail, OwnerRow, ROWS};
use crate::error::Error;
use crate::group::Group;
use crate::measure::open_files::group_by;
use crate::measure::share::Share;
use crate::namespaces::Namespaces;
use crate::netns::Netns;
use crate::open_files;
use crate::open_files::tables::{Contents, Files, Holder, Table, Tables};
use crate::owner::{Names, Need, unit_of_process};
use crate::report::Report;
use crate::selection::Selection;
use crate::source;
use crate::survey::{Facts, Host};

/// Gives the processes that are printed their names, where they have their ids as labels so far. A
/// process that has ended since keeps its id.
pub fn name_printed(
    report: &mut Report,
    tables: &Tables,
    deadline: &Deadline,
) -> Result<(), Error> {
    let (shown, _) = report.shown();
    let printed: HashSet<Group> =
        shown.into_iter().chain(report.explained()).filter_map(|judged| judged.group).collect();
    let is_printed = |table: &&Table| printed.contains(&Group::Process(table.pid.into()));
    let ids: Vec<_> = tables
        .of_processes
        .iter()
        .filter(is_printed)
        .map(|table| (table.pid, table.thread))
        .collect();
    let (names, _) = Names::of_ids(&ids, deadline)?;
    for judged in &mut report.groups {
        if let Some(group @ Group::Process(pid)) = judged.group
            && !names.processes(pid).is_empty()
        {
            let label = names.name(group).label;
            for detail in report.details.iter_mut().filter(|detail| detail.label == judged.label) {
                detail.label.clone_from(&label);
            }
            judged.label = label;
        }
    }
    Ok(())
}

/// The processes of a group, and its label.
struct Explained<'a> {
    label: String,
    tables: Vec<&'a Table>,
}

/// The details of the groups in `Report::explained`: a row for each process; and the number of TCP
/// sockets of the whole host in no state, where that number is known. `names` has the names of the groups
/// as they were judged.
pub fn explain(
    report: &Report,
    tables: &Tables,
    names: &Names,
    deadline: &Deadline,
) -> Result<(Vec<Detail>, Option<u64>), Error> {
    let explained = explained(report, tables, names);
    let rows = || explained.iter().flat_map(|group| group.tables.iter().take(ROWS));
    let mut holders: HashMap<u32, Holder> = HashMap::new();
    let mut units: HashMap<u32, Option<String>> = HashMap::new();
    for table in rows() {
        // The table of the host may have the same processes as others.
        if let Entry::Vacant(place) = holders.entry(table.pid) {
            place.insert(open_files::holder(table, deadline)?);
            units.insert(table.pid, unit_of_process(table.pid, deadline)?);
        }
    }
    let contents = holders.values().filter_map(|holder| holder.contents.as_ref());
    let sockets = contents.flat_map(|contents| &contents.sockets).copied().collect();
    let states = States::read(sockets, deadline)?;
    let ids: Vec<_> = rows().map(|table| (table.pid, table.thread)).collect();
    let (processes, _) = Names::of_ids(&ids, deadline)?;
    let users = holders.values().filter_map(|holder| holder.uid);
    let users = users.map(|uid| Group::User(Some(uid)));
    let need = Need { units: false, every_holder: false };
    let users = Names::look_up(users, need, &Names::default(), &Namespaces::default(), deadline)?;
    let row = |table: &&Table| {
        let pid = u64::from(table.pid);
        let process = if processes.processes(pid).is_empty() {
            pid.to_string()
        } else {
            processes.name(Group::Process(pid)).label
        };
        let unit = units.get(&table.pid).cloned().flatten();
        row(table, [process, unit.unwrap_or_else(dash)], holders.get(&table.pid), &users, &states)
    };
    let detail = |group: &Explained| Detail {
        label: group.label.clone(),
        owners: group.tables.iter().map(row).collect(),
        peers: Vec::new(),
    };
    Ok((explained.iter().map(detail).collect(), states.stateless))
}

/// The processes of the groups in `Report::explained`, the fullest first; for the host all processes,
/// the most open files first.
fn explained<'a>(report: &Report, tables: &'a Tables, names: &Names) -> Vec<Explained<'a>> {
    let group = group_by(report.plan.group_by());
    let percent = |table: &Table| Share { of: table.limit, ..Share::default() }.percent(table.open);
    let mut by_name: HashMap<String, Vec<&Table>> = HashMap::new();
    for table in &tables.of_processes {
        let label = names.name(group(table.pid.into())).label;
        by_name.entry(label).or_default().push(table);
    }
    let of = |of: Group| match of {
        Group::Host => {
            let mut all: Vec<_> = tables.of_processes.iter().collect();
            all.sort_by_key(|table| Reverse(table.open));
            all
        }
        other => {
            let mut own = by_name.get(&names.name(other).label).cloned().unwrap_or_default();
            own.sort_by(|a, b| percent(b).total_cmp(&percent(a)));
            own
        }
    };
    let explained = report.explained().into_iter();
    explained
        .map(|judged| Explained {
            label: judged.label.clone(),
            tables: judged.group.map(of).unwrap_or_default(),
        })
        .collect()
}

/// The sockets in a state, as far as they are known.
struct States {
    // Sockets with these inode numbers are in a table.
    found: HashSet<u64>,
    // Whether every table of the host was read, so that other sockets are in none.
    complete: bool,
    // The TCP sockets of the whole host in no state.
    stateless: Option<u64>,
}

impl States {
    /// Looks for these sockets in the tables of every network namespace, or of this one where the
    /// others are not known. The open files are judged without them, so that an alert stands where no
    /// table can be read.
    fn read(wanted: HashSet<u64>, deadline: &Deadline) -> Result<Self, Error> {
        let wanted = Inodes::new(wanted);
        for netns in [&[Netns::All][..], &[]] {
            match Self::read_in(netns, wanted.fresh(), deadline) {
                Err(error) if !error.is_final() => warn!("sockets in a state: {error}"),
                read => return read,
            }
        }
        Ok(Self { found: HashSet::new(), complete: false, stateless: None })
    }

    fn read_in(netns: &[Netns], wanted: Inodes, deadline: &Deadline) -> Result<Self, Error> {
        let host = Host::find(netns, None, deadline)?;
        let (inodes, findings) = host.survey(&Selection::default(), Facts::NONE, wanted)?;
        let complete = !netns.is_empty() && findings.coverage.skipped == 0;
        // The kernel counts the sockets of all namespaces in one number.
        let stateless = if complete && open_files::sees_whole_host(deadline)? {
            source::summary()?.tcp_held().checked_sub(inodes.tcp)
        } else {
            None
        };
        Ok(Self { found: inodes.found, complete, stateless })
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn row(
    table: &Table,
    [process, unit]: [String; 2],
    holder: Option<&Holder>,
    users: &Names,
    states: &States,
) -> OwnerRow {
    let user = |uid| users.name(Group::User(Some(uid))).label;
    let contents = holder.and_then(|holder| holder.contents.as_ref());
    let in_state = |contents: &Contents| {
        let found = contents.sockets.iter().filter(|inode| states.found.contains(inode));
        let found = found.count() as u64;
        (found, contents.sockets.len() as u64 - found)
    };
    let sockets = contents.map(in_state);
    let files = Files {
        limit: table.limit,
        in_state: sockets.map(|(with, _)| with),
        stateless: sockets.map(|(_, without)| without),
        complete: states.complete,
        others: contents.map(|contents| contents.others),
    };
    OwnerRow {
        count: table.open,
        process,
        unit,
        user: holder.and_then(|holder| holder.uid).map_or_else(dash, user),
        accepted: true,
        port: None,
        longest: None,
        bytes: 0,
        address: None,
        extra: Extra::Files(Box::new(files)),
        netns: None,
    }
}
