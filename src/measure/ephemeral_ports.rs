//! `--measure=ephemeral-ports`: the ports that outgoing connections use towards each destination,
//! in percent of all ports that they can get.

use crate::collect::breakdown::Aspect;
use crate::collect::ports::{Outgoing, UsedPorts};
use crate::error::Error;
use crate::field::Field;
use crate::format::exposition::Page;
use crate::group::{Group, GroupBy};
use crate::measure::counted::{Counted, Scope};
use crate::measure::definition::{Definition, Implied, Reading, Series};
use crate::measure::share::Share;
use crate::range::Numbers;
use crate::survey::{Facts, Host};
use crate::vocabulary::Protocol;

pub const DEFINITION: Definition = Definition {
    name: "ephemeral-ports",
    groups: "destinations",
    implied: Some(Implied {
        group_by: GroupBy::RemoteEndpoint,
        protocol: Protocol::Tcp,
        statuses: &[],
        unix: false,
    }),
    refused: &[Field::GroupBy, Field::Zero, Field::Stuck, Field::Statuses, Field::LocalPorts],
    unreported: |_| None,
    of_fixture: false,
    reading: Reading::Percent,
    numbers: Numbers { most: 100.0, whole: false },
    of_reference: false,
    collect,
    nothing: |selection| format!("No destinations{} found.", selection.ends()),
    aspect: Aspect::Status,
    thresholds: [None, None],
    series,
};

fn collect(host: &Host, scope: &Scope) -> Result<Counted, Error> {
    let collector = Outgoing::new((UsedPorts::default(), scope.breakdowns()));
    let (outgoing, findings) = host.survey(scope.selection, Facts::EphemeralOnly, collector)?;
    let (used, breakdowns) = outgoing.into_collected();
    let ports = findings.ephemeral();
    let shares = used.by_destination().into_iter().map(|(destination, used)| {
        let of = ports.get(&destination.netns).map(|of| of.of(destination.address.ip()));
        let of = of.map_or(0, |ports| ports.count());
        (Group::Endpoint(destination), used, Share { of, drops: None })
    });
    Ok(Counted::of_shares(shares, breakdowns, findings))
}

/// Series of the fullest destination and of the number of destinations: there may be too many for a
/// series each.
fn series(page: &mut Page, series: &Series) {
    let fullest = series.found().next();
    let percent = fullest.and_then(|g| Some(g.share?.percent(g.count))).unwrap_or_default();
    let help = "Ports in use towards the fullest destination, as a part of those there are.";
    page.gauge("_ephemeral_ports_used_ratio", help, percent / 100.0);
    let help = "Destinations of outgoing connections.";
    page.gauge("_ephemeral_ports_destinations", help, series.found().count());
}
