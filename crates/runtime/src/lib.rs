//! What every thread has at hand: the only clock, the one way to say stop, and named places where tests make things fail.

pub mod clock;
pub mod failpoint;
pub mod stop;
