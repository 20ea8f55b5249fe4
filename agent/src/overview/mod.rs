//! What happens now, of any config's aggregates: which questions tell it, and what the answers say. Pure; the page and `top`
//! ask the questions, each in its own way, and draw what comes of it.

#![forbid(unsafe_code)]

mod ask;
mod kinds;
mod read;

#[cfg(test)]
mod tests;

pub use ask::{Focus, Questions, questions};
pub use read::{
    Agent, Answers, Keys, Line, Measured, Overview, Ranking, Session, Window, agents, overview, per_second,
};
