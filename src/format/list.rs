//! The selected connections themselves, as a table or as a JSON array.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::address::{with_interface, with_port};
use crate::collect::connections::Connection;

use crate::format::tables::{and_more, dash, header, table};
use crate::format::words::{failed, skipped};
use crate::name::Named;
use crate::printable::neutralised;
use crate::report::List;

/// A table with a row for each connection.
#[must_use]
pub fn text(list: &List) -> String {
    let coverage = &list.coverage;
    let notes: Vec<_> = [skipped(coverage), failed(coverage)].into_iter().flatten().collect();
    let note = if notes.is_empty() { String::new() } else { format!("; {}", notes.join("; ")) };
    let plural = if list.total == 1 { "" } else { "s" };
    let head = neutralised(&format!("{} connection{plural}{note}", list.total)).into_owned();
    if list.connections.is_empty() {
        return head;
    }
    let several = list.connections.iter().any(|connection| connection.netns.is_some());
    let columns = [
        "Type",
        "State",
        "Local",
        "Remote",
        "Process",
        "Unit",
        "User",
        "Receive queue",
        "Send queue",
        "Stuck for",
        "Kind",
    ];
    let number = |number: Option<u32>| number.map_or_else(dash, |number| number.to_string());
    let rows = list.connections.iter().map(|one| {
        let text =
            |text: &Option<std::sync::Arc<str>>| text.as_deref().map_or_else(dash, str::to_owned);
        let user = one.user.as_deref().map(str::to_owned);
        let mut row = vec![
            one.connection_type.name().to_owned(),
            one.status.name().replace('_', " "),
            end(one.local, one.local_interface.as_deref()),
            one.remote.map_or_else(dash, |remote| end(remote, one.remote_interface.as_deref())),
            processes(one),
            text(&one.unit),
            user.or_else(|| one.uid.map(|uid| uid.to_string())).unwrap_or_else(dash),
            number(one.recv_queue),
            number(one.send_queue),
            one.stuck.map_or_else(dash, |wait| wait.to_string()),
            one.stuck_kind.map_or_else(dash, |kind| kind.name().to_owned()),
        ];
        row.extend(several.then(|| text(&one.netns)));
        row
    });
    let rows: Vec<_> = rows.collect();
    let left_out = list.total.saturating_sub(rows.len() as u64);
    let shown = rows.len();
    let table = table(&header(&columns, several), rows.into_iter(), shown);
    let rest = if left_out > 0 { format!("\n{}", and_more(left_out)) } else { String::new() };
    format!("{head}\n\n{table}{rest}")
}

/// `192.0.2.1:443`, or `[fe80::1%eth0]:443`
fn end(end: SocketAddr, interface: Option<&str>) -> String {
    with_port(end.ip(), &with_interface(end.ip(), interface), end.port())
}

/// `nginx (812), nginx (813)`
fn processes(connection: &Connection) -> String {
    let processes = connection.processes.iter().flat_map(|processes| processes.iter());
    let labels: Vec<_> = processes.map(|one| format!("{} ({})", one.name, one.pid)).collect();
    if labels.is_empty() { dash() } else { labels.join(", ") }
}

/// A JSON array with an object for each connection, in one line. The names are those of the Python
/// module.
#[must_use]
pub fn json(list: &List) -> String {
    Value::from(list.connections.iter().map(object).collect::<Vec<_>>()).to_string()
}

fn object(one: &Connection) -> Value {
    let address = |end: SocketAddr, interface: &Option<std::sync::Arc<str>>| {
        with_interface(end.ip(), interface.as_deref())
    };
    let seconds = |milliseconds: u32| f64::from(milliseconds) / 1000.0;
    let process = |one: &crate::owner::Process| json!({"pid": one.pid, "name": &*one.name});
    let processes = one.processes.iter().flat_map(|processes| processes.iter());
    json!({
        "type": one.connection_type.name(),
        "status": one.status.name(),
        "local_address": address(one.local, &one.local_interface),
        "local_port": one.local.port(),
        "remote_address": one.remote.map(|remote| address(remote, &one.remote_interface)),
        "remote_port": one.remote.map(|remote| remote.port()),
        "recv_queue": one.recv_queue,
        "send_queue": one.send_queue,
        "inode": one.inode,
        "uid": one.uid,
        "user": one.user.as_deref(),
        "unit": one.unit.as_deref(),
        "processes": processes.map(process).collect::<Vec<_>>(),
        "netns": one.netns.as_deref(),
        "last_sent": one.last_sent.map(seconds),
        "last_received": one.last_received.map(seconds),
        "stuck": one.stuck.map(|wait| seconds(wait.least)),
        "stuck_most": one.stuck.map(|wait| seconds(wait.most)),
        "stuck_kind": one.stuck_kind.map(Named::name),
        "drops": one.drops,
        "timer": one.timer.map(Named::name),
        "retransmits": one.retransmits,
    })
}
