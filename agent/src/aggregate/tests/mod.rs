//! Properties of folding, merging and storing, over random events.

mod expiry;
mod histogram;
mod keys;
mod lifecycle;
pub(crate) mod samples;
mod since;
mod storing;
mod windows;
