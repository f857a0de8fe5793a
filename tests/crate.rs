//! The crate as another one uses it: through its public items alone.

// In tests a panic is the message.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)]

use network_connections::{
    Check, ConnectionStatus, ConnectionType, Error, Field, Format, GroupBy, Measure, Named, Plan,
    State, ThresholdSpec, run,
};
use network_connections::{Choice, Selection};
use network_connections::{Policy, Presentation, Query};

const RECORDED: &str = r#"[
    {"proto": "tcp", "status": "LISTEN", "local": "0.0.0.0:443", "remote": "0.0.0.0:0"},
    {"proto": "tcp", "status": "CLOSE_WAIT", "local": "192.0.2.1:443", "remote": "192.0.2.7:5"},
    {"proto": "tcp", "status": "CLOSE_WAIT", "local": "192.0.2.1:443", "remote": "192.0.2.8:6"},
    {"proto": "udp6", "status": "NONE", "local": "[::]:53", "remote": "[::]:0"}
]"#;

fn never() -> bool {
    false
}

fn recorded(check: Check, format: Format) -> String {
    let plan = Plan::of_fixture(check).unwrap();
    let report = run::fixture(plan, RECORDED.as_bytes(), &never).unwrap();
    format.report(&report, "leaks")
}

fn check(query: Query, critical: &str) -> Check {
    let critical = Some(ThresholdSpec::parse(critical).unwrap());
    Check { query, policy: Policy { critical, ..Policy::default() }, ..Check::default() }
}

fn refused(query: Query) -> (Field, String) {
    match Plan::new(Check { query, ..Check::default() }) {
        Err(error @ (Error::Value { field, .. } | Error::Conflict { field, .. })) => {
            (field, error.to_string())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_combination_without_a_meaning_is_refused_with_its_field() {
    let queue = || Query { measure: Measure::AcceptQueue, ..Query::default() };
    let statuses = Choice::of(&[ConnectionStatus::Established]);
    let udp = Choice::of(&[ConnectionType::Udp]);
    let selection = |selection| Query { selection, ..queue() };
    let by_port = Some(GroupBy::LocalPort);
    for (query, field, message) in [
        (
            selection(Selection { statuses, ..Selection::default() }),
            Field::Statuses,
            "statuses: has no meaning where listeners are measured (valid: measure=connections)",
        ),
        (
            selection(Selection { types: udp, ..Selection::default() }),
            Field::Types,
            if cfg!(windows) {
                "types: only TCP has listeners (valid: types=tcp or tcp6)"
            } else {
                "types: only TCP and unix sockets have listeners (valid: types=tcp, tcp6 or unix)"
            },
        ),
        (
            Query { group_by: by_port, ..queue() },
            Field::GroupBy,
            "group_by: has no meaning where listeners are measured (valid: measure=connections)",
        ),
        (
            Query { zero: true, group_by: by_port, ..Query::default() },
            Field::Zero,
            "zero: the groups by local-port cannot be listed (valid: group_by=type-status, type, \
             status or direction)",
        ),
    ] {
        assert_eq!(refused(query), (field, message.to_owned()));
    }
    let mistyped = Plan::new(check(Query::default(), "CLOSEWAIT=5"));
    assert!(matches!(mistyped, Err(Error::Value { field: Field::Critical, .. })), "{mistyped:?}");
}

#[test]
fn a_measure_reads_the_queues_of_listeners_alone() {
    // A listener without clients beside a connection with unread bytes.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let end = listener.local_addr().unwrap();
    let mut client = std::net::TcpStream::connect(end).unwrap();
    let (_server, _) = listener.accept().unwrap();
    std::io::Write::write_all(&mut client, &[0; 5000]).unwrap();
    let ports = vec![end.port().to_string().parse().unwrap()].into();
    let selection = Selection { local_ports: ports, ..Selection::default() };
    let query = Query { selection, measure: Measure::AcceptQueue, ..Query::default() };
    let plan = Plan::new(Check { query, ..Check::default() });
    if cfg!(not(target_os = "linux")) {
        // No source there reports queues.
        return;
    }
    let report = run::check(plan.unwrap(), &never).unwrap();
    let groups: Vec<_> = report.groups.iter().map(|group| (&*group.label, group.count)).collect();
    assert_eq!(groups, [(&*end.to_string(), 0)]);
    let share = report.groups[0].share.unwrap();
    assert!(share.of > 0 && share.percent(0) < 1e-9);
}

#[test]
fn a_report_is_printed_in_every_format() {
    let by = |group_by| Query { group_by: Some(group_by), ..Query::default() };
    for (group_by, critical, format, expected) in [
        (
            GroupBy::TypeStatus,
            "CLOSE_WAIT=1",
            Format::Plugin,
            "tcp CLOSE WAIT: 2 [CRITICAL], tcp LISTEN: 1, udp6 NONE: 1|'tcp_CLOSE_WAIT'=2 \
             'tcp_LISTEN'=1 'udp6_NONE'=1",
        ),
        (
            GroupBy::Status,
            "CLOSE_WAIT=1,total=5:",
            Format::Plugin,
            "total: 4 [CRITICAL], CLOSE WAIT: 2 [CRITICAL], LISTEN: 1, NONE: 1|'total'=4 \
             'CLOSE_WAIT'=2 'LISTEN'=1 'NONE'=1",
        ),
        (
            GroupBy::RemoteAddress,
            "0",
            Format::Plugin,
            "0.0.0.0: 1 [CRITICAL], 192.0.2.7: 1 [CRITICAL], 192.0.2.8: 1 [CRITICAL], [::]: 1 \
             [CRITICAL]|'groups'=4 'largest'=1 'total'=4",
        ),
        (
            GroupBy::LocalPort,
            "443=1:2,22=1:",
            Format::Plugin,
            "443: 3 [CRITICAL], 53: 1, 22: 0 [CRITICAL]|'groups'=2 'largest'=3 'total'=4",
        ),
    ] {
        assert_eq!(recorded(check(by(group_by), critical), format), expected);
    }
    let json = recorded(check(by(GroupBy::Type), "tcp=2"), Format::Json);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        value["groups"],
        serde_json::json!([
            {"label": "tcp", "count": 3, "state": 2},
            {"label": "udp6", "count": 1, "state": 0}
        ])
    );
    assert_eq!((&value["state"], &value["total"]), (&2.into(), &4.into()));
    assert_eq!(value["thresholds"], serde_json::json!({"warning": null, "critical": "tcp=2"}));
    let page = recorded(check(by(GroupBy::Type), "tcp=2"), Format::Prometheus);
    let samples: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    for sample in [
        "network_connections{check=\"leaks\",type=\"tcp\"} 3",
        "network_connections{check=\"leaks\",type=\"tcp6\"} 0",
        "network_connections{check=\"leaks\",type=\"udp6\"} 1",
        "network_connections_selected{check=\"leaks\"} 4",
        "network_connections_check_source_info{check=\"leaks\",source=\"fixture\"} 1",
    ] {
        assert!(samples.contains(&sample), "{page}");
    }
    assert_eq!(samples.last(), Some(&"network_connections_check_state{check=\"leaks\"} 2"));
}

#[test]
fn tables_follow_the_first_line() {
    let presentation = Presentation { lengthy: true, perfdata: false, ..Presentation::default() };
    let check = Check { presentation, ..check(Query::default(), "CLOSE_WAIT=1") };
    assert_eq!(
        recorded(check, Format::Plugin),
        "tcp CLOSE WAIT: 2 [CRITICAL], tcp LISTEN: 1, udp6 NONE: 1\n\n\
         tcp CLOSE WAIT, by peer:\n\
         Connections ! Local port ! Remote address ! Remote port ! Ephemeral ports in use ! Stuck for\n\
         ------------+------------+----------------+-------------+------------------------+----------\n\
         1           ! -          ! 192.0.2.7      ! -           ! -                      ! -\n\
         1           ! -          ! 192.0.2.8      ! -           ! -                      ! -"
    );
}

#[test]
fn an_error_is_a_state_of_its_own_in_every_format() {
    let error = Error::Fixture("Fixture entry 1: missing field `proto`".to_owned());
    let failure = |format: Format| format.failure(&error, "leaks");
    assert_eq!(failure(Format::Plugin), "Fixture entry 1: missing field `proto`");
    assert_eq!(
        failure(Format::Prometheus).lines().next(),
        Some("# Fixture entry 1: missing field `proto`")
    );
    assert!(failure(Format::Json).contains("\"state\":3"));
    assert_eq!(State::Unknown as u8, 3);
    assert_eq!(Format::VALUES.len(), 3);
}
