//! State files that are damaged, gone, old or cannot be written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::RngExt;

use super::Fault;
use super::crashes::copy_dir;
use super::stage::{Brokers, PLAIN, Plan, Row, Stage};
use crate::agent::Agent;
use crate::kafka::{Kafka, wait_until};
use crate::scene::number;

pub const FAULTS: &[Fault] = &[
    Fault { name: "state-truncated", about: "kill -9, state files truncated", times: 6, run: truncated },
    Fault { name: "state-flipped", about: "kill -9, bits flipped in state files", times: 6, run: flipped },
    Fault { name: "state-deleted", about: "kill -9, state directory deleted", times: 4, run: deleted },
    Fault { name: "state-old", about: "kill -9, state directory from an older backup", times: 4, run: old },
    Fault {
        name: "state-older",
        about: "the same, older than the changelog's tombstones",
        times: 1,
        run: older_than_tombstones,
    },
    Fault {
        name: "disk-full",
        about: "the disk with the state fills for 10 s, twice with a kill -9 (needs root: mounts a tmpfs)",
        times: 3,
        run: disk_full,
    },
];

/// All files below a directory that end in `.redb`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect());
    let entries: Vec<PathBuf> = entries.unwrap_or_default();
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    let mut files: Vec<_> =
        entries.into_iter().flat_map(below).filter(|f| f.extension().is_some_and(|e| e == "redb")).collect();
    files.sort();
    files
}

/// Kills the agent, damages each of its state files, and starts it again, so many times.
fn damaged(what: &str, times: u32, mut damage: impl FnMut(&mut Stage, &Agent)) -> Row {
    let mut stage = Stage::new(what, PLAIN);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    for _ in 0..times {
        // A checkpoint or two are written meanwhile.
        stage.sleep(2.0, 4.0);
        agent.kill9();
        damage(&mut stage, &agent);
        agent.restart();
        stage.recovered(what);
    }
    stage.finish(&[&agent])
}

fn truncated(times: u32) -> Row {
    damaged("state-truncated", times, |stage, agent| {
        let files = files(&agent.state_dir());
        assert!(!files.is_empty());
        for file in files {
            let length = fs::metadata(&file).expect("a file").len();
            let keep = stage.random.random_range(0..length);
            fs::File::options().write(true).open(file).expect("a file").set_len(keep).expect("truncated");
        }
    })
}

fn flipped(times: u32) -> Row {
    damaged("state-flipped", times, |stage, agent| {
        for file in files(&agent.state_dir()) {
            let mut bytes = fs::read(&file).expect("a file");
            // From one flipped bit to one in each page.
            let flips = 1 << stage.random.random_range(0..9);
            for _ in 0..flips {
                let at = stage.random.random_range(0..bytes.len());
                bytes[at] ^= 1 << stage.random.random_range(0..8);
            }
            fs::write(&file, bytes).expect("overwritten");
        }
    })
}

fn deleted(times: u32) -> Row {
    // The identity goes with it: the killed process's membership and transaction have to time out.
    damaged("state-deleted", times, |_, agent| fs::remove_dir_all(agent.state_dir()).expect("it can be deleted"))
}

fn old(times: u32) -> Row {
    let backup = tempfile::tempdir().expect("a directory");
    damaged("state-old", times, |_, agent| {
        if files(backup.path()).is_empty() {
            copy_dir(&agent.state_dir(), backup.path());
            return;
        }
        fs::remove_dir_all(agent.state_dir()).expect("it can be deleted");
        copy_dir(backup.path(), &agent.state_dir());
    })
}

/// A backup holds panes that have expired since, and the changelog has forgotten even their tombstones.
fn older_than_tombstones(times: u32) -> Row {
    const RETENTION: i64 = 60_000;
    let kafka = Kafka::start_with(1, &["--broker-config", "log.cleaner.backoff.ms=500"]);
    let stage = Stage::on(Brokers::Own(kafka), "state-older", Plan { retention: "60s", ..PLAIN });
    let soon = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "2000"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "500"),
    ];
    stage.kafka.create_topic(&stage.changelog(), PLAIN.partitions, &soon);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    for _ in 0..times {
        std::thread::sleep(Duration::from_secs(8));
        agent.kill9();
        let backup = tempfile::tempdir().expect("a directory");
        copy_dir(&agent.state_dir(), backup.path());
        let before = keys(&stage);
        agent.restart();
        stage.recovered("kill -9");
        std::thread::sleep(Duration::from_millis(RETENTION as u64 + 20_000));
        wait_until("tombstones are compacted away", || {
            std::thread::sleep(Duration::from_secs(2));
            before.difference(&keys(&stage)).count() > 100
        });
        agent.kill9();
        fs::remove_dir_all(agent.state_dir()).expect("it can be deleted");
        copy_dir(backup.path(), &agent.state_dir());
        agent.restart();
        stage.recovered("on the backup");
    }
    stage.finish_with(&[&agent], |truth| truth.without_windows_before(truth.stream_time() - RETENTION + 10_000))
}

/// The keys that have a record in the changelog, be it a tombstone.
fn keys(stage: &Stage) -> BTreeSet<(i32, Vec<u8>)> {
    let records = stage.kafka.read(&stage.changelog());
    records.into_iter().filter_map(|record| Some((record.partition, record.key?))).collect()
}

/// A small file system of memory, unmounted when dropped.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    pub fn mount(at: PathBuf, size: &str) -> Tmpfs {
        fs::create_dir_all(&at).expect("a directory");
        let option = format!("size={size}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(&at).status();
        assert!(status.is_ok_and(|status| status.success()), "a tmpfs cannot be mounted; this fault needs root");
        Tmpfs(at)
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let path = self.0.join("filler");
        let mut size = 1 << 20;
        let mut filler = fs::File::options().create(true).append(true).open(path).expect("a file");
        while size > 0 {
            let full = std::io::Write::write_all(&mut filler, &vec![1; size]).is_err();
            size = if full { size / 2 } else { size };
        }
    }

    /// Takes it back.
    pub fn free(&self) {
        fs::remove_file(self.0.join("filler")).expect("the filler");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn disk_full(times: u32) -> Row {
    let mut stage = Stage::new("disk-full", PLAIN);
    let mut agent = stage.agent_at_rest(stage.kafka.bootstrap(), &[]);
    let disk = Tmpfs::mount(agent.state_dir(), "24m");
    agent.restart();
    stage.begun(&mut [&mut agent]);
    stage.watch(&[&agent]);
    for round in 0..times {
        stage.sleep(1.0, 3.0);
        disk.fill();
        if round % 3 == 1 {
            agent.kill9();
            agent.restart();
        }
        std::thread::sleep(Duration::from_secs(10));
        stage.recovered("it goes on without a disk");
        if round % 3 == 2 {
            agent.kill9();
        }
        disk.free();
        if round % 3 == 2 {
            agent.restart();
        }
        stage.recovered("space again");
    }
    // The files are written again: a restart has next to nothing to read back.
    wait_until("checkpoints are written again", || {
        let before = number(&agent.scrape(), "streamgauge_checkpoint_failures_total", &[]);
        std::thread::sleep(Duration::from_secs(4));
        number(&agent.scrape(), "streamgauge_checkpoint_failures_total", &[]) == before
    });
    let row = stage.finish(&[&agent]);
    agent.kill9();
    drop(disk);
    row
}
