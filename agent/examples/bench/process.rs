//! A contestant's process: start it, look at its page, stop it, and what it cost.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use streamgauge::config::{self, Config};

pub fn load(path: &str) -> Config {
    config::load(path.as_ref()).unwrap_or_else(|error| panic!("{error}"))
}

/// A running agent; stopped when dropped.
pub struct Agent {
    binary: String,
    path: String,
    pub child: Child,
    /// Where its `/metrics` is.
    pub address: String,
    /// Where its query service is.
    pub grpc: String,
}

impl Agent {
    pub fn start(binary: &str, path: &str) -> Self {
        let config = load(path);
        let child = Command::new(binary).args(["run", "-c", path]).spawn().unwrap();
        let (address, grpc) = (config.http.listen.to_string(), config.grpc.listen.to_string());
        Agent { binary: binary.into(), path: path.into(), child, address, grpc }
    }

    /// SIGKILL, and a new process at once.
    pub fn kill_and_start(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.start_again();
    }

    /// A new process on the same config, after the end of the last one.
    pub fn start_again(&mut self) {
        self.child = Command::new(&self.binary).args(["run", "-c", &self.path]).spawn().unwrap();
    }

    /// `/metrics`, or nothing while the process does not answer.
    pub fn page(&self) -> Option<String> {
        page(&self.address)
    }

    /// The sum of the series of the page that begin with `prefix`; `None` if there are none.
    pub fn sum(&self, prefix: &str) -> Option<f64> {
        sum(&self.page()?, prefix)
    }

    /// Waits until the series that begin with `prefix` add up to `least`, looking every `step`.
    pub fn wait_for(&mut self, prefix: &str, least: f64, step: Duration) {
        while self.sum(prefix).is_none_or(|now| now < least) {
            self.check();
            std::thread::sleep(step);
        }
    }

    /// Waits until `events` are folded; the rate counts from the first scrape that shows any.
    pub fn catch_up(&mut self, events: u64, mut meanwhile: impl FnMut(&Self)) -> Rate {
        let mut first: Option<(Instant, f64)> = None;
        loop {
            std::thread::sleep(Duration::from_millis(20));
            self.check();
            let Some(seen) = self.sum("streamgauge_events_total{").filter(|&seen| seen > 0.0) else { continue };
            let (began, at) = *first.get_or_insert_with(|| (Instant::now(), seen));
            if seen >= events as f64 {
                return Rate { events: (seen - at) as u64, seconds: began.elapsed().as_secs_f64() };
            }
            meanwhile(self);
        }
    }

    pub fn cost(&self) -> Cost {
        Cost::of(self.child.id())
    }

    fn check(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("the agent ended: {status}");
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// SIGTERM, and waits for the end.
pub fn stop(child: &mut Child) {
    // SAFETY: a signal to our own child, which has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    child.wait().unwrap();
}

pub struct Rate {
    pub events: u64,
    pub seconds: f64,
}

/// What a process has used so far, from `/proc`.
#[derive(Clone, Copy)]
pub struct Cost {
    pub cpu_s: f64,
    pub peak_mb: f64,
    pub resident_mb: f64,
}

impl Cost {
    pub fn of(pid: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // SAFETY: sysconf only reads.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        let cpu_s = (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / ticks;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kilobytes = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        Cost { cpu_s, peak_mb: kilobytes("VmHWM:") / 1024.0, resident_mb: kilobytes("VmRSS:") / 1024.0 }
    }
}

/// CPU seconds that each thread of a process has used so far, with its name, in the order in which they were started.
pub fn threads(pid: u32) -> Vec<(u32, String, f64)> {
    // SAFETY: sysconf only reads.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let mut threads: Vec<_> = std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .filter_map(|entry| {
            let id = entry.unwrap().file_name().to_str()?.parse().ok()?;
            // A thread may end in between.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{id}/stat")).ok()?;
            let (name, rest) = (stat.split_once('(')?.1.rsplit_once(')')?.0, stat.rsplit_once(')')?.1);
            let fields: Vec<&str> = rest.split_whitespace().collect();
            let spent = fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?;
            Some((id, name.to_owned(), spent / ticks))
        })
        .collect();
    threads.sort_by_key(|(id, ..)| *id);
    threads
}

/// One contestant's line of the results.
pub fn print_line(what: &str, rate: &Rate, cost: Cost) {
    let (events, seconds) = (rate.events as f64, rate.seconds);
    println!(
        "{{\"what\": \"{what}\", \"events\": {events}, \"seconds\": {seconds:.3}, \"events_per_s\": {:.0}, \"cpu_s\": {:.2}, \
         \"events_per_cpu_s\": {:.0}, \"peak_mb\": {:.1}}}",
        events / seconds,
        cost.cpu_s,
        events / cost.cpu_s,
        cost.peak_mb
    );
}

/// The body of `/metrics` at `address`.
pub fn page(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    page.starts_with("HTTP/1.1 200").then_some(page)
}

pub fn sum(page: &str, prefix: &str) -> Option<f64> {
    let series = page.lines().filter(|line| line.starts_with(prefix));
    series.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).reduce(|a, b| Some(a? + b?))?
}

/// The value below which `share` of the sorted `values` lie.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() as f64 * share).ceil() as usize).clamp(1, values.len()) - 1]
}
