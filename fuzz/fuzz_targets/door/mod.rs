//! The front door's decoders and the spool, as the agent has them: these files know nothing of Kafka, and a fuzzer need not
//! build it.

#![allow(dead_code, reason = "each target uses some of it")]

#[path = "../../../agent/src/ingest/bulk.rs"]
pub mod bulk;
#[path = "../../../agent/src/ingest/event.rs"]
pub mod event;
#[path = "../../../agent/src/ingest/loki.rs"]
pub mod loki;
#[path = "../../../agent/src/ingest/otlp.rs"]
pub mod otlp;
#[path = "../../../agent/src/ingest/routes.rs"]
pub mod routes;
#[path = "../../../agent/src/spool/mod.rs"]
pub mod spool;
#[path = "../../../agent/src/ingest/syslog.rs"]
pub mod syslog;
#[path = "../../../agent/src/ingest/user_event.rs"]
pub mod user_event;

use event::{Arrival, Event, LONGEST_KEY, Rejected};
use routes::Routes;
use serde_json::{Map, Value};

/// Largest event. Bytes.
const MOST: usize = 4 << 10;

/// Gives a decoder what comes with every event, and checks what it makes of its input.
pub fn check(decode: impl FnOnce(Arrival<'_>) -> Vec<Result<Event, Rejected>>) {
    let routes = Routes::to("logs");
    let arrival = Arrival { time: 1_700_000_000_000, most_bytes: MOST, routes: &routes };
    for event in decode(arrival) {
        match event {
            Ok(event) => {
                assert!(!event.key.is_empty() && event.key.len() <= LONGEST_KEY && event.value.len() <= MOST);
                let value: Map<String, Value> = serde_json::from_slice(&event.value).expect("an object");
                assert_eq!(value["eventId"], event.id);
            }
            Err(rejected) => assert!(!rejected.reason().is_empty()),
        }
    }
}

/// The body of a fuzz target; without a fuzzer it takes the files it is given.
#[macro_export]
macro_rules! of_door {
    ($check:expr) => {
        use streamgauge_core::config;
        use streamgauge_runtime::failpoint;

        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $check(bytes));

        #[cfg(not(fuzzing))]
        fn main() {
            for path in std::env::args().skip(1) {
                $check(&std::fs::read(path).expect("a file"));
            }
        }
    };
}
