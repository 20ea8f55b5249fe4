//! Exactly once: an epoch of folding becomes one Kafka transaction, then redb, then what readers see.
//!
//! The protocol, step by step (each step has a [`crate::failpoint`]):
//! 1. *Seal*: encode the epoch's dirty entries, and an offset record with the fingerprint they lead to.
//! 2. *Produce* entries, tombstones and dead letters, then each task's offset record, in one transaction.
//! 3. Wait for every delivery; check both *fences*: the assignment number and the member id.
//! 4. Add the input offsets under the group's metadata as it is *now*, and commit. This is the durability point.
//! 5. *Publish*: the committed view that readers see, and the lease. redb follows within seconds.
//!
//! An abort rolls nothing back: memory is a function of the input read so far, so what the epoch held is dirty again.

#![forbid(unsafe_code)]

mod committer;
mod deadline;
mod epoch;
mod fence;
mod letter_limits;
mod letters;
mod pace;
mod seal;
mod transaction;
mod work;

pub use committer::{Committer, Outcome};
pub use epoch::{AbortReason, DeadLetter, Epoch, TaskEpoch};
pub use fence::{AssignmentNumber, MemberId, Standing, member_of, standing};
pub use pace::Pace;
pub use seal::{OFFSET_RECORD_KEY, Sealed, SealedEntry, seal};
pub use work::CommitterSettings;

/// Version of the records in a changelog; a newer one is refused.
pub const CHANGELOG_FORMAT_VERSION: u32 = 1;
