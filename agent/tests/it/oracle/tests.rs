//! The oracle's own tests: a judge that calls everything right is worse than none.

use super::*;

fn event(timestamp: i64, endpoint: &str, status: i64, milliseconds: &str) -> Vec<u8> {
    format!(
        "{{\"timestamp\": {timestamp}, \"endpoint\": \"{endpoint}\", \"status\": {status}, \
         \"response_time_ms\": {milliseconds}, \"region\": \"us-east\"}}"
    )
    .into_bytes()
}

/// Times of `/a` events in one partition, folded in this order.
fn recount(times: &[i64]) -> Recount {
    let mut recount = Recount::new("t");
    for (offset, time) in times.iter().enumerate() {
        recount.fold(0, offset as i64, *time, Some(&event(*time, "/a", 200, "1.0")));
    }
    recount
}

fn requests(recount: &Recount, window: Window, start: i64) -> u64 {
    recount.window("http", window, start).values().map(|cell| cell.requests).sum()
}

#[test]
fn windows_are_aligned_to_the_epoch_and_hop() {
    assert_eq!(starts(ONE_MINUTE, 59_999), [0]);
    assert_eq!(starts(ONE_MINUTE, 60_000), [60_000]);
    assert_eq!(starts(FIVE_MINUTES, 600_000), [600_000, 540_000, 480_000, 420_000, 360_000]);
    assert_eq!(starts(FIVE_MINUTES, 659_999), [600_000, 540_000, 480_000, 420_000, 360_000]);
    assert_eq!(starts(FIVE_MINUTES, 61_000), [60_000, 0], "none begins before the epoch");
}

#[test]
fn an_event_is_missing_from_the_windows_that_had_closed_and_from_no_other() {
    // The window [600 s, 660 s) closes when stream time reaches 690 s.
    let in_time = recount(&[689_999, 659_000]);
    assert_eq!((requests(&in_time, ONE_MINUTE, 600_000), in_time.late("http")), (1, 0));
    let late = recount(&[690_000, 659_000]);
    assert_eq!((requests(&late, ONE_MINUTE, 600_000), late.late("http")), (0, 1));
    assert_eq!(requests(&late, FIVE_MINUTES, 360_000), 0, "[360 s, 660 s) had closed too");
    assert_eq!(requests(&late, FIVE_MINUTES, 420_000), 2, "[420 s, 720 s) had not");
    assert_eq!(
        late.merged_totals("http").values().map(|cell| cell.requests).sum::<u64>(),
        2,
        "totals take every event"
    );
}

#[test]
fn stream_time_is_each_partitions_own() {
    let mut recount = Recount::new("t");
    recount.fold(0, 0, 10_000_000, Some(&event(10_000_000, "/a", 200, "1.0")));
    recount.fold(1, 0, 10_000_000, Some(&event(600_000, "/a", 200, "1.0")));
    assert_eq!(requests(&recount, ONE_MINUTE, 600_000), 1);
    assert_eq!(recount.totals[&("http", 1)].len(), 1);
}

#[test]
fn an_event_dated_ahead_of_its_record_moves_time_by_no_more_than_the_lead() {
    let mut recount = recount(&[600_000]);
    let ahead = 600_000 + 59 * MINUTE;
    recount.fold(0, 1, 600_000, Some(&event(ahead, "/a", 200, "1.0")));
    let partition = &recount.partitions[&0];
    assert_eq!((partition.stream_time, partition.events, partition.early), (Some(600_000 + MAX_LEAD), 2, 1));
    assert_eq!(requests(&recount, ONE_MINUTE, ahead), 1, "it counts in its own window");
    recount.fold(0, 2, 600_500, Some(&event(600_500, "/a", 200, "1.0")));
    assert_eq!((requests(&recount, ONE_MINUTE, 600_000), recount.late("http")), (2, 0));
}

#[test]
fn what_is_no_event_counts_nowhere_and_moves_no_time() {
    let mut recount = recount(&[600_000]);
    let before = recount.totals.clone();
    let junk: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"{"), Some(b"{\"timestamp\": \"x\"}")];
    junk.iter().for_each(|payload| recount.fold(0, 1, 600_000, *payload));
    let future = event(600_000 + MAX_FUTURE + 1, "/a", 200, "1.0");
    recount.fold(0, 5, 600_000, Some(&future));
    assert_eq!(recount.totals, before);
    let partition = &recount.partitions[&0];
    assert_eq!((partition.undecodable, partition.stream_time, partition.next_offset), (5, Some(600_000), 6));
}

#[test]
fn durations_are_exact_to_the_nanosecond() {
    let nanos =
        |json: &str| written(&serde_json::from_str(json).unwrap()).and_then(|text| milliseconds_to_nanos(&text));
    assert_eq!(nanos("123.4"), Some(123_400_000));
    assert_eq!(nanos("45"), Some(45_000_000));
    assert_eq!(nanos("0.000001"), Some(1));
    assert_eq!(nanos("-0.5"), Some(-500_000));
    assert_eq!(nanos("1e3"), Some(1_000_000_000));
    assert_eq!(nanos("\"45\""), Some(45_000_000));
    assert_eq!((nanos("\"-\""), nanos("\"nan\""), nanos("null")), (None, None, None));
}

#[test]
fn a_value_on_a_bound_is_in_the_bucket_of_that_bound() {
    assert_eq!(exponent(125_000_000), -3);
    assert_eq!(exponent(125_000_001), -2);
    assert_eq!(exponent(1_000_000_000), 0);
    assert_eq!(exponent(2_000_000_000), 1);
    assert_eq!(exponent(0), -30);
}

const PAGE: &str = r#"# TYPE http_requests counter
http_requests_total{endpoint="/a",topic="t",partition="0",instance=""} 2
http_errors_total{endpoint="/a",topic="t",partition="0"} 1 1763657472123
http_duration_seconds_bucket{endpoint="/a",topic="t",partition="0",le="0.125"} 1 # {trace_id="x"} 0.1
http_duration_seconds_bucket{endpoint="/a",topic="t",partition="0",le="0.25"} 2.0
http_duration_seconds_bucket{endpoint="/a",topic="t",partition="0",le="+Inf"} 2
http_duration_seconds_sum{endpoint="/a",topic="t",partition="0"} 0.2503
http_duration_seconds_count{endpoint="/a",topic="t",partition="0"} 2
http_status_requests_total{endpoint="/a",status="200",topic="t",partition="0"} 1
http_status_requests_total{endpoint="/a",status="500",topic="t",partition="0"} 1
http_region_requests_total{region="us-east",topic="t",partition="0"} 2
http_region_duration_seconds_bucket{region="us-east",topic="t",partition="0",le="0.125"} 1
http_region_duration_seconds_bucket{region="us-east",topic="t",partition="0",le="+Inf"} 2
http_region_duration_seconds_sum{region="us-east",topic="t",partition="0"} 0.2503
http_region_duration_seconds_count{region="us-east",topic="t",partition="0"} 2
http_window_requests{endpoint="/a",window="1m"} 7
streamgauge_events_total 2
# EOF
"#;

/// What PAGE shows.
fn of_page() -> Recount {
    let mut recount = Recount::new("t");
    recount.fold(0, 0, 600_000, Some(&event(600_000, "/a", 200, "125.0")));
    recount.fold(0, 1, 600_000, Some(&event(600_001, "/a", 500, "125.3")));
    recount
}

#[test]
fn a_right_page_has_no_differences() {
    assert_eq!(differences(&parse_page(PAGE).unwrap(), &of_page()), Vec::<String>::new());
}

#[test]
fn each_wrong_sample_is_found() {
    let right: Vec<Sample> = parse_page(PAGE).unwrap();
    let totals = right.iter().filter(|s| s.labels.contains_key("topic")).count();
    for at in 0..totals {
        let name = &right[at].name;
        let mut wrong = right.clone();
        wrong[at].value += if name.ends_with("_sum") { 1e-9 } else { 1.0 };
        assert_eq!(differences(&wrong, &of_page()).len(), 1, "another value of {name}");
        let mut twice = right.clone();
        twice.push(right[at].clone());
        assert_eq!(differences(&twice, &of_page()).len(), 1, "two of {name}");
        let mut extra = right.clone();
        extra[at].labels.insert("partition".to_owned(), "9".to_owned());
        assert!(!differences(&extra, &of_page()).is_empty(), "{name} of another partition");
    }
    for missing in ["http_requests_total", "http_errors_total", "http_region_duration_seconds_bucket", "le=+Inf"] {
        let kept = |s: &&Sample| s.name != missing && s.labels.get("le").is_none_or(|le| missing != format!("le={le}"));
        let page: Vec<Sample> = right.iter().filter(kept).cloned().collect();
        assert!(!differences(&page, &of_page()).is_empty(), "without {missing}");
    }
    assert!(!differences(&[], &of_page()).is_empty());
}

#[test]
fn label_values_are_unescaped() {
    let samples = parse_page("m{a=\"x\\\"y\\\\z\\n}\", b=\"\"} +Inf\nn 3\n").unwrap();
    assert_eq!(samples[0].labels["a"], "x\"y\\z\n}");
    assert_eq!((samples[0].value, samples[1].value), (f64::INFINITY, 3.0));
    assert!(parse_page("m{a=\"x} 1").is_err());
    assert!(parse_page("m").is_err());
}
