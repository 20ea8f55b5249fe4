//! `labels` gives an event to an aggregate's conditions and labels.

#![cfg_attr(fuzzing, no_main)]

streamgauge_fuzz::target!(labels);
