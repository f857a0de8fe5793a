//! The measures that exhaustion judges together, with their built-in thresholds.

use crate::error::Error;
use crate::judge::threshold::ThresholdSpec;
use crate::measure::Measure;
use crate::name::{Named, did_you_mean};
use crate::range::Range;
use crate::selection::StuckFor;
use crate::stuck::StuckKind;

/// The measures, in display order.
pub const MEASURES: [Measure; 7] = [
    Measure::OpenFiles,
    Measure::AcceptQueue,
    Measure::SynQueue,
    Measure::ReceiveBuffer,
    Measure::EphemeralPorts,
    Measure::HostLimits,
    Measure::Stuck,
];

/// The built-in thresholds of a measure, or of one of its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// The measure.
    pub measure: Measure,
    /// The group; `None` for every group.
    pub key: Option<&'static str>,
    /// The most that is fine: a percentage, or a number of connections.
    pub warning: u32,
    /// The most that is not critical; `None` where nothing is.
    pub critical: Option<u32>,
    /// The seconds for which a connection has to be stuck to be counted.
    pub seconds: Option<u32>,
}

/// Thresholds in percent of a limit.
const fn percent(
    measure: Measure,
    key: Option<&'static str>,
    warning: u32,
    critical: Option<u32>,
) -> BuiltIn {
    BuiltIn { measure, key, warning, critical, seconds: None }
}

/// Thresholds of the connections that one program has with one port. A single connection is ordinary: a pool of
/// connections notices the peer's close when it uses the connection again.
const fn stuck(kind: StuckKind, seconds: u32, warning: u32, critical: u32) -> BuiltIn {
    let key = match kind {
        StuckKind::HalfClosed => "half-closed",
        StuckKind::Unread => "unread",
        StuckKind::SilentPeer => "silent-peer",
        StuckKind::PeerNotReading => "peer-not-reading",
        StuckKind::Idle => "idle",
    };
    let (key, critical, seconds) = (Some(key), Some(critical), Some(seconds));
    BuiltIn { measure: Measure::Stuck, key, warning, critical, seconds }
}

/// The built-in thresholds.
pub const BUILT_IN: [BuiltIn; 15] = [
    percent(Measure::OpenFiles, None, 80, Some(95)),
    // The kernel lets one more connection wait than the limit, so that only a full queue is above it.
    percent(Measure::AcceptQueue, None, 70, Some(100)),
    percent(Measure::SynQueue, None, 70, Some(90)),
    percent(Measure::ReceiveBuffer, None, 50, Some(80)),
    percent(Measure::EphemeralPorts, None, 80, Some(95)),
    percent(Measure::HostLimits, Some("tcp-memory"), 70, Some(85)),
    percent(Measure::HostLimits, Some("udp-memory"), 70, Some(85)),
    // The kernel may count an orphan two or four times (`tcp_too_many_orphans` in `net/tcp.h`).
    percent(Measure::HostLimits, Some("orphans"), 25, Some(50)),
    // At the limit the kernel ends TIME_WAIT early, which costs no connection.
    percent(Measure::HostLimits, Some("time-wait"), 80, None),
    percent(Measure::HostLimits, Some("conntrack"), 75, Some(90)),
    percent(Measure::HostLimits, Some("files"), 80, Some(95)),
    stuck(StuckKind::HalfClosed, 600, 20, 200),
    stuck(StuckKind::Unread, 60, 10, 100),
    stuck(StuckKind::SilentPeer, 120, 10, 100),
    stuck(StuckKind::PeerNotReading, 120, 10, 100),
];

/// The seconds for which a connection of each kind has to be stuck to be counted.
#[must_use]
pub fn stuck_rules() -> Vec<StuckFor> {
    let rule = |row: &BuiltIn| {
        let kind = StuckKind::VALUES.iter().find(|kind| Some(kind.name()) == row.key)?;
        Some(StuckFor { kind: Some(*kind), seconds: row.seconds? })
    };
    BUILT_IN.iter().filter_map(rule).collect()
}

/// The seconds for which a connection of this kind has to be stuck to be counted.
#[must_use]
pub fn seconds(kind: StuckKind) -> u32 {
    stuck_rules().iter().find(|rule| rule.kind == Some(kind)).map_or(0, |rule| rule.seconds)
}

/// The severity of a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// WARNING.
    Warning,
    /// CRITICAL.
    Critical,
}

/// The ranges that a caller gives for a measure.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The range for every group.
    pub whole: Option<Range>,
    /// The ranges with the key of a group.
    pub keyed: Vec<(String, Range)>,
}

impl Own {
    /// The ranges of a measure among those that a caller gives.
    #[must_use]
    pub fn of(measure: Measure, spec: Option<&ThresholdSpec>) -> Self {
        let mut own = Self::default();
        for (key, range) in spec.map(ThresholdSpec::keyed).into_iter().flatten() {
            match parts(key) {
                (name, None) if is_called(measure, name) => own.whole = Some(range.clone()),
                (name, Some(key)) if is_called(measure, name) => {
                    own.keyed.push((key.to_owned(), range.clone()));
                }
                _ => {}
            }
        }
        own
    }

    /// Whether every group of the measure is asked for.
    #[must_use]
    pub fn asks_for_all(&self) -> bool {
        self.whole.as_ref().is_some_and(|range| !range.is_no_limit())
    }

    /// Whether the measure, or one of its groups, is asked for.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.asks_for_all() || self.keyed.iter().any(|(_, range)| !range.is_no_limit())
    }

    /// Whether the caller does not want to hear about any group of the measure.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.whole.as_ref().is_some_and(Range::is_no_limit) && !self.asks()
    }

    /// The ranges with the key of a group that can alert.
    #[must_use]
    pub fn asked(&self) -> ThresholdSpec {
        let can_alert = |(_, range): &&(String, Range)| !range.is_no_limit();
        ThresholdSpec::of(None, self.keyed.iter().filter(can_alert).cloned().collect())
    }

    /// All ranges of a measure: the caller's, and the built-in ones that these leave in place.
    pub fn with_built_in(
        self,
        measure: Measure,
        severity: Severity,
    ) -> Result<ThresholdSpec, Error> {
        let (mut whole, mut keyed) = (self.whole, Vec::new());
        if whole.is_none() {
            for row in BUILT_IN.iter().filter(|row| row.measure == measure) {
                let most = match severity {
                    Severity::Warning => Some(row.warning),
                    Severity::Critical => row.critical,
                };
                let Some(most) = most else { continue };
                let range: Range = most.to_string().parse()?;
                match row.key {
                    None => whole = Some(range),
                    Some(key) => keyed.push((key.to_owned(), range)),
                }
            }
        }
        keyed.extend(self.keyed);
        Ok(ThresholdSpec::of(whole, keyed))
    }
}

/// An error for a threshold that is no list of measures with their ranges.
pub fn refuse(spec: &ThresholdSpec) -> Result<(), Error> {
    let names = || MEASURES.map(Named::name);
    if let Some(range) = spec.plain() {
        return Err(Error::Argument(format!(
            "{:?} would compare seconds with percent (valid: MEASURE=RANGE or MEASURE:KEY=RANGE, for \
             example open-files=90)",
            range.to_string()
        )));
    }
    let is_known = |name: &str| MEASURES.iter().any(|measure| is_called(*measure, name));
    match spec.keyed().iter().map(|(key, _)| key).find(|key| !is_known(parts(key).0)) {
        None => Ok(()),
        Some(key) => {
            let (name, _) = parts(key);
            let of_group = BUILT_IN.iter().find(|row| row.key == Some(name));
            let hint = match of_group {
                Some(row) => format!(", did you mean \"{}:{name}\"?", row.measure.name()),
                None => did_you_mean(name, &names()),
            };
            Err(Error::Argument(format!(
                "{name:?} is no measure of exhaustion{hint} (valid: {})",
                names().join(", ")
            )))
        }
    }
}

/// The name of a measure, and the key of one of its groups. Keys have colons, too.
fn parts(key: &str) -> (&str, Option<&str>) {
    match key.split_once(':') {
        Some((name, key)) => (name.trim(), Some(key.trim())),
        None => (key.trim(), None),
    }
}

fn is_called(measure: Measure, name: &str) -> bool {
    measure.name().eq_ignore_ascii_case(name)
}

/// The section of the documentation about an alert of a measure: `docs/exhaustion.md#stuck`, below the address
/// of the project where it has one.
#[must_use]
pub fn section(measure: Measure) -> String {
    let address = env!("CARGO_PKG_HOMEPAGE").trim_end_matches('/');
    let slash = if address.is_empty() { "" } else { "/" };
    format!("{address}{slash}docs/exhaustion.md#{}", measure.name())
}

/// The built-in thresholds as a table: what is judged, WARNING and CRITICAL.
#[must_use]
pub fn table() -> Vec<[String; 3]> {
    let row = |row: &BuiltIn| {
        let unit = if row.seconds.is_some() { "" } else { "%" };
        let name = match (row.key, row.seconds) {
            (Some(key), Some(seconds)) => {
                format!("{}:{key}, more than {seconds} s", row.measure.name())
            }
            (Some(key), None) => format!("{}:{key}", row.measure.name()),
            (None, _) => row.measure.name().to_owned(),
        };
        let critical = row.critical.map_or_else(|| "-".to_owned(), |most| format!("{most}{unit}"));
        [name, format!("{}{unit}", row.warning), critical]
    };
    BUILT_IN.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> ThresholdSpec {
        ThresholdSpec::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn a_key_of_a_measure_replaces_its_built_in_thresholds() {
        for (given, measure, expected) in [
            ("open-files=90", Measure::OpenFiles, "90"),
            ("open-files=90", Measure::SynQueue, "70"),
            ("open-files:nginx=90", Measure::OpenFiles, "nginx=90,80"),
            ("accept-queue:[::]:443=95", Measure::AcceptQueue, "[::]:443=95,70"),
            ("host-limits=60", Measure::HostLimits, "60"),
            ("stuck=~:", Measure::Stuck, "~:"),
            (
                "STUCK:half-closed=50",
                Measure::Stuck,
                "half-closed=20,unread=10,silent-peer=10,peer-not-reading=10,half-closed=50",
            ),
        ] {
            let own = Own::of(measure, Some(&spec(given)));
            let merged = own.with_built_in(measure, Severity::Warning);
            assert_eq!(merged.unwrap_or_else(|e| panic!("{e}")).text(), expected);
        }
        let own = Own::of(Measure::Stuck, Some(&spec("stuck=~:")));
        assert!(own.is_silent() && !own.asks());
    }

    #[test]
    fn every_usual_kind_has_seconds() {
        for (kind, expected) in StuckKind::USUAL.into_iter().zip([600, 60, 120, 120]) {
            assert_eq!(seconds(kind), expected);
        }
        assert_eq!(stuck_rules().len(), StuckKind::USUAL.len());
    }

    #[test]
    fn other_thresholds_are_refused() {
        let error = |text: &str| refuse(&spec(text)).err().map(|error| error.to_string());
        assert!(error("open-files=90,stuck:unread=1").is_none());
        for (text, expected) in [
            ("80", "\"80\" would compare seconds with percent"),
            ("open-files=90,80", "\"80\" would compare"),
            ("openfiles=90", "did you mean \"open-files\"?"),
            ("conntrack=90", "did you mean \"host-limits:conntrack\"?"),
        ] {
            assert!(error(text).is_some_and(|error| error.contains(expected)), "{text}");
        }
    }
}
