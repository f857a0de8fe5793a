//! One JSON object; its schema is in docs/output.md.

use std::fmt::{self, Write};

use serde_json::{Map, Value, json};

use crate::collect::stuck_counts::Place;
use crate::exhaustion::seconds;
use crate::format::plugin::message;
use crate::group::Group;
use crate::judge::GroupState;
use crate::judge::state::State;
use crate::judge::threshold::ThresholdSpec;
use crate::measure::Measure;
use crate::name::Named;
use crate::namespaces::NetnsCoverage;
use crate::report::{Part, Report};

/// The version of the schema. It changes where a field changes its meaning or goes away; new fields
/// do not change it.
const SCHEMA: u32 = 1;

/// The field of the groups.
const GROUPS: &str = "groups";

/// A report as one JSON object in one line.
#[must_use]
pub fn report(report: &Report) -> String {
    let mut text = String::new();
    // A string takes every text.
    let _ = write(report, &mut text);
    text
}

/// Writes a report as one JSON object in one line, group by group: there may be a million.
pub fn write(report: &Report, to: &mut dyn Write) -> fmt::Result {
    for (number, (key, value)) in object(report).into_iter().enumerate() {
        let separator = if number == 0 { '{' } else { ',' };
        write!(to, "{separator}\"{key}\":")?;
        if key != GROUPS {
            write!(to, "{value}")?;
            continue;
        }
        let of_parts = report.parts.iter().flat_map(groups_of_part);
        let groups = report.every_group().map(|judged| group(&judged)).chain(of_parts);
        to.write_char('[')?;
        for (number, mut fields) in groups.enumerate() {
            to.write_str(if number == 0 { "{" } else { ",{" })?;
            // As in the other objects.
            fields.sort_unstable_by_key(|(key, _)| *key);
            for (number, (key, value)) in fields.into_iter().enumerate() {
                let separator = if number == 0 { "" } else { "," };
                write!(to, "{separator}\"{key}\":{value}")?;
            }
            to.write_char('}')?;
        }
        to.write_char(']')?;
    }
    to.write_char('}')
}

/// The fields of a report, still without its groups.
fn object(report: &Report) -> Map<String, Value> {
    let text = |thresholds: &Option<ThresholdSpec>| {
        thresholds.as_ref().map(|thresholds| thresholds.text().to_owned())
    };
    let policy = report.plan.policy();
    let object = json!({
        "schema": SCHEMA,
        "state": report.state() as u8,
        "message": message(report),
        GROUPS: [],
        "total": report.total,
        "total_state": report.total_state.map(|state| state as u8),
        "thresholds": {
            "warning": text(&policy.warning),
            "critical": text(&policy.critical),
        },
        "source": report.source,
        "duration": report.duration.as_secs_f64(),
    });
    let Value::Object(mut object) = object else { return Map::new() };
    object.extend(netns(report).map(|netns| ("netns".to_owned(), netns)));
    let unasked = (report.netns_unasked > 0).then(|| report.netns_unasked.into());
    object.extend(unasked.map(|number| ("netns_unasked".to_owned(), number)));
    let most = (report.most > report.total).then(|| report.most.into());
    object.extend(most.map(|most| ("most".to_owned(), most)));
    let unix = report.sees_unix();
    object.extend(unix.map(|seen| ("unix_listeners_seen".to_owned(), seen.into())));
    let measures: Vec<_> = report.parts.iter().map(measure).collect();
    let measures = (!measures.is_empty()).then(|| measures.into());
    object.extend(measures.map(|measures| ("measures".to_owned(), measures)));
    let measure = report.plan.measure();
    let measure = (measure != Measure::default()).then(|| measure.name().into());
    object.extend(measure.map(|measure| ("measure".to_owned(), measure)));
    object
}

/// The numbers of network namespaces that were read and skipped, where namespaces were asked for.
fn netns(report: &Report) -> Option<Value> {
    let NetnsCoverage { read, skipped, maybe_read, .. } = &report.coverage;
    let asked = report.plan.asks_for_namespaces();
    asked.then(|| json!({"seen": read, "unseen": skipped, "doubtful": maybe_read}))
}

/// The groups of one of several measures: the number that is judged, its unit, and the limit.
fn groups_of_part(part: &Part) -> Vec<Vec<(&'static str, Value)>> {
    let of_group = |judged: &GroupState| {
        let mut fields = group(judged);
        let is_stuck = part.measure == Measure::Stuck;
        let percent = judged.share.map(|share| share.percent(judged.count));
        let value = if is_stuck { Some(judged.count.into()) } else { percent.map(Value::from) };
        let unit = if is_stuck { "connections" } else { "%" };
        let mut add = |key: &'static str, value: Value| fields.push((key, value));
        add("measure", part.measure.name().into());
        add("value", value.into());
        add("unit", unit.into());
        add("limit", judged.share.map(|share| share.of).into());
        if let (Some(Group::Kind(kind)), Some(place)) = (judged.group, judged.place) {
            add("longer_than", seconds(kind).into());
            match place {
                Place::At(number) => add("local_port", number.into()),
                Place::To(number) => add("remote_port", number.into()),
            }
        }
        fields
    };
    part.report.iter().flat_map(|report| &report.groups).map(of_group).collect()
}

/// One of several measures: its state, and the reason why it could not be asked.
fn measure(part: &Part) -> Value {
    let report = part.report.as_ref();
    let unseen_limits = report.into_iter().flat_map(|report| &report.unseen_limits);
    json!({
        "measure": part.measure.name(),
        "state": part.state() as u8,
        "asked": part.report.is_some(),
        "missing": part.missing,
        "unseen_limits": unseen_limits.map(|limit| limit.name()).collect::<Vec<_>>(),
        "unseen_processes": report.and_then(|report| report.unseen_files.as_ref()),
        "unseen_unix_listeners": report.and_then(|report| report.unseen_unix.as_ref()),
    })
}

/// The fields of a group: there may be a million groups, so that no map is made of them.
fn group(judged: &GroupState) -> Vec<(&'static str, Value)> {
    let GroupState {
        group: _,
        label,
        count,
        most,
        share,
        wait,
        unbounded,
        key: _,
        place: _,
        state,
        unmatched,
        unexpected,
        nearest,
    } = judged;
    let mut fields = vec![("label", label.as_str().into()), ("count", (*count).into())];
    if most > count {
        fields.push(("most", (*most).into()));
    }
    if let Some(share) = share {
        fields.push(("of", share.of.into()));
        fields.push(("percent", share.percent(*count).into()));
        fields.push(("drops", share.drops.into()));
    }
    if let Some(wait) = wait {
        let (least, most) = wait.seconds();
        fields.push(("seconds", least.into()));
        if most > least {
            fields.push(("most_seconds", most.into()));
        }
    }
    if *unbounded {
        fields.push(("unbounded", true.into()));
    }
    fields.push(("state", (*state as u8).into()));
    if *unmatched {
        fields.push(("unmatched", true.into()));
    }
    if *unexpected {
        fields.push(("unexpected", true.into()));
    }
    if let Some(nearest) = nearest {
        fields.push(("nearest", nearest.as_str().into()));
    }
    fields
}

/// The object for an error. It has no counts, so that none can be mistaken for a result.
#[must_use]
pub fn failure(message: &str) -> String {
    json!({"schema": SCHEMA, "state": State::Unknown as u8, "message": message}).to_string()
}
