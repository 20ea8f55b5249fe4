//! Tokens without a signature, as brokers in tests take them: from an endpoint, and in a file that is renewed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::scene::unix_millis;

/// How long a token lives.
pub const LIFE: Duration = Duration::from_secs(12);

/// A token of `user` that runs out after `life`.
pub fn token(user: &str, life: Duration) -> String {
    let now = unix_millis() / 1_000;
    let claims = json!({ "sub": user, "iat": now, "exp": now + life.as_secs() as i64, "scope": "kafka" });
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.", part(json!({ "alg": "none" })), part(claims))
}

/// Gives tokens out, as an identity provider does (OAuth 2.0, client credentials).
pub struct Endpoint {
    address: SocketAddr,
    asked: Arc<AtomicU32>,
}

impl Endpoint {
    pub fn start() -> Endpoint {
        Endpoint::answering(|| {
            let body =
                json!({ "access_token": token("ada", LIFE), "token_type": "Bearer", "expires_in": LIFE.as_secs() });
            ("200 OK", body.to_string())
        })
    }

    /// One that knows nobody.
    pub fn refusing() -> Endpoint {
        Endpoint::answering(|| ("401 Unauthorized", json!({ "error": "invalid_client" }).to_string()))
    }

    fn answering(answer: impl Fn() -> (&'static str, String) + Send + 'static) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (address, asked) = (listener.local_addr().expect("an address"), Arc::new(AtomicU32::new(0)));
        let count = asked.clone();
        // It ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let (status, body) = answer();
                // A client that has gone away needs no answer.
                let _ = reply(stream, status, &body);
            }
        });
        Endpoint { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn reply(mut stream: TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    reader.take(length).read_to_end(&mut Vec::new())?;
    let size = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// A file whose token is renewed in time.
pub struct FileOfTokens {
    home: tempfile::TempDir,
    stop: Arc<AtomicBool>,
}

impl FileOfTokens {
    pub fn start() -> FileOfTokens {
        let home = tempfile::tempdir().expect("a temporary directory");
        let stop = Arc::new(AtomicBool::new(false));
        let (path, stopped) = (home.path().join("token"), stop.clone());
        renew(&path);
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(LIFE / 2);
                renew(&path);
            }
        });
        FileOfTokens { home, stop }
    }

    pub fn path(&self) -> PathBuf {
        self.home.path().join("token")
    }
}

impl Drop for FileOfTokens {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Whoever reads sees the old one or the new one, whole.
fn renew(path: &Path) {
    let next = path.with_extension("next");
    // When the test is over, there is no place for it any more.
    if fs::write(&next, token("ada", LIFE)).is_ok() {
        let _ = fs::rename(&next, path);
    }
}
