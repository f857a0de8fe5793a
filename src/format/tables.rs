//! The tables below a message, in the ASCII style of the collection. They fit into a given size.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use crate::collect::breakdown::{Aspect, Destination, Extra};
use crate::details::{Detail, OwnerRow, ROWS};
use crate::measure::share::Share;
use crate::name::Named;
use crate::open_files::tables::Files;
use crate::owner::WAITING;
use crate::printable::{neutralised, shortened};
use crate::stuck::{Meaning, StuckKind, Wait};

/// A function that shows a label.
pub type Namer = fn(&str) -> String;

/// Details in at most `left` bytes. Rows and groups that do not fit are counted. Each title begins with `of`.
#[must_use]
pub fn tables(details: &[Detail], of: &str, aspect: Aspect, name: Namer, left: usize) -> String {
    for rows in (1..=ROWS).rev() {
        let mut text = String::new();
        // Stops where the text is too long: there may be thousands of groups.
        for detail in details {
            if text.len() <= left {
                text.push_str(&tables_of(detail, of, aspect, name, rows));
            }
        }
        if text.len() <= left {
            return text;
        }
    }
    // One row for each group is still too long. The first groups are the worst, so they are shown.
    let mut text = String::new();
    for (number, detail) in details.iter().enumerate() {
        let table = tables_of(detail, of, aspect, name, 1);
        let rest = format!("\n\n{} groups", and_more((details.len() - number) as u64));
        if text.len() + table.len() + rest.len() > left {
            if text.len() + rest.len() <= left {
                text.push_str(&rest);
            }
            break;
        }
        text.push_str(&table);
    }
    text
}

fn tables_of(detail: &Detail, of: &str, aspect: Aspect, name: Namer, rows: usize) -> String {
    let label = format!("{of}{}", neutralised(&name(&detail.label)));
    let mut text = String::new();
    if !detail.owners.is_empty() {
        let owners = detail.owners.iter().map(|owner| {
            let OwnerRow { count, process, unit, user, extra, netns, .. } = owner;
            let owners = [process_cell(process, owner.accepted), unit.clone(), user.clone()];
            let (first, extra) = match extra {
                Extra::None => {
                    (count.to_string(), vec![port_cell(owner.port), longest_cell(owner.longest)])
                }
                Extra::Status(status) => (count.to_string(), vec![status.name().replace('_', " ")]),
                Extra::Queue(queue) => {
                    (detail.label.clone(), share_cells(queue.waiting, queue.share))
                }
                Extra::Buffer(buffer) => {
                    (count.to_string(), share_cells(buffer.bytes, buffer.share))
                }
                Extra::Backlog(backlog) => (count.to_string(), vec![backlog.to_string()]),
                Extra::Files(files) => (count.to_string(), file_cells(**files)),
                Extra::Stuck(peer, kind, meaning) => {
                    (count.to_string(), stuck_cells(owner, *peer, *kind, *meaning))
                }
            };
            [first].into_iter().chain(owners).chain(extra).chain(netns.clone()).collect()
        });
        let (first, extra): (_, &[&str]) = match aspect {
            Aspect::Peer => ("Connections", &["Local port", "Stuck for"]),
            Aspect::Status => ("Connections", &["State"]),
            Aspect::Queue => ("Listener", &["Queue", "Limit", "Drops"]),
            Aspect::Backlog => ("Sockets", &["Backlog"]),
            Aspect::Buffer => ("Sockets", &["Bytes", "Limit", "Drops"]),
            Aspect::Files => {
                ("Open", &["Limit", "Sockets in a state", "Sockets in no state", "Other files"])
            }
            Aspect::Stuck => (
                "Connections",
                &[
                    "Local port",
                    "Remote address",
                    "Remote port",
                    "Kind",
                    "Stuck for",
                    "Bytes waiting",
                    "Meaning",
                ],
            ),
        };
        let several = detail.owners.iter().any(|owner| owner.netns.is_some());
        let header = header(&[&[first, "Process", "Unit", "User"], extra].concat(), several);
        let table = table(&header, owners, rows);
        let by = match aspect {
            Aspect::Files => "process",
            Aspect::Peer
            | Aspect::Status
            | Aspect::Queue
            | Aspect::Backlog
            | Aspect::Buffer
            | Aspect::Stuck => "owner",
        };
        let _ = write!(text, "\n\n{label}, by {by}:\n{table}");
    }
    if !detail.peers.is_empty() {
        let peers = detail.peers.iter().map(|peer| {
            let mut row = vec![
                peer.count.to_string(),
                port_cell(peer.destination.local_port),
                peer.address.clone(),
                port_cell(peer.destination.port),
                peer.ports.map_or_else(dash, |(used, all)| share(used, all)),
                longest_cell(peer.longest),
            ];
            row.extend(peer.netns.clone());
            row
        });
        let several = detail.peers.iter().any(|peer| peer.netns.is_some());
        let header = header(
            &[
                "Connections",
                "Local port",
                "Remote address",
                "Remote port",
                "Ephemeral ports in use",
                "Stuck for",
            ],
            several,
        );
        let table = table(&header, peers, rows);
        let _ = write!(text, "\n\n{label}, by peer:\n{table}");
    }
    text
}

pub fn dash() -> String {
    "-".to_owned()
}

fn port_cell(port: Option<u16>) -> String {
    port.map_or_else(dash, |port| port.to_string())
}

/// `4512 s, half-closed`
fn longest_cell(longest: Option<(Wait, StuckKind)>) -> String {
    longest.map_or_else(dash, |(wait, kind)| format!("{wait}, {}", kind.name()))
}

fn stuck_cells(
    owner: &OwnerRow,
    peer: Option<Destination>,
    kind: StuckKind,
    meaning: Meaning,
) -> Vec<String> {
    vec![
        port_cell(owner.port),
        owner.address.clone().unwrap_or_else(dash),
        port_cell(peer.and_then(|peer| peer.port)),
        kind.name().to_owned(),
        owner.longest.map_or_else(dash, |(wait, _)| wait.to_string()),
        owner.bytes.to_string(),
        meaning.to_string(),
    ]
}

/// `nginx (812)`, or `nginx (812), not accepted` where the connections wait at a listener.
fn process_cell(process: &str, accepted: bool) -> String {
    let mark = if accepted || process == WAITING { "" } else { ", not accepted" };
    format!("{process}{mark}")
}

fn file_cells(Files { limit, in_state, stateless, complete, others }: Files) -> Vec<String> {
    let cell = |number: Option<u64>| number.map_or_else(dash, |number| number.to_string());
    // The others may be in a state in a network namespace that was not read.
    let (at_least, up_to) =
        if complete || stateless == Some(0) { ("", "") } else { ("at least ", "up to ") };
    let bound =
        |mark, number: Option<u64>| number.map_or_else(dash, |number| format!("{mark}{number}"));
    let sockets = [bound(at_least, in_state), bound(up_to, stateless)];
    [vec![limit.to_string()], sockets.into(), vec![cell(others)]].concat()
}

fn share_cells(number: u64, share: Share) -> Vec<String> {
    let cell = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    [Some(number), Some(share.of), share.drops].map(cell).to_vec()
}

/// The names of the columns. Where there are `several` network namespaces, they have a column.
pub fn header<'a>(columns: &[&'a str], several: bool) -> Vec<&'a str> {
    columns.iter().copied().chain(several.then_some("Network namespace")).collect()
}

/// `and 3 more`
pub fn and_more(left_out: u64) -> String {
    format!("and {left_out} more")
}

/// `812 of 28232 (2.88%)`
fn share(used: u64, all: u64) -> String {
    let percent = percent(Share { of: all, ..Share::default() }.percent(used));
    format!("{used} of {all} ({percent}%)")
}

/// A percentage with at most two decimals, or four below a hundredth: `60`, `0.78`, `0.0035`. A
/// percentage below 100 is never rounded to 100.
pub fn percent(percent: f64) -> String {
    let decimals = if percent > 0.0 && percent < 0.01 { 4 } else { 2 };
    let percent = if percent < 100.0 { percent.min(99.99) } else { percent };
    let text = format!("{percent:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A table with `!` between columns, a line of `-` and `+` below the header, and the number of rows
/// that are left out.
pub fn table(
    header: &[&str],
    rows: impl ExactSizeIterator<Item = Vec<String>>,
    most: usize,
) -> String {
    let left_out = rows.len().saturating_sub(most);
    let mut lines: Vec<Vec<String>> = vec![header.iter().map(|name| (*name).to_owned()).collect()];
    lines.extend(rows.take(most).map(|row| {
        // Neutralised before the width is measured.
        row.iter().map(|cell| neutralised(&shortened(cell)).into_owned()).collect()
    }));
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            lines.iter().filter_map(|line| line.get(column)).map(|c| c.width()).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| {
            format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width())))
        });
        padded.collect::<Vec<_>>().join(" ! ").trim_end().to_owned()
    };
    let mut text: Vec<String> = lines.iter().map(|cells| line(cells)).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    text.insert(1, rule.join("-+-"));
    if left_out > 0 {
        text.push(and_more(left_out as u64));
    }
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_below_100_is_not_shown_as_100() {
        for (value, shown) in [
            (0.0, "0"),
            (0.003_54, "0.0035"),
            (66.666, "66.67"),
            (99.989, "99.99"),
            (99.9999, "99.99"),
            (100.0, "100"),
            (120.004, "120"),
        ] {
            assert_eq!(percent(value), shown);
        }
    }
}
