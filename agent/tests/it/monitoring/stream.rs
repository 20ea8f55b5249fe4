//! A stream of events that goes on until the test has seen enough.

use std::process::{Child, Command, Stdio};

use crate::agent::program;
use crate::scene::Scene;

/// A running `streamgauge produce`; killed when dropped.
pub struct Stream(Child);

impl Stream {
    /// `seconds` of `rate` events per second; dated as they are sent, unless `flags` say otherwise.
    pub fn start(scene: &Scene, seconds: u64, rate: u64, flags: &[&str]) -> Stream {
        let mut command = Command::new(program());
        command.args(["produce", "--no-create", "--json", "--bootstrap-servers", scene.kafka.bootstrap()]);
        command.args(["--topic", &scene.topic, "--rate", &rate.to_string(), "--duration", &format!("{seconds}s")]);
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Stream(command.spawn().expect("the binary was built"))
    }

    /// Waits until all is sent and acknowledged.
    pub fn finish(mut self) {
        let status = self.0.wait().expect("its state is known");
        assert!(status.success(), "produce: {status}");
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
