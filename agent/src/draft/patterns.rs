//! Lines of text that programs in wide use write, and no format of the config is made for: as regular expressions, whose
//! named groups become the fields.

use std::sync::LazyLock;

use regex::Regex;

/// A way to write lines.
#[derive(Debug)]
pub(super) struct Pattern {
    pub text: &'static str,
    regex: Regex,
}

/// A date and a time of day as programs write them, with or without a zone that says itself.
macro_rules! time {
    () => {
        concat!(
            r"(?<time>(?:\d{4}[-/.]\d\d[-/.]\d\d[T ]|\d\d/\d\d/\d\d |\d\d?[-/ ]\w{3}[-/ ]\d{4}[ :])\d\d:\d\d:\d\d(?:[.,]\d+)?",
            r"(?: ?(?:Z|UTC|GMT|[CEW]ES?T|[CEMP][SD]T|MSK|JST|[+-]\d\d:?\d\d)\b)?)"
        )
    };
}

/// What stands between a time, a level and what they are about: also the colours of a terminal.
macro_rules! space {
    () => {
        r"(?:[\s|:-]|\x1b\[[\d;]*m)"
    };
}

macro_rules! level {
    () => {
        r"(?<level>TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|SEVERE|FINE|PANIC|LOG)"
    };
}

/// The same in small letters, which are also words of messages: in brackets, or right behind the time.
macro_rules! small_level {
    () => {
        r"(?<level>trace|debug|info|notice|warn|warning|error|crit|critical|fatal|panic|Info|Warning|Error)"
    };
}

/// A request in quotes.
macro_rules! request {
    () => {
        r#""(?<method>[A-Z]+) (?<path>[^ ?"]*)[^"]*""#
    };
}

/// The particular ones first: so many are of one program.
const OF_PROGRAMS: usize = 21;
const PATTERNS: [&str; 27] = [
    // HAProxy's `option httplog`, alone or behind a header of syslog.
    concat!(
        r"\[(?<time>[^\]]+)\] (?<frontend>\S+) (?<backend>[^/ ]+)/(?<server>\S+) (?:[+-]?\d+/){4}\+?(?<duration_ms>\d+) ",
        r#"(?<status>-?\d+) \+?(?<sent_bytes>\d+) .*"(?<method>\S+) (?<path>[^ ?"]*)"#
    ),
    // Its `option tcplog`.
    concat!(
        r"\[(?<time>\d\d/\w{3}/\d{4}:[^\]]+)\] (?<frontend>\S+) (?<backend>[^/ ]+)/(?<server>\S+) ",
        r"-?\d+/-?\d+/\+?(?<duration_ms>\d+) \+?(?<sent_bytes>\d+) (?<termination>[\w-]{2}) "
    ),
    // Elastic Load Balancing, application load balancers.
    concat!(
        r"^(?<type>\S+) (?<time>\S+) (?<elb>\S+) \S+ \S+ -?[\d.]+ (?<duration_seconds>-?[\d.]+) -?[\d.]+ (?<status>\d+|-) ",
        r#"(?<target_status>\d+|-) (?<received_bytes>\d+) (?<sent_bytes>\d+) "(?<method>\S+) [a-z]+://[^/ ]+(?<path>[^ ?"]*)"#
    ),
    // Its classic ones.
    concat!(
        r"^(?<time>\d{4}-\S+Z) (?<elb>\S+) \S+:\d+ \S+ -?[\d.]+ (?<duration_seconds>-?[\d.]+) -?[\d.]+ (?<status>\d+|-) ",
        r#"(?<target_status>\d+|-) (?<received_bytes>\d+) (?<sent_bytes>\d+) "(?<method>\S+) [a-z]+://[^/ ]+(?<path>[^ ?"]*)"#
    ),
    // S3's access log.
    concat!(
        r"^[0-9a-f]{64} (?<bucket>\S+) \[(?<time>[^\]]+)\] \S+ \S+ \S+ (?<operation>[A-Z]\S+) \S+ ",
        r#"(?:"(?:[^"\\]|\\.)*"|-) (?<status>\d{3}|-) (?<error_code>\S+) (?<sent_bytes>\d+|-) \S+ (?<duration_ms>\d+|-) "#
    ),
    // ingress-nginx.
    concat!(
        r"^(?<client>\S+) - (?<user>\S+) \[(?<time>[^\]]+)\] ",
        request!(),
        r#" (?<status>\d{3}) (?<sent_bytes>\d+) "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*" (?<received_bytes>\d+) "#,
        r"(?<duration_seconds>[\d.]+) \[(?<upstream>[^\]]*)\]"
    ),
    // nginx' combined, and behind it its times as many write them: `rt=0.012 urt="0.011"`.
    concat!(
        r"^(?<client>\S+) - (?<user>\S+) \[(?<time>[^\]]+)\] ",
        request!(),
        r#" (?<status>\d{3}) (?<sent_bytes>\d+) .*?\b(?:rt|request_time)[=:]"?(?<request_time_seconds>[\d.]+)"#,
        r#"(?:.*?\b(?:urt|upstream_response_time)[=:]"?(?<upstream_time_seconds>[\d.]+|-))?"#
    ),
    // Access logs with how long it took at their end: Tomcat's and Apache's %D, gunicorn's %(D)s.
    concat!(
        r"^(?:(?<vhost>\S+) )??(?<client>\S+) \S+ (?<user>\S+) \[(?<time>[^\]]+)\] ",
        request!(),
        r#" (?<status>\d{3}) (?<sent_bytes>\d+|-)(?: "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*")? (?<duration>\d+(?:\.\d+)?)\s*$"#
    ),
    // Squid's own.
    concat!(
        r"^(?<time>\d{9,10}\.\d{3}) +(?<duration_ms>\d+) (?<client>\S+) (?<result>[A-Z_]+)/(?<status>\d{3}) (?<sent_bytes>\d+) ",
        r"(?<method>[A-Z]+) (?<url>\S+)"
    ),
    // Envoy's and Istio's text.
    concat!(
        r"^\[(?<time>\d{4}-[^\]]+)\] ",
        request!(),
        r#" (?<status>\d+) (?<flags>\S+) (?:\S+ \S+ "[^"]*" )?(?<received_bytes>\d+) (?<sent_bytes>\d+) "#,
        r"(?<duration_ms>\d+) (?<upstream_ms>\d+|-)"
    ),
    // Django's server.
    concat!(r"^\[(?<time>\d\d/\w{3}/\d{4} [\d:]+)\] ", request!(), r" (?<status>\d{3}) (?<sent_bytes>\d+)"),
    // Uvicorn, which has no time.
    concat!(r"^(?<level>[A-Z]+): +(?<client>\S+) - ", request!(), r" (?<status>\d{3})"),
    // CoreDNS, which has none either.
    concat!(
        r#"^\[(?<level>[A-Z]+)\] (?<client>\S+) - \d+ "(?<type>\S+) IN (?<name>\S+) (?<protocol>\S+) [^"]*" (?<rcode>\S+) "#,
        r"\S+ (?<sent_bytes>\d+) (?<duration>[\d.]+s)"
    ),
    // Linux' audit.
    concat!(
        r"^(?:node=(?<node>\S+) )?type=(?<type>\w+) msg=audit\((?<time>\d{9,10}\.\d{3}):\d+\):",
        r#"(?:.*?\bsuccess=(?<success>\w+))?(?:.*?\bexe="(?<exe>[^"]+)")?(?:.*?\bres=(?<result>\w+))?"#
    ),
    // VPC flow logs.
    concat!(
        r"^\d \d{12} (?<interface>eni-\S+) (?<source>\S+) (?<destination>\S+) \S+ (?<port>\S+) (?<protocol>\S+) ",
        r"(?<packets>\d+|-) (?<sent_bytes>\d+|-) (?<time>\d{10}) \d{10} (?<action>\S+) (?<status>\S+)"
    ),
    // Elasticsearch and OpenSearch.
    r"^\[(?<time>\d{4}-[^\]]+)\]\[(?<level>[A-Z]+) *\]\[(?<logger>[^\] ]+) *\] ?(?:\[(?<node>[^\]]+)\] ?)?(?<message>.*)",
    // Kafka, with the logger at the end.
    r"^\[(?<time>\d{4}-[^\]]+)\] (?<level>[A-Z]+) (?<message>.*?) \((?<logger>[a-z]\w*(?:\.\w+)+\$?)\)$",
    // Redis.
    r"^\d+:(?<role>[XCSM]) (?<time>\d\d? \w{3} \d{4} [\d:.]+) (?<level>[.*#-]) (?<message>.*)",
    // nginx' error log.
    r"^(?<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?<level>[a-z]+)\] \d+#\d+: (?<message>.*)",
    // Apache's error log.
    r"^\[(?<time>\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{4})\] \[(?:(?<module>[^\]:]*):)?(?<level>\w+)\] (?<message>.*)",
    // PostgreSQL, with how long statements took.
    concat!(
        r"^",
        time!(),
        r" (?:\S+ ){1,4}?(?<level>LOG|WARNING|ERROR|FATAL|PANIC|STATEMENT|DETAIL|HINT|NOTICE|CONTEXT): +",
        r"(?:duration: (?<duration_ms>[\d.]+) ms)?(?<message>.*)"
    ),
    // Rails.
    r"^[DIWEFA], \[(?<time>\d{4}-\S+) #\d+\] +(?<level>[A-Z]+) -- [^:]*: (?<message>.*)",
    // MySQL.
    r"^(?<time>\d{4}-\d\d-\d\dT\S+) \d+ \[(?<level>\w+)\] (?:\[(?<code>MY-\d+)\] \[(?<subsystem>\w+)\] )?(?<message>.*)",
    // Log4j, Logback, Spring Boot, Python and the like: a time, up to four words, a level.
    concat!(
        r"^(?:\x1b\[[\d;]*m)*\[?",
        time!(),
        r"\]?",
        space!(),
        r"*(?:\S+",
        space!(),
        r"+){0,4}?\[?",
        level!(),
        r"\b\]?",
        space!(),
        r"*(?<message>.*)"
    ),
    concat!(r"^\[?", time!(), r"\]?,?\s+\[?", small_level!(), r"\b\]?", space!(), r"*(?<message>.*)"),
    // The same with the level first.
    concat!(r"^\[?", level!(), r"\b\]?", space!(), r"+\[?", time!(), r"\]?", space!(), r"*(?<message>.*)"),
    // Go's own, and whatever begins with a time.
    concat!(r"^\[?", time!(), r"\]?\s+(?<message>.*)"),
];

static ALL: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let pattern = |text: &'static str| Regex::new(text).ok().map(|regex| Pattern { text, regex });
    PATTERNS.into_iter().filter_map(pattern).collect()
});

impl Pattern {
    /// The program that writes at least half of these lines.
    pub fn of_program(lines: &[String]) -> Option<&'static Pattern> {
        Pattern::first(&ALL[..OF_PROGRAMS.min(ALL.len())], lines)
    }

    /// What else at least half of these lines have in common.
    pub fn of(lines: &[String]) -> Option<&'static Pattern> {
        Pattern::first(&ALL, lines)
    }

    fn first(patterns: &'static [Pattern], lines: &[String]) -> Option<&'static Pattern> {
        let is_most = |pattern: &&Pattern| {
            let hits = lines.iter().filter(|line| pattern.regex.is_match(line)).count();
            hits > 0 && 2 * hits >= lines.len()
        };
        patterns.iter().find(is_most)
    }

    /// The fields.
    pub fn names(&self) -> Vec<String> {
        self.regex.capture_names().flatten().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(ALL.len(), PATTERNS.len());
    }

    #[test]
    fn lines_of_programs_are_told_apart() {
        for (line, names, values) in [
            (
                r#"<134>Nov 20 16:57:52 lb1 haproxy[713]: 192.0.2.7:51234 [20/Nov/2025:17:57:52.123] web~ app/app1 0/0/1/23/24 200 2750 - - ---- 5/5/1/0/0 0/0 "GET /api?x=1 HTTP/1.1""#,
                "time frontend backend server duration_ms status sent_bytes method path",
                "20/Nov/2025:17:57:52.123 web~ app app1 24 200 2750 GET /api",
            ),
            (
                r#"https 2026-07-01T10:00:00.123456Z app/lb/50dc 192.0.2.1:2817 10.0.0.1:80 0.086 0.048 0.037 502 502 0 57 "GET https://www.example.com:443/items/7?a=b HTTP/1.1" "curl/7.46.0""#,
                "type time elb duration_seconds status target_status received_bytes sent_bytes method path",
                "https 2026-07-01T10:00:00.123456Z app/lb/50dc 0.048 502 502 0 57 GET /items/7",
            ),
            (
                "2026/07/01 10:00:00 [error] 31#31: *5 open() failed",
                "time level message",
                "2026/07/01 10:00:00|error|*5 open() failed",
            ),
            (
                "[Wed Jul 01 10:00:00.123456 2026] [core:error] [pid 9] AH00124: too many",
                "time module level message",
                "Wed Jul 01 10:00:00.123456 2026|core|error|[pid 9] AH00124: too many",
            ),
            (
                "2026-07-01 10:00:00,123 INFO  [main] com.acme.Orders - handled",
                "time level message",
                "2026-07-01 10:00:00,123|INFO|[main] com.acme.Orders - handled",
            ),
            (
                "2026-07-01T10:00:00.123+02:00  WARN 1 --- [nio-8080-exec-1] c.a.Orders : slow",
                "time level message",
                "2026-07-01T10:00:00.123+02:00|WARN|1 --- [nio-8080-exec-1] c.a.Orders : slow",
            ),
            (
                "2026-07-01 10:00:00,123 - app.orders - ERROR - it failed",
                "time level message",
                "2026-07-01 10:00:00,123|ERROR|it failed",
            ),
            (
                "2026-07-01 10:00:00.123 UTC [313] LOG:  duration: 12.3 ms",
                "time level duration_ms message",
                "2026-07-01 10:00:00.123 UTC|LOG|12.3|",
            ),
            (
                "ERROR [2026-07-01 10:00:00,123] it failed",
                "level time message",
                "ERROR|2026-07-01 10:00:00,123|it failed",
            ),
            ("2026/07/01 10:00:00 listening", "time message", "2026/07/01 10:00:00|listening"),
        ] {
            let pattern = Pattern::of(&[line.to_owned()]).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(pattern.names().join(" "), names, "{line}");
            let captures = pattern.regex.captures(line).unwrap();
            let found: Vec<&str> =
                captures.iter().skip(1).map(|group| group.map_or("", |group| group.as_str())).collect();
            let separator = if values.contains('|') { "|" } else { " " };
            assert_eq!(found.join(separator), values, "{line}");
        }
        assert!(Pattern::of(&["Starting up".to_owned(), "it is a=1 or so".to_owned()]).is_none());
    }
}
