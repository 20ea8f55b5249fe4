//! `streamgauge health`: asks a running agent whether it is ready; for health checks of containers that have no curl.

use anyhow::{Context, bail};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
/// A check did not hold.
const NOT_WELL: u8 = 2;
/// An answer is a few lines.
const LONGEST_ANSWER: u64 = 64 << 10;

#[derive(clap::Args)]
pub struct HealthArgs {
    /// The agent's HTTP address.
    #[arg(long, visible_alias = "http", env = "STREAMGAUGE_HTTP_ADDRESS", default_value = "http://127.0.0.1:9746")]
    address: String,
    /// Ask only whether the process lives (/-/healthy), not whether it is ready (/-/ready).
    #[arg(long)]
    live: bool,
}

/// Runs the verb. Exit code 0: it is; 2: it is not, or nobody answers.
pub fn run(args: &HealthArgs) -> ExitCode {
    match get(&args.address, if args.live { "/-/healthy" } else { "/-/ready" }) {
        Ok((200, body)) => {
            println!("{}", body.trim_end());
            ExitCode::SUCCESS
        }
        Ok((_, body)) => {
            println!("{}", body.trim_end());
            ExitCode::from(NOT_WELL)
        }
        Err(error) => {
            eprintln!("streamgauge: {}: {error:#}", args.address);
            ExitCode::from(NOT_WELL)
        }
    }
}

/// Status and body of a plain HTTP GET.
fn get(address: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let host = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    if host.contains('/') {
        bail!("give the address as http://host:port");
    }
    let resolved = host.to_socket_addrs().context("give the address as http://host:port")?.next();
    let resolved = resolved.context("no such host")?;
    let mut stream = TcpStream::connect_timeout(&resolved, TIMEOUT).context("nobody listens")?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // HTTP/1.0: the answer comes whole, and the connection closes behind it.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut bytes).context("no answer")?;
    parse(&String::from_utf8_lossy(&bytes)).context("the answer is not HTTP")
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_and_the_body_are_taken_from_an_answer() {
        let answer = "HTTP/1.0 503 Service Unavailable\r\ncontent-length: 9\r\n\r\nnot ready";
        assert_eq!(parse(answer), Some((503, "not ready".to_owned())));
        assert_eq!(parse("SSH-2.0-OpenSSH_9.6\r\n\r\n"), None);
    }

    #[test]
    fn nobody_there_is_not_well_and_says_so() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = format!("{:#}", get(&format!("http://{free}"), "/-/ready").unwrap_err());
        assert!(error.contains("nobody listens"), "{error}");
        assert!(get("http://localhost:1/metrics", "/").is_err());
    }
}
