//! `config` reads a whole config, and lays out what it accepts.

#![cfg_attr(fuzzing, no_main)]

streamgauge_fuzz::target!(config);
