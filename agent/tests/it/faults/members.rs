//! Groups of another kind than the usual: several workers in a process, members without a lasting identity, agents that
//! count at least once, members that come and go while others restore.

use std::time::Duration;

use super::Fault;
use super::crashes::{has_a_share, said};
use super::stage::{PLAIN, Plan, Row, Stage};
use crate::kafka::wait_until;

pub const FAULTS: &[Fault] = &[
    Fault {
        name: "two-workers",
        about: "two agents of two workers each: one is killed, leaves, comes back",
        times: 9,
        run: two_workers,
    },
    Fault {
        name: "worker-stalls",
        about: "one of two workers of a process stands still until the group has given its partitions to the other",
        times: 3,
        run: worker_stalls,
    },
    Fault {
        name: "dynamic",
        about: "members without a lasting identity: kill -9, SIGSTOP past the session timeout, leaving",
        times: 3,
        run: dynamic,
    },
    Fault {
        name: "at-least-once",
        about: "agents without transactions: kill -9 and leaving; events may count twice, none is lost",
        times: 6,
        run: at_least_once,
    },
    Fault {
        name: "restore-rebalance",
        about: "another agent joins, and leaves again, while one restores",
        times: 3,
        run: restore_rebalance,
    },
];

fn two_workers(times: u32) -> Row {
    let mut stage = Stage::new("two-workers", Plan { workers: 2, leave: true, ..PLAIN });
    let (mut one, mut other) = (stage.agent(), stage.agent_at_rest(stage.kafka.bootstrap(), &[]));
    stage.begun(&mut [&mut one]);
    stage.watch(&[&one, &other]);
    for round in 0..times {
        other.restart();
        other.wait_ready();
        has_a_share(&other);
        stage.sleep(1.0, 2.0);
        match round % 3 {
            0 => other.kill9(),
            1 => assert!(other.terminate().success()),
            // The one that stays restarts within its session, and finds its partitions with the other in part.
            _ => {
                one.kill9();
                one.restart();
                one.wait_ready();
                assert!(other.terminate().success());
            }
        }
        stage.recovered("all partitions are with one agent again");
    }
    stage.finish(&[&one])
}

/// librdkafka takes a worker that has not polled for so long out of the group, unless it is a static member.
const SOON_PUT_OUT: &[&str] = &["membership: dynamic", "properties: { max.poll.interval.ms: 6000 }"];

fn worker_stalls(times: u32) -> Row {
    let mut stage = Stage::new("worker-stalls", Plan { workers: 2, leave: true, kafka: SOON_PUT_OUT, ..PLAIN });
    let (mut one, mut other) = (stage.agent(), stage.agent_at_rest(stage.kafka.bootstrap(), &[]));
    stage.begun(&mut [&mut one]);
    stage.watch(&[&one, &other]);
    for _ in 0..times {
        one.kill9();
        one.set("STREAMGAUGE_FAILPOINTS", Some("revoke.begun=sleep:25000@1"));
        one.restart();
        stage.recovered("restarted");
        let stalled = said(&one, "failpoint=\"revoke.begun\"");
        // What it wants is taken from both workers: one of them stands still over it.
        other.restart();
        wait_until("a worker stands still", || said(&one, "failpoint=\"revoke.begun\"") > stalled);
        assert!(other.terminate().success());
        stage.recovered("the other worker has everything");
        // Until it has found out that others have its partitions, and has a share again.
        std::thread::sleep(Duration::from_secs(25));
        stage.recovered("the stalled worker goes on");
    }
    stage.finish(&[&one])
}

fn dynamic(times: u32) -> Row {
    let mut stage = Stage::new("dynamic", Plan { leave: true, kafka: &["membership: dynamic"], ..PLAIN });
    let (mut one, mut other) = (stage.agent(), stage.agent());
    stage.begun(&mut [&mut one, &mut other]);
    stage.watch(&[&one, &other]);
    for _ in 0..times {
        has_a_share(&other);
        stage.sleep(0.5, 1.5);
        other.kill9();
        stage.recovered("the other takes over from a dead one");
        other.restart();
        other.wait_ready();
        has_a_share(&other);
        one.pause();
        stage.recovered("the other takes over from a frozen one");
        one.resume();
        stage.recovered("SIGCONT");
        has_a_share(&one);
        assert!(other.terminate().success());
        stage.recovered("the other has left");
        other.restart();
        other.wait_ready();
    }
    stage.finish(&[&one, &other])
}

fn at_least_once(times: u32) -> Row {
    let mut stage = Stage::new("at-least-once", Plan { leave: true, at_least_once: true, ..PLAIN });
    let (mut one, mut other) = (stage.agent(), stage.agent_at_rest(stage.kafka.bootstrap(), &[]));
    stage.begun(&mut [&mut one]);
    for round in 0..times {
        other.restart();
        other.wait_ready();
        has_a_share(&other);
        stage.sleep(0.5, 1.5);
        one.kill9();
        one.restart();
        stage.recovered("kill -9 of one");
        if round % 2 == 0 {
            assert!(other.terminate().success());
        } else {
            other.kill9();
        }
        stage.recovered("one agent has everything again");
    }
    stage.finish(&[&one])
}

fn restore_rebalance(times: u32) -> Row {
    let mut stage = Stage::new("restore-rebalance", Plan { leave: true, ..PLAIN });
    let (mut one, mut other) = (stage.agent(), stage.agent_at_rest(stage.kafka.bootstrap(), &[]));
    stage.begun(&mut [&mut one]);
    stage.watch(&[&one, &other]);
    for _ in 0..times {
        stage.sleep(1.0, 2.0);
        one.kill9();
        one.set("STREAMGAUGE_FAILPOINTS", Some("restore.loaded=sleep:12000@1"));
        let slept = said(&one, "failpoint=\"restore.loaded\"");
        one.restart();
        wait_until("it restores", || said(&one, "failpoint=\"restore.loaded\"") > slept);
        other.restart();
        other.wait_ready();
        has_a_share(&other);
        stage.recovered("the restore is over, and the other has its share");
        assert!(!one.has_ended(), "{}", one.log());
        assert!(other.terminate().success());
        stage.recovered("the other has left");
        one.set("STREAMGAUGE_FAILPOINTS", None);
    }
    assert!(!one.log().contains("state reset"), "{}", one.log());
    stage.finish(&[&one])
}
