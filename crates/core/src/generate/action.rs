//! What people do on a site: one user event of the stream, and its JSON.

use std::io::Write;

use jiff::Timestamp;

use super::random::Draws;

/// Tells these draws from those for requests of the same seed.
const PURPOSE: u64 = 2;

/// Users are `user_000` to `user_499`.
const USERS: u32 = 500;

/// What a user does, its share in percent, and what it is done with: each with the same probability.
const ACTIONS: [(&str, u32, &[&str]); 5] = [
    ("page_view", 45, &["page_home", "page_products", "page_cart", "page_checkout"]),
    ("button_click", 35, &["btn_1", "btn_2", "btn_3", "btn_4", "btn_5", "btn_submit"]),
    ("form_submit", 12, &["form_contact", "form_signup"]),
    ("user_login", 5, &["form_login"]),
    ("purchase", 3, &["btn_buy"]),
];

/// One thing that a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// Event time, Unix milliseconds.
    pub timestamp: i64,
    pub event_type: &'static str,
    pub element_id: &'static str,
    user: u32,
}

impl Action {
    /// Action `n` of a seed, dated `timestamp` (Unix milliseconds).
    pub fn of(seed: u64, n: u64, timestamp: i64) -> Action {
        let mut draws = Draws::new(seed, n, PURPOSE);
        let mut percent = draws.below(100);
        let drawn = ACTIONS.iter().find(|(_, share, _)| {
            let is_it = percent < *share;
            percent = percent.saturating_sub(*share);
            is_it
        });
        // The shares add up to 100.
        let (event_type, _, elements) = drawn.unwrap_or(&ACTIONS[0]);
        let element_id = elements[draws.below(elements.len() as u32) as usize];
        Action { timestamp, event_type, element_id, user: draws.below(USERS) }
    }

    /// Replaces `out` with the action's JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.clear();
        let Action { event_type, element_id, user, .. } = self;
        let time = rfc3339(self.timestamp);
        // Writing to a vector cannot fail.
        let _ = write!(
            out,
            r#"{{"user_id": "user_{user:03}", "event_type": "{event_type}", "element_id": "{element_id}", "timestamp": "{time}"}}"#
        );
    }

    /// Replaces `out` with the user's id, such as `user_012`.
    pub fn write_user(&self, out: &mut Vec<u8>) {
        out.clear();
        let _ = write!(out, "user_{:03}", self.user);
    }

    /// Replaces `out` with the user's id and the event's type, such as `user_012:page_view`.
    pub fn write_user_and_type(&self, out: &mut Vec<u8>) {
        self.write_user(out);
        out.push(b':');
        out.extend_from_slice(self.event_type.as_bytes());
    }
}

/// A time as log lines have it; one that cannot be written so is 1970.
pub(super) fn rfc3339(millis: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(millis).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_seed_means_the_same_actions_on_every_machine() {
        let mut out = Vec::new();
        let mut line = |n| {
            Action::of(1, n, 1_763_657_472_123 + n as i64).write_json(&mut out);
            String::from_utf8(out.clone()).unwrap()
        };
        insta::assert_snapshot!([line(0), line(1), line(2)].join("\n"), @r#"
        {"user_id": "user_472", "event_type": "button_click", "element_id": "btn_5", "timestamp": "2025-11-20T16:51:12.123Z"}
        {"user_id": "user_214", "event_type": "button_click", "element_id": "btn_5", "timestamp": "2025-11-20T16:51:12.124Z"}
        {"user_id": "user_113", "event_type": "button_click", "element_id": "btn_2", "timestamp": "2025-11-20T16:51:12.125Z"}
        "#);
    }

    #[test]
    fn shares_follow_the_weights_and_every_field_survives_a_json_parser() {
        const COUNT: u64 = 50_000;
        let (mut out, mut key) = (Vec::new(), Vec::new());
        for (name, share, elements) in ACTIONS {
            let all: Vec<_> =
                (0..COUNT).map(|n| Action::of(7, n, 0)).filter(|action| action.event_type == name).collect();
            let expected = COUNT as f64 * f64::from(share) / 100.0;
            let deviation = (expected * (1.0 - f64::from(share) / 100.0)).sqrt();
            assert!((all.len() as f64 - expected).abs() < 5.0 * deviation, "{name}: {}", all.len());
            assert!(elements.iter().all(|element| all.iter().any(|action| action.element_id == *element)));
            for action in &all[..20] {
                action.write_json(&mut out);
                action.write_user_and_type(&mut key);
                let value: Value = serde_json::from_slice(&out).unwrap();
                let expected = format!("{}:{name}", value["user_id"].as_str().unwrap());
                assert_eq!((String::from_utf8(key.clone()).unwrap(), value.as_object().unwrap().len()), (expected, 4));
                assert_eq!(value["timestamp"], "1970-01-01T00:00:00.000Z");
            }
        }
    }
}
