//! `each` decodes whatever it is given.

#![cfg_attr(fuzzing, no_main)]

streamgauge_fuzz::target!("each");
