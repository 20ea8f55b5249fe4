//! Session windows on a real Kafka: late events bridge them, they close as time goes on, whoever was killed
//! meanwhile, and what is told of them is what there was.

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::calls::answer;
use crate::kafka::{shared, unique, wait_until};
use crate::scene::{number, unix_millis};

const MINUTE: i64 = 60_000;

fn config(topic: &str) -> String {
    format!(
        "kafka:\n  bootstrap_servers: ${{KAFKA_BOOTSTRAP_SERVERS}}\n  group_id: group-of-{topic}\n  session_timeout: 6s\n\
         sources:\n  clicks:\n    topics: [{topic}]\n    timestamp: {{ field: at, format: unix_ms }}\n\
         aggregates:\n  visits:\n    source: clicks\n    by: {{ user: user }}\n    \
         windows: [1m, {{ session: 5m, max: 30m }}]\n    grace: 2m\n    retention: 3h\n    measures: {{ clicks: count }}\n"
    )
}

/// The sessions of a user as a query tells them: minutes since `start`, events, whether closed.
fn sessions(agent: &Agent, user: &str, start: i64) -> Vec<(i64, i64, u64, bool)> {
    let matcher = json!({ "label": "user", "op": "OPERATOR_EQUAL", "value": user });
    let answer = answer(agent, "QueryService/Query", &json!({ "aggregate": "visits", "matchers": [matcher] }));
    let values = answer["rows"][0]["values"].as_array().cloned().unwrap_or_default();
    let value = values.iter().find(|value| value["measure"] == "sessions").cloned().unwrap_or_default();
    let time = |value: &Value| {
        let time: jiff::Timestamp = value.as_str().expect("a time").parse().expect("RFC 3339");
        (time.as_millisecond() - start) / MINUTE
    };
    let count = |value: &Value| value.as_str().expect("a count").parse().expect("a number");
    let session = |s: &Value| {
        (time(&s["start"]), time(&s["end"]), count(&s["events"]), s["closed"].as_bool().expect("true or false"))
    };
    value["sessions"].as_array().into_iter().flatten().map(session).collect()
}

#[test]
fn sessions_are_bridged_close_and_are_told_across_a_kill() {
    let (kafka, topic) = (shared(), unique("sessions"));
    kafka.create_topic(&topic, 1, &[]);
    let start = (unix_millis() - 120 * MINUTE) / MINUTE * MINUTE;
    let send = |clicks: &[(&str, i64)]| {
        let texts: Vec<String> = clicks
            .iter()
            .map(|(user, minute)| json!({ "user": user, "at": start + minute * MINUTE }).to_string())
            .collect();
        kafka.produce(&topic, 0, texts.iter().map(|text| ("", text.as_str())));
    };
    let mut agent = Agent::start(kafka.bootstrap(), &config(&topic));
    agent.wait_ready();
    let clicks = |agent: &Agent| number(&agent.scrape(), "visits_clicks_total", &[]);
    // Two sessions of one user that a late event bridges, and one of another that goes on for too long.
    send(&[("ann", 0), ("ann", 1), ("bob", 2), ("ann", 7)]);
    wait_until("the first are counted", || clicks(&agent) == 4.0);
    assert_eq!(sessions(&agent, "ann", start), [(0, 1, 2, false), (7, 7, 1, false)]);
    send(&[("ann", 4)]);
    wait_until("the bridge is counted", || clicks(&agent) == 5.0);
    assert_eq!(sessions(&agent, "ann", start), [(0, 7, 4, false)]);
    agent.kill9();
    agent.restart();
    agent.wait_ready();
    let page = agent.scrape();
    assert_eq!(number(&page, "visits_sessions_open", &[]), 2.0);
    assert_eq!(number(&page, "visits_sessions_total", &[]), 0.0);
    // At 14 minutes stream time has passed Ann's end by five minutes of gap and two of grace; Ann herself is not there.
    send(&(3..=14).map(|minute| ("bob", minute)).collect::<Vec<_>>());
    wait_until("her session has closed", || {
        number(&agent.scrape(), "visits_sessions_total", &[("user", "ann")]) == 1.0
    });
    assert_eq!(sessions(&agent, "ann", start), [(0, 7, 4, true)]);
    let page = agent.scrape();
    assert_eq!(number(&page, "visits_sessions_open", &[("user", "ann")]), 0.0);
    assert_eq!(number(&page, "visits_sessions_duration_seconds_sum", &[("user", "ann")]), 420.0);
    assert_eq!(number(&page, "visits_sessions_duration_seconds_count", &[("user", "ann")]), 1.0);
    assert_eq!(number(&page, "visits_sessions_events_sum", &[("user", "ann")]), 4.0);
    // What comes now for her old session is in none; and Bob's becomes too long.
    send(&[("ann", 6)]);
    send(&(15..=40).map(|minute| ("bob", minute)).collect::<Vec<_>>());
    wait_until("all is counted", || clicks(&agent) == 44.0);
    agent.kill9();
    agent.restart();
    agent.wait_ready();
    assert_eq!(sessions(&agent, "ann", start), [(0, 7, 4, true)]);
    assert_eq!(sessions(&agent, "bob", start), [(2, 32, 31, true), (33, 40, 8, false)]);
    // The page tells them, too, the newest first.
    let (_, page) = agent.get("/");
    let told = page.split_once("<caption>The newest sessions</caption>").expect("a table of them").1;
    let users: Vec<&str> = told.split("<tr><td>").skip(1).map(|row| &row[..3]).take(3).collect();
    assert_eq!(users, ["bob", "bob", "ann"], "{page}");
    let audit = agent.verb(&["audit", "--all", "--address", &format!("http://{}", agent.grpc())]);
    let text = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert!(audit.status.success() && text.contains("visits, totals: 2 rows from 44 events: the same"), "{text}");
}
