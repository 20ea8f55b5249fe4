//! Plans, events and tasks for tests, here and in the crates above (feature `samples`).

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::aggregate::{Cell, EntryKey, Event, MeasureState, Plan, TaskState, Value};
use crate::config::{
    Aggregate, Condition, FieldPath, LabelField, Measure, MeasureKind, OnLimit, Publish, RatioOf, Scalar, Source,
    SourceDeadLetters, Start, Test, Timestamp, TopicSelector, Unit, Window,
};
use crate::measure::{Amount, Beyond, Earlier, Precision, Ranking, Resolution, SessionRule, Target, Usual};

/// Wall time of every freeze that does not matter.
pub const NOW: i64 = 1_763_657_472_123;
pub const PANE: i64 = 10;
pub const GRACE: i64 = 7;
pub const RETENTION: i64 = 100;

pub fn path(name: &str) -> FieldPath {
    FieldPath::parse(name).unwrap()
}

pub fn source() -> Source {
    Source {
        name: "events".into(),
        topics: vec![TopicSelector::named("events")],
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
    }
}

pub fn measure(name: &str, kind: MeasureKind, field: Option<&str>, filter: Vec<Condition>) -> Measure {
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
        signed: true,
        filter,
        metric: None,
        help: None,
    }
}

/// With so few registers that events of a test fill them.
pub fn distinct() -> MeasureKind {
    Precision::with_error(0.13).map(MeasureKind::Distinct).unwrap()
}

pub fn top(sums: bool) -> MeasureKind {
    MeasureKind::Top(Ranking { k: 3, sums })
}

pub const SESSION: SessionRule = SessionRule { gap_ms: 6, max_ms: 40, grace_ms: GRACE };

/// Judged soon, so that short tests have some.
pub fn unusual() -> MeasureKind {
    MeasureKind::Anomaly(Usual { beyond: Beyond::Deviations(1.0), min_count: 3, half_life_ms: 50 })
}

/// All but what depends on the order of the events by its nature: what is judged by those before it, and sessions
/// that end.
pub fn without_order(cell: &Cell) -> Vec<MeasureState> {
    cell.measures
        .iter()
        .filter(|state| !matches!(state, MeasureState::Anomaly(_) | MeasureState::Sessions(_)))
        .cloned()
        .collect()
}

fn failures() -> RatioOf {
    let failed = Condition::Field { path: path("ok"), test: Test::Eq(Scalar::Bool(false)) };
    RatioOf { part: "failures".into(), whole: "events".into(), filter: vec![failed] }
}

/// Every kind of measure.
pub fn measures() -> Vec<Measure> {
    let failed = || vec![Condition::Field { path: path("ok"), test: Test::Eq(Scalar::Bool(false)) }];
    vec![
        measure("events", MeasureKind::Count, None, vec![]),
        measure("failures", MeasureKind::Count, None, failed()),
        measure("time", MeasureKind::Sum, Some("ms"), vec![]),
        measure("fastest", MeasureKind::Min, Some("ms"), vec![]),
        measure("slowest", MeasureKind::Max, Some("ms"), failed()),
        measure("mean", MeasureKind::Avg, Some("ms"), vec![]),
        measure("duration", MeasureKind::Histogram(Default::default()), Some("ms"), vec![]),
        measure("coarse", MeasureKind::Buckets(vec![-1.0, 0.0, 0.5, 10.0]), Some("ms"), vec![]),
        measure("opening", MeasureKind::First, Some("ms"), vec![]),
        measure("closing", MeasureKind::Last, Some("ms"), failed()),
        measure("seen", MeasureKind::LastSeen, None, vec![]),
        measure("different", distinct(), Some("ms"), vec![]),
        Measure { weight: Some(path("weight")), ..measure("heaviest", top(true), Some("name"), vec![]) },
        measure("frequent", top(false), Some("ms"), failed()),
        measure("unusual", unusual(), Some("ms"), vec![]),
        measure("patience", MeasureKind::Apdex(Target(0.5)), Some("ms"), vec![]),
        Measure { ratio: Some(failures()), ..measure("failed", MeasureKind::Ratio, None, vec![]) },
        measure("visits", MeasureKind::Sessions(SESSION), None, vec![]),
        measure("fine", MeasureKind::Histogram(Resolution::with_error(0.01).unwrap()), Some("ms"), vec![]),
        measure("pace", MeasureKind::Rate(Amount::Events), None, failed()),
        measure("part", MeasureKind::Share(Amount::Values), Some("ms"), vec![]),
        measure("trend", MeasureKind::Versus(Earlier { amount: Amount::Values, ago_ms: 50 }), Some("ms"), vec![]),
    ]
}

pub fn window(size: i64, hop: i64) -> Window {
    Window { size: Duration::from_millis(size as u64), hop: Duration::from_millis(hop as u64) }
}

/// By `name`; tumbling 10 ms, 30 ms hopping by 10, 40 ms hopping by 20.
pub fn aggregate() -> Aggregate {
    Aggregate {
        name: "sample".into(),
        sources: vec!["events".into()],
        filter: vec![],
        by: vec![LabelField { label: "name".into(), path: path("name"), ..LabelField::default() }],
        windows: vec![window(PANE, PANE), window(30, 10), window(40, 20)],
        pane: Duration::from_millis(PANE as u64),
        grace: Duration::from_millis(GRACE as u64),
        retention: Duration::from_millis(RETENTION as u64),
        measures: measures(),
        key_limit: 1_000,
        on_limit: OnLimit::Overflow,
        key_ttl: None,
        backfill: false,
        publish: Publish::PerPartition,
        idle_timeout: Duration::from_secs(60),
        metric_prefix: "sample".into(),
    }
}

pub fn plan(aggregate: Aggregate) -> Arc<Plan> {
    Arc::new(plan_of(&source(), &[aggregate]))
}

/// The plan of a source that shares no aggregate with others.
pub fn plan_of(source: &Source, aggregates: &[Aggregate]) -> Plan {
    Plan::new(source, std::slice::from_ref(source), aggregates)
}

/// One event of the sample aggregate.
#[derive(Clone, Debug)]
pub struct Sent {
    pub time: i64,
    /// By how much its time is beyond what it may move stream time to.
    pub ahead: i64,
    pub name: u8,
    pub ms: f64,
    pub ok: bool,
}

impl Sent {
    pub fn at(time: i64, name: u8) -> Sent {
        Sent { time, ahead: 0, name, ms: 1.5, ok: true }
    }

    /// How far it moves stream time.
    pub fn reach(&self) -> i64 {
        self.time.saturating_sub(self.ahead)
    }

    pub fn label(&self) -> String {
        format!("name-{}", self.name)
    }
}

/// Folds an event whose fields are those of the sample aggregate.
pub fn fold(task: &mut TaskState, sent: &Sent) {
    let label = sent.label();
    let values: Vec<_> = task
        .plan()
        .fields
        .iter()
        .map(|field| match field.to_string().as_str() {
            "name" => Value::Str(&label),
            "ms" => Value::Float(sent.ms),
            "ok" => Value::Bool(sent.ok),
            // Of what `top` sums nothing is negative, and its sums stay exact.
            "weight" => Value::Int(sent.ms.abs().min(1e9) as i64),
            other => panic!("no field {other}"),
        })
        .collect();
    task.fold(&Event { time: sent.time, reach: sent.reach(), values: &values }).unwrap();
}

/// A task that has folded these.
pub fn folded(plan: &Arc<Plan>, events: &[Sent]) -> TaskState {
    let mut task = TaskState::new(plan.clone());
    events.iter().for_each(|sent| fold(&mut task, sent));
    task
}

/// Live entries in order.
pub fn live(task: &TaskState) -> Vec<(EntryKey, Cell)> {
    let mut entries: Vec<_> = task.entries().map(|(entry, cell)| (entry, Cell::clone(cell))).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

/// Events that mostly go forward in time, some unordered, some late, some very late, some dated ahead of their record,
/// values of all sizes and signs.
pub fn events(most: usize) -> impl Strategy<Value = Vec<Sent>> {
    let step = prop_oneof![6 => 0i64..4, 3 => -20i64..20, 1 => -90i64..60];
    let power = (-30i32..40).prop_map(|e| 2f64.powi(e));
    let ms = prop_oneof![4 => -1e3f64..1e5, 1 => Just(0.0), 1 => power, 1 => -1e17f64..1e17];
    let ahead = prop_oneof![8 => Just(0i64), 1 => 1i64..20, 1 => 20i64..300];
    proptest::collection::vec((step, ahead, 0u8..3, ms, any::<bool>()), 0..most).prop_map(|steps| {
        let mut now = 0;
        let send = |(step, ahead, name, ms, ok)| {
            now += step;
            Sent { time: now + ahead, ahead, name, ms, ok }
        };
        steps.into_iter().map(send).collect()
    })
}
