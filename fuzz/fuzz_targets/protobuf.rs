//! `protobuf` decodes whatever it is given behind the id of a schema.

#![cfg_attr(fuzzing, no_main)]

streamgauge_fuzz::target!("protobuf");
