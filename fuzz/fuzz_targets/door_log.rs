//! A log event in JSON, whatever it is.

#![cfg_attr(fuzzing, no_main)]

mod door;

of_door!(|bytes: &[u8]| door::check(|arrival| vec![door::event::log_event(bytes, arrival)]));
