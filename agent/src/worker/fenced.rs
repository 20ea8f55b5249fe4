//! What a worker does whose identity the group has given to somebody else.
//!
//! That is a second process on a copy of the state directory, or nobody: when the group's coordinator stands still or
//! moves, a join can be answered to a connection that is gone by then, and the member that it made fences us with our own
//! name. Such a ghost sends no heartbeats and is out of the group after the session timeout; a process stays.

use super::context::{Agent, WorkerStatus};
use super::error::WorkerError;
use crate::kafka::{Admin, Identity};
use std::time::Duration;

/// Between two looks at the group.
const LOOK: Duration = Duration::from_secs(1);
/// Bounds one look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Who is still there after so many session timeouts is no ghost.
const SESSIONS: u32 = 3;

/// Waits until the group has forgotten this identity. Nothing is read, committed or shown meanwhile.
///
/// # Errors
/// [`WorkerError::SecondProcess`] if somebody keeps it.
pub fn wait_until_free(agent: &Agent, identity: &Identity, status: &WorkerStatus) -> Result<(), WorkerError> {
    let member = identity.member();
    let trouble = format!("the group has another member with the identity {member}; waiting whether it stays");
    tracing::warn!("{trouble}");
    status.set_trouble(Some(trouble));
    let patience = agent.config.kafka.session_timeout * SESSIONS;
    let began = agent.clock.boot_time();
    while !agent.is_stopping() {
        match is_free(agent, &member) {
            Some(true) => {
                tracing::info!("no process has the identity {member}: joining the group again");
                status.set_trouble(None);
                return Ok(());
            }
            Some(false) if agent.clock.boot_time().since(began) > patience => {
                return Err(WorkerError::SecondProcess(identity.instance.clone()));
            }
            // A coordinator that does not answer proves nothing, however long it takes.
            Some(false) | None => {
                agent.stop.sleep(LOOK);
            }
        }
    }
    Ok(())
}

/// Whether the group has no member of this name; `None` if it could not be asked.
fn is_free(agent: &Agent, member: &str) -> Option<bool> {
    let described = Admin::create(&agent.settings, LOOK_TIMEOUT)
        .and_then(|admin| admin.describe_group(&agent.config.kafka.group_id));
    match described {
        Ok(group) => Some(group.members.iter().all(|other| other.instance_id != member)),
        Err(error) => {
            tracing::warn!("cannot see whether another process has the identity {member}: {error}");
            None
        }
    }
}
