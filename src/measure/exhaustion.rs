//! `--measure=exhaustion`: every other measure of what runs out, each with built-in thresholds.

use crate::collect::breakdown::Aspect;
use crate::error::Error;
use crate::field::Field;
use crate::group::GroupBy;
use crate::measure::definition::{Definition, Implied, Reading};
use crate::range::Numbers;

pub const DEFINITION: Definition = Definition {
    name: "exhaustion",
    groups: "measures",
    implied: Some(Implied { group_by: GroupBy::Process, protocols: &[], statuses: &[] }),
    has_groups_by: |kind| kind == GroupBy::Process,
    refused: &[&[
        Field::GroupBy,
        Field::Zero,
        Field::Stuck,
        Field::Direction,
        Field::Types,
        Field::Statuses,
        Field::Source,
    ]],
    unreported: |_| None,
    of_fixture: false,
    reading: Reading::Percent,
    numbers: Numbers { most: f64::MAX, whole: false },
    of_reference: false,
    collect: |_, _| {
        Err(Error::Unsupported("The measures of exhaustion are judged, not counted".to_owned()))
    },
    nothing: |_| "Nothing found.".to_owned(),
    aspect: Aspect::Status,
    thresholds: [None, None],
    series: |_, _| {},
};
