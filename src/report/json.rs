//! One JSON object; its schema is in docs/usage.md.

use serde_json::{Value, json};

use crate::check::{Report, State};
use crate::threshold::Thresholds;

/// Changes where a field changes its meaning or goes away; new fields do not change it.
const SCHEMA: u32 = 1;

impl Report {
    /// The report as one JSON object in one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let groups: Vec<Value> = self
            .groups
            .iter()
            .map(|judged| {
                json!({
                    "label": judged.label,
                    "count": judged.count,
                    "state": judged.state as u8,
                })
            })
            .collect();
        let text = |thresholds: &Option<Thresholds>| {
            thresholds.as_ref().map(|thresholds| thresholds.text().to_owned())
        };
        json!({
            "schema": SCHEMA,
            "state": self.state() as u8,
            "message": self.message(),
            "groups": groups,
            "total": self.total,
            "total_state": self.total_state.map(|state| state as u8),
            "thresholds": {
                "warning": text(&self.check.warning),
                "critical": text(&self.check.critical),
            },
            "source": self.source,
            "duration": self.duration.as_secs_f64(),
        })
        .to_string()
    }
}

/// The object instead of a report: no numbers, so that none can be mistaken.
pub(super) fn failure(message: &str) -> String {
    json!({"schema": SCHEMA, "state": State::Unknown as u8, "message": message}).to_string()
}
