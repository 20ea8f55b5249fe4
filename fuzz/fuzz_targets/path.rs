//! `path` reads a path, and writes it again.

#![cfg_attr(fuzzing, no_main)]

streamgauge_fuzz::target!(path);
