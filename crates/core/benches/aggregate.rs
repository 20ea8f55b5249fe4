//! Folding, committing, merging and encoding, on the shapes of the example config: 8 keys with a histogram, and many
//! keys with plain measures.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use streamgauge_core::aggregate::{Cell, Event, Plan, TaskState, Value};
use streamgauge_core::config::{
    Aggregate, Condition, FieldPath, LabelField, Measure, MeasureKind, OnLimit, Publish, Source, SourceDeadLetters,
    Start, Test, Timestamp, TopicSelector, Unit, Window,
};

/// Events per iteration, and between two commits.
const BATCH: usize = 4_000;

fn path(name: &str) -> FieldPath {
    FieldPath::keys([name])
}

fn measure(name: &str, kind: MeasureKind, field: Option<&str>, filter: Vec<Condition>) -> Measure {
    Measure {
        name: name.into(),
        kind,
        field: field.map(path),
        or: vec![],
        since: None,
        weight: None,
        label: "item".into(),
        quantiles: vec![],
        ratio: None,
        unit: Unit::Milliseconds,
        signed: false,
        filter,
        metric: None,
        help: None,
    }
}

fn plan(measures: Vec<Measure>) -> Arc<Plan> {
    let source = Source {
        name: "requests".into(),
        topics: vec![TopicSelector::named("log-events")],
        format: Default::default(),
        each: None,
        parse: Vec::new(),
        remap: None,
        fields: Vec::new(),
        unpacked_bytes: Source::UNPACKED_BYTES,
        timestamp: Timestamp::Kafka,
        max_future: Duration::from_secs(3600),
        max_lead: Duration::from_secs(10),
        start: Start::Earliest,
        strict: false,
        dead_letters: SourceDeadLetters::default(),
        recent_events: None,
        filter: vec![],
    };
    let minute = Duration::from_secs(60);
    let aggregate = Aggregate {
        name: "http".into(),
        sources: vec!["requests".into()],
        filter: vec![],
        by: vec![LabelField { label: "endpoint".into(), path: path("endpoint"), ..LabelField::default() }],
        windows: vec![Window { size: minute, hop: minute }, Window { size: 5 * minute, hop: minute }],
        pane: minute,
        grace: minute / 2,
        retention: 120 * minute,
        measures,
        key_limit: usize::MAX,
        on_limit: OnLimit::Overflow,
        key_ttl: None,
        backfill: false,
        publish: Publish::PerPartition,
        idle_timeout: minute,
        metric_prefix: "http".into(),
    };
    Arc::new(Plan::new(&source, std::slice::from_ref(&source), &[aggregate]))
}

fn example() -> Arc<Plan> {
    let failed = vec![Condition::Field { path: path("status"), test: Test::Gte(400.0) }];
    plan(vec![
        measure("requests", MeasureKind::Count, None, vec![]),
        measure("errors", MeasureKind::Count, None, failed),
        measure("duration", MeasureKind::Histogram(Default::default()), Some("response_time_ms"), vec![]),
    ])
}

fn plain() -> Arc<Plan> {
    plan(vec![
        measure("requests", MeasureKind::Count, None, vec![]),
        measure("time", MeasureKind::Sum, Some("response_time_ms"), vec![]),
        measure("slowest", MeasureKind::Max, Some("response_time_ms"), vec![]),
    ])
}

fn counting() -> Arc<Plan> {
    plan(vec![measure("requests", MeasureKind::Count, None, vec![])])
}

/// Who, what most, and what was unusual, beside how many.
fn statistics() -> Arc<Plan> {
    let kind = |word| MeasureKind::of(word).unwrap_or(MeasureKind::Count);
    plan(vec![
        measure("requests", MeasureKind::Count, None, vec![]),
        measure("users", kind("distinct"), Some("response_time_ms"), vec![]),
        measure("times", kind("top"), Some("response_time_ms"), vec![]),
        measure("slow", kind("anomaly"), Some("response_time_ms"), vec![]),
    ])
}

/// A cheap, repeatable stream of numbers.
fn scatter(i: usize) -> u64 {
    (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// Folds `BATCH` events, the `round`-th of their kind.
fn fold_batch(task: &mut TaskState, labels: &[String], round: usize) {
    for i in round * BATCH..(round + 1) * BATCH {
        let random = scatter(i);
        let label = Value::Str(&labels[random as usize % labels.len()]);
        let duration = Value::Float(1.0 + (random % 10_000) as f64 / 10.0);
        let status = Value::Int(if random.is_multiple_of(20) { 500 } else { 200 });
        let with_status = [label, status, duration];
        let values = if task.plan().fields.len() == 3 { &with_status[..] } else { &[label, duration] };
        let time = 1_763_657_472_000 + i as i64 / 40;
        let event = Event { time, reach: time, values };
        black_box(task.fold(&event)).ok();
    }
}

fn labels(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("/api/endpoint/{i}")).collect()
}

fn fold(c: &mut Criterion) {
    let mut group = c.benchmark_group("fold");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, plan, keys) in [
        ("8 keys, histogram", example(), 8),
        ("100,000 keys, plain", plain(), 100_000),
        ("100,000 keys, count", counting(), 100_000),
        ("100,000 keys, count, distinct, top, anomaly", statistics(), 100_000),
    ] {
        let labels = labels(keys);
        let mut task = TaskState::new(plan);
        (0..50).for_each(|round| fold_batch(&mut task, &labels, round));
        let mut round = 50;
        group.bench_function(name, |b| {
            b.iter(|| {
                fold_batch(&mut task, &labels, round);
                round += 1;
            });
        });
        // The committer holds what was frozen until the next commit, so that the first touch of each cell copies it.
        let mut committed = task.freeze(1_763_657_472_123);
        group.bench_function(format!("{name}, committed each batch"), |b| {
            b.iter(|| {
                fold_batch(&mut task, &labels, round);
                round += 1;
                committed = task.freeze(1_763_657_472_123);
            });
        });
        black_box(&committed);
    }
    group.finish();
}

fn cells(c: &mut Criterion) {
    for (name, plan) in [("histogram", example()), ("plain", plain())] {
        let mut task = TaskState::new(plan.clone());
        (0..10).for_each(|round| fold_batch(&mut task, &labels(8), round));
        let cells: Vec<Cell> = task.entries().map(|(_, cell)| Cell::clone(cell)).collect();
        let mut bytes = Vec::new();
        c.bench_function(&format!("merge/{name}"), |b| {
            b.iter(|| {
                let mut merged = cells[0].clone();
                cells[1..].iter().for_each(|cell| merged.merge(cell));
                merged
            });
        });
        c.bench_function(&format!("encode/{name}"), |b| {
            b.iter(|| {
                bytes.clear();
                cells[0].encode(&mut bytes);
                bytes.len()
            });
        });
        c.bench_function(&format!("decode/{name}"), |b| {
            b.iter(|| Cell::decode(&plan.aggregates[0], &bytes).map(black_box))
        });
    }
}

criterion_group!(benches, fold, cells);
criterion_main!(benches);
