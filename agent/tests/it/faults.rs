//! The fault harness: real agents, real brokers, a stream whose every event is known, and one fault at a time, so many
//! times. `scripts/faults NAME --times N` runs one and prints its row of docs/reliability.md; a few cheap ones are tests.

mod answers;
mod brokers;
mod changelog;
mod crashes;
pub mod disk;
mod input;
mod members;
mod prometheus;
mod recovery;
mod stage;
mod stream;
mod truth;

use std::fmt::Write;

use self::stage::{PLAIN, Row, Stage};
use self::truth::Id;

/// A fault that can be run by its name.
pub struct Fault {
    pub name: &'static str,
    /// What happens, for the list and the docs.
    pub about: &'static str,
    /// How often it happens unless `--times` says otherwise.
    pub times: u32,
    run: fn(u32) -> Row,
}

/// All of them, most important first.
fn all() -> Vec<&'static Fault> {
    [crashes::FAULTS, members::FAULTS, brokers::FAULTS, disk::FAULTS, input::FAULTS].into_iter().flatten().collect()
}

impl Fault {
    /// Runs it and prints its row; gives what was wrong.
    fn run(&self, times: u32) -> Result<(), String> {
        let row = (self.run)(times);
        println!("| `{}` | {} | {times} | {row} |", self.name, self.about);
        if row.is_clean() {
            return Ok(());
        }
        let mut text = format!("{}: lost {}, duplicated {}", self.name, row.lost, row.duplicated);
        for wrong in row.wrong.iter().take(20) {
            let _ = write!(text, "\n  {wrong}");
        }
        Err(text)
    }
}

/// Runs a fault in the plain suite.
fn survives(name: &str, times: u32) {
    let fault = *all().iter().find(|fault| fault.name == name).expect("the fault is in the list");
    fault.run(times).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// What `scripts/faults` runs: the fault that `STREAMGAUGE_FAULT` names (`all`, or `list` to be told), as often as
/// `STREAMGAUGE_FAULT_TIMES` says.
#[test]
fn a_fault_asked_for_by_name_loses_nothing_and_counts_nothing_twice() {
    let Ok(wanted) = std::env::var("STREAMGAUGE_FAULT") else { return };
    if wanted == "list" {
        all().iter().for_each(|fault| println!("{:20} {:3}  {}", fault.name, fault.times, fault.about));
        return;
    }
    let times = std::env::var("STREAMGAUGE_FAULT_TIMES").ok().map(|times| times.parse().expect("a number of times"));
    let chosen: Vec<_> = all().into_iter().filter(|fault| wanted == "all" || fault.name == wanted).collect();
    assert!(!chosen.is_empty(), "there is no fault {wanted}; scripts/faults --list shows what there is");
    println!("| fault | what happens | runs | events | lost | duplicated | worst recovery (s) |");
    println!("|---|---|---|---|---|---|---|");
    let wrong: Vec<_> = chosen.iter().filter_map(|fault| fault.run(times.unwrap_or(fault.times)).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_kinds_of_faults_have_names_of_their_own() {
    let mut names: Vec<_> = all().iter().map(|fault| fault.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

/// The judge at work: errors of each kind, planted in what it compares with, against agents that count right.
#[test]
fn a_run_with_one_event_exchanged_for_another_is_not_clean() {
    let stage = Stage::new("planted", PLAIN);
    let mut agent = stage.agent();
    stage.begun(&mut [&mut agent]);
    let row = stage.finish_with(&[&agent], |truth| {
        let totals = truth.cells.iter_mut().filter(|(id, _)| matches!(id, Id::Total { .. }));
        let mut cells = totals.map(|(_, cell)| cell);
        // The agent lacks one of these, and has another one twice: the same number, and the same sum.
        let (one, two, three) = (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap());
        one.hashes += 1;
        two.events += 1;
        three.events -= 1;
    });
    // Once as it is, and once more by an agent that has read it back from the changelog alone.
    assert_eq!((row.lost, row.duplicated, row.wrong.len()), (2, 2, 6), "{:?}", row.wrong);
}

#[test]
fn kills_at_random_moments_lose_nothing() {
    survives("kill9", 3);
}

#[test]
fn an_agent_put_out_of_the_group_by_a_member_that_is_gone_comes_back_by_itself() {
    survives("ghost", 1);
}

#[test]
fn what_a_killed_agent_left_open_is_ended_by_whoever_takes_over() {
    survives("kill9-in-commit", 1);
}

#[test]
fn a_frozen_agent_whose_commit_was_ended_by_another_finds_out() {
    survives("sigstop-in-commit", 1);
}

#[test]
fn partitions_that_are_offline_keep_no_others_from_being_restored() {
    survives("partitions-offline", 1);
}

#[test]
fn a_transaction_that_hangs_keeps_only_its_own_partitions_from_being_restored() {
    survives("foreign-transaction", 2);
}

#[test]
fn many_events_in_a_record_and_their_dead_letters_are_counted_once_each() {
    survives("packed", 2);
}

#[test]
fn a_term_signal_in_the_middle_of_a_commit_loses_nothing() {
    survives("sigterm", 2);
}

#[test]
fn two_workers_an_agent_hand_partitions_to_each_other_and_to_another_agents() {
    survives("two-workers", 3);
}

#[test]
fn a_rebalance_during_a_restore_loses_nothing() {
    survives("restore-rebalance", 1);
}

#[test]
fn dynamic_members_come_and_go_and_every_number_stays_right() {
    survives("dynamic", 1);
}

#[test]
fn at_least_once_loses_nothing_when_agents_die_and_partitions_move() {
    survives("at-least-once", 2);
}
