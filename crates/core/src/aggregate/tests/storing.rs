//! Cells: merging them, and their stored form.

use proptest::prelude::*;
use prost::Message;
use streamgauge_proto::storage::v1 as pb;

use crate::aggregate::samples::*;
use crate::aggregate::{Cell, FormatError, Pane};
use crate::config::MeasureKind;

fn cells(events: &[Sent]) -> Vec<Cell> {
    let mut task = folded(&plan(aggregate()), events);
    // What is stored has been frozen.
    task.freeze(NOW);
    live(&task).into_iter().map(|(_, cell)| cell).collect()
}

/// The total of these events, all of one key; empty if there are none.
fn total(events: &[Sent]) -> Cell {
    let plan = plan(aggregate());
    let one_key: Vec<_> = events.iter().map(|sent| Sent { name: 0, ahead: 0, ..sent.clone() }).collect();
    let total = live(&folded(&plan, &one_key)).into_iter().find(|(entry, _)| entry.pane == Pane::TOTAL);
    total.map_or_else(|| Cell::empty(&plan.aggregates[0]), |(_, cell)| cell)
}

fn encoded(cell: &Cell) -> Vec<u8> {
    let mut out = Vec::new();
    cell.encode(&mut out);
    out
}

proptest! {
    #[test]
    fn merging_is_associative_and_commutative(a in events(40), b in events(40), c in events(40)) {
        let whole = total(&[a.clone(), b.clone(), c.clone()].concat());
        let [a, b, c] = [a, b, c].map(|events| total(&events));
        let merged = |a: &Cell, b: &Cell| {
            let mut merged = a.clone();
            merged.merge(b);
            merged
        };
        // Bytes rather than values: equal to the bit.
        prop_assert_eq!(encoded(&merged(&a, &b)), encoded(&merged(&b, &a)));
        prop_assert_eq!(encoded(&merged(&merged(&a, &b), &c)), encoded(&merged(&a, &merged(&b, &c))));
        let parts = merged(&merged(&c, &a), &b);
        prop_assert_eq!(parts.last_seen, whole.last_seen);
        let bytes = |cell: &Cell| without_order(cell).iter().map(|state| state.encode().encode_to_vec()).collect::<Vec<_>>();
        prop_assert_eq!(bytes(&parts), bytes(&whole));
    }

    #[test]
    fn a_cell_survives_its_stored_form(events in events(60)) {
        let plan = plan(aggregate());
        for cell in cells(&events).into_iter().chain([Cell { since: 0, ..Cell::empty(&plan.aggregates[0]) }]) {
            let bytes = encoded(&cell);
            let decoded = Cell::decode(&plan.aggregates[0], &bytes).unwrap();
            prop_assert_eq!(&decoded, &cell);
            prop_assert_eq!(encoded(&decoded), bytes);
        }
    }

    #[test]
    fn the_stored_form_is_the_message_in_the_proto_file(events in events(60)) {
        for cell in cells(&events) {
            let bytes = encoded(&cell);
            let message = pb::Cell::decode(&bytes[..]).unwrap();
            prop_assert_eq!((message.last_seen_ms, message.since_ms), (cell.last_seen, cell.since));
            prop_assert_eq!(message.encode_to_vec(), bytes);
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_without_panic(
        events in events(20),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let plan = plan(aggregate());
        let mut bytes = encoded(&total(&events));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(cell) = Cell::decode(&plan.aggregates[0], &bytes) {
            prop_assert_eq!(cell.measures.len(), plan.aggregates[0].measures.len());
            let mut merged = cell.clone();
            merged.merge(&total(&events));
        }
        let _ = Cell::decode(&plan.aggregates[0], &bytes[..at]);
    }
}

#[test]
fn a_newer_format_is_told_apart() {
    let plan = plan(aggregate());
    // Whatever comes after the version, even if it is of other types than ours.
    let bytes =
        [&pb::Cell { format_version: 4, ..Default::default() }.encode_to_vec()[..], &[0x12, 0x01, 0x00]].concat();
    let error = Cell::decode(&plan.aggregates[0], &bytes).unwrap_err();
    assert!(matches!(error, FormatError::Newer { found: 4, known: 3 }), "{error}");
}

#[test]
fn a_cell_of_another_aggregate_is_refused() {
    let mut other = aggregate();
    other.measures = vec![measure("events", MeasureKind::Count, None, vec![])];
    let bytes = encoded(&total(&[Sent::at(0, 0)]));
    let refused = |aggregate| Cell::decode(&plan(aggregate).aggregates[0], &bytes).unwrap_err();
    assert!(matches!(refused(other), FormatError::Mismatch { .. }));
    let mut fewer_bounds = aggregate();
    fewer_bounds.measures[7].kind = MeasureKind::Buckets(vec![1.0]);
    assert!(matches!(refused(fewer_bounds), FormatError::Mismatch { .. }));
    let mut swapped = aggregate();
    swapped.measures.swap(3, 4);
    assert!(matches!(refused(swapped), FormatError::Mismatch { .. }));
    assert!(Cell::decode(&plan(aggregate()).aggregates[0], b"").is_err());
}

#[test]
fn the_first_field_is_the_version() {
    assert_eq!(encoded(&total(&[]))[..2], [0x08, 3]);
}
