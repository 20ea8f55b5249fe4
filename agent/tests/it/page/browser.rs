//! A headless Chromium, spoken to in its DevTools protocol over a pair of pipes: messages end with a zero byte.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page; ended when it is dropped.
pub struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    session: String,
    number: u64,
    _profile: TempDir,
}

/// Where the browser is: `STREAMGAUGE_CHROMIUM`, or what `scripts/tools` has.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("STREAMGAUGE_CHROMIUM") {
        return path.into();
    }
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/tools"))
        .arg("chromium")
        .output()
        .expect("scripts/tools runs");
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(!path.is_empty(), "no browser to test the page with: {}", String::from_utf8_lossy(&output.stderr));
    path.into()
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both; what comes back is nobody else's.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

impl Browser {
    pub fn start() -> Browser {
        let profile = TempDir::with_prefix("streamgauge-browser-").expect("a temporary directory");
        let ((theirs, to), (from, answers)) = (pipe(), pipe());
        let mut command = Command::new(program());
        command
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (read, write) = (theirs.as_raw_fd(), answers.as_raw_fd());
        // SAFETY: these calls are async-signal-safe and touch only the new process.
        unsafe {
            command.pre_exec(move || {
                // The protocol's numbers; neither may be overwritten before it is copied.
                let (read, write) = (libc::fcntl(read, libc::F_DUPFD, 10), libc::fcntl(write, libc::F_DUPFD, 10));
                let done = libc::dup2(read, 3) == 3 && libc::dup2(write, 4) == 4;
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
        let child = command.spawn().expect("the browser starts");
        let mut browser = Browser {
            child,
            to: to.into(),
            from: BufReader::new(from.into()),
            session: String::new(),
            number: 0,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        browser.call("Page.enable", json!({}));
        browser
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).expect("the browser speaks");
            let text = bytes.strip_suffix(b"\0").expect("the browser has not ended");
            let answer: Value = serde_json::from_slice(text).expect("JSON");
            if answer["id"] == self.number {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    pub fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
    }

    /// What an expression of script is on the page.
    pub fn eval(&mut self, script: &str) -> Value {
        let answer = self.call("Runtime.evaluate", json!({ "expression": script, "returnByValue": true }));
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub fn until(&mut self, script: &str) {
        let until = Instant::now() + PATIENCE;
        while self.eval(script) != true {
            assert!(Instant::now() < until, "waited in vain for {script}: {}", self.eval("document.body.innerText"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A screen of this width, light or dark.
    pub fn screen(&mut self, width: u32, height: u32, scheme: &str) {
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", screen);
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    /// The page as a PNG.
    pub fn picture(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        BASE64_STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
