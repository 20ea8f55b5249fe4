//! Agents that die, are told to end, stand still, come and go.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use rand::RngExt;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::Fault;
use super::stage::{PLAIN, Plan, Row, Stage};
use crate::agent::{Agent, http_get};
use crate::exactly_once::DEATHS;
use crate::kafka::wait_until;
use crate::scene::unix_millis;

pub const FAULTS: &[Fault] = &[
    Fault { name: "kill9", about: "kill -9 at a random moment, restart", times: 20, run: kill9 },
    Fault {
        name: "kill9-two",
        about: "kill -9 of one of two agents; the other takes over",
        times: 5,
        run: kill9_of_two,
    },
    Fault {
        name: "kill9-in-commit",
        about: "one of two agents killed with its transaction open; the other takes over",
        times: 3,
        run: kill9_in_commit,
    },
    Fault { name: "crash-points", about: "a crash at every failpoint, in turn", times: 1, run: crash_points },
    Fault { name: "sigterm", about: "SIGTERM at a step of a commit, restart", times: 6, run: sigterm },
    Fault { name: "sigstop", about: "SIGSTOP for 30 s past the session timeout, SIGCONT", times: 3, run: sigstop },
    Fault {
        name: "sigstop-in-commit",
        about: "SIGSTOP of one of two agents in mid-commit, SIGCONT as soon as the other has taken over",
        times: 3,
        run: sigstop_in_commit,
    },
    Fault {
        name: "sigstop-rebalance",
        about: "the same in the middle of a rebalance",
        times: 3,
        run: sigstop_rebalance,
    },
    Fault { name: "churn", about: "agents join and leave every few seconds, 1 to 3", times: 20, run: churn },
    Fault {
        name: "copied-state",
        about: "a second agent on a copy of the state directory",
        times: 3,
        run: copied_state,
    },
    Fault {
        name: "ghost",
        about: "a group member with the agent's own identity that is gone as soon as it has joined",
        times: 3,
        run: ghost,
    },
    Fault {
        name: "clock-jumps",
        about: "the wall clock jumps an hour ahead, two days back, ten years ahead",
        times: 6,
        run: clock_jumps,
    },
];

fn kill9(times: u32) -> Row {
    let mut stage = Stage::new("kill9", PLAIN);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    for _ in 0..times {
        stage.sleep(0.2, 2.5);
        agent.kill9();
        agent.restart();
        // Every other time the next kill may come before the agent has recovered.
        stage.over();
        if stage.random.random_bool(0.5) {
            stage.wait_recovered("kill -9");
        }
    }
    stage.wait_recovered("kill -9");
    stage.finish(&[&agent])
}

fn two_agents(what: &str) -> (Stage, [Agent; 2]) {
    let mut stage = Stage::new(what, PLAIN);
    let mut agents = [stage.agent(), stage.agent()];
    let [one, two] = &mut agents;
    stage.begun(&mut [one, two]);
    stage.watch(&[&agents[0], &agents[1]]);
    (stage, agents)
}

/// Whose turn it is to suffer, and the other.
fn turn(agents: &mut [Agent; 2], round: u32) -> (&mut Agent, &Agent) {
    let [one, two] = agents;
    if round.is_multiple_of(2) { (one, two) } else { (two, one) }
}

/// How often an agent's log says this.
pub fn said(agent: &Agent, what: &str) -> usize {
    agent.log().matches(what).count()
}

/// What an agent says that ends what another has left open.
const ENDED: &str = "a member that is gone";

fn kill9_of_two(times: u32) -> Row {
    let (mut stage, mut agents) = two_agents("kill9-two");
    for round in 0..times {
        let (victim, _) = turn(&mut agents, round);
        stage.sleep(1.0, 3.0);
        victim.kill9();
        stage.recovered("the other takes over");
        victim.restart();
        victim.wait_ready();
        has_a_share(victim);
    }
    let [one, two] = &agents;
    stage.finish(&[one, two])
}

fn kill9_in_commit(times: u32) -> Row {
    let (stage, mut agents) = two_agents("kill9-in-commit");
    for round in 0..times {
        let (victim, other) = turn(&mut agents, round);
        let before = said(other, ENDED);
        assert!(victim.terminate().success());
        victim.set("STREAMGAUGE_FAILPOINTS", Some("commit.delivered=kill@50"));
        victim.restart();
        has_a_share(victim);
        victim.wait_exit();
        stage.recovered("the other takes over what was left open");
        // The call that ends a transaction may return after the partitions that waited for its end are restored. Had it
        // been the brokers that ended it, there would have been nothing left to fence.
        wait_until("the other says that it ended it", || said(other, ENDED) > before);
        victim.set("STREAMGAUGE_FAILPOINTS", None);
        victim.restart();
        victim.wait_ready();
        has_a_share(victim);
    }
    let [one, two] = &agents;
    stage.finish(&[one, two])
}

/// Waits until an agent shows totals of its own.
pub fn has_a_share(agent: &Agent) {
    wait_until("the agent has a share", || {
        let page = http_get(agent.http(), "/metrics", Duration::from_secs(5));
        page.is_some_and(|(_, page)| page.contains("numbers_events_total{"))
    });
}

fn crash_points(times: u32) -> Row {
    let mut stage = Stage::new("crash-points", PLAIN);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    for _ in 0..times {
        for (failpoint, visit) in DEATHS {
            agent.kill9();
            agent.set("STREAMGAUGE_FAILPOINTS", Some(&format!("{failpoint}=kill@{visit}")));
            agent.restart();
            if failpoint.starts_with("revoke.") {
                agent.wait_ready();
                agent.signal(libc::SIGTERM);
            }
            let status = agent.wait_exit();
            assert_eq!(status.signal(), Some(libc::SIGKILL), "{failpoint} was not reached: {status}");
            agent.set("STREAMGAUGE_FAILPOINTS", None);
            agent.restart();
            stage.recovered(failpoint);
        }
    }
    stage.finish(&[&agent])
}

fn sigterm(times: u32) -> Row {
    let steps = ["begun", "produced", "delivered", "offsets_sent", "after_kafka", "published"];
    let mut stage = Stage::new("sigterm", PLAIN);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    for round in 0..times as usize {
        // The commit stands still at that step for a second, and the signal comes then.
        agent.kill9();
        let visit = stage.random.random_range(3..8);
        let stall = format!("commit.{}=sleep:1000@{visit}", steps[round % steps.len()]);
        agent.set("STREAMGAUGE_FAILPOINTS", Some(&stall));
        agent.restart();
        agent.wait_ready();
        stage.sleep(0.2, 1.0);
        let status = agent.terminate();
        assert_eq!(status.code(), Some(0), "{stall}: {status}");
        agent.set("STREAMGAUGE_FAILPOINTS", None);
        agent.restart();
        stage.recovered(&stall);
    }
    stage.finish(&[&agent])
}

fn sigstop(times: u32) -> Row {
    let mut stage = Stage::new("sigstop", PLAIN);
    let (mut zombie, mut other) = (stage.agent(), stage.agent());
    stage.begun(&mut [&mut zombie, &mut other]);
    stage.watch(&[&zombie, &other]);
    for _ in 0..times {
        stage.sleep(0.5, 2.0);
        zombie.pause();
        stage.recovered("the other takes over");
        std::thread::sleep(Duration::from_secs(30 + u64::from(PLAIN.session)));
        zombie.resume();
        shows_nothing_old(&zombie);
        stage.recovered("SIGCONT");
        has_a_share(&zombie);
        has_a_share(&other);
    }
    stage.finish(&[&zombie, &other])
}

/// The transaction of the zombie is ended by the other, though its own timeout has not come: when it goes on it has asked
/// for a commit whose outcome it does not know, and the group's offsets are the other's.
fn sigstop_in_commit(times: u32) -> Row {
    let (stage, mut agents) = two_agents("sigstop-in-commit");
    for round in 0..times {
        let (zombie, other) = turn(&mut agents, round);
        assert!(zombie.terminate().success());
        zombie.set("STREAMGAUGE_FAILPOINTS", Some("commit.offsets_sent=sleep:3000@50"));
        let hits = |zombie: &Agent| said(zombie, "failpoint=\"commit.offsets_sent\"");
        let rebuilds = |zombie: &Agent| said(zombie, "the transactional producer failed and is being recreated");
        let before = (hits(zombie), rebuilds(zombie), said(other, ENDED));
        zombie.restart();
        wait_until("it is in mid-commit", || hits(zombie) > before.0);
        zombie.pause();
        stage.recovered("the other takes over what was left open");
        zombie.resume();
        shows_nothing_old(zombie);
        stage.recovered("SIGCONT");
        has_a_share(zombie);
        assert!(rebuilds(zombie) > before.1, "its commit was not ended");
        wait_until("the other says that it ended it", || said(other, ENDED) > before.2);
        zombie.set("STREAMGAUGE_FAILPOINTS", None);
    }
    let [one, two] = &agents;
    stage.finish(&[one, two])
}

/// The first page of an agent that went on: nothing that belongs to the whole group.
fn shows_nothing_old(zombie: &Agent) {
    wait_until("the resumed agent answers", || {
        let page = http_get(zombie.http(), "/metrics", Duration::from_secs(5));
        let Some((200, page)) = page else { return false };
        assert!(!page.contains("numbers_events_total{"), "{page}");
        true
    });
}

fn sigstop_rebalance(times: u32) -> Row {
    let mut stage = Stage::new("sigstop-rebalance", Plan { leave: true, ..PLAIN });
    let mut zombie = stage.agent();
    stage.begun(&mut [&mut zombie]);
    let mut other = stage.agent_at_rest(stage.kafka.bootstrap(), &[]);
    stage.watch(&[&zombie, &other]);
    for _ in 0..times {
        // Somewhere between the other's first request to the group and its first fold.
        other.restart();
        stage.sleep(0.1, 1.5);
        zombie.pause();
        std::thread::sleep(Duration::from_secs(30 + u64::from(PLAIN.session)));
        zombie.resume();
        stage.recovered("SIGCONT");
        has_a_share(&zombie);
        has_a_share(&other);
        assert!(other.terminate().success());
        stage.recovered("the other has left");
    }
    stage.finish(&[&zombie])
}

fn churn(times: u32) -> Row {
    let mut stage = Stage::new("churn", Plan { leave: true, partitions: 12, ..PLAIN });
    let mut agents = [(); 3].map(|()| stage.agent_at_rest(stage.kafka.bootstrap(), &[]));
    agents[0].restart();
    stage.begun(&mut [&mut agents[0]]);
    let [one, two, three] = &agents;
    stage.watch(&[one, two, three]);
    for _ in 0..times {
        let running = agents.iter().filter(|agent| agent.is_started()).count();
        let join = running == 1 || (running == 2 && stage.random.random_bool(0.5));
        let candidates: Vec<_> = agents.iter_mut().filter(|agent| agent.is_started() != join).collect();
        let at = stage.random.random_range(0..candidates.len());
        let chosen = candidates.into_iter().nth(at).expect("one of them");
        match (join, stage.random.random_range(0..3)) {
            (true, _) => chosen.restart(),
            (false, 0) => chosen.kill9(),
            (false, _) => assert!(chosen.terminate().success()),
        }
        stage.over();
        stage.sleep(2.0, 5.0);
    }
    stage.wait_recovered("the last change");
    let running: Vec<_> = agents.iter().filter(|agent| agent.is_started()).collect();
    stage.finish(&running)
}

fn copied_state(times: u32) -> Row {
    let mut stage = Stage::new("copied-state", PLAIN);
    let mut first = stage.agent();
    stage.begun(&mut [&mut first]);
    for _ in 0..times {
        stage.sleep(1.0, 2.0);
        let copy = tempfile::tempdir().expect("a directory");
        copy_dir(&first.state_dir(), copy.path());
        let mut second =
            stage.agent_with(stage.kafka.bootstrap(), &[("STATE_DIR", &copy.path().display().to_string())]);
        wait_until("one of them has ended", || first.has_ended() || second.has_ended());
        let (ended, other) = if first.has_ended() { (&mut first, &mut second) } else { (&mut second, &mut first) };
        assert_eq!(ended.wait_exit().code(), Some(1), "{}", ended.log());
        assert!(ended.log().contains("another process has the identity"), "{}", ended.log());
        stage.recovered("one has ended");
        // What the operator does then: the copy goes.
        if other.http() != first.http() {
            second.kill9();
            first.restart();
            stage.recovered("the original again");
        }
    }
    stage.finish(&[&first])
}

/// What a coordinator that moves can do to an agent: its identity is given to a member that nobody is behind.
fn ghost(times: u32) -> Row {
    let mut stage = Stage::new("ghost", PLAIN);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    let instance = std::fs::read_to_string(agent.state_dir().join("instance-id")).expect("the agent's identity");
    for _ in 0..times {
        stage.sleep(0.5, 2.0);
        let mut client = stage.kafka.client();
        client.set("group.id", &stage.group).set("group.instance.id", format!("{}-0", instance.trim()));
        client.set("session.timeout.ms", (PLAIN.session * 1_000).to_string()).set("enable.auto.commit", "false");
        client.set("partition.assignment.strategy", "cooperative-sticky");
        let ghost: BaseConsumer = client.create().expect("a consumer");
        ghost.subscribe(&[&stage.topic]).expect("subscribed");
        wait_until("the ghost is a member", || {
            ghost.poll(Duration::from_millis(100));
            ghost.assignment().is_ok_and(|assignment| assignment.count() > 0)
        });
        // A static member does not leave the group when it ends.
        drop(ghost);
        stage.recovered("a ghost had the agent's identity");
    }
    assert!(agent.log().contains("joining the group again"), "{}", agent.log());
    stage.finish(&[&agent])
}

fn clock_jumps(times: u32) -> Row {
    const HOUR: i64 = 3_600_000;
    let jumps = [HOUR, -48 * HOUR, 10 * 365 * 24 * HOUR];
    let mut stage = Stage::new("clock-jumps", PLAIN);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    for round in 0..times as usize {
        let jump = jumps[round % jumps.len()];
        agent.kill9();
        // In the middle of a commit; and back to the right time in the middle of a later one.
        let points = format!("commit.begun=clock:{jump}@10,commit.delivered=clock:{}@40", -jump);
        agent.set("STREAMGAUGE_FAILPOINTS", Some(&points));
        agent.restart();
        let jumped = |agent: &Agent| {
            let now = agent
                .status()
                .and_then(|status| status.partitions.iter().filter_map(|p| p.committed_at).max_by_key(|t| t.seconds));
            now.is_some_and(|now| (now.seconds * 1_000 - unix_millis()).abs() > HOUR / 2)
        };
        wait_until("the clock has jumped", || jumped(&agent));
        stage.recovered("the clock has jumped");
        wait_until("the clock is right again", || !jumped(&agent));
        stage.recovered("the clock is right again");
    }
    stage.finish(&[&agent])
}

/// Copies what is there now; redb files come over as after a crash.
pub fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
