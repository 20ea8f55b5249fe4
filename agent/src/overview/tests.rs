//! Of any aggregate: what is asked, and what the answers come to.

use super::{Answers, Focus, agents, overview, per_second, questions};
use std::time::Duration;
use streamgauge_proto::types::{self, Timestamp};
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::query_request::Time;

fn seconds(seconds: i64) -> Option<types::Duration> {
    Some(types::Duration { seconds, nanos: 0 })
}

fn info(pane: i64, retention: i64) -> pb::AggregateInfo {
    let measure = |name: &str, kind: &str, unit: &str| pb::MeasureInfo {
        name: name.into(),
        kind: kind.into(),
        field: String::new(),
        unit: unit.into(),
    };
    pb::AggregateInfo {
        name: "http".into(),
        labels: vec!["endpoint".into()],
        pane: seconds(pane),
        retention: seconds(retention),
        windows: vec![pb::WindowInfo { size: seconds(300), hop: seconds(60) }],
        measures: vec![
            measure("slowest", "max", "seconds"),
            measure("requests", "count", ""),
            measure("errors", "count", ""),
            measure("duration", "histogram", "seconds"),
            measure("pages", "top", ""),
            measure("novel", "of_a_newer_agent", ""),
        ],
        ..Default::default()
    }
}

#[test]
fn a_quarter_of_an_hour_is_asked_for_in_steps_of_panes_as_far_as_it_is_kept() {
    let check = |pane, retention, step, stretch| {
        let questions = questions(&info(pane, retention), &Focus { keys: 5, ..Focus::default() });
        assert_eq!((questions.step, questions.stretch), (step * 1_000, stretch * 1_000), "{pane} {retention}");
        assert_eq!(questions.series.time, Some(Time::LastN((stretch / step) as u32)));
        assert_eq!(questions.keys.time, Some(Time::Last(types::Duration { seconds: stretch, nanos: 0 })));
    };
    check(60, 7_200, 60, 900);
    check(10, 7_200, 20, 900);
    check(1, 7_200, 15, 900);
    check(60, 300, 60, 300);
    check(3_600, 7_200, 3_600, 3_600);
    check(7, 7_200, 21, 882);
    let asked = questions(&info(60, 7_200), &Focus { keys: 5, ..Focus::default() });
    assert_eq!(asked.keys.order_by.map(|order| (order.measure, order.ascending)), Some(("requests".into(), false)));
    assert_eq!((asked.keys.limit, asked.closed.len(), asked.closed[0].hop), (5, 1, seconds(60)));
    assert_eq!(asked.totals.group_by, Some(pb::GroupBy::default()));
}

fn row(end: i64, requests: u64) -> pb::Row {
    let count = |name: &str, count| pb::MeasureValue { measure: name.into(), count: Some(count), ..Default::default() };
    let quantiles = [(0.5, 0.1), (0.99, 0.9)].map(|(quantile, value)| pb::QuantileValue { quantile, value });
    let duration = pb::MeasureValue { measure: "duration".into(), quantiles: quantiles.into(), ..Default::default() };
    let slowest = pb::MeasureValue { measure: "slowest".into(), max: Some(2.5), ..Default::default() };
    let top = vec![pb::TopItem { item: "/home".into(), value: 7.0 }];
    let pages = pb::MeasureValue { measure: "pages".into(), top, top_error: Some(2.0), ..Default::default() };
    pb::Row {
        labels: [("endpoint".to_owned(), "/a".to_owned())].into(),
        window_end: (end > 0).then_some(Timestamp { seconds: end, nanos: 0 }),
        values: vec![slowest, count("requests", requests), count("errors", requests / 4), duration, pages],
        ..Default::default()
    }
}

#[test]
fn answers_become_lines_keys_and_windows_of_whatever_is_measured() {
    let info = info(60, 300);
    let questions = questions(&info, &Focus::default());
    let answer = |rows: Vec<pb::Row>| pb::QueryResponse { rows, ..Default::default() };
    let answers = Answers {
        totals: answer(vec![row(0, 1_000)]),
        series: answer(vec![row(660, 120), row(780, 60)]),
        keys: answer(vec![row(0, 180)]),
        whole: answer(vec![row(0, 180)]),
        closed: vec![answer(Vec::new())],
        ..Answers::default()
    };
    let now = overview(&info, &questions, &answers);
    let line = |measure: &str| now.lines.iter().find(|line| line.measure == measure).unwrap();
    assert_eq!(now.through, Some(780_000));
    assert_eq!(line("requests").points, [None, None, Some(2.0), None, Some(1.0)]);
    assert_eq!((line("requests").what, line("requests").total), ("per second", Some(1_000.0)));
    assert_eq!((line("slowest").what, line("slowest").points[4]), ("max", Some(2.5)));
    assert_eq!(line("duration").below.as_ref().unwrap().1[2], Some(0.1));
    assert_eq!(line("novel").points, [None; 5], "a kind that only a newer agent knows is shown as far as it is known");
    let (labels, measured) = &now.keys.rows[0];
    assert_eq!(labels, &["/a"]);
    let texts: Vec<_> = measured.iter().map(|one| (one.heading.as_str(), one.text(), one.share)).collect();
    let expected = [
        ("slowest", "2.5 s".to_owned(), None),
        ("requests", "180".to_owned(), None),
        ("errors", "45".to_owned(), Some(0.25)),
        ("duration p50", "100 ms".to_owned(), None),
        ("duration p99", "900 ms".to_owned(), None),
        ("pages", "/home (7)".to_owned(), None),
        ("novel p50", "–".to_owned(), None),
        ("novel p99", "–".to_owned(), None),
    ];
    assert_eq!(texts, expected);
    assert!(questions.whole.is_some() && now.lines.iter().all(|line| line.measure != "pages"));
    assert_eq!((now.rankings[0].items.as_slice(), now.rankings[0].error), (&[("/home".to_owned(), 7.0)][..], 2.0));
    assert_eq!((now.closed[0].kind.as_str(), now.closed[0].end), ("5m/1m", None));

    let later = overview(&info, &questions, &Answers { totals: answer(vec![row(0, 1_500)]), ..answers.clone() });
    let rates = per_second(&later, Some(&now), Duration::from_secs(2));
    assert_eq!(rates, [None, Some(250.0), Some(62.5), None, None]);
    assert_eq!(per_second(&now, None, Duration::from_secs(2)), [None; 5]);
    assert_eq!(per_second(&now, Some(&later), Duration::from_secs(2))[1], None, "totals that went back have no rate");
}

#[test]
fn the_newest_sessions_of_all_keys_are_told_with_their_labels() {
    let mut info = info(60, 300);
    assert_eq!(questions(&info, &Focus::default()).sessions, None);
    info.measures.push(pb::MeasureInfo { name: "sessions".into(), kind: "sessions".into(), ..Default::default() });
    let questions = questions(&info, &Focus { keys: 2, ..Focus::default() });
    let asked = questions.sessions.clone().expect("asked for");
    let order = asked.order_by.map(|by| (by.measure, by.stat, by.ascending));
    assert_eq!((order, asked.limit), (Some(("sessions".into(), "value".into(), false)), 2));
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let session = |start, end, closed| pb::Session { start: at(start), end: at(end), events: 3, closed };
    let row = |endpoint: &str, sessions| pb::Row {
        labels: [("endpoint".to_owned(), endpoint.to_owned())].into(),
        values: vec![pb::MeasureValue { measure: "sessions".into(), sessions, ..Default::default() }],
        ..Default::default()
    };
    let rows =
        vec![row("/b", vec![session(10, 50, true), session(80, 95, false)]), row("/a", vec![session(20, 60, true)])];
    let answers = Answers { sessions: pb::QueryResponse { rows, ..Default::default() }, ..Answers::default() };
    let newest = overview(&info, &questions, &answers).sessions.expect("there are some");
    let told: Vec<_> = newest.iter().map(|s| (s.labels[0].as_str(), s.start, s.length(), s.is_closed)).collect();
    assert_eq!(told, [("/b", 80_000, 15_000, false), ("/a", 20_000, 40_000, true)]);
}

#[test]
fn agents_are_those_that_partitions_were_read_from() {
    use pb::partition_status::State;
    let at = |partition, agent: &str, state: State, lag, seconds| pb::PartitionStatus {
        topic: "t".into(),
        partition,
        agent: agent.into(),
        state: state.into(),
        lag: Some(lag),
        stream_time: Some(Timestamp { seconds, nanos: 0 }),
        ..Default::default()
    };
    let one = pb::QueryResponse {
        as_of: vec![at(0, "", State::Running, 3, 50), at(1, "b:1", State::Replica, 4, 40)],
        ..Default::default()
    };
    let other = pb::QueryResponse {
        as_of: vec![at(0, "", State::Running, 3, 50), at(2, "", State::Running, 5, 60)],
        ..one.clone()
    };
    let found = agents([&one, &other]);
    let shown: Vec<_> = found.iter().map(|a| (a.address.as_str(), a.partitions, a.lag, a.stream_time)).collect();
    assert_eq!(shown, [("", 2, 8, Some(50_000)), ("b:1", 1, 4, Some(40_000))]);
    assert_eq!(found[1].not_running.get("replica"), Some(&1));
}
