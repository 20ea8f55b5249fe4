//! Statistics beyond counts and sums, on a real Kafka: after a kill, over all partitions, in totals and in windows,
//! each equals the audit's recount, and a recount here that shares nothing with either.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::calls::{answer, run};
use crate::kafka::{Kafka, shared, unique, wait_until};
use crate::oracle::parse_page;
use crate::scene::{number, unix_millis};

const MINUTE: i64 = 60_000;
const PARTITIONS: i32 = 3;

fn config(topic: &str) -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{topic}\n  session_timeout: 6s\n\
         sources:\n  actions:\n    topics: [{topic}]\n    timestamp: {{ field: at, format: unix_ms }}\n\
         aggregates:\n  actions:\n    source: actions\n    by: {{ page: page }}\n    windows: [1m, 5m/1m]\n    grace: 10s\n    \
         retention: 3h\n    idle_timeout: 2s\n    measures:\n      \
         events: count\n      \
         failures: {{ count: {{ where: {{ ok: false }} }} }}\n      \
         failure: {{ ratio: {{ part: failures, of: events }} }}\n      \
         wait: {{ histogram: {{ field: ms, error: 0.01 }}, unit: ms, quantiles: [0.5, 0.9, 0.999] }}\n      \
         patience: {{ apdex: {{ of: ms, target: 0.3 }}, unit: ms }}\n      \
         slow: {{ anomaly: {{ of: ms, sigma: 3, min_count: 50, half_life: 2m }} }}\n      \
         late: {{ anomaly: {{ of: ms, above_quantile: 0.99, min_count: 50, half_life: 1h }} }}\n      \
         users: {{ distinct: user }}\n      \
         elements: {{ top: {{ of: element, k: 5, label: element }} }}\n      \
         heavy: {{ top: {{ of: element, k: 3, by: {{ sum: bytes }} }}, unit: kB }}\n      \
         addresses: {{ distinct: {{ of: address, error: 0.05 }} }}\n      \
         opening: {{ first: load }}\n      \
         load: {{ last: {{ field: load, where: {{ ok: true }} }} }}\n      \
         seen: last_seen\n      \
         pace: rate\n      \
         traffic: {{ rate: {{ of: bytes, where: {{ ok: true }} }}, unit: kB }}\n      \
         part: share\n      \
         weight: {{ share: bytes }}\n      \
         trend: {{ versus: {{ ago: 5m, where: {{ ok: true }} }} }}\n"
    )
}

/// One thing that somebody did.
#[derive(Clone, Debug)]
struct Action {
    partition: i32,
    at: i64,
    page: String,
    user: u64,
    address: u64,
    load: i64,
    ok: bool,
    element: u64,
    bytes: u64,
    ms: u64,
}

impl Action {
    fn json(&self) -> String {
        let Action { at, page, user, address, load, ok, element, bytes, ms, .. } = self;
        let element = format!("#e{element}");
        let address = format!("10.{address}");
        json!({
            "at": at, "page": page, "user": user, "address": address, "load": load, "ok": ok,
            "element": element, "bytes": bytes, "ms": ms,
        })
        .to_string()
    }
}

/// Always the same ones: ten minutes of event time, not quite in order, the last page rare.
fn actions(start: i64, count: u64) -> Vec<Action> {
    let mut random = 88_172_645_463_325_252u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let action = |n: u64| {
        let page = if next(500) == 0 { "rare".to_owned() } else { format!("page-{}", next(2)) };
        Action {
            partition: next(PARTITIONS as u64) as i32,
            at: start + (n * 10 * MINUTE as u64 / count) as i64 - next(2_000) as i64,
            page,
            user: next(40),
            address: next(5_000),
            load: next(1_000) as i64 - 200,
            ok: next(4) > 0,
            // A few are frequent, and there are more than are kept.
            element: next(1_000) * next(1_000) / 1_000 * next(1_000) / 1_000,
            bytes: next(5_000),
            // One of a thousand is far from the others.
            ms: if next(1_000) == 0 { 9_000 + next(3) } else { 100 + next(300) + next(300) },
        }
    };
    (0..count).map(action).collect()
}

fn produce(kafka: &Kafka, topic: &str, actions: &[Action]) {
    for partition in 0..PARTITIONS {
        let texts: Vec<String> =
            actions.iter().filter(|action| action.partition == partition).map(Action::json).collect();
        kafka.produce(topic, partition, texts.iter().map(|text| ("", text.as_str())));
    }
}

fn by_page(actions: &[Action]) -> BTreeMap<&str, Vec<&Action>> {
    let mut pages: BTreeMap<&str, Vec<&Action>> = BTreeMap::new();
    actions.iter().for_each(|action| pages.entry(&action.page).or_default().push(action));
    pages
}

fn different(actions: &[&Action], what: fn(&Action) -> u64) -> f64 {
    actions.iter().map(|action| what(action)).collect::<BTreeSet<_>>().len() as f64
}

/// The values of one page's totals, by measure, over all partitions.
fn totals(agent: &Agent, page: &str) -> BTreeMap<String, Value> {
    let matcher = json!({ "label": "page", "op": "OPERATOR_EQUAL", "value": page });
    let answer = answer(agent, "QueryService/Query", &json!({ "aggregate": "actions", "matchers": [matcher] }));
    let rows = answer["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 1, "{answer}");
    let values = rows[0]["values"].as_array().expect("values");
    values.iter().map(|value| (value["measure"].as_str().expect("its name").to_owned(), value.clone())).collect()
}

#[test]
fn statistics_equal_a_recount_after_a_kill_and_over_partitions() {
    let (kafka, topic) = (shared(), unique("statistics"));
    kafka.create_topic(&topic, PARTITIONS, &[]);
    let start = (unix_millis() - 30 * MINUTE) / MINUTE * MINUTE;
    let actions = actions(start, 60_000);
    let mut agent = Agent::start(kafka.bootstrap(), &config(&topic));
    agent.wait_ready();
    produce(kafka, &topic, &actions[..30_000]);
    wait_until("much is counted", || number(&agent.scrape(), "actions_events_total", &[]) > 10_000.0);
    agent.kill9();
    agent.restart();
    agent.wait_ready();
    produce(kafka, &topic, &actions[30_000..]);
    wait_until("all is counted", || number(&agent.scrape(), "actions_events_total", &[]) == 60_000.0);
    let wall = agent.verb(&["audit", "--all", "--address", &format!("http://{}", agent.grpc())]);
    let text = String::from_utf8_lossy(&wall.stdout).into_owned();
    assert!(wall.status.success(), "{text}{}", String::from_utf8_lossy(&wall.stderr));
    for scope in ["totals: 3 rows", "windows of 1m: ", "windows of 5m/1m: "] {
        assert!(text.lines().any(|line| line.contains(scope) && line.ends_with(": the same")), "{scope}: {text}");
    }
    for (page, actions) in by_page(&actions) {
        let values = totals(&agent, page);
        let value = |measure: &str| values[measure]["value"].as_f64().expect("a value");
        assert_eq!(value("users"), different(&actions, |action| action.user), "{page}");
        assert!(values["users"].get("valueRelativeError").is_none_or(Value::is_null), "{}", values["users"]);
        let addresses = different(&actions, |action| action.address);
        let error = values["addresses"]["valueRelativeError"].as_f64().unwrap_or_default();
        assert!(if page == "rare" { error <= 0.05 } else { error > 0.02 && error <= 0.05 }, "{error}");
        assert!((value("addresses") - addresses).abs() <= 5.0 * error * addresses, "{page}: {addresses}");
        let failures = actions.iter().filter(|action| !action.ok).count() as f64;
        assert_eq!(value("failure"), failures / actions.len() as f64, "{page}");
        let at_most = |ms: u64| actions.iter().filter(|action| action.ms <= ms).count() as f64;
        assert_eq!(value("patience"), (at_most(300) + at_most(1_200)) / 2.0 / actions.len() as f64, "{page}");
        assert_quantiles(&values["wait"], &actions);
        // Each of those that are far away is unusual; the others are not, but for the first after many of them.
        let far = actions.iter().filter(|action| action.ms >= 9_000).count() as f64;
        let above: f64 = values["slow"]["above"].as_str().expect("a count").parse().expect("a number");
        assert!(page == "rare" || (above >= 0.8 * far && above <= far), "{above} of {far}");
        assert_eq!(number(&agent.scrape(), "actions_slow_above_total", &[("page", page)]), above);
        assert_late(&values["late"], &actions);
        let sides = ["above", "below"].map(|side| format!("actions_late_{side}_total"));
        let sides = sides.map(|side| number(&agent.scrape(), &side, &[("page", page)]).to_string());
        assert_eq!(sides, [values["late"]["above"].as_str().unwrap_or("0").to_owned(), "0".to_owned()]);
        assert_top(&values["elements"], &actions, 5, |_| 1.0);
        assert_top(&values["heavy"], &actions, 3, |action| action.bytes as f64 * 1_000.0);
        let key = |action: &&&Action| (action.at, action.load);
        assert_eq!(value("opening"), actions.iter().min_by_key(key).expect("one").load as f64, "{page}");
        let good = actions.iter().filter(|action| action.ok);
        assert_eq!(value("load"), good.max_by_key(key).expect("one").load as f64, "{page}");
        let seen = actions.iter().map(|action| action.at).max().expect("one");
        assert_eq!(value("seen"), seen as f64 / 1_000.0, "{page}");
    }
    // Every partition shows its own; what the group shows once are windows.
    let one = |action: &&Action| action.page == "page-1" && action.partition == 0;
    let users = different(&actions.iter().filter(one).collect::<Vec<_>>(), |action| action.user);
    let page = agent.scrape();
    assert_eq!(number(&page, "actions_users", &[("page", "page-1"), ("partition", "0")]), users);
    assert_window_is_shown(&agent, &actions);
    let alone = related(&agent).expect("all partitions");
    assert!(alone.len() > 100 && alone.values().filter(|value| value.is_some()).count() > 80, "{}", alone.len());
    let mut second = Agent::start(kafka.bootstrap(), &config(&topic));
    second.wait_ready();
    wait_until("both have partitions", || agent.scrape().matches("\nstreamgauge_lag_messages{").count() < 3);
    for one in [&agent, &second] {
        wait_until("all partitions can be asked", || related(one).is_some());
        let together = related(one).expect("all partitions");
        let differing = alone.iter().find(|(id, value)| together.get(*id) != Some(value));
        assert_eq!((differing, together.len()), (None, alone.len()));
    }
}

/// What is made of several windows and rows, by window, page and measure, as the whole group has it; rounded, because its
/// sums have another order there.
fn related(agent: &Agent) -> Option<BTreeMap<String, Option<i64>>> {
    let asked = ["pace", "traffic", "part", "weight", "trend"].map(|measure| ["--measure", measure]).concat();
    let windows = ["query", "actions", "--window", "1m", "--last", "10m", "-o", "json", "--grpc"];
    let (code, text, _) = run(&[&windows[..], &[&agent.grpc().to_string()], &asked].concat());
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let rows = answer["rows"].as_array().into_iter().flatten();
    let values = rows.flat_map(|row| {
        let of = format!("{} {}", row["windowStart"], row["labels"]["page"]);
        let value = |value: &Value| value.as_f64().map(|value| (value * 1e6).round() as i64);
        let values = row["values"].as_array().expect("values").iter();
        values.map(move |one| (format!("{of} {}", one["measure"]), value(&one["value"])))
    });
    (code == 0).then(|| values.collect())
}

/// The config's quantiles, within its error.
fn assert_quantiles(value: &Value, actions: &[&Action]) {
    assert!(value["quantileRelativeError"].as_f64().is_some_and(|error| error <= 0.01), "{value}");
    let mut waits: Vec<f64> = actions.iter().map(|action| action.ms as f64 / 1_000.0).collect();
    waits.sort_by(f64::total_cmp);
    let quantiles = value["quantiles"].as_array().expect("quantiles");
    let asked: Vec<_> = quantiles.iter().map(|q| q["quantile"].as_f64().expect("a fraction")).collect();
    assert_eq!(asked, [0.5, 0.9, 0.999]);
    for (q, quantile) in asked.iter().zip(quantiles) {
        let rank = ((q * waits.len() as f64).ceil() as usize).clamp(1, waits.len());
        let (exact, told) = (waits[rank - 1], quantile["value"].as_f64().expect("a number"));
        assert!((told - exact).abs() <= 0.01 * exact, "{q}: {told} for {exact}");
    }
}

/// What is beyond the 99th percentile of all before it in its partition and hour: what exceeds the exact one by 9 % is,
/// and what does not exceed it is not. Nothing is older than an hour: a half-life passes at most with the hour.
fn assert_late(value: &Value, actions: &[&Action]) {
    let mut before: BTreeMap<(i32, i64), Vec<u64>> = BTreeMap::new();
    let (mut least, mut most) = (0, 0);
    for action in actions {
        let before = before.entry((action.partition, action.at / 3_600_000)).or_default();
        if before.len() >= 50 {
            let exact = before[(before.len() * 99).div_ceil(100) - 1];
            most += u64::from(action.ms > exact);
            least += u64::from(action.ms as f64 > exact as f64 * 1.091);
        }
        before.insert(before.partition_point(|ms| *ms <= action.ms), action.ms);
    }
    let above: u64 = value["above"].as_str().unwrap_or("0").parse().expect("a number");
    assert!((least..=most).contains(&above), "{above}, not {least} to {most}");
    assert!(actions.len() < 1_000 || above > 0, "{value}");
}

/// The items of an answer against what each truly has.
fn assert_top(value: &Value, actions: &[&Action], k: usize, weight: fn(&Action) -> f64) {
    let mut truth: BTreeMap<String, f64> = BTreeMap::new();
    actions.iter().for_each(|a| *truth.entry(format!("#e{}", a.element)).or_default() += weight(a));
    let error = value["topError"].as_f64().expect("its error");
    let top = value["top"].as_array().expect("its items");
    assert_eq!(top.len(), truth.len().min(k), "{value}");
    assert!(error <= truth.values().sum::<f64>() / 65.0, "{error}");
    let item =
        |item: &Value| (item["item"].as_str().expect("text").to_owned(), item["value"].as_f64().expect("a number"));
    let top: BTreeMap<String, f64> = top.iter().map(item).collect();
    for (item, has) in &top {
        assert!(*has <= truth[item] && truth[item] <= has + error, "{item}: {has} + {error} for {}", truth[item]);
    }
    let least = top.values().copied().fold(f64::INFINITY, f64::min) + error;
    assert!(truth.iter().all(|(item, has)| top.contains_key(item) || *has <= least), "{value} of {truth:?}");
}

/// The closed window on the page against the actions of its minute.
fn assert_window_is_shown(agent: &Agent, actions: &[Action]) {
    let minute = [("window", "1m"), ("hop", "1m")];
    // The last action may be in a minute of its own; the one before has closed, as no more comes.
    wait_until("a window has closed", || {
        number(&agent.scrape(), "actions_window_end_timestamp_seconds", &minute) > 0.0
    });
    let page = agent.scrape();
    let end = (number(&page, "actions_window_end_timestamp_seconds", &minute) * 1_000.0) as i64;
    let within: Vec<&Action> =
        actions.iter().filter(|a| a.page == "page-0" && a.at >= end - MINUTE && a.at < end).collect();
    let shown = |name: &str| number(&page, name, &[minute[0], minute[1], ("page", "page-0")]);
    assert_eq!(shown("actions_window_events"), within.len() as f64);
    assert_eq!(shown("actions_window_users"), different(&within, |action| action.user));
    let mut elements: BTreeMap<String, f64> = BTreeMap::new();
    within.iter().for_each(|a| *elements.entry(format!("#e{}", a.element)).or_default() += 1.0);
    let shown_top = parse_page(&page).expect("a sound page");
    let shown_top = shown_top.iter().filter(|s| {
        let is = |label: &str, value: &str| s.labels.get(label).is_some_and(|v| v == value);
        s.name == "actions_window_elements" && is("window", "1m") && is("page", "page-0")
    });
    let shown_top: Vec<_> = shown_top.map(|s| (&s.labels["element"], s.value)).collect();
    assert_eq!(shown_top.len(), 5);
    let error = within.len() as f64 / 65.0;
    assert!(
        shown_top.iter().all(|(e, v)| *v <= elements[*e] && elements[*e] <= v + error),
        "{shown_top:?} {elements:?}"
    );
    let seen = within.iter().map(|action| action.at).max().expect("some") as f64 / 1_000.0;
    assert_eq!(shown("actions_window_seen_last_seen_timestamp_seconds"), seen);
    let key = |action: &&&Action| (action.at, action.load);
    assert_eq!(shown("actions_window_opening_first"), within.iter().min_by_key(key).expect("one").load as f64);
    let failures = within.iter().filter(|action| !action.ok).count() as f64;
    assert_eq!(shown("actions_window_failure_ratio"), failures / within.len() as f64);
    assert!(shown("actions_window_wait_p999_seconds") >= shown("actions_window_wait_p90_seconds"));
    assert!(shown("actions_window_patience_apdex") > 0.5);
    let far = within.iter().filter(|action| action.ms >= 9_000).count() as f64;
    assert!(shown("actions_window_slow_above") <= far, "{far}");
    let good = within.iter().filter(|action| action.ok);
    assert_eq!(shown("actions_window_load_last"), good.max_by_key(key).expect("one").load as f64);
    assert_related_is_shown(shown, actions, &within, end);
}

/// What is made of more than the row's own events.
fn assert_related_is_shown(shown: impl Fn(&str) -> f64, actions: &[Action], within: &[&Action], end: i64) {
    let is_close = |name: &str, expected: f64| {
        let shown = shown(name);
        assert!((shown - expected).abs() <= 1e-9 * expected.abs(), "{name} is {shown}, not {expected}");
    };
    let kilobytes = |actions: &[&Action]| actions.iter().map(|action| action.bytes as f64 * 1_000.0).sum::<f64>();
    let good: Vec<&Action> = within.iter().copied().filter(|action| action.ok).collect();
    is_close("actions_window_pace_per_second", within.len() as f64 / 60.0);
    is_close("actions_window_traffic_per_second", kilobytes(&good) / 60.0);
    let all: Vec<&Action> = actions.iter().filter(|a| a.at >= end - MINUTE && a.at < end).collect();
    is_close("actions_window_part_ratio", within.len() as f64 / all.len() as f64);
    is_close("actions_window_weight_ratio", kilobytes(within) / kilobytes(&all));
    let ago = |a: &&Action| a.page == "page-0" && a.ok && (end - 6 * MINUTE..end - 5 * MINUTE).contains(&a.at);
    is_close("actions_window_trend_ratio", good.len() as f64 / actions.iter().filter(ago).count() as f64);
}
