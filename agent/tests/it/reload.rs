//! Another config while the agent runs: what did not change goes on to the number, what is gone is deleted, what is wrong
//! is refused, and there is no rebalance.

use std::collections::BTreeMap;

use prost::Message;
use streamgauge_proto::storage::v1::OffsetRecord;

use crate::agent::Agent;
use crate::kafka::wait_until;
use crate::oracle::{Recount, parse_page};
use crate::scene::{Scene, number};

const PARTITIONS: i32 = 2;

/// Sum of a counter over partitions, by its first label's value.
fn by_label(page: &str, name: &str, label: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for sample in parse_page(page).expect("a sound page").iter().filter(|sample| sample.name == name) {
        *sums.entry(sample.labels[label].clone()).or_default() += sample.value as u64;
    }
    sums
}

/// The same of the recount.
fn recounted(recount: &Recount, aggregate: &str, errors: bool) -> BTreeMap<String, u64> {
    let cells = recount.merged_totals(aggregate);
    cells.iter().map(|(key, cell)| (key[0].clone(), if errors { cell.errors } else { cell.requests })).collect()
}

fn total(agent: &Agent, name: &str) -> f64 {
    number(&agent.scrape(), name, &[])
}

/// Names that the last offset record of each partition lists, and how many entries of other aggregates are left.
fn stored(scene: &Scene) -> (Vec<Vec<String>>, usize) {
    let changelog = format!("streamgauge-{}-{}-changelog", scene.group, scene.topic);
    let mut last: BTreeMap<(i32, Vec<u8>), Option<Vec<u8>>> = BTreeMap::new();
    for record in scene.kafka.read(&changelog) {
        last.insert((record.partition, record.key.expect("a changelog record has a key")), record.value);
    }
    let record = |partition: i32| {
        let value = last[&(partition, b"offset".to_vec())].as_ref().expect("an offset record");
        OffsetRecord::decode(&value[..]).expect("an offset record")
    };
    let records: Vec<_> = (0..PARTITIONS).map(record).collect();
    let names = |record: &OffsetRecord| {
        let mut names: Vec<_> = record.aggregates.iter().map(|a| a.name.clone()).collect();
        names.sort();
        names
    };
    let listed = |key: &[u8]| records[0].aggregates.iter().any(|a| key.starts_with(&a.id.to_be_bytes()));
    let live = last.iter().filter(|((_, key), value)| value.is_some() && key != b"offset");
    (records.iter().map(names).collect(), live.filter(|((_, key), _)| !listed(key)).count())
}

/// `http` as before, `http_region` gone, `http_status` by status alone, and a new one.
fn changed(config: &str) -> String {
    let (before, region) = config.split_once("  http_region:").expect("the example has http_region");
    let state = region.find("\nstate:").expect("state follows");
    let new =
        "  http_method:\n    source: requests\n    by: { method: method }\n    measures:\n      requests: count\n";
    let changed = before.replace("{ endpoint: endpoint, status: status }", "{ status: status }");
    assert_ne!(changed, before);
    format!("{changed}{new}{}", &region[state..])
}

#[test]
fn a_reload_touches_only_what_changed() {
    let scene = Scene::new("reload", PARTITIONS);
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.produce_now(20_000, 1);
    scene.assert_equals_recount(&[&agent]);
    let original = std::fs::read_to_string(agent.config_path()).unwrap();
    let rebalances = total(&agent, "streamgauge_rebalances_total");

    // Under load: events go on while the plans change.
    let flowing = scene.produce(10_000, 2, &["--rate", "5000"]);
    std::fs::write(agent.config_path(), changed(&original)).unwrap();
    agent.signal(libc::SIGHUP);
    wait_until("the new aggregate is there", || agent.scrape().contains("\nhttp_method_requests_total{"));
    let page = agent.scrape();
    assert!(!page.contains("http_region_requests_total"), "a removed aggregate is shown");
    flowing.finish();
    wait_until("all is counted", || total(&agent, "http_requests_total") == 30_000.0);
    let recount = Recount::read(scene.kafka.bootstrap(), &scene.topic).unwrap();
    let page = agent.scrape();
    assert_eq!(by_label(&page, "http_requests_total", "endpoint"), recounted(&recount, "http", false));
    assert_eq!(by_label(&page, "http_errors_total", "endpoint"), recounted(&recount, "http", true));
    // Both begin at the same moment, and never see what was before.
    let (status, method) =
        (number(&page, "http_status_requests_total", &[]), number(&page, "http_method_requests_total", &[]));
    assert!(status == method && status > 0.0 && status <= 10_000.0, "{status} {method}");
    assert_eq!(total(&agent, "streamgauge_rebalances_total"), rebalances, "a reload is no rebalance");
    let names = ["http", "http_method", "http_status"].map(str::to_owned).to_vec();
    wait_until("what is gone is tombstoned", || stored(&scene) == (vec![names.clone(); 2], 0));

    refused(&agent, &original);

    // What was in force is what a restart continues.
    std::fs::write(agent.config_path(), changed(&original)).unwrap();
    assert!(agent.terminate().success());
    agent.restart();
    agent.wait_ready();
    let page = agent.scrape();
    assert_eq!(by_label(&page, "http_requests_total", "endpoint"), recounted(&recount, "http", false));
    assert_eq!(number(&page, "http_method_requests_total", &[]), method);
}

#[test]
fn an_aggregate_that_asks_for_it_begins_with_the_earliest_record() {
    let scene = Scene::new("backfill", PARTITIONS);
    let whole = scene.config();
    let (before, region) = whole.split_once("  http_region:").expect("the example has http_region");
    let state = region.find("\nstate:").expect("state follows");
    let mut agent = Agent::start(scene.kafka.bootstrap(), &format!("{before}{}", &region[state..]));
    agent.wait_ready();
    scene.produce_now(20_000, 1);
    wait_until("all is counted", || total(&agent, "http_requests_total") == 20_000.0);
    // What an aggregate of its own would refuse does not stop it.
    scene.kafka.produce(&scene.topic, 0, [("k", "no event")]);

    let flowing = scene.produce(10_000, 2, &["--rate", "5000"]);
    let backfill = "  http_region:\n    backfill: earliest";
    std::fs::write(agent.config_path(), whole.replace("  http_region:", backfill)).unwrap();
    agent.signal(libc::SIGHUP);
    flowing.finish();
    scene.assert_equals_recount(&[&agent]);
    agent.kill9();
    agent.restart();
    agent.wait_ready();
    scene.assert_equals_recount(&[&agent]);
    let filled = agent.log().lines().filter(|line| line.contains("backfilled http_region")).count();
    assert_eq!(filled, PARTITIONS as usize, "once each:\n{}", agent.log());
}

fn refused(agent: &Agent, original: &str) {
    let in_force = agent.get("/-/config").1;
    let check = |text: String, expected: &str| {
        std::fs::write(agent.config_path(), text).unwrap();
        let (status, answer) = agent.post("/-/reload");
        assert!(status == 422 && answer.contains(expected), "{status} {answer}");
        assert_eq!(total(agent, "streamgauge_config_last_reload_successful"), 0.0);
        assert_eq!(agent.get("/-/config").1, in_force);
        assert_eq!(total(agent, "http_requests_total"), 30_000.0);
    };
    check(changed(original).replace("measures:", "mesures:"), "unknown key `mesures`");
    check(
        changed(original).replace("group_id:", "session_timeout: 30s\n  group_id:"),
        "kafka cannot be changed by a reload",
    );
    std::fs::write(agent.config_path(), changed(original)).unwrap();
    let (status, answer) = agent.post("/-/reload");
    assert!(status == 200 && answer.contains("aggregate http: unchanged, its state goes on"), "{status} {answer}");
    assert_eq!(total(agent, "streamgauge_config_last_reload_successful"), 1.0);
}

#[test]
fn an_aggregate_that_a_restart_leaves_out_is_carried_and_its_gap_is_counted() {
    let scene = Scene::new("left-out", PARTITIONS);
    let mut agent = scene.agent();
    agent.wait_ready();
    scene.produce_now(10_000, 1);
    scene.assert_equals_recount(&[&agent]);
    let original = std::fs::read_to_string(agent.config_path()).unwrap();
    let restart_with = |agent: &mut Agent, config: &str| {
        assert!(agent.terminate().success());
        std::fs::write(agent.config_path(), config).unwrap();
        agent.restart();
        agent.wait_ready();
    };
    std::fs::write(agent.config_path(), changed(&original)).unwrap();
    let plan = agent.verb(&["validate", "--connect"]);
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    for line in ["http: unchanged", "http_method: added", "http_status: changed", "http_region: removed"] {
        assert!(plan.contains(&format!("aggregate {line}")), "{line}: {plan}");
    }
    // As an older version in the group would: it does not know two of the three.
    restart_with(&mut agent, &changed(&original));
    scene.produce_now(5_000, 2);
    wait_until("all is counted", || total(&agent, "http_requests_total") == 15_000.0);
    restart_with(&mut agent, &original);
    scene.produce_now(1_000, 3);
    wait_until("all is counted", || total(&agent, "http_requests_total") == 16_000.0);
    // What was carried goes on, without what nobody folded, which is said.
    wait_until("the carried one goes on", || total(&agent, "http_region_requests_total") == 11_000.0);
    let gap = number(&agent.scrape(), "streamgauge_aggregate_gap_records_total", &[("aggregate", "http_region")]);
    assert_eq!(gap, 5_000.0);
    // Kept for no time, it is deleted.
    restart_with(&mut agent, &changed(&original).replace("state:\n", "state:\n  keep_removed: 0s\n"));
    wait_until("what is gone is tombstoned", || {
        stored(&scene) == (vec![["http", "http_method", "http_status"].map(str::to_owned).to_vec(); 2], 0)
    });
}
