//! The plan: a validated check. The command, the Python module and other crates validate their
//! checks here. Only this module refuses invalid combinations of fields.

use std::time::Duration;

use crate::check::{Check, Policy, Presentation, Query};
use crate::collect::breakdown::Aspect;
use crate::error::Error;
use crate::exhaustion::{self, Own, Severity};
use crate::field::Field;
use crate::group::{GroupBy, Needs};
use crate::judge::Thresholds;
use crate::judge::key::{Beside, KeyContext, TOTAL};
use crate::judge::state::State;
use crate::judge::threshold::{KeyedRanges, ThresholdSpec};
use crate::measure::Measure;
use crate::measure::definition::{Definition, Reading};
use crate::name::Named;
use crate::netns::Netns;
use crate::owner::UserId;
use crate::selection::{Choice, Selection, StuckFor, UnixListeners};
use crate::vocabulary::{ConnectionStatus, ConnectionType, Protocol, SourceName, possible};

/// The default number of printed groups, for kinds that can have many.
pub const TOP: usize = 10;

/// A validated check, ready to run.
///
/// ```
/// use network_connections::{Check, Measure, Plan};
///
/// let mut check = Check::default();
/// check.query.measure = Measure::AcceptQueue;
/// assert!(Plan::new(check.clone()).is_ok());
/// check.query.zero = true;
/// let error = Plan::new(check).err().map(|error| error.to_string());
/// assert_eq!(
///     error.as_deref(),
///     Some("zero: has no meaning where listeners are measured (valid: measure=connections)")
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    // Includes the types and the status that the measure implies.
    query: Query,
    policy: Policy,
    presentation: Presentation,
    group_by: GroupBy,
    thresholds: Thresholds,
    // Whether the check reads this host, and not a fixture.
    live: bool,
    // Whether a part of the answer that cannot be read is UNKNOWN.
    strict: bool,
    // The measures that are judged together.
    parts: Vec<PlanPart>,
    // The ranges that the caller has given, where this is a part of several measures.
    asked: Option<Thresholds>,
}

/// One of several measures that are judged together.
#[derive(Clone, Debug)]
pub(crate) struct PlanPart {
    /// The measure.
    pub measure: Measure,
    /// Its plan, or the reason why it has none.
    pub plan: Result<Plan, String>,
    /// Whether a threshold of the caller names the measure, or one of its groups.
    pub is_asked: bool,
    /// Whether a threshold of the caller is for all its groups.
    pub all_are_asked: bool,
    /// Whether the caller does not want to hear about the measure.
    pub is_silent: bool,
}

impl Plan {
    /// Validates a check of this host. An error names the invalid field, or the source that cannot
    /// answer.
    pub fn new(check: Check) -> Result<Self, Error> {
        let details = check.presentation.lengthy;
        Self::validated(check, true, details)
    }

    /// Validates a query that lists connections one by one, with their addresses and owners.
    pub fn of_list(query: Query) -> Result<Self, Error> {
        // The owners need the same rights as the tables of a check.
        let presentation = Presentation { lengthy: true, ..Presentation::default() };
        let definition = query.measure.definition();
        if !definition.is_of_sockets() {
            return Err(Error::Conflict {
                field: Field::Measure,
                problem: format!("a list has connections, and no {}", definition.groups),
                other: Field::Measure,
                valid: Measure::default().name().to_owned(),
            });
        }
        Self::validated(Check { query, presentation, ..Check::default() }, true, true)
    }

    /// Validates a check whose connections are listed and not judged. Also returns the most connections
    /// that are listed. A check of stuck connections lists only these.
    pub(crate) fn of_listed_check(check: Check) -> Result<(Self, usize), Error> {
        let mut query = Query { zero: false, ..check.query };
        if query.measure == Measure::Stuck && query.selection.stuck.is_empty() {
            query.selection.stuck = vec![StuckFor { kind: None, seconds: 1 }];
        }
        Ok((Self::of_list(query)?, check.presentation.top.unwrap_or(LISTED)))
    }

    /// Validates a check of a recorded list of connections.
    pub fn of_fixture(check: Check) -> Result<Self, Error> {
        if !check.query.selection.stuck.is_empty() {
            return Err(Error::Fixture("Fixture has no times of connections".to_owned()));
        }
        if check.query.selection.direction.is_some() {
            return Err(Error::Fixture(NO_DIRECTIONS.to_owned()));
        }
        let plan = Self::validated(check, false, false)?;
        if !plan.definition().of_fixture {
            return Err(Error::Fixture(
                "Fixture has connections, which are all it can tell".to_owned(),
            ));
        }
        match plan.group_by.needs() {
            Needs::Namespace => Err(Error::Fixture("Fixture has no network namespaces".to_owned())),
            Needs::Listeners => Err(Error::Fixture(NO_DIRECTIONS.to_owned())),
            Needs::Nothing | Needs::Ends | Needs::Owner | Needs::Cgroup => Ok(plan),
        }
    }

    /// Validates a check. With `live`, the check reads this host. With `details`, the result also
    /// has ports, addresses and owners.
    fn validated(check: Check, live: bool, details: bool) -> Result<Self, Error> {
        let Check { mut query, policy, presentation } = check;
        let definition = query.measure.definition();
        refuse_meaningless(&query)?;
        if query.measure == Measure::Exhaustion {
            return Self::of_parts(Check { query, policy, presentation }, live, details);
        }
        let implied = definition.implied.as_ref();
        let unix = implied.is_some_and(|implied| implied.protocols.contains(&Protocol::Unix));
        query.selection.unix = unix_listeners(&query.selection, unix)?;
        let default = implied.map(|implied| implied.group_by).unwrap_or_default();
        let group_by = query.group_by.unwrap_or(default);
        if implied.is_some() || !query.selection.stuck.is_empty() {
            // Without a measure that decides it: stuck connections.
            let (groups, protocols) = implied.map_or((STUCK, &[Protocol::Tcp][..]), |implied| {
                (definition.groups, implied.protocols)
            });
            if !protocols.is_empty() {
                query.selection.types = types_of(protocols, &query.selection, groups)?;
            }
        }
        refuse_groups(group_by, query.measure)?;
        if let Some(statuses) =
            implied.map(|implied| implied.statuses).filter(|statuses| !statuses.is_empty())
        {
            query.selection.statuses = Choice::of(statuses);
        }
        refuse_undirected(&query)?;
        refuse_unstuck(&query)?;
        if live && needs_times(&query) && SourceName::AVAILABLE.contains(&SourceName::Netlink) {
            query.source.get_or_insert(SourceName::Netlink);
        }
        if query.zero && !group_by.is_fixed() {
            return Err(unlistable(group_by));
        }
        if live && let Some(source) = query.source {
            check_source(&query, group_by, details, source)?;
        }
        let mut plan = Self {
            query,
            policy,
            presentation,
            group_by,
            thresholds: Thresholds::default(),
            live,
            strict: false,
            parts: Vec::new(),
            asked: None,
        };
        plan.thresholds = plan.read_thresholds()?;
        if plan.thresholds.name_unix_listeners() {
            plan.query.selection.unix = UnixListeners::Required;
        }
        if !plan.definition().of_reference {
            plan.refuse_silent()?;
        }
        Ok(plan)
    }

    /// Validates a check of several measures, each with its built-in thresholds where the check has no
    /// others.
    fn of_parts(check: Check, live: bool, details: bool) -> Result<Self, Error> {
        let Check { query, policy, presentation } = check;
        for (field, spec) in
            [(Field::Critical, &policy.critical), (Field::Warning, &policy.warning)]
        {
            let refused = spec.as_ref().map_or(Ok(()), exhaustion::refuse);
            refused.map_err(|error| error.of_field(field))?;
        }
        let part = |measure| {
            let own =
                [&policy.warning, &policy.critical].map(|spec| Own::of(measure, spec.as_ref()));
            let is_asked = own.iter().any(Own::asks);
            let all_are_asked = own.iter().any(Own::asks_for_all);
            let is_silent = own.iter().all(Own::is_silent);
            let plan = match part_of_query(&query, measure) {
                Err(reason) => Err(reason),
                Ok(query) => Ok(Self::part(query, own, presentation.clone(), (live, details))?),
            };
            Ok(PlanPart { measure, plan, is_asked, all_are_asked, is_silent })
        };
        let parts = exhaustion::MEASURES.into_iter().map(part).collect::<Result<_, Error>>()?;
        let group_by = query.measure.definition().implied.as_ref().map(|implied| implied.group_by);
        Ok(Self {
            query,
            policy,
            presentation,
            group_by: group_by.unwrap_or_default(),
            thresholds: Thresholds::default(),
            live,
            strict: false,
            parts,
            asked: None,
        })
    }

    /// Validates one of several measures.
    fn part(
        query: Query,
        own: [Own; 2],
        presentation: Presentation,
        (live, details): (bool, bool),
    ) -> Result<Self, Error> {
        let asked = own.each_ref().map(Own::asked);
        let [warning, critical] = own;
        let policy = Policy {
            warning: Some(warning.with_built_in(query.measure, Severity::Warning)?),
            critical: Some(critical.with_built_in(query.measure, Severity::Critical)?),
            ..Policy::default()
        };
        let mut plan = Self::validated(Check { query, policy, presentation }, live, details)?;
        let [warning, critical] = asked;
        plan.asked = Some(Thresholds {
            warning: Some(warning.resolved(&plan.key_context(Field::Warning))?),
            critical: Some(critical.resolved(&plan.key_context(Field::Critical))?),
        });
        Ok(plan)
    }

    /// The measures that are judged together; empty for a single measure.
    pub(crate) fn parts(&self) -> &[PlanPart] {
        &self.parts
    }

    /// Whether this is one of several measures that are judged together.
    pub(crate) const fn is_part(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether a part of the answer that cannot be read is UNKNOWN.
    pub(crate) const fn is_strict(&self) -> bool {
        self.strict
    }

    /// The ranges that the caller has given, where this is a part of several measures; else all ranges.
    pub(crate) fn asked<'a>(&'a self, thresholds: &'a Thresholds) -> &'a Thresholds {
        self.asked.as_ref().unwrap_or(thresholds)
    }

    fn read_thresholds(&self) -> Result<Thresholds, Error> {
        let resolved =
            |spec: Option<&ThresholdSpec>, field| -> Result<Option<KeyedRanges>, Error> {
                spec.map(|spec| spec.resolved(&self.key_context(field)))
                    .transpose()
                    .map_err(|error| error.of_field(field))
            };
        let Policy { warning, critical, .. } = &self.policy;
        let mut built_in = [None, None];
        if warning.is_none() && critical.is_none() {
            for (spec, text) in built_in.iter_mut().zip(self.definition().thresholds) {
                *spec = text.map(ThresholdSpec::parse).transpose()?;
            }
        }
        let [built_in_warning, built_in_critical] = &built_in;
        // Where both are wrong, the error names the critical threshold.
        let critical = resolved(critical.as_ref().or(built_in_critical.as_ref()), Field::Critical)?;
        let warning = resolved(warning.as_ref().or(built_in_warning.as_ref()), Field::Warning)?;
        Ok(Thresholds { critical, warning })
    }

    /// The context of the keys of a threshold.
    fn key_context(&self, field: Field) -> KeyContext<'_> {
        KeyContext {
            field,
            beside: match (self.query.measure, self.definition().reading.has_total()) {
                (Measure::EphemeralPorts, _) => Beside::Ports,
                (_, true) => Beside::Total,
                (_, false) => Beside::Nothing,
            },
            numbers: self.definition().numbers,
            netns: self.asks_for_namespaces(),
            by: self.group_by,
            selection: self.selection(),
            live: self.live,
        }
    }

    /// Looks up the ids of the users that keys name, and returns the thresholds with these ids.
    pub(crate) fn thresholds(
        &self,
        user_id: &dyn Fn(&str) -> Result<Option<UserId>, Error>,
    ) -> Result<Thresholds, Error> {
        let look_up = |ranges: &mut Option<KeyedRanges>, field| {
            let context = self.key_context(field);
            let ranges = ranges.iter_mut();
            let mut looked_up = ranges.map(|ranges| ranges.look_up_users(&context, user_id));
            looked_up.try_for_each(|result| result).map_err(|error: Error| error.of_field(field))
        };
        let mut thresholds = self.thresholds.clone();
        look_up(&mut thresholds.critical, Field::Critical)?;
        look_up(&mut thresholds.warning, Field::Warning)?;
        Ok(thresholds)
    }

    /// Refuses types that are never in the selected states, as UDP in LISTEN.
    fn refuse_impossible(&self) -> Result<(), Error> {
        let Selection { types, statuses, .. } = self.selection();
        if self.group_by == GroupBy::Limit
            || self.selection().unix != UnixListeners::Unread
            || self.selection().pairs().next().is_some()
        {
            return Ok(());
        }
        let valid = possible().filter(|(t, _)| types.contains(*t)).map(|(_, status)| status);
        let valid = valid.filter(|status| !self.live || status.is_of_this_system());
        let (statuses, types) = (statuses.label(), types.label());
        Err(Error::Conflict {
            field: Field::Statuses,
            problem: format!("{statuses:?} is never the status of type {types:?}"),
            other: Field::Statuses,
            valid: alternatives(valid.map(|status| status.name().to_ascii_lowercase())),
        })
    }

    /// Refuses a range without a key that never alerts.
    fn refuse_silent(&self) -> Result<(), Error> {
        let Policy { warning, critical, .. } = &self.policy;
        for (field, spec) in [(Field::Critical, critical), (Field::Warning, warning)] {
            let numbers = self.definition().numbers;
            let checked = spec.as_ref().map_or(Ok(()), |spec| spec.refuse_silent(numbers));
            checked.map_err(|error| error.of_field(field))?;
        }
        Ok(())
    }

    /// Refuses thresholds that are valid and have another meaning than they seem to have: a percent
    /// sign behind a count, which the reference ignores; a range that never alerts; an empty range; a
    /// range that has no alert where nothing is found, though 0 lies outside of it; and a warning range
    /// that the critical range hides. Also refuses a selection that no connection is
    /// ever in.
    pub fn strict(mut self) -> Result<Self, Error> {
        self.strict = true;
        if !self.parts.is_empty() {
            for plan in self.parts.iter_mut().filter_map(|part| part.plan.as_mut().ok()) {
                plan.strict = true;
            }
            return Ok(self);
        }
        self.refuse_silent()?;
        self.refuse_impossible()?;
        if let Policy { warning: Some(warning), critical: Some(critical), .. } = &self.policy
            && critical.hides(warning)
        {
            return Err(Error::Conflict {
                field: Field::Warning,
                problem: format!(
                    "{:?} is never reached before the critical range {:?}",
                    warning.text(),
                    critical.text()
                ),
                other: Field::Critical,
                valid: format!("RANGE, wider than {}", warning.text()),
            });
        }
        let are = match self.definition().reading {
            Reading::Percent => return Ok(self),
            Reading::Count => "counted",
            Reading::Seconds => "measured in seconds",
        };
        let Policy { warning, critical, no_match, .. } = &self.policy;
        for (field, spec) in [(Field::Critical, critical), (Field::Warning, warning)] {
            let nothing_is_ok = !self.query.zero && no_match.0 == State::Ok;
            if let Some(range) = spec.as_ref().and_then(ThresholdSpec::plain_without_0)
                && nothing_is_ok
                && self.definition().reading == Reading::Count
            {
                return Err(Error::Value {
                    field,
                    problem: format!(
                        "{:?} has no alert where nothing is found, because it judges only groups that \
                         exist (valid: {:?}, or a state for nothing, or zero)",
                        range.to_string(),
                        format!("{TOTAL}={range}")
                    ),
                });
            }
            if let Some(spec) = spec.as_ref().filter(|spec| spec.text().contains('%')) {
                return Err(Error::Value {
                    field,
                    problem: format!(
                        "{:?} is in percent, but {} are {are} (valid: {:?})",
                        spec.text(),
                        self.definition().groups,
                        spec.text().replace('%', "")
                    ),
                });
            }
        }
        Ok(self)
    }

    /// The measure.
    #[must_use]
    pub fn measure(&self) -> Measure {
        self.query.measure
    }

    /// The definition of the measure.
    pub(crate) fn definition(&self) -> &'static Definition {
        self.query.measure.definition()
    }

    /// Whether the tables of `lengthy` are read once all groups are judged: there may be a million connections.
    pub(crate) fn explains_later(&self) -> bool {
        self.presentation.lengthy && self.aspect().has_peers()
    }

    /// The criterion by which the tables of `lengthy` break down connections, besides the owner.
    pub(crate) fn aspect(&self) -> Aspect {
        if self.selection().stuck.is_empty() { self.definition().aspect } else { Aspect::Stuck }
    }

    /// The kind of groups.
    #[must_use]
    pub fn group_by(&self) -> GroupBy {
        self.group_by
    }

    /// The selection of connections, with the types and the status that the measure implies.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.query.selection
    }

    /// Whether expected groups without connections are added, each with the number 0.
    #[must_use]
    pub fn zero(&self) -> bool {
        self.query.zero
    }

    /// The network namespaces to read.
    #[must_use]
    pub fn netns(&self) -> &[Netns] {
        &self.query.netns
    }

    /// Whether the query asks for network namespaces.
    #[must_use]
    pub fn asks_for_namespaces(&self) -> bool {
        !self.query.netns.is_empty()
    }

    /// The source that must answer; `None` for the best source that answers.
    #[must_use]
    pub fn source(&self) -> Option<SourceName> {
        self.query.source
    }

    /// The time that the whole run may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.query.timeout
    }

    /// The thresholds as given, the state of a check that finds nothing, and whether the state is
    /// always OK.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The form of the message.
    #[must_use]
    pub fn presentation(&self) -> &Presentation {
        &self.presentation
    }

    /// The most groups that are printed.
    #[must_use]
    pub fn most_shown(&self) -> usize {
        let few = if self.group_by().is_fixed() { usize::MAX } else { TOP };
        self.presentation.top.unwrap_or(few)
    }
}

/// The query of one of several measures. Ports and addresses are of sockets: a measure of sockets that
/// cannot have one that is selected is left out, for this reason.
fn part_of_query(query: &Query, measure: Measure) -> Result<Query, String> {
    const ENDS: [(Field, &str); 4] = [
        (Field::LocalPorts, "local ports"),
        (Field::LocalAddresses, "local addresses"),
        (Field::RemotePorts, "remote ports"),
        (Field::RemoteAddresses, "remote addresses"),
    ];
    let definition = measure.definition();
    let is_refused = |field: &Field| definition.refuses(*field) && is_given(query, *field);
    let mut part = Query { measure, selection: Selection::default(), ..query.clone() };
    if definition.is_of_sockets() {
        let refused: Vec<_> =
            ENDS.iter().filter(|(field, _)| is_refused(field)).map(|(_, name)| *name).collect();
        if !refused.is_empty() {
            return Err(format!("it has no {}", refused.join(" and ")));
        }
        part.selection = query.selection.clone();
    }
    if is_refused(&Field::Netns) {
        part.netns = Vec::new();
    }
    if measure == Measure::Stuck {
        part.selection.stuck = exhaustion::stuck_rules();
    }
    Ok(part)
}

/// Refuses a field that has no meaning with the measure.
fn refuse_meaningless(query: &Query) -> Result<(), Error> {
    let definition = query.measure.definition();
    match definition.refused.iter().copied().flatten().find(|field| is_given(query, **field)) {
        None => Ok(()),
        Some(field) => Err(Error::Conflict {
            field: *field,
            problem: format!("has no meaning where {} are measured", definition.groups),
            other: Field::Measure,
            valid: Measure::default().name().to_owned(),
        }),
    }
}

/// Refuses kinds of groups that the measure does not have.
fn refuse_groups(group_by: GroupBy, measure: Measure) -> Result<(), Error> {
    let definition = measure.definition();
    if (definition.has_groups_by)(group_by) {
        return Ok(());
    }
    let can_count = Measure::default().definition().has_groups_by;
    let (other, valid) = if can_count(group_by) {
        let kinds = GroupBy::VALUES.iter().filter(|kind| (definition.has_groups_by)(**kind));
        (Field::GroupBy, alternatives(kinds.map(|kind| kind.name())))
    } else {
        let has_it = |measure: &&Measure| (measure.definition().has_groups_by)(group_by);
        let measures = Measure::VALUES.iter().filter(has_it);
        (Field::Measure, alternatives(measures.map(|measure| measure.name())))
    };
    Err(Error::Conflict {
        field: Field::GroupBy,
        problem: format!("{} are not measured by {}", definition.groups, group_by.name()),
        other,
        valid,
    })
}

/// Whether the caller has set a field of the query. A default value counts as set in `types`,
/// `statuses` and `group_by`, but not in the other fields.
fn is_given(query: &Query, field: Field) -> bool {
    let Selection {
        types,
        statuses,
        local_ports,
        remote_ports,
        local_addresses,
        remote_addresses,
        direction,
        stuck,
        // Decided by the plan.
        unix: _,
    } = &query.selection;
    match field {
        Field::Types => types.is_given(),
        Field::Statuses => statuses.is_given(),
        Field::LocalPorts => !local_ports.is_empty(),
        Field::RemotePorts => !remote_ports.is_empty(),
        Field::LocalAddresses => !local_addresses.is_empty(),
        Field::RemoteAddresses => !remote_addresses.is_empty(),
        Field::Direction => direction.is_some(),
        Field::Stuck => !stuck.is_empty(),
        Field::Netns => !query.netns.is_empty(),
        Field::Source => query.source.is_some(),
        Field::Measure => query.measure != Measure::default(),
        Field::GroupBy => query.group_by.is_some(),
        Field::Zero => query.zero,
        // Thresholds have a meaning with every measure.
        Field::Warning | Field::Critical => false,
    }
}

/// The reason why a fixture has no directions.
const NO_DIRECTIONS: &str = "Fixture does not tell the directions of connections";

/// The most connections that are listed, if the caller does not say how many.
const LISTED: usize = 20;

/// The plural noun for stuck connections.
const STUCK: &str = "stuck connections";

/// Whether only a source that reports the times of connections can answer.
fn needs_times(query: &Query) -> bool {
    query.measure == Measure::Stuck || !query.selection.stuck.is_empty()
}

/// Refuses types and statuses in which no connection can have the selected direction.
fn refuse_undirected(query: &Query) -> Result<(), Error> {
    let selection = &query.selection;
    let Some(direction) = selection.direction.filter(|_| selection.pairs().next().is_none()) else {
        return Ok(());
    };
    let undirected = Selection { direction: None, ..selection.clone() };
    if undirected.pairs().next().is_none() {
        // Types that are never in these statuses.
        return Ok(());
    }
    let tcp = selection.types_of(Protocol::Tcp).next().is_some();
    let (other, valid) =
        if tcp { (Field::Statuses, "!listen") } else { (Field::Types, "tcp or tcp6") };
    Err(Error::Conflict {
        field: Field::Direction,
        problem: format!(
            "no connection of type {:?} in status {:?} has the direction \"{}\"",
            selection.types.label(),
            selection.statuses.label(),
            direction.name()
        ),
        other,
        valid: valid.to_owned(),
    })
}

/// Refuses statuses in which no connection can be of a selected kind.
fn refuse_unstuck(query: &Query) -> Result<(), Error> {
    let kinds = query.selection.stuck_kinds();
    let statuses = || kinds.iter().flat_map(|kind| kind.states());
    let can_be = |status: &ConnectionStatus| query.selection.statuses.contains(*status);
    if !needs_times(query) || statuses().any(can_be) {
        return Ok(());
    }
    Err(Error::Conflict {
        field: Field::Statuses,
        problem: "no connection in such a status can be stuck".to_owned(),
        other: Field::Statuses,
        valid: alternatives(statuses().map(|status| status.name())),
    })
}

/// Whether unix listeners are read: only for a measure that has them, where the system lists them.
/// They have no ports and addresses that could be selected. An error where they are named and can
/// never be read.
fn unix_listeners(selection: &Selection, of_measure: bool) -> Result<UnixListeners, Error> {
    let is_named = selection.types.names(ConnectionType::Unix);
    let listed = lists_unix();
    if is_named && !of_measure {
        return Err(Error::Conflict {
            field: Field::Types,
            problem: "of unix sockets only the accept queues are read".to_owned(),
            other: Field::Measure,
            valid: Measure::AcceptQueue.name().to_owned(),
        });
    }
    if is_named && !listed {
        return Err(Error::Unsupported("This system does not list unix sockets".to_owned()));
    }
    if is_named && selection.asks_for_ends() && selection.types_of(Protocol::Tcp).next().is_none() {
        let field = if selection.local_ports.any_of.is_empty() {
            Field::LocalAddresses
        } else {
            Field::LocalPorts
        };
        return Err(Error::Conflict {
            field,
            problem: "unix listeners have neither addresses nor ports".to_owned(),
            other: Field::Types,
            valid: "tcp or tcp6".to_owned(),
        });
    }
    let is_read = of_measure && listed && !selection.asks_for_ends();
    Ok(match is_read && selection.types.contains(ConnectionType::Unix) {
        false => UnixListeners::Unread,
        true if is_named => UnixListeners::Required,
        true => UnixListeners::WherePossible,
    })
}

/// Whether this system lists unix sockets.
fn lists_unix() -> bool {
    SourceName::AVAILABLE.contains(&SourceName::Netlink)
}

/// The types of the selection that are of the protocols; the unix type only where unix listeners are
/// read. An error where the selection has none of them. None for a measure without sockets.
fn types_of(
    protocols: &[Protocol],
    selection: &Selection,
    groups: &str,
) -> Result<Choice<ConnectionType>, Error> {
    let read = protocols.iter().filter(|protocol| **protocol != Protocol::Unix);
    let mut types: Vec<_> = read.flat_map(|protocol| selection.types_of(*protocol)).collect();
    if selection.unix != UnixListeners::Unread {
        types.push(ConnectionType::Unix);
    }
    if types.is_empty() && !protocols.is_empty() {
        let (problem, valid) = match protocols {
            [Protocol::Tcp, Protocol::Unix] if lists_unix() => {
                (format!("only TCP and unix sockets have {groups}"), "tcp, tcp6 or unix")
            }
            [Protocol::Udp] => {
                ("only UDP drops packets where a receive buffer is full".to_owned(), "udp or udp6")
            }
            [Protocol::Tcp, Protocol::Udp] => {
                ("only TCP and UDP have ports".to_owned(), "tcp, tcp6, udp or udp6")
            }
            _ => (format!("only TCP has {groups}"), "tcp or tcp6"),
        };
        return Err(Error::Conflict {
            field: Field::Types,
            problem,
            other: Field::Types,
            valid: valid.to_owned(),
        });
    }
    Ok(Choice::of(&types))
}

/// The error for `zero` with a kind whose groups cannot be listed.
fn unlistable(group_by: GroupBy) -> Error {
    let is_listed = |by: &&GroupBy| by.is_fixed() && by.is_counted();
    let names = GroupBy::VALUES.iter().filter(is_listed).map(|by| by.name());
    Error::Conflict {
        field: Field::Zero,
        problem: format!("the groups by {} cannot be listed", group_by.name()),
        other: Field::GroupBy,
        valid: alternatives(names),
    }
}

/// `a, b or c`, each name once.
fn alternatives<S: Into<String>>(names: impl Iterator<Item = S>) -> String {
    let mut different: Vec<String> = Vec::new();
    for name in names.map(Into::into) {
        if !different.contains(&name) {
            different.push(name);
        }
    }
    match &*different {
        [] => String::new(),
        [name] => name.clone(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}

/// Refuses a source that cannot answer the query. Without this check, the run would fail only on a
/// host that has a selected connection.
fn check_source(
    query: &Query,
    group_by: GroupBy,
    details: bool,
    source: SourceName,
) -> Result<(), Error> {
    if !SourceName::CHOICES.contains(&source) {
        return Err(Error::Unsupported(format!(
            "The source {source} does not exist on this system (valid: auto, {})",
            SourceName::join(SourceName::CHOICES)
        )));
    }
    let missing = |source: SourceName| unreported(query, group_by, details, source);
    let Some(what) = missing(source) else {
        return Ok(());
    };
    let valid: Vec<_> =
        SourceName::CHOICES.iter().copied().filter(|other| missing(*other).is_none()).collect();
    let valid = if valid.is_empty() {
        String::new()
    } else {
        format!(" (valid: auto, {})", SourceName::join(&valid))
    };
    let of = if query.measure == Measure::HostLimits { "" } else { " of sockets" };
    Err(Error::Unsupported(format!("The source {source} does not tell {what}{of}{valid}")))
}

/// The part of the answer that a source cannot report; `None` where the source reports everything.
fn unreported(
    query: &Query,
    group_by: GroupBy,
    details: bool,
    source: SourceName,
) -> Option<&'static str> {
    let of_groups = match source {
        SourceName::Netlink => None,
        SourceName::Procfs | SourceName::Netstat2 => match group_by.needs() {
            Needs::Cgroup => Some("the units"),
            Needs::Nothing | Needs::Namespace | Needs::Ends | Needs::Listeners | Needs::Owner => {
                None
            }
        },
        SourceName::Counters => match group_by.needs() {
            Needs::Nothing | Needs::Namespace
                if !details
                    && !query.selection.is_of_ends()
                    && query.selection.direction.is_none() =>
            {
                None
            }
            Needs::Nothing
            | Needs::Namespace
            | Needs::Ends
            | Needs::Listeners
            | Needs::Owner
            | Needs::Cgroup => Some("ports, addresses and owners"),
        },
    };
    let times = match source {
        SourceName::Netlink => None,
        SourceName::Procfs | SourceName::Netstat2 | SourceName::Counters => {
            needs_times(query).then_some("the times")
        }
    };
    of_groups.or(times).or_else(|| (query.measure.definition().unreported)(source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::StuckFor;

    fn check(change: impl FnOnce(&mut Check)) -> Check {
        let mut check = Check::default();
        change(&mut check);
        check
    }

    fn planned(change: impl FnOnce(&mut Check)) -> Result<Plan, String> {
        Plan::new(check(change)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_measure_decides_groups_types_and_status() {
        let plan = planned(|check| check.query.measure = Measure::AcceptQueue);
        let plan = plan.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(plan.group_by(), GroupBy::LocalEndpoint);
        let pairs: Vec<_> = plan.selection().pairs().collect();
        let listen = ConnectionStatus::Listen;
        assert_eq!(pairs, [(ConnectionType::Tcp, listen), (ConnectionType::Tcp6, listen)]);
        let plan = planned(|check| {
            check.query.measure = Measure::EphemeralPorts;
            check.query.selection.types = Choice::of(&[ConnectionType::Tcp6]);
        });
        let plan = plan.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(plan.group_by(), GroupBy::RemoteEndpoint);
        assert!(plan.selection().pairs().all(|(t, _)| t == ConnectionType::Tcp6));
        assert!(plan.selection().statuses.contains(ConnectionStatus::TimeWait));
        let plan = planned(|check| check.query.measure = Measure::SynQueue);
        let pairs = plan.map(|plan| plan.selection().pairs().collect::<Vec<_>>());
        let tcp = [ConnectionType::Tcp, ConnectionType::Tcp6];
        let of = |one| [(one, ConnectionStatus::SynRecv), (one, listen)];
        let mut expected: Vec<_> = tcp.into_iter().flat_map(of).collect();
        let mut pairs = pairs.unwrap_or_else(|e| panic!("{e}"));
        let by_name = |(t, status): &(ConnectionType, ConnectionStatus)| (t.name(), status.name());
        expected.sort_by_key(by_name);
        pairs.sort_by_key(by_name);
        assert_eq!(pairs, expected);
        let plan = planned(|check| check.query.measure = Measure::ReceiveBuffer);
        let plan = plan.unwrap_or_else(|e| panic!("{e}"));
        assert!(plan.selection().pairs().all(|(t, _)| t.protocol() == Protocol::Udp));
        let refused = planned(|check| {
            check.query.measure = Measure::ReceiveBuffer;
            check.query.selection.types = Choice::of(&[ConnectionType::Tcp]);
        });
        assert!(refused.is_err_and(|message| {
            message.starts_with("types: only UDP drops packets where a receive buffer is full")
        }));
    }

    #[test]
    fn every_refused_field_is_refused_where_it_is_given() {
        let give = |check: &mut Check, field| {
            let Query { selection, group_by, zero, measure, netns, source, .. } = &mut check.query;
            let port = || vec![crate::selection::Ports::of(443)].into();
            let address = || vec![crate::selection::Network::of([192, 0, 2, 1].into())].into();
            match field {
                Field::Types => {
                    selection.types = Choice::of(&[ConnectionType::Tcp, ConnectionType::Udp]);
                }
                Field::Statuses => {
                    selection.statuses = Choice::parse(&["all"]).unwrap_or_else(|e| panic!("{e}"));
                }
                Field::LocalPorts => selection.local_ports = port(),
                Field::RemotePorts => selection.remote_ports = port(),
                Field::LocalAddresses => selection.local_addresses = address(),
                Field::RemoteAddresses => selection.remote_addresses = address(),
                Field::Direction => {
                    selection.direction = Some(crate::vocabulary::Direction::In);
                }
                Field::Stuck => selection.stuck = vec![StuckFor { kind: None, seconds: 300 }],
                Field::Netns => *netns = vec![Netns::All],
                Field::Source => {
                    let tells = |source: &&SourceName| {
                        (measure.definition().unreported)(**source).is_none()
                    };
                    *source = SourceName::CHOICES.iter().find(tells).copied();
                }
                Field::Measure => *measure = Measure::default(),
                Field::GroupBy => *group_by = Some(GroupBy::default()),
                Field::Zero => *zero = true,
                Field::Warning | Field::Critical => {
                    let several = *measure == Measure::Exhaustion;
                    let text = if several { "open-files=5" } else { "5" };
                    let spec = ThresholdSpec::parse(text).unwrap_or_else(|e| panic!("{e}"));
                    check.policy.warning = Some(spec);
                }
            }
        };
        for measure in Measure::VALUES {
            for field in Field::VALUES.iter().copied().filter(|field| *field != Field::Measure) {
                let plan = planned(|check| {
                    check.query.measure = *measure;
                    give(check, field);
                });
                let refused = measure.definition().refuses(field);
                let other = match field {
                    Field::Zero => measure.definition().implied.is_some(),
                    Field::GroupBy => !measure.definition().is_of_sockets(),
                    _ => false,
                };
                assert_eq!(plan.is_err(), refused || other, "{measure:?} {field}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn unix_listeners_are_read_for_accept_queues_alone() {
        let unix = |measure, types: &[&str], change: &dyn Fn(&mut Check)| {
            let plan = planned(|check| {
                check.query.measure = measure;
                if !types.is_empty() {
                    let types = Choice::parse(types).unwrap_or_else(|e| panic!("{e}"));
                    check.query.selection.types = types;
                }
                change(check);
            });
            plan.map(|plan| plan.selection().unix)
        };
        let nothing = |_: &mut Check| {};
        let port = |check: &mut Check| {
            check.query.selection.local_ports = vec![crate::selection::Ports::of(443)].into();
        };
        let key = |check: &mut Check| {
            check.policy.critical = ThresholdSpec::parse("80=1,/run/fpm.sock=90").ok();
        };
        let (possible, required) = (UnixListeners::WherePossible, UnixListeners::Required);
        let queue = Measure::AcceptQueue;
        for (types, change, expected) in [
            (&[][..], &nothing as &dyn Fn(&mut Check), possible),
            (&["all"], &nothing, possible),
            (&["unix"], &nothing, required),
            (&["tcp", "unix"], &nothing, required),
            (&["tcp", "udp"], &nothing, UnixListeners::Unread),
            (&[], &port, UnixListeners::Unread),
            (&["unix", "tcp"], &port, UnixListeners::Unread),
            (&[], &key, required),
        ] {
            assert_eq!(unix(queue, types, change), Ok(expected), "{types:?}");
        }
        for measure in [Measure::Connections, Measure::EphemeralPorts, Measure::Stuck] {
            assert_eq!(unix(measure, &["all"], &nothing), Ok(UnixListeners::Unread));
            let expected = "types: of unix sockets only the accept queues are read \
                            (valid: measure=accept-queue)";
            assert_eq!(unix(measure, &["tcp", "unix"], &nothing), Err(expected.to_owned()));
        }
        let expected = "local_ports: unix listeners have neither addresses nor ports (valid: types=tcp or tcp6)";
        assert_eq!(unix(queue, &["unix"], &port), Err(expected.to_owned()));
        let refused = unix(queue, &["tcp"], &key);
        assert!(refused.is_err_and(|error| error.contains("is the key of no group")));
        let strict = |types: &[&str]| {
            let types = Choice::parse(types).unwrap_or_else(|e| panic!("{e}"));
            let mut check = Check::default();
            (check.query.measure, check.query.selection.types) = (queue, types);
            Plan::new(check).and_then(Plan::strict).is_ok()
        };
        assert!(strict(&["unix"]) && strict(&["tcp", "unix"]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_source_is_refused_where_it_cannot_answer_the_query() {
        let refused = |source, change: &dyn Fn(&mut Check)| {
            let plan = planned(|check| {
                check.query.source = Some(source);
                change(check);
            });
            plan.err()
        };
        let by = |group_by| move |check: &mut Check| check.query.group_by = Some(group_by);
        let queues = |check: &mut Check| check.query.measure = Measure::AcceptQueue;
        let lengthy = |check: &mut Check| check.presentation.lengthy = true;
        let port = |check: &mut Check| {
            check.query.selection.local_ports = vec![crate::selection::Ports::of(443)].into();
        };
        for (source, change, message) in [
            (SourceName::Procfs, &by(GroupBy::Process) as &dyn Fn(&mut Check), None),
            (
                SourceName::Procfs,
                &by(GroupBy::Unit),
                Some("the units of sockets (valid: auto, netlink)"),
            ),
            (
                SourceName::Procfs,
                &queues,
                Some("the queue limits of sockets (valid: auto, netlink)"),
            ),
            (SourceName::Netlink, &queues, None),
            (SourceName::Counters, &by(GroupBy::Netns), None),
            (
                SourceName::Counters,
                &by(GroupBy::User),
                Some("ports, addresses and owners of sockets (valid: auto, netlink, procfs)"),
            ),
            (
                SourceName::Counters,
                &lengthy,
                Some("ports, addresses and owners of sockets (valid: auto, netlink, procfs)"),
            ),
            (
                SourceName::Counters,
                &port,
                Some("ports, addresses and owners of sockets (valid: auto, netlink, procfs)"),
            ),
        ] {
            let expected =
                message.map(|message| format!("The source {source} does not tell {message}"));
            assert_eq!(refused(source, change), expected);
        }
        let missing = refused(SourceName::Netstat2, &|_| {});
        assert!(missing.is_some_and(|m| m.starts_with("The source netstat2 does not exist")));
    }

    #[test]
    fn a_recorded_list_has_connections_only() {
        let refused = |change: &dyn Fn(&mut Check)| {
            Plan::of_fixture(check(change)).err().map(|error| error.to_string())
        };
        assert_eq!(refused(&|check| check.query.source = Some(SourceName::Netstat2)), None);
        assert_eq!(
            refused(&|check| check.query.measure = Measure::EphemeralPorts).as_deref(),
            Some("Fixture has connections, which are all it can tell")
        );
        assert_eq!(
            refused(&|check| check.query.group_by = Some(GroupBy::Netns)).as_deref(),
            Some("Fixture has no network namespaces")
        );
    }

    #[test]
    fn the_critical_threshold_is_named_first() {
        let spec = |text| ThresholdSpec::parse(text).ok();
        let refused = planned(|check| {
            check.policy.warning = spec("A=1");
            check.policy.critical = spec("B=1");
        });
        assert!(refused.is_err_and(|message| message.starts_with("critical: \"B\" is the key of")));
        let refused = planned(|check| check.policy.warning = spec("A=1"));
        assert!(refused.is_err_and(|message| message.starts_with("warning: \"A\" is the key of")));
    }
}
