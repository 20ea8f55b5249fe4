//! Properties of folding, merging and storing, over random events.

mod expiry;
mod histogram;
mod keys;
mod lifecycle;
mod limit;
mod since;
mod storing;
mod windows;
