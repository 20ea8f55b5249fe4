//! Brokers that die, restart and freeze, and links that break.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Fault;
use super::crashes::has_a_share;
use super::input::running;
use super::stage::{Brokers, PLAIN, Plan, Row, Stage};
use crate::kafka::{Kafka, wait_until};
use crate::proxy::Proxy;
use crate::scene::number;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "leader-killed",
        about: "kill -9 of one of three brokers, each leads some partitions",
        times: 6,
        run: leader_killed,
    },
    Fault {
        name: "brokers-restarted",
        about: "all three brokers killed at once, and started",
        times: 3,
        run: all_restarted,
    },
    Fault { name: "broker-frozen", about: "SIGSTOP of one of three brokers for 20 s", times: 3, run: broker_frozen },
    Fault {
        name: "cut-off-5",
        about: "one of two agents cut off from the brokers for 5 s",
        times: 5,
        run: |n| cut_off(n, 5),
    },
    Fault { name: "cut-off-30", about: "the same for 30 s", times: 3, run: |n| cut_off(n, 30) },
    Fault { name: "cut-off-90", about: "the same for 90 s", times: 2, run: |n| cut_off(n, 90) },
    Fault { name: "cut-off-alone", about: "the only agent cut off for 30 s", times: 2, run: cut_off_alone },
    Fault {
        name: "partitions-offline",
        about: "one of three brokers killed that has the only replica of some partitions, and the agent",
        times: 3,
        run: partitions_offline,
    },
    Fault {
        name: "changelog-offline",
        about: "one of three brokers killed that has the only replica of some changelog partitions; the agent goes on",
        times: 3,
        run: changelog_offline,
    },
    Fault { name: "slow-link", about: "100 ms each way and 256 kB/s a connection for 20 s", times: 3, run: slow_link },
];

const THREE: usize = 3;

fn leader_killed(times: u32) -> Row {
    let mut stage = Stage::on(Brokers::Own(Kafka::start(THREE)), "leader-killed", PLAIN);
    let (mut one, mut two) = (stage.agent(), stage.agent());
    stage.begun(&mut [&mut one, &mut two]);
    stage.watch(&[&one, &two]);
    for round in 0..times as usize {
        let broker = 1 + round % THREE;
        stage.sleep(0.5, 2.0);
        stage.kafka.kill_broker(broker);
        stage.sleep(0.0, 6.0);
        // Whether the others have taken over by now or not.
        stage.recovered("with two brokers");
        stage.kafka.start_broker(broker);
        stage.kafka.wait_in_sync();
        stage.recovered("with three brokers");
    }
    stage.finish(&[&one, &two])
}

fn all_restarted(times: u32) -> Row {
    let mut stage = Stage::on(Brokers::Own(Kafka::start(THREE)), "brokers-restarted", PLAIN);
    let (mut one, mut two) = (stage.agent(), stage.agent());
    stage.begun(&mut [&mut one, &mut two]);
    stage.watch(&[&one, &two]);
    for round in 0..times {
        stage.sleep(0.5, 2.0);
        let kafka: &Kafka = &stage.kafka;
        let each = |work: &(dyn Fn(usize) + Sync)| {
            std::thread::scope(|scope| (1..=THREE).for_each(|broker| drop(scope.spawn(move || work(broker)))));
        };
        if round % 2 == 0 {
            each(&|broker| kafka.kill_broker(broker))
        } else {
            each(&|broker| kafka.stop_broker(broker))
        }
        std::thread::sleep(Duration::from_secs(2));
        // A broker is let in by a quorum only, so they start together.
        each(&|broker| kafka.start_broker(broker));
        stage.recovered("all brokers are back");
        stage.kafka.wait_in_sync();
    }
    stage.finish(&[&one, &two])
}

fn broker_frozen(times: u32) -> Row {
    let mut stage = Stage::on(Brokers::Own(Kafka::start(THREE)), "broker-frozen", PLAIN);
    let (mut one, mut two) = (stage.agent(), stage.agent());
    stage.begun(&mut [&mut one, &mut two]);
    stage.watch(&[&one, &two]);
    for round in 0..times as usize {
        let broker = 1 + round % THREE;
        stage.sleep(0.5, 2.0);
        stage.kafka.pause_broker(broker);
        std::thread::sleep(Duration::from_secs(20));
        stage.kafka.resume_broker(broker);
        stage.recovered("SIGCONT to a broker");
        stage.kafka.wait_in_sync();
    }
    stage.finish(&[&one, &two])
}

/// The agent comes back while some partitions have nobody to lead them: it counts what there is, and says what it waits for.
fn partitions_offline(times: u32) -> Row {
    let plan = Plan { replicas: 1, ..PLAIN };
    let mut stage = Stage::on(Brokers::Own(Kafka::start(THREE)), "partitions-offline", plan);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    for round in 0..times as usize {
        let broker = 1 + round % THREE;
        stage.sleep(1.0, 2.0);
        let led = |topic: &str| stage.kafka.led_by(topic, broker as i32);
        let offline: BTreeSet<i32> = led(&stage.topic).union(&led(&stage.changelog())).copied().collect();
        let rest: Vec<i32> = (0..plan.partitions).filter(|partition| !offline.contains(partition)).collect();
        assert!(!offline.is_empty() && !rest.is_empty(), "broker {broker} leads {offline:?} of {}", plan.partitions);
        // In order, so that no transaction is open where nobody can end it: Kafka 4.3 leaves such a one hanging.
        assert!(agent.terminate().success());
        stage.kafka.kill_broker(broker);
        agent.restart();
        wait_until("the others are restored", || running(&agent) == rest);
        let reasons = || agent.try_get("/-/ready").map(|(_, reasons)| reasons).unwrap_or_default();
        let names = |partition: &i32| {
            let line = format!("{}/{partition}: has waited", stage.topic);
            reasons().lines().any(|reason| reason.starts_with(&line))
        };
        wait_until("the agent says what it waits for", || offline.iter().all(names));
        for partition in 0..plan.partitions {
            let labels = [("partition", &*partition.to_string())];
            let waiting = number(&agent.scrape(), "streamgauge_restore_waiting_seconds", &labels);
            assert_eq!(waiting > 0.0, offline.contains(&partition), "{partition}: {waiting} s of {offline:?}");
        }
        stage.kafka.start_broker(broker);
        stage.recovered("the broker is back");
    }
    stage.finish(&[&agent])
}

/// Partitions whose changelog takes no writes are not committed, and the agent says so; the others are.
fn changelog_offline(times: u32) -> Row {
    // A session that outlasts the coordinator's move: the partitions stay, and are held, not restored.
    let plan = Plan { replicas: 1, session: 30, kafka: &["transaction_timeout: 6s"], ..PLAIN };
    let mut stage = Stage::on(Brokers::Own(Kafka::start(THREE)), "changelog-offline", plan);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    for round in 0..times as usize {
        let broker = 1 + round % THREE;
        stage.sleep(1.0, 2.0);
        let held = stage.kafka.led_by(&stage.changelog(), broker as i32);
        let unread = stage.kafka.led_by(&stage.topic, broker as i32);
        let rest: Vec<i32> = (0..plan.partitions).filter(|p| !held.contains(p) && !unread.contains(p)).collect();
        assert!(!held.is_empty() && !rest.is_empty(), "broker {broker} leads {held:?} and {unread:?}");
        // With a commit under way, mostly.
        stage.kafka.kill_broker(broker);
        let reasons = || agent.try_get("/-/ready").map(|(_, reasons)| reasons).unwrap_or_default();
        let names = |partition: &i32| {
            let line = format!("{}/{partition}: has waited", stage.topic);
            reasons().lines().any(|reason| reason.starts_with(&line) && reason.contains("to be committed"))
        };
        wait_until("the agent says what it does not commit", || held.iter().all(names));
        let acknowledged = stage.acknowledged();
        let is_committed = |partition: &i32| {
            let status = agent.status().map(|status| status.partitions).unwrap_or_default();
            let of = status.iter().find(|status| status.partition == *partition);
            of.is_some_and(|of| of.next_offset >= acknowledged.get(partition).copied().unwrap_or(0))
        };
        wait_until("the others are committed", || rest.iter().all(is_committed));
        // How long is said as of the last look, one of which is made each second.
        wait_until("the page says the same", || {
            let page = agent.scrape();
            let waits = |partition: i32| {
                let labels = [("partition", &*partition.to_string())];
                number(&page, "streamgauge_commit_waiting_seconds", &labels) > 0.0
            };
            (0..plan.partitions).all(|partition| waits(partition) == held.contains(&partition))
        });
        stage.kafka.start_broker(broker);
        stage.recovered("the broker is back");
        wait_until("all are committed", || !reasons().contains("to be committed"));
    }
    stage.finish(&[&agent])
}

/// A broker, and the only way to it for agents that are given its proxied listener.
pub fn proxied() -> (Proxy, Brokers, String) {
    let proxy = Proxy::start();
    let kafka = Kafka::start_with(1, &["--proxy-port", &proxy.port().to_string()]);
    proxy.lead_to(&kafka.listener("PROXIED"));
    let address = format!("127.0.0.1:{}", proxy.port());
    (proxy, Brokers::Own(kafka), address)
}

fn cut_off(times: u32, seconds: u64) -> Row {
    let (proxy, kafka, address) = proxied();
    let mut stage = Stage::on(kafka, "cut-off", PLAIN);
    let (mut far, mut near) = (stage.agent_with(&address, &[]), stage.agent());
    stage.begun(&mut [&mut far, &mut near]);
    stage.watch(&[&far, &near]);
    for _ in 0..times {
        stage.sleep(0.5, 2.0);
        proxy.cut();
        std::thread::sleep(Duration::from_secs(seconds));
        if seconds > 2 * u64::from(PLAIN.session) {
            stage.recovered("the other has taken over");
            assert!(!far.scrape().contains("numbers_events_total{"), "a cut-off agent shows what others have");
        }
        proxy.mend();
        stage.recovered("the link is mended");
        has_a_share(&far);
    }
    assert!(proxy.carried() > 0, "nothing went through the proxy");
    stage.finish(&[&far, &near])
}

fn cut_off_alone(times: u32) -> Row {
    let (proxy, kafka, address) = proxied();
    let mut stage = Stage::on(kafka, "cut-off-alone", PLAIN);
    let mut agent = stage.agent_with(&address, &[]);
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    for _ in 0..times {
        stage.sleep(0.5, 2.0);
        proxy.cut();
        std::thread::sleep(Duration::from_secs(30));
        proxy.mend();
        stage.recovered("the link is mended");
    }
    stage.finish(&[&agent])
}

fn slow_link(times: u32) -> Row {
    let (proxy, kafka, address) = proxied();
    let mut stage = Stage::on(kafka, "slow-link", PLAIN);
    let (mut far, mut near) = (stage.agent_with(&address, &[]), stage.agent());
    stage.begun(&mut [&mut far, &mut near]);
    stage.watch(&[&far, &near]);
    for _ in 0..times {
        stage.sleep(0.5, 2.0);
        proxy.slow(Duration::from_millis(100), 256 * 1024);
        std::thread::sleep(Duration::from_secs(20));
        proxy.mend();
        stage.recovered("the link is fast again");
    }
    stage.finish(&[&far, &near])
}
