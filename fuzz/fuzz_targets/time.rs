//! `time` reads a time as its first line says.

#![cfg_attr(fuzzing, no_main)]

streamgauge_fuzz::target!(time);
