//! `streamgauge top` on a terminal of its own, against a real agent.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::agent::program;
use crate::calls::run;
use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(60);

/// A program on a terminal of 80 columns and 24 lines.
struct OnTerminal {
    child: Child,
    keys: File,
    written: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    fn start(args: &[&str]) -> OnTerminal {
        let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let (mut ours, mut theirs) = (0, 0);
        // SAFETY: both numbers have a place, and come back as ends that are nobody else's.
        let (ours, theirs) = unsafe {
            let null = std::ptr::null_mut();
            assert_eq!(libc::openpty(&mut ours, &mut theirs, null, std::ptr::null_mut(), &size), 0);
            (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
        };
        let side = || Stdio::from(theirs.try_clone().expect("a handle"));
        let mut command = Command::new(program());
        command.args(args).env("TERM", "xterm-256color").stdin(side()).stdout(side()).stderr(side());
        let terminal = theirs.as_raw_fd();
        // SAFETY: these calls are async-signal-safe and touch only the new process.
        unsafe {
            command.pre_exec(move || {
                libc::setsid();
                libc::ioctl(terminal, libc::TIOCSCTTY, 0);
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().expect("the binary was built");
        let keys = File::from(ours);
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, all) = (keys.try_clone().expect("a handle"), written.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut bytes) {
                all.lock().expect("no panic").extend(&bytes[..read]);
            }
        });
        OnTerminal { child, keys, written }
    }

    /// Waits until a word is drawn, and forgets what was drawn before it. Only what changes is drawn: no spaces.
    fn until(&self, words: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut written = self.written.lock().expect("no panic");
            if let Some(at) = written.windows(words.len()).position(|bytes| bytes == words.as_bytes()) {
                written.drain(..at);
                return;
            }
            let text = String::from_utf8_lossy(&written).into_owned();
            drop(written);
            assert!(Instant::now() < until, "waited in vain for {words:?}: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn top_shows_an_agent_takes_keys_and_comes_back_after_a_crash() {
    let scene = Scene::new("top", 2);
    let mut agent = scene.agent();
    scene.produce_now(20_000, 7);
    scene.assert_equals_recount(&[&agent]);
    let address = format!("http://{}", agent.grpc());

    let (code, text, errors) = run(&["top", "http", "--once", "--interval", "100ms", "--address", &address]);
    assert_eq!(code, 0, "{text}{errors}");
    for words in ["ready  lag 0", "[http]", "20,000 in all", "/api/users", "DURATION P99", "2 partitions"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(text.lines().count() == 24 && text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let (code, _, errors) = run(&["top", "--address", &address]);
    assert!(code == 1 && errors.contains("use --once"), "{errors}");

    let mut top = OnTerminal::start(&["top", "--interval", "200ms", "--address", &address]);
    top.until("20,000");
    top.press("?");
    top.until("label=~regex");
    top.press("x");
    top.press("/users\r");
    top.until("users");
    agent.kill9();
    top.until("stale,");
    agent.restart();
    top.until("last");
    top.press("q");
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = top.child.try_wait().expect("its state is known") {
            break status;
        }
        assert!(Instant::now() < until, "q does not end it");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
    top.until("\x1b[?1049l");
}
