//! The events of a load test: the example's log events, each with the test and its number in front, cut or padded to the
//! size that is asked for. They are made once and then only stamped, so that making them is not what is measured.

use crate::generate::Generator;

/// Before the test's id, its number and the event's time.
const HEAD: &[u8] = b"{\"load_test\": \"";
const RUN: usize = 8;
const NUMBER: usize = 12;
const TIME: &[u8] = b"\", \"timestamp\": ";
const MILLIS: usize = 13;
const NUMBER_AT: usize = HEAD.len() + RUN + 1;
const MILLIS_AT: usize = NUMBER_AT + NUMBER + TIME.len();

/// The smallest event: test, number and time.
pub const LEAST_BYTES: usize = MILLIS_AT + MILLIS + 1;
/// Memory for all of them.
const POOL_BYTES: usize = 1 << 20;
const POOL_EVENTS: usize = 1_024;

/// Events to be stamped.
pub struct Payloads {
    pool: Vec<Vec<u8>>,
}

impl Payloads {
    /// `run`: eight characters that tell this test from others. `size` is at least [`LEAST_BYTES`].
    pub fn new(run: &str, size: usize) -> Payloads {
        let size = size.max(LEAST_BYTES);
        let generator = Generator::new(1);
        let count = (POOL_BYTES / size).clamp(1, POOL_EVENTS);
        Payloads { pool: (0..count as u64).map(|n| template(run, &generator, n, size)).collect() }
    }

    /// Appends event `number`, dated `millis` (Unix).
    pub fn write(&self, number: u64, millis: i64, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.pool[(number % self.pool.len() as u64) as usize]);
        let event = &mut out[begin..];
        digits(&mut event[NUMBER_AT..NUMBER_AT + NUMBER], number);
        digits(&mut event[MILLIS_AT..MILLIS_AT + MILLIS], millis.max(0) as u64);
    }

    /// The number of an event of the test `run`; `None` for everything else.
    pub fn number_of(run: &str, event: &[u8]) -> Option<u64> {
        let rest = event.strip_prefix(HEAD)?.strip_prefix(run.as_bytes())?.strip_prefix(b"-")?;
        std::str::from_utf8(rest.get(..NUMBER)?).ok()?.parse().ok()
    }
}

fn digits(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn template(run: &str, generator: &Generator, n: u64, size: usize) -> Vec<u8> {
    let mut json = Vec::new();
    generator.event(n, 0).write_json(&mut json);
    let text = String::from_utf8_lossy(&json);
    let mut event = HEAD.to_vec();
    event.extend(run.bytes().chain(std::iter::repeat(b'0')).take(RUN));
    event.push(b'-');
    event.extend([b'0'; NUMBER]);
    event.extend(TIME);
    event.extend([b'0'; MILLIS]);
    // The event's own fields, as many as fit; none holds a comma.
    for field in text.trim_end_matches('}').split(", ").skip(1) {
        if event.len() + 2 + field.len() < size {
            event.extend_from_slice(b", ");
            event.extend_from_slice(field.as_bytes());
        }
    }
    pad(&mut event, n, size - 1);
    event.push(b'}');
    event
}

/// Fills up to `end`: with text that does not compress to nothing, or with spaces where no field fits.
fn pad(event: &mut Vec<u8>, n: u64, end: usize) {
    const FIELD: &[u8] = b", \"pad\": \"";
    if event.len() + FIELD.len() < end {
        event.extend_from_slice(FIELD);
        let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        while event.len() + 1 < end {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            event.push(b"abcdefghijklmnopqrstuvwxyz012345"[(state >> 59) as usize]);
        }
        event.push(b'"');
    }
    event.resize(end, b' ');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_event_has_the_asked_for_size_and_is_json() {
        for size in (LEAST_BYTES..400).chain([1_000, 70_000]) {
            let payloads = Payloads::new("0123abcd", size);
            let mut out = b"before".to_vec();
            payloads.write(1_234_567, 1_763_657_472_123, &mut out);
            let event = &out[6..];
            assert_eq!(event.len(), size);
            let json: Value = serde_json::from_slice(event).unwrap_or_else(|e| panic!("{size}: {e}: {out:?}"));
            assert_eq!(json["load_test"], "0123abcd-000001234567");
            assert_eq!(json["timestamp"], 1_763_657_472_123_i64);
        }
    }

    #[test]
    fn events_of_the_example_are_among_them_when_they_fit() {
        let mut out = Vec::new();
        Payloads::new("0123abcd", 300).write(5, 0, &mut out);
        let json: Value = serde_json::from_slice(&out).unwrap();
        assert!(json["endpoint"].is_string() && json["response_time_ms"].is_f64() && json["message"].is_string());
    }

    #[test]
    fn a_number_is_read_back_from_events_of_the_same_test_alone() {
        let mut out = Vec::new();
        Payloads::new("0123abcd", 200).write(987_654_321_012, 5, &mut out);
        assert_eq!(Payloads::number_of("0123abcd", &out), Some(987_654_321_012));
        assert_eq!(Payloads::number_of("0123abce", &out), None);
        for other in [&b""[..], b"{\"load_test\": \"0123abcd-12", b"{\"timestamp\": 5}", &out[1..]] {
            assert_eq!(Payloads::number_of("0123abcd", other), None);
        }
    }
}
