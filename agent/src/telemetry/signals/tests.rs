//! Spans and lines by a subscriber of the test's own.

use super::*;
use crate::clock::Clock;
use tracing_subscriber::layer::SubscriberExt;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_line_and_a_span_within_a_request_belong_to_the_callers_trace() {
    let clock = Clock::manual(1_000);
    let (layer, signals) = Signals::new(clock.clone(), true, true);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let request = tracing::error_span!("request", traceparent = CALLER, status = tracing::field::Empty);
        request.in_scope(|| {
            let _inner = tracing::error_span!("inner").entered();
            tracing::warn!(records = 7, "something");
            if let Clock::Manual(now) = &clock {
                now.fetch_add(5, Ordering::Relaxed);
            }
        });
        request.record("status", "ok");
    });
    let [Signal::Line(line), Signal::Span(inner), Signal::Span(request)] = &signals.take(10)[..] else {
        panic!("a line and two spans")
    };
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
    assert!([line.context.unwrap(), inner.context, request.context].iter().all(|context| context.trace == trace));
    assert_eq!(line.context, Some(inner.context));
    assert_eq!((inner.parent, request.parent), (request.context.span, 0xb7ad_6b71_6920_3331));
    assert_eq!((inner.is_server, request.is_server), (false, true));
    assert_eq!((request.start, request.end), (1_000_000_000, 1_005_000_000));
    assert_eq!(request.fields, [("status", "ok".to_owned())]);
    assert_eq!((line.message.as_str(), line.fields.as_slice()), ("something", &[("records", "7".to_owned())][..]));
}

#[test]
fn what_a_caller_does_not_sample_is_not_kept_and_a_malformed_parent_is_none() {
    assert!(parse_traceparent(CALLER).is_some_and(|context| context.is_sampled));
    assert!(parse_traceparent(&CALLER.replace("-01", "-00")).is_some_and(|context| !context.is_sampled));
    let zeros = "0".repeat(32);
    for wrong in
        ["", "00-1-2-01", &CALLER.to_uppercase(), &format!("{CALLER}-x"), &format!("00-{zeros}-b7ad6b7169203331-01")]
    {
        assert_eq!(parse_traceparent(wrong), None, "{wrong}");
    }
    let (layer, signals) = Signals::new(Clock::manual(0), true, true);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let _ = tracing::error_span!("request", traceparent = CALLER.replace("-01", "-00"));
    });
    assert!(signals.take(10).is_empty());
}

#[test]
fn nobody_waits_for_a_full_queue_and_what_is_lost_is_counted() {
    let (layer, signals) = Signals::new(Clock::manual(0), false, true);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        (0..QUEUE + 3).for_each(|_| tracing::info!("line"));
    });
    assert_eq!((signals.lost(), signals.take(usize::MAX).len(), signals.lost()), (3, QUEUE, 0));
}
