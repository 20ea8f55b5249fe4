//! Named places where a test makes the process die, stall or fail, or its clock jump. Off, and one atomic load each, unless
//! `STREAMGAUGE_FAILPOINTS` names them: `commit.produced=kill@3,commit.after_kafka=sleep:500`.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Every failpoint there is; the fault tests go through this list.
pub const ALL: &[&str] = &[
    "commit.sealed",
    "commit.begun",
    "commit.produced",
    "commit.delivered",
    "commit.offsets_sent",
    "commit.after_kafka",
    "commit.published",
    "checkpoint.before_write",
    "checkpoint.after_write",
    "restore.initialised",
    "restore.loaded",
    "restore.replayed",
    "restore.promoted",
    "revoke.begun",
    "revoke.committed",
    "revoke.dropped",
    "spool.created",
    "spool.written",
    "spool.synced",
    "spool.saved",
    "spool.removed",
];

static ACTIVE: AtomicBool = AtomicBool::new(false);
static POINTS: Mutex<Option<HashMap<String, Point>>> = Mutex::new(None);

#[derive(Clone, Debug, PartialEq)]
struct Point {
    action: Action,
    /// Acts at this hit and not before (1 is the first).
    at: u64,
    hits: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// SIGKILL to this process: nothing is cleaned up.
    Kill,
    Sleep(Duration),
    /// The step reports a failure.
    Fail,
    /// The wall clock jumps by so many milliseconds.
    Clock(i64),
}

/// Switches on the failpoints in `spec`.
///
/// # Errors
/// One line that says what in `spec` is wrong.
pub fn configure(spec: &str) -> Result<(), String> {
    let points: Result<HashMap<_, _>, _> = spec.split(',').filter(|s| !s.trim().is_empty()).map(parse).collect();
    *POINTS.lock() = Some(points?);
    ACTIVE.store(true, Ordering::Release);
    Ok(())
}

fn parse(text: &str) -> Result<(String, Point), String> {
    let (name, rest) = text.trim().split_once('=').ok_or_else(|| format!("failpoint {text:?}: name=action wanted"))?;
    if !ALL.contains(&name) {
        return Err(format!("no failpoint {name:?}; there are {}", ALL.join(", ")));
    }
    let (action, at) = rest.split_once('@').unwrap_or((rest, "1"));
    let action = match action.split_once(':') {
        None if action == "kill" => Action::Kill,
        None if action == "fail" => Action::Fail,
        Some(("sleep", millis)) => {
            Action::Sleep(Duration::from_millis(millis.parse().map_err(|_| format!("not milliseconds: {millis:?}"))?))
        }
        Some(("clock", millis)) => Action::Clock(millis.parse().map_err(|_| format!("not milliseconds: {millis:?}"))?),
        _ => return Err(format!("no action {action:?}; kill, fail, sleep:MILLIS or clock:MILLIS wanted")),
    };
    let at = at.parse().map_err(|_| format!("not a number of hits: {at:?}"))?;
    Ok((name.to_owned(), Point { action, at, hits: 0 }))
}

/// Passes the failpoint `name`. True if the step should report a failure.
pub fn hit(name: &'static str) -> bool {
    debug_assert!(ALL.contains(&name), "{name} is missing from failpoint::ALL");
    if !ACTIVE.load(Ordering::Acquire) {
        return false;
    }
    let action = POINTS.lock().as_mut().and_then(|points| {
        let point = points.get_mut(name)?;
        point.hits += 1;
        (point.hits == point.at).then(|| point.action.clone())
    });
    if let Some(action) = &action {
        tracing::info!(failpoint = name, ?action, "failpoint");
    }
    match action {
        Some(Action::Kill) => {
            // SAFETY: a signal to ourselves; the process ends here.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            true
        }
        Some(Action::Sleep(time)) => {
            std::thread::sleep(time);
            false
        }
        Some(Action::Fail) => true,
        Some(Action::Clock(millis)) => {
            crate::clock::jump(millis);
            false
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_failpoint_is_refused_with_what_there_is() {
        assert!(parse("commit.begun").unwrap_err().contains("name=action"));
        assert!(parse("commit.begunn=kill").unwrap_err().contains("commit.begun,"));
        assert!(parse("commit.begun=explode").unwrap_err().contains("kill, fail, sleep"));
        assert_eq!(parse("commit.begun=clock:-60000").unwrap().1.action, Action::Clock(-60_000));
        let (name, point) = parse("commit.begun=sleep:5@3").unwrap();
        assert_eq!(
            (name.as_str(), point.at, point.action),
            ("commit.begun", 3, Action::Sleep(Duration::from_millis(5)))
        );
    }
}
