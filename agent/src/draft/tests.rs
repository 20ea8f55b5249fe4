//! A draft counts every good record of what it was drafted from, for each kind of log that there are samples of.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::sample::{Became, Line};

/// 2026-07-01, for what has no time of its own.
const READ_AT: i64 = 1_782_864_000_000;

fn logs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/logs")
}

fn lines(file: &Path) -> Vec<Record> {
    let bytes = fs::read(file).unwrap();
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| Record { payload: Some(line.to_vec()), read_at: Some(READ_AT), ..Record::default() }).collect()
}

fn drafted(name: &str, records: &[Record]) -> Draft {
    let subject = Subject {
        topic: name.to_owned(),
        bootstrap_servers: "localhost:9092".to_owned(),
        sample: format!("--sample {name}"),
        file: "c.yaml".to_owned(),
    };
    draft(records, &subject).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn became(text: &str, records: &[Record]) -> Vec<Line> {
    let config = config::parse(text, "c.yaml", &|_| None).unwrap();
    let mut rehearsal = Rehearsal::new(&config, &config.sources[0]);
    records.iter().flat_map(|record| rehearsal.record(record)).collect()
}

/// The kinds of JSON logs, and what a draft of each has to say.
const KINDS: [(&str, &[&str]); 30] = [
    ("aks-kube-audit", &["parse: { properties.log: json }", "field: time,", "verb: properties.log.verb"]),
    (
        "caddy",
        &["{ field: ts, format: unix_s }", "duration: { histogram: duration, unit: s }", "method: request.method"],
    ),
    ("cloudevents", &["{ from: kafka }", "type: type"]),
    ("cloudflare-ns", &["EdgeStartTimestamp", "method: ClientRequestMethod", "unit: bytes"]),
    ("cloudtrail-records", &["each: Records", "{ field: eventTime, format: rfc3339 }", "event_name: eventName"]),
    ("debezium", &["ts_ms.long", "op: op"]),
    ("docker-json-file", &["{ field: time, format: rfc3339 }", "parse: { log: [json, ", "stream: stream"]),
    ("ecs", &["{ field: '@timestamp', format: rfc3339 }", "log_level: '\"log.level\"'"]),
    ("envoy-typed", &["{ field: start_time, format: rfc3339 }", "response_code", "histogram: duration, unit: ms"]),
    ("fluentbit-kafka", &["'@timestamp'", "kubernetes."]),
    ("gcp-http", &["{ field: timestamp, format: rfc3339 }", "httpRequest.requestMethod", "httpRequest.status"]),
    ("gcp-structured", &["{ field: time, format: rfc3339 }", "severity: severity"]),
    ("gelf", &["field: timestamp, format: unix", "{ from: kafka }", "level: level"]),
    ("gharchive", &["{ field: created_at, format: rfc3339 }", "type: type"]),
    ("haproxy", &["format: clf", "method", "status"]),
    ("journald", &["{ field: __REALTIME_TIMESTAMP, format: unix_us }", "priority: PRIORITY"]),
    ("k8s-audit", &["requestReceivedTimestamp", "verb: verb", "code: responseStatus.code"]),
    ("laurel-auditd", &["field: ID, match: '^(\\d+\\.\\d+):', format: unix_s"]),
    ("logstash", &["{ field: '@timestamp', format: rfc3339 }", "level: level"]),
    ("mongodb", &["t.$date", "s: s", "durationMillis, unit: ms"]),
    ("nginx-clf", &["format: clf", "response: response", "bytes"]),
    (
        "nginx-strings",
        &["method: request_method", "status: status", "request_time: { histogram: request_time, unit: s }"],
    ),
    ("otlp-logs", &["format: otlp_json", "service.name", "severityText"]),
    ("pino", &["{ field: time, format: unix_ms }, { field: time, format: rfc3339 }", "responseTime, unit: ms"]),
    ("postgres-jsonlog", &["{ field: timestamp, format: iso8601 }", "error_severity: error_severity"]),
    ("serilog-clef", &["'@t'", "StatusCode", "Elapsed, unit: ms"]),
    ("suricata", &["{ field: timestamp, format: rfc3339 }", "event_type: event_type", "proto: proto"]),
    ("traefik", &["StartUTC", "RequestMethod", "DownstreamStatus", "Duration, unit: ns"]),
    ("zap-etcd", &["{ field: ts, format: rfc3339 }", "level: level", "took: { histogram: took, unit: s }"]),
    ("zeek", &["{ field: ts, format: rfc3339 }", "_path"]),
];

#[test]
fn every_good_line_of_every_kind_is_counted() {
    let mut wrong = Vec::new();
    let mut files: Vec<_> = fs::read_dir(logs().join("samples")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), KINDS.len());
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let records = lines(&file);
        let draft = drafted(&name, &records);
        for line in became(&draft.text, &records) {
            let payload = records[line.record as usize - 1].payload.as_deref().unwrap();
            let good = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(payload).is_ok();
            let counted = match &line.became {
                Became::Event { aggregates, .. } => aggregates.iter().all(|taken| taken.taken),
                Became::PassedBy { .. } | Became::DeadLetter { .. } => false,
            };
            if good && !counted {
                wrong.push(format!("{name}: {line}"));
            }
        }
        let (_, says) = KINDS.iter().find(|(kind, _)| *kind == name).unwrap();
        let unsaid = says.iter().filter(|text| !draft.text.contains(**text));
        wrong.extend(unsaid.map(|text| format!("{name} does not say {text}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Formats that are told by their look: the file, what the draft says, and how many of its lines cannot be read.
const FORMATS: [(&str, &[&str], u64); 9] = [
    ("cef.log", &["format: cef", "severity: severity"], 2),
    ("combined.log", &["format: combined", "method: method", "status: status", "{ sum: size, unit: bytes }"], 2),
    ("cri.log", &["format: cri", "stream: stream"], 2),
    ("gelf.log", &["format: json", "{ field: timestamp, format: unix }, { from: kafka }"], 1),
    ("klog.log", &["format: klog", "level: level"], 2),
    ("logfmt.log", &["format: logfmt", "{ field: ts, format: rfc3339 }", "{ histogram: took, unit: s }"], 2),
    ("syslog.log", &["format: syslog", "severity: severity"], 2),
    ("table.csv", &["{ csv: { names: [time, host, status, text] } }", "{ field: time, format: rfc3339 }"], 2),
    ("w3c.log", &["w3c: { names: [date, time, cs-method,", "sc-status"], 1),
];

#[test]
fn formats_of_text_are_told_by_their_look() {
    let mut wrong = Vec::new();
    for (file, says, unreadable) in FORMATS {
        let records = lines(&logs().join("lines").join(file));
        let draft = drafted(file, &records);
        let unsaid = says.iter().filter(|text| !draft.text.contains(**text));
        wrong.extend(unsaid.map(|text| format!("{file} does not say {text}:\n{}", draft.text)));
        let dead: u64 = draft.summary.dead_letters.values().sum();
        if dead != unreadable {
            wrong.push(format!("{file}: {dead} cannot be read, not {unreadable}:\n{}\n{}", draft.text, draft.summary));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_no_format_is_known_for_is_text_and_what_is_no_text_is_refused() {
    let records = |texts: &[&[u8]]| -> Vec<Record> {
        let record =
            |text: &&[u8]| Record { payload: Some(text.to_vec()), read_at: Some(READ_AT), ..Record::default() };
        texts.iter().map(record).collect()
    };
    let prose = records(&[b"Starting up", b"it is a=1 or so, who knows", b"ready"]);
    assert!(drafted("prose", &prose).text.contains("format: raw"));
    let subject = Subject {
        topic: "t".to_owned(),
        bootstrap_servers: "localhost:9092".to_owned(),
        sample: String::new(),
        file: "c.yaml".to_owned(),
    };
    let refused = |texts: &[&[u8]]| draft(&records(texts), &subject).map(|draft| draft.text).unwrap_err().to_string();
    assert!(refused(&[]).contains("no records"));
    assert!(refused(&[b"\0\0\0\0\x07\x02\x08abc"]).contains("schema_registry"));
    assert!(refused(&[b"\xff\xfe\x00\x01\x80\x81"]).contains("neither text"));
}

#[test]
fn lines_that_programs_write_are_drafted_by_a_pattern() {
    for (line, says) in [
        (
            r#"Jul  1 10:00:00 lb1 haproxy[713]: 192.0.2.7:51234 [01/Jul/2026:10:00:00.123] web~ app/app1 0/0/1/23/24 200 2750 - - ---- 5/5/1/0/0 0/0 "GET /api HTTP/1.1""#,
            &["field: time, format: clf", "status: status", "errors: ", "histogram: duration_ms, unit: ms }"],
        ),
        (
            r#"https 2026-07-01T10:00:00.123456Z app/lb/50dc 192.0.2.1:2817 10.0.0.1:80 0.086 0.048 0.037 502 502 0 57 "GET https://www.example.com:443/items/7 HTTP/1.1" "curl/7.46.0""#,
            &["field: time, format: rfc3339", "status: status", "errors: ", "histogram: duration_seconds, unit: s }"],
        ),
        (
            "2026-07-01 10:00:00,123 ERROR [main] com.acme.Orders - it failed",
            &["field: time, format: iso8601", "level: level", "errors: ", "zone"],
        ),
        (
            "[Wed Jul 01 10:00:00.123456 2026] [core:error] [pid 9] AH00124: too many",
            &["field: time, format: '%a %b %e %H:%M:%S%.f %Y'", "level: level", "errors: ", "regex: "],
        ),
    ] {
        let record = Record { payload: Some(line.as_bytes().to_vec()), read_at: Some(READ_AT), ..Record::default() };
        let draft = drafted("t", &vec![record; 20]);
        assert_eq!((draft.summary.events, draft.summary.is_good()), (20, true), "{}", draft.text);
        for words in says {
            assert!(draft.text.contains(words), "{words}: {}", draft.text);
        }
    }
}

/// Lines as programs write them, and what a draft of twenty of them says.
const LINES: [(&str, &[&str]); 24] = [
    (
        r#"203.0.113.7 - jo [01/Jul/2026:10:00:00 +0000] "GET /a?b=c HTTP/1.1" 502 17 "-" "curl/8" 412 0.250 [shop-80] [] 10.0.0.9:8080 17 0.249 502 c0ffee"#,
        &["format: clf", "status: status", "{ histogram: duration_seconds, unit: s }"],
    ),
    (
        r#"203.0.113.7 - - [01/Jul/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 17 "-" "curl/8" rt=0.250 uct="0.001" urt="0.249""#,
        &["{ histogram: request_time_seconds, unit: s }", "{ histogram: upstream_time_seconds, unit: s }"],
    ),
    (
        r#"203.0.113.7 - - [01/Jul/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 - 12"#,
        &["method: method", "{ histogram: duration, unit: ms }", "`s` if not"],
    ),
    (
        r#"a.example:443 203.0.113.7 - - [01/Jul/2026:10:00:00 +0000] "GET /a HTTP/1.1" 500 17 "-" "curl/8""#,
        &["format: combined", "vhost: vhost", "errors: "],
    ),
    (
        r"1782900000.123    412 203.0.113.7 TCP_MISS/503 1743 GET http://a.example/ - HIER_DIRECT/192.0.2.7 text/html",
        &["{ field: time, format: unix_s }", "status: status", "result: result", "duration_ms, unit: ms }", "errors: "],
    ),
    (
        r#"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef shop [01/Jul/2026:10:00:00 +0000] 203.0.113.7 - 3E57 REST.GET.OBJECT a.pdf "GET /shop/a.pdf HTTP/1.1" 403 AccessDenied 243 - 7 - "-" "curl/8" -"#,
        &["format: clf", "operation: operation", "{ histogram: duration_ms, unit: ms }"],
    ),
    (
        r#"[2026-07-01T10:00:00.123Z] "GET /a HTTP/2" 503 UF upstream_reset - "reset" 0 91 42 - "-" "curl/8" "id" "a.example" "-""#,
        &["format: rfc3339", "flags: flags", "{ histogram: duration_ms, unit: ms }", "errors: "],
    ),
    (
        "2026-07-01T10:00:00.123456Z lb 203.0.113.7:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 \"GET http://a.example:80/ HTTP/1.1\" \"curl/8\" - -",
        &["format: rfc3339", "{ histogram: duration_seconds, unit: s }", "status: status"],
    ),
    (
        r#"[01/Jul/2026 10:00:00] "GET /a/ HTTP/1.1" 200 5000"#,
        &["'%d/%b/%Y %H:%M:%S%.f'", "method: method", "{ sum: sent_bytes, unit: bytes }"],
    ),
    (
        "INFO:     127.0.0.1:4711 - \"GET /a HTTP/1.1\" 500 Internal Server Error",
        &["{ from: kafka }", "status: status"],
    ),
    (
        r#"[INFO] 10.0.0.1:5353 - 47 "A IN a.example. udp 29 false 512" NOERROR qr,rd,ra 106 0.000123456s"#,
        &["rcode: rcode", "{ histogram: duration, unit: s }"],
    ),
    ("1:M 01 Jul 2026 10:00:00.123 * DB saved on disk", &["'%d %b %Y %H:%M:%S%.f'", "level: level"]),
    (
        r#"type=SYSCALL msg=audit(1782900000.123:47): arch=c000003e syscall=59 success=no exit=-13 comm="ls" exe="/bin/ls" key="x""#,
        &["{ field: time, format: unix_s }", "type: type", "success: success"],
    ),
    (
        "2 123456789010 eni-1235b8ca 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1782900000 1782900060 REJECT OK",
        &["{ field: time, format: unix_s }", "action: action", "{ sum: sent_bytes, unit: bytes }"],
    ),
    (
        "[2026-07-01T10:00:00,123][WARN ][o.e.m.j.JvmGcMonitorService] [node-1] [gc][47] overhead",
        &["level: level", "logger: logger", "zone"],
    ),
    (
        "[2026-07-01 10:00:00,123] ERROR [Log partition=a-0] Failed (kafka.log.LogManager)",
        &["level: level", "logger: logger", "errors: "],
    ),
    ("[2026-07-01 10:00:00,123: WARNING/ForkPoolWorker-1] Task succeeded", &["level: level"]),
    ("2026-07-01 10:00:00.123+0000 [id=47]\tSEVERE\thudson.model.Run#execute: x", &["format: rfc3339", "errors: "]),
    ("01-Jul-2026 10:00:00.123 SEVERE [main] org.apache.catalina.Startup x", &["'%d-%b-%Y %H:%M:%S%.f'", "errors: "]),
    ("26/07/01 10:00:00 ERROR spark.Executor: a, b, c", &["'%y/%m/%d %H:%M:%S%.f'", "errors: "]),
    ("2026-07-01T10:00:00.123456Z\terror\tads\tPush failed", &["format: rfc3339", "level: level", "errors: "]),
    ("2026-07-01 10:00:00.123456+00:00 [error] <0.47.0> refused", &["format: rfc3339", "errors: "]),
    (
        "\u{1b}[2m2026-07-01T10:00:00.123+02:00\u{1b}[0;39m \u{1b}[31mERROR\u{1b}[0;39m \u{1b}[35m1\u{1b}[0;39m --- x",
        &["format: rfc3339", "level: level", "errors: "],
    ),
    (
        "2026-07-01 10:00:00.123 CEST [47] app@shop ERROR:  duration: 12.345 ms  statement: SELECT 1",
        &["format: iso8601", "{ histogram: duration_ms, unit: ms }", "errors: "],
    ),
];

#[test]
fn lines_of_other_programs_are_drafted_too() {
    let mut wrong = Vec::new();
    for (line, says) in LINES {
        let record = Record { payload: Some(line.as_bytes().to_vec()), read_at: Some(READ_AT), ..Record::default() };
        let draft = drafted("t", &vec![record; 20]);
        if (draft.summary.events, draft.summary.is_good()) != (20, true) {
            wrong.push(format!("{line}: {}", draft.summary));
        }
        let unsaid = says.iter().filter(|words| !draft.text.contains(**words));
        wrong.extend(unsaid.map(|words| format!("{line} does not say {words}:\n{}", draft.text)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Drafts of lines that differ.
fn drafted_of(lines: impl IntoIterator<Item = String>) -> String {
    let record = |line: String| Record { payload: Some(line.into()), read_at: Some(READ_AT), ..Record::default() };
    drafted("t", &lines.into_iter().map(record).collect::<Vec<_>>()).text
}

#[test]
fn what_is_the_same_in_all_events_is_not_their_time_and_takes_no_labels_place() {
    let hook = |n: usize| {
        format!(
            r#"{{"repository":{{"created_at":"2011-01-26T19:01:12Z","type":"a","kind":"b"}},"run":{{"created_at":"2026-07-01T10:00:{n:02}Z"}},
            "a_type":"x","b_type":"y","c_type":"z","api_version":"2024-06-20","table":"t{}"}}"#,
            n % 3
        )
    };
    let text = drafted_of((0..20).map(hook));
    assert!(text.contains("timestamp: { field: run.created_at, format: rfc3339 }"), "{text}");
    assert!(text.contains("\n      table: table"), "{text}");
}

#[test]
fn a_level_may_be_a_number_and_a_number_below_zero_none() {
    let text = drafted_of((0..20).map(|n| format!(r#"{{"time":{},"level":{}}}"#, 1_782_900_000 + n, 30 + n % 3 * 10)));
    assert!(text.contains("errors: { count: { where: { level: { gte: 50 } } } }"), "{text}");
    let journal = |n| format!(r#"{{"time":{},"PRIORITY":"{}"}}"#, 1_782_900_000 + n, n % 7);
    let text = drafted_of((0..20).map(journal));
    assert!(text.contains("errors: { count: { where: { PRIORITY: { lte: 3 } } } }"), "{text}");
    let outcome = |n: usize| {
        format!(r#"{{"time":{},"outcome":{{"result":"{}"}}}}"#, 1_782_900_000 + n, ["SUCCESS", "FAILURE"][n % 2])
    };
    let text = drafted_of((0..20).map(outcome));
    assert!(text.contains("errors: { count: { where: { outcome.result: [FAILURE] } } }"), "{text}");
    let balancer = |n: usize| format!(r#"{{"time":{},"took_seconds":{}}}"#, 1_782_900_000 + n, ["0.25", "-1"][n / 15]);
    let text = drafted_of((0..20).map(balancer));
    assert!(text.contains("{ histogram: took_seconds, unit: s, where: { took_seconds: { gte: 0 } } }"), "{text}");
    assert!(text.contains("in 15 of 20 events, 0.25 to 0.25"), "{text}");
}

#[test]
fn tables_have_the_names_that_a_heading_says() {
    let row = |n: usize| format!("{}.5\tC{n}\t10.0.0.{n}\t53\ta b\t-", 1_782_900_000 + n);
    let zeek = ["#separator \\x09", "#fields\tts\tuid\tid.orig_h\tid.resp_p\tuser_agent\tduration", "#types\ttime"];
    let text = drafted_of(zeek.map(str::to_owned).into_iter().chain((0..20).map(row)));
    assert!(text.contains("w3c: { names: [ts, uid, id.orig_h, id.resp_p, user_agent, duration] }"), "{text}");
    assert!(text.contains("{ field: ts, format: unix_s }"), "{text}");
    let row = |n: usize| format!("2 eni-{n} {} ACCEPT OK", 1_782_900_000 + n);
    let text =
        drafted_of(["version interface-id start action log-status".to_owned()].into_iter().chain((0..20).map(row)));
    assert!(text.contains("delimiter: ' '") && text.contains("{ field: start, format: unix_s }"), "{text}");
}

#[test]
fn a_table_without_a_heading_is_none_the_less_one() {
    let row = |n: usize| format!(r#"2026-07-01 10:00:{n:02}.123 UTC,"app","shop",{n},"LOG","a b""#);
    let text = drafted_of((0..20).map(row));
    assert!(text.contains("csv: { names: [column1, ") && text.contains("field: column1, format: iso8601"), "{text}");
}

#[test]
fn what_is_in_the_message_of_a_line_is_looked_into() {
    let line = |n: usize| {
        format!(r#"<158>1 2026-07-01T10:00:{n:02}Z host heroku router - at=info method=GET status=200 service={n}ms"#)
    };
    let text = drafted_of((0..20).map(line));
    assert!(text.contains("format: syslog") && text.contains("parse: { message: logfmt }"), "{text}");
    assert!(text.contains("method: message.method") && text.contains("histogram: message.service"), "{text}");
    let line = |n: usize| format!(r#"2026-07-01T10:00:{n:02}Z stdout F {{"level":"ERROR","took_ms":{n}}}"#);
    let text = drafted_of((0..20).map(line));
    assert!(text.contains("parse: { message: json }") && text.contains("level: message.level"), "{text}");
}

#[test]
fn times_are_found_where_they_are() {
    let timestamp = |lines: &[&str]| {
        let record = |line: &&str| Record {
            payload: Some(line.as_bytes().to_vec()),
            read_at: Some(READ_AT),
            ..Record::default()
        };
        let records: Vec<Record> = lines.iter().map(record).collect();
        let draft = drafted("t", &records);
        assert_eq!(draft.summary.events, lines.len() as u64, "{}", draft.text);
        let found = draft.text.lines().find_map(|line| line.strip_prefix("    timestamp: "));
        found.unwrap_or_else(|| panic!("{}", draft.text)).to_owned()
    };
    for (line, found) in [
        (
            r#"{"instant":{"epochSecond":1785783246,"nanoOfSecond":731773845}}"#,
            "{ seconds: instant.epochSecond, nanos: instant.nanoOfSecond }",
        ),
        (r#"{"when":"2026/07/01 10:00:00","n":1785783246}"#, "{ field: when, format: '%Y/%m/%d %H:%M:%S%.f' }"),
        (r#"{"date":"Wed, 01 Jul 2026 10:00:00 +0000"}"#, "{ field: date, format: '%a, %d %b %Y %H:%M:%S %z' }"),
        (r#"{"@timestamp":"2026-07-01 10:00:00,123"}"#, "{ field: '@timestamp', format: iso8601 }"),
        (r#"{"flow_id":298824096900233,"user_id":1785783246}"#, "{ from: kafka }"),
        (
            r#"{"t":{"$date":"2026-07-01T10:00:00Z"},"expires_at":"2027-07-01T10:00:00Z"}"#,
            "{ field: t.$date, format: rfc3339 }",
        ),
    ] {
        let found_there = timestamp(&[line, line]);
        assert_eq!(found_there.replace("'t.$date'", "t.$date"), found, "{line}");
    }
    let some = [r#"{"ts":1785783246}"#, r#"{"ts":1785783246123}"#, r#"{"ts":"2026-07-01T10:00:00Z"}"#, "{}"];
    assert_eq!(timestamp(&some), "[{ field: ts, format: unix }, { field: ts, format: rfc3339 }, { from: kafka }]");
}

#[test]
fn a_draft_is_a_config_whatever_fields_are_called() {
    let odd = r##"{"time": "2026-01-01T00:00:00Z", "a b": {"x.y": "1", "it's": true, "": 2, "%k": "v"}, "le": "1", "status\n": 200,
        "\"q\"": "x", "topic": "t", "no": "yes", "#": "#"}"##;
    let record = Record { payload: Some(odd.as_bytes().to_vec()), read_at: Some(READ_AT), ..Record::default() };
    let draft = drafted("7.odd-topic", &vec![record; 20]);
    assert_eq!((draft.summary.events, draft.summary.is_good()), (20, true), "{}", draft.text);
}
