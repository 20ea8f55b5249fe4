//! Whole-process measurements for `bench/run` and `bench/live`; each prints lines of JSON. Rates count from the first event
//! seen, CPU and memory are the process's own.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark reads the clock, and may fail loudly")]

mod baseline;
mod door;
mod growth;
mod live;
mod plot;
mod process;
mod scale;
mod watch;

use std::time::Duration;

use process::{Agent, load, print_line};

const USAGE: &str = "usage:
  bench poll|batch CONFIG EVENTS               a loop that only consumes and drops
  bench agent BINARY CONFIG EVENTS             the agent, until it has caught up
  bench keys BINARY CONFIG EVENTS NAME         the agent, until it has caught up and 20 s more: its memory for each key
  bench collector BINARY CONFIG ADDRESS EVENTS the OpenTelemetry Collector, the same
  bench recover BINARY CONFIG KILLS            SIGKILL to the first scrape with all totals (somebody produces meanwhile)
  bench freshness BINARY CONFIG MARKERS        acknowledged event to scrape (somebody produces meanwhile)
  bench steady BINARY CONFIG SECONDS NAME      share of a core, CPU per event, threads (somebody produces meanwhile)
  bench query BINARY CONFIG CALLS              Query over TCP (somebody produces meanwhile)
  bench scrape BINARY CONFIG CONFIG2 EVENTS PAUSE_MS   catching up alone, and scraped all the time
  bench watches BINARY CONFIG SECONDS WATCHERS commit to watcher, and the agent's share of a core (somebody produces meanwhile)
  bench watched BINARY CONFIG CONFIG2 EVENTS WATCHERS   catching up alone, and watched
  bench page BINARY CONFIG MARKERS             acknowledged event to the page in Chromium (somebody produces meanwhile)
  bench growth BINARY SERVERS DIR EVENTS       cost by keys, partitions, aggregates
  bench takeover BINARY CONFIG1 CONFIG2 EVENTS ROUNDS NAME   kill -9 of a partition's owner, until the other agent has it
  bench cluster BINARY CONFIG1 CONFIG2 CONFIG3 CALLS         Query over three agents (somebody produces meanwhile)
  bench empty ADDRESS                          answers 202 to whatever comes, on the front door's stack
  bench send stream|otlp ADDRESS SECONDS CONNECTIONS BATCH   log events over gRPC, as fast as they are accepted
  bench plot RESULTS DIR                       the same as pictures";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["poll", config, events] => baseline::poll_and_drop(&load(config), number(events)),
        ["batch", config, events] => baseline::batch_and_drop(&load(config), number(events)),
        ["collector", binary, config, address, events] => baseline::collector(binary, config, address, number(events)),
        ["agent", binary, config, events] => {
            let mut agent = Agent::start(binary, config);
            let rate = agent.catch_up(number(events), |_| {});
            print_line("agent", &rate, agent.cost());
        }
        ["keys", binary, config, events, name] => {
            let mut agent = Agent::start(binary, config);
            let rate = agent.catch_up(number(events), |_| std::thread::sleep(Duration::from_millis(500)));
            let peak = agent.cost();
            // Checkpoints are at most 1.5 s behind, and what they leave free is given back every 10 s.
            std::thread::sleep(Duration::from_secs(20));
            let (keys, resident) = (agent.sum("streamgauge_keys{").unwrap_or(0.0), agent.cost().resident_mb);
            println!(
                "{{\"what\": \"{name}\", \"events_per_s\": {:.0}, \"cpu_us_per_event\": {:.2}, \"keys\": {keys}, \
                 \"resident_mb\": {resident:.0}, \"peak_mb\": {:.0}, \"bytes_per_key\": {:.0}}}",
                rate.events as f64 / rate.seconds,
                peak.cpu_s / number(events) as f64 * 1e6,
                peak.peak_mb,
                resident * 1024.0 * 1024.0 / keys
            );
        }
        ["recover", binary, config, kills] => live::recover(binary, config, number(kills) as usize),
        ["freshness", binary, config, markers] => live::freshness(binary, config, number(markers) as usize),
        ["steady", binary, config, seconds, name] => live::steady(binary, config, number(seconds), name),
        ["query", binary, config, calls] => live::query(binary, config, number(calls) as usize),
        ["scrape", binary, alone, scraped, events, pause] => {
            live::scrape(binary, alone, scraped, number(events), Duration::from_millis(number(pause)));
        }
        ["watches", binary, config, seconds, watchers] => {
            watch::watches(binary, config, number(seconds), number(watchers) as usize);
        }
        ["watched", binary, alone, watched, events, watchers] => {
            watch::watched(binary, alone, watched, number(events), number(watchers) as usize);
        }
        ["page", binary, config, markers] => watch::page(binary, config, number(markers) as usize),
        ["takeover", binary, one, two, events, rounds, name] => {
            scale::takeover(binary, [one, two], number(events), number(rounds) as usize, name);
        }
        ["cluster", binary, one, two, three, calls] => {
            scale::cluster(binary, [one, two, three], number(calls) as usize)
        }
        ["growth", binary, servers, dir, events] => growth::growth(binary, servers, dir.as_ref(), number(events)),
        ["empty", address] => door::empty(address),
        ["send", way, address, seconds, connections, batch] => {
            door::send(way, address, number(seconds), number(connections), number(batch));
        }
        ["plot", results, out] => plot::plot(results.as_ref(), out.as_ref()),
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(64);
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no number\n{USAGE}"))
}
