//! Rendering a page of 100,000 series, in each format, with and without gzip; alone, and while the state is folded and
//! committed on another core.

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use flate2::{Compression, write::GzEncoder};
use streamgauge::aggregate::{Event, TaskState, Value};
use streamgauge::clock::Clock;
use streamgauge::cluster::View;
use streamgauge::config::{self, Histograms};
use streamgauge::export::prometheus::{Format, Style, render};
use streamgauge::publish::Publisher;
use streamgauge::query::Reader;
use streamgauge::sources::{Plans, Sources};
use streamgauge::state::{Committed, EntryHash, Lease, Phase, Registry, Task, TaskId};
use streamgauge::telemetry::Metrics;
use streamgauge_proto::storage::v1::OffsetRecord;

/// Of 20 series each with classic buckets: two counters, and 17 buckets, `+Inf`, sum and count.
const KEYS: usize = 4_762;

const CONFIG: &str = "
kafka: { bootstrap_servers: localhost:9092, group_id: bench }
sources:
  requests: { topics: [log-events], format: json, timestamp: { from: kafka } }
aggregates:
  http:
    source: requests
    by: { endpoint: endpoint }
    limit: 1000000
    measures:
      requests: count
      duration: { histogram: response_time_ms, unit: ms }
";

struct Stage {
    reader: Arc<Reader>,
    publisher: Publisher,
    task: Arc<Task>,
    state: TaskState,
}

fn stage() -> Stage {
    let config = config::parse(CONFIG, "bench.yaml", &|_| None).expect("a sound config");
    let (clock, registry) = (Clock::manual(1_000), Arc::new(Registry::default()));
    let source = &config.sources[0];
    let plans = Plans::new(0, &config);
    let plan = plans.sources[0].plan.clone();
    let lease = Arc::new(Lease::new(clock.clone(), Duration::from_secs(7)));
    lease.renew(clock.now());
    registry.set_partitions("log-events".into(), 1);
    let id = TaskId { topic: "log-events".into(), partition: 0 };
    let task = Arc::new(Task::new(id, source.name.as_str().into(), plan.clone(), lease));
    task.set_phase(Phase::Running);
    registry.insert(task.clone());
    let sources = Sources::new(plans);
    let reader = Arc::new(Reader { registry, sources, clock, max_cells: 1 });
    let publisher = Publisher::alone(reader.clone());
    let mut stage = Stage { reader, publisher, task, state: TaskState::new(plan) };
    for round in 0..50 {
        stage.fold(round);
    }
    stage.commit();
    stage
}

impl Stage {
    /// One event of every key.
    fn fold(&mut self, round: usize) {
        for key in 0..KEYS {
            let endpoint = format!("/api/v1/endpoints/{key}");
            let millis = 1.0 + ((round * 7 + key) % 900) as f64;
            let values = [Value::Str(&endpoint), Value::Float(millis)];
            self.state.fold(&Event { time: 1_000, reach: 1_000, values: &values }).expect("a good event");
        }
    }

    fn commit(&mut self) {
        let frozen = self.state.freeze(1_763_657_472_123);
        let entries = frozen.entries.into_iter().map(|(key, cell)| {
            let hash = EntryHash::of(&key.encode(), b"");
            (key, Committed { cell, hash })
        });
        self.task.view.write().apply(entries, &frozen.expired, OffsetRecord::default(), 0);
    }
}

/// Counts what it is given.
struct Counting(usize);

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn page(publisher: &Publisher, metrics: &Metrics, style: Style, gzip: bool) -> usize {
    let mut out = Counting(0);
    if gzip {
        let mut encoder = GzEncoder::new(&mut out, Compression::fast());
        render(publisher, metrics, &View::default(), None, style, &mut encoder)
            .and_then(|()| encoder.finish().map(drop))
            .expect("a page");
    } else {
        render(publisher, metrics, &View::default(), None, style, &mut out).expect("a page");
    }
    out.0
}

fn exposition(criterion: &mut Criterion) {
    let mut stage = stage();
    let metrics = Metrics::new();
    let mut group = criterion.benchmark_group("exposition_100k_series");
    group.sample_size(20);
    let styles = [
        ("text", Style { format: Format::Text, histograms: Histograms::Both, created: true }),
        ("openmetrics", Style { format: Format::OpenMetrics, histograms: Histograms::Both, created: true }),
        ("protobuf_both", Style { format: Format::Protobuf, histograms: Histograms::Both, created: true }),
        ("protobuf_native", Style { format: Format::Protobuf, histograms: Histograms::Native, created: true }),
    ];
    for (name, style) in styles {
        for gzip in [false, true] {
            let name = if gzip { format!("{name}_gzip") } else { name.to_owned() };
            group.bench_function(name, |b| b.iter(|| black_box(page(&stage.publisher, &metrics, style, gzip))));
        }
    }
    let publisher = Publisher::alone(stage.reader.clone());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                stage.fold(round);
                stage.commit();
                round += 1;
            }
        });
        let style = styles[0].1;
        group
            .bench_function("text_while_ingesting", |b| b.iter(|| black_box(page(&publisher, &metrics, style, false))));
        stop.store(true, Ordering::Relaxed);
    });
    group.finish();
}

criterion_group!(benches, exposition);
criterion_main!(benches);
