//! The generated stream is what it says it is: the same for everyone, valid, and of the stated shape.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

fn json(event: &Event) -> String {
    let mut out = Vec::new();
    event.write_json(&mut out);
    String::from_utf8(out).unwrap()
}

/// Pins the stream across versions and platforms: published results name a seed.
#[test]
fn a_seed_means_the_same_events_for_ever() {
    let generator = Generator::new(1);
    let events: Vec<String> =
        [0, 1, 2_399_999].map(|n| json(&generator.event(n, 1_763_657_472_123 + n as i64))).to_vec();
    insta::assert_snapshot!(events.join("\n"), @r#"
    {"timestamp": 1763657472123, "endpoint": "/api/payments", "method": "POST", "status": 200, "response_time_ms": 229.3, "region": "us-east", "user_id": "user_040269", "message": "request completed trace=aa4d8b94"}
    {"timestamp": 1763657472124, "endpoint": "/api/cart", "method": "POST", "status": 200, "response_time_ms": 90.8, "region": "us-east", "user_id": "user_018172", "message": "request completed trace=14cbaca7"}
    {"timestamp": 1763659872122, "endpoint": "/api/login", "method": "POST", "status": 200, "response_time_ms": 173.0, "region": "ap-south", "user_id": "user_023447", "message": "request completed trace=f717ab67"}
    "#);
}

#[test]
fn an_event_depends_on_seed_and_number_alone() {
    let (a, b) = (Generator::new(7), Generator::new(7));
    let forward: Vec<Event> = (0..1000).map(|n| a.event(n, 0)).collect();
    let mut backward: Vec<Event> = (0..1000).rev().map(|n| b.event(n, 0)).collect();
    backward.reverse();
    assert_eq!(forward, backward);
    let other: Vec<Event> = (0..1000).map(|n| Generator::new(8).event(n, 0)).collect();
    let same = forward.iter().zip(&other).filter(|(a, b)| a.trace == b.trace).count();
    assert_eq!(same, 0, "another seed is another stream");
}

#[test]
fn every_field_survives_a_json_parser() {
    let generator = Generator::new(3);
    let mut out = Vec::new();
    for n in 0..20_000 {
        let event = generator.event(n, 1_763_657_472_123);
        event.write_json(&mut out);
        assert!((195..=230).contains(&out.len()), "{} bytes: {}", out.len(), String::from_utf8_lossy(&out));
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["timestamp"], 1_763_657_472_123_i64);
        assert_eq!(value["endpoint"], event.endpoint);
        assert_eq!(value["method"], event.method);
        assert_eq!(value["status"], event.status);
        assert_eq!(value["response_time_ms"].as_f64(), Some(f64::from(event.response_time_tenths) / 10.0));
        assert_eq!(value["region"], event.region);
        assert_eq!(value["user_id"], format!("user_{:06}", event.user));
        assert!(value["message"].as_str().unwrap().len() > 20);
        assert_eq!(value.as_object().unwrap().len(), 8);
    }
}

#[test]
fn timestamps_of_any_size_are_written_right() {
    for timestamp in [0, 9, 10, -1, i64::MAX, i64::MIN] {
        let value: Value = serde_json::from_str(&json(&Generator::new(1).event(0, timestamp))).unwrap();
        assert_eq!(value["timestamp"], timestamp);
    }
}

/// Shares lie within five standard deviations of their weights: a wrong table fails, chance does not.
#[test]
fn shares_follow_the_weights() {
    const EVENTS: u64 = 200_000;
    let generator = Generator::new(42);
    let mut seen: BTreeMap<String, f64> = BTreeMap::new();
    let mut users = vec![false; USERS as usize];
    for event in (0..EVENTS).map(|n| generator.event(n, 0)) {
        for name in [event.endpoint.to_owned(), event.status.to_string(), event.region.to_owned()] {
            *seen.entry(name).or_default() += 1.0;
        }
        users[event.user as usize] = true;
    }
    let check = |name: &str, share: f64| {
        let deviation = (EVENTS as f64 * share * (1.0 - share)).sqrt();
        let off = (seen[name] - EVENTS as f64 * share) / deviation;
        assert!(off.abs() < 5.0, "{name}: {} of {EVENTS}, {off:.1} standard deviations from {share}", seen[name]);
    };
    ENDPOINTS.iter().for_each(|e| check(e.path, f64::from(e.weight) / 100.0));
    STATUSES.iter().for_each(|(status, weight, _)| check(&status.to_string(), f64::from(*weight) / 100.0));
    REGIONS.iter().for_each(|region| check(region, 1.0 / REGIONS.len() as f64));
    assert_eq!(seen.len(), ENDPOINTS.len() + STATUSES.len() + REGIONS.len());
    // 1 - 1/e^2 of the users are met when there are twice as many events as users.
    let met = users.iter().filter(|met| **met).count();
    assert!((86_000..=87_000).contains(&met), "{met} users");
}

#[test]
fn response_times_are_normally_distributed_around_the_endpoints_mean() {
    let generator = Generator::new(5);
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for event in (0..200_000).map(|n| generator.event(n, 0)) {
        times.entry(event.endpoint).or_default().push(f64::from(event.response_time_tenths) / 10.0);
    }
    for endpoint in &ENDPOINTS {
        let times = &times[endpoint.path];
        let count = times.len() as f64;
        let deviation = endpoint.mean_ms / 4.0;
        let mean = times.iter().sum::<f64>() / count;
        assert!((mean - endpoint.mean_ms).abs() < 5.0 * deviation / count.sqrt(), "{}: mean {mean}", endpoint.path);
        for (sigmas, share) in [(1.0, 0.6827), (2.0, 0.9545)] {
            let within = times.iter().filter(|t| (**t - endpoint.mean_ms).abs() <= sigmas * deviation).count() as f64;
            assert!((within / count - share).abs() < 0.02, "{}: {within} of {count} in {sigmas}", endpoint.path);
        }
    }
}
