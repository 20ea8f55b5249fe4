//! Formats of text: lines of real programs, whole and broken, and each format against its slow twin.

use proptest::prelude::*;

use super::super::{Decoder, Outcome, Part, Record};
use super::twins::{self, Fields};
use crate::aggregate::samples::source;
use crate::config::{FieldPath, Format, FormatKind, Source, Timestamp};
use crate::value::Value;

/// 2026-01-02T00:00:00Z, a day after the New Year that some times have to be dated around.
const RECORD_TIME: i64 = 1_767_312_000_000;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn decoder(kind: FormatKind, lines: bool, fields: &[&str], timestamp: Timestamp) -> Decoder {
    let fields: Vec<_> = fields.iter().map(|field| FieldPath::parse(field).unwrap()).collect();
    Decoder::of(&fields, &Source { format: Format { kind, lines }, timestamp, ..source() }, 1 << 20)
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Missing => "-".into(),
        Value::Str(text) | Value::Digits(text) => (*text).into(),
        Value::Bool(truth) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

type Read = Result<(i64, Vec<String>), &'static str>;

fn events(decoder: &mut Decoder, payload: &[u8]) -> Vec<Read> {
    let mut found = Vec::new();
    decoder.events(
        payload,
        Record::at(Some(RECORD_TIME)),
        |_| true,
        |_: &Part<'_>, outcome: Outcome<'_>| {
            let event = outcome.map_err(|error| error.reason());
            found.push(
                event.map(|event| event.map_or((0, Vec::new()), |e| (e.time, e.values.iter().map(shown).collect()))),
            );
        },
    );
    found
}

/// Reads one line; the time is that of the format.
fn read(kind: FormatKind, fields: &[&str], line: &str) -> Read {
    let timestamp = kind.timestamp().unwrap_or(Timestamp::Kafka);
    events(&mut decoder(kind, false, fields, timestamp), line.as_bytes()).remove(0)
}

/// The time that a line names, as RFC 3339.
fn time(kind: FormatKind, line: &str) -> String {
    read(kind, &[], line)
        .map_or_else(str::to_owned, |(time, _)| jiff::Timestamp::from_millisecond(time).unwrap().to_string())
}

fn values(kind: FormatKind, fields: &[&str], line: &str) -> Result<String, &'static str> {
    read(kind, fields, line).map(|(_, values)| values.join("|"))
}

#[test]
fn access_logs_of_apache_and_nginx() {
    use FormatKind::{Combined, Common};
    let fields =
        ["host", "identity", "user", "method", "path", "protocol", "status", "size", "referrer", "agent", "message"];
    for (line, expected) in [
        (
            r#"127.0.0.1 bob frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)""#,
            "127.0.0.1|bob|frank|GET|/apache_pb.gif|HTTP/1.0|200|2326|http://www.example.com/start.html|Mozilla/4.08 [en] (Win98; I ;Nav)|GET /apache_pb.gif HTTP/1.0",
        ),
        (
            r#"::1 - - [10/Oct/2000:13:55:36 +0000] "POST /a b?c=\"d\" HTTP/2.0" 503 - "-" "-""#,
            r#"::1|-|-|POST|/a b?c=\"d\"|HTTP/2.0|503|-|-|-|POST /a b?c=\"d\" HTTP/2.0"#,
        ),
        // A line without the last two, and one with something of its own behind them.
        (r#"h - - [10/Oct/2000:13:55:36 +0000] "GET /" 200 5"#, "h|-|-|GET|/|-|200|5|-|-|GET /"),
        (
            r#"h - Jo Doe [10/Oct/2000:13:55:36 +0000] "PRI * HTTP/2.0" 400 157 "-" "x" "10.0.0.1" rt=0.1"#,
            "h|-|Jo Doe|PRI|*|HTTP/2.0|400|157|-|x|PRI * HTTP/2.0",
        ),
        // A user's name that is nothing, with its two spaces.
        (r#"h -  [10/Oct/2000:13:55:36 +0000] "GET /" 200 5"#, "h|-||GET|/|-|200|5|-|-|GET /"),
        // What was no request at all.
        (r#"h - - [10/Oct/2000:13:55:36 +0000] "\x16\x03\x01" 400 0 "-" "-""#, r"h|-|-|-|-|-|400|0|-|-|\x16\x03\x01"),
        (r#"h - - [10/Oct/2000:13:55:36 +0000] "-" 408 - "-" "-""#, "h|-|-|-|-|-|408|-|-|-|-"),
    ] {
        for kind in [Common, Combined] {
            assert_eq!(values(kind, &fields, line).as_deref(), Ok(expected), "{line}");
        }
    }
    let line = r#"h - - [17/May/2015:08:05:32 +0200] "GET / HTTP/1.1" 200 5"#;
    assert_eq!(time(Common, line), "2015-05-17T06:05:32Z");
    for broken in [
        "",
        " ",
        "{\"host\":\"h\"}",
        r#"h - - [17/May/2015:08:05:32 +0200] "GET / HTTP/1.1 200 5"#,
        r#"h - - [17/May/2015:08:05:32 +0200 "GET / HTTP/1.1" 200 5"#,
        r#"h - - [17/May/2015:08:05:32 +0200] "GET / HTTP/1.1" OK 5"#,
        r#"h - - [17/May/2015:08:05:32 +0200] "GET / HTTP/1.1" 200 5 "cut"#,
        r#"h - - [17/May/2015:08:05:32 +0200] "GET / HTTP/1.1"#,
    ] {
        let error = if broken.is_empty() { "empty" } else { "not_in_format" };
        assert_eq!(values(Combined, &fields, broken), Err(error), "{broken}");
    }
    let undated = r#"h - - [yesterday] "GET / HTTP/1.1" 200 5"#;
    assert_eq!(values(Combined, &fields, undated), Err("bad_timestamp"));
}

#[test]
fn access_logs_with_more_before_the_client() {
    let fields = ["vhost", "host", "identity", "user", "method", "status"];
    for (line, expected) in [
        // Apache's `vhost_combined`, with an address or a name for the client, and nginx' `$host $remote_addr - $remote_user`.
        ("a.example:443 203.0.113.7 - bob [T] R 200 5", "a.example:443|203.0.113.7|-|bob|GET|200"),
        ("a.example:80 2001:db8::7 - - [T] R 200 5", "a.example:80|2001:db8::7|-|-|GET|200"),
        ("a.example:80 client.example - - [T] R 200 5", "a.example:80|client.example|-|-|GET|200"),
        ("a.example 203.0.113.7 - - [T] R 404 5", "a.example|203.0.113.7|-|-|GET|404"),
        // What has a port and is a client.
        ("203.0.113.7:4711 - - [T] R 200 5", "-|203.0.113.7:4711|-|-|GET|200"),
        ("203.0.113.7:4711 bob - [T] R 200 5", "-|203.0.113.7:4711|bob|-|GET|200"),
        ("[2001:db8::7]:80 bob - [T] R 200 5", "-|[2001:db8::7]:80|bob|-|GET|200"),
        ("2001:db8::80 bob - [T] R 200 5", "-|2001:db8::80|bob|-|GET|200"),
        // `X-Forwarded-For` for the client.
        ("203.0.113.7, 10.0.0.1, 10.0.0.2 - bob [T] R 200 5", "-|203.0.113.7|-|bob|GET|200"),
    ] {
        let line = line.replace("[T] R", r#"[10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1""#);
        assert_eq!(values(FormatKind::Combined, &fields, &line).as_deref(), Ok(expected), "{line}");
    }
}

#[test]
fn messages_of_syslog() {
    use FormatKind::Syslog;
    let fields = [
        "appname",
        "facility",
        "hostname",
        "message",
        "msgid",
        "procid",
        "severity",
        "version",
        "\"exampleSDID@32473\".iut",
        "\"exampleSDID@32473\".eventSource",
        "other.x",
    ];
    for (line, expected) in [
        (
            r#"<13>1 2020-03-13T20:45:38.119Z dynamicwireless.name non 2426 ID931 [exampleSDID@32473 iut="3" eventSource= "Application"][other x="a\]\"b"] Try to override"#,
            r#"non|user|dynamicwireless.name|Try to override|ID931|2426|notice|1|3|Application|a]"b"#,
        ),
        (
            "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - \u{feff}%% It's time",
            "myproc|local4|192.0.2.1|%% It's time|-|8710|notice|1|-|-|-",
        ),
        ("<34>1 2003-10-11T22:14:15.003Z - su - ID47 -", "su|auth|-|-|ID47|-|crit|1|-|-|-"),
        (
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed on /dev/pts/8",
            "su|auth|mymachine|'su root' failed on /dev/pts/8|-|-|crit|-|-|-|-",
        ),
        ("<6>Jan  2 09:10:11 web1 nginx[17]: started", "nginx|kern|web1|started|-|17|info|-|-|-|-"),
        ("Jan  2 09:10:11 web1 CRON[1]: (root) CMD", "CRON|-|web1|(root) CMD|-|1|-|-|-|-|-"),
        ("<190>2026-01-01T10:00:00.5+01:00 fw %ASA-6-302013: Built", "%ASA-6-302013|local7|fw|Built|-|-|info|-|-|-|-"),
        ("<189>*Jan 1 2026 10:00:00: switch x: up", "x|local7|switch|up|-|-|notice|-|-|-|-"),
        ("<13>Jan 1 10:00:00 h last message repeated", "-|user|h|last message repeated|-|-|notice|-|-|-|-"),
        ("83 <34>1 2003-10-11T22:14:15.003Z h su - ID47 - x", "su|auth|h|x|ID47|-|crit|1|-|-|-"),
        // Heroku, which leaves out the structured data.
        (
            "<158>1 2026-01-01T10:00:00.5+00:00 host heroku router - at=info path=\"/\"",
            "heroku|local3|host|at=info path=\"/\"|-|router|info|1|-|-|-",
        ),
        ("<34>1 2026-01-01T10:00:00Z h app web.1 - [2026-01-01] [7] x=1", "app|auth|h|[7] x=1|-|web.1|crit|1|-|-|-"),
        ("<34>1 2026-01-01T10:00:00Z h app web.1 - [2026 10] x", "app|auth|h|[2026 10] x|-|web.1|crit|1|-|-|-"),
        // Cisco: a number, a doubted clock, its zone.
        ("<189>47: *Jan 1 10:00:00.123: %LINK-3-UPDOWN: down", "%LINK-3-UPDOWN|local7|-|down|-|-|notice|-|-|-|-"),
        ("<189>47: Jan 1 10:00:00.1 CET: %SYS-5-CONFIG_I: x", "%SYS-5-CONFIG_I|local7|-|x|-|-|notice|-|-|-|-"),
        ("<13>Jan 1 10:00:00 UTC h su: x", "su|user|h|x|-|-|notice|-|-|-|-"),
        ("<13> 2026 Jan 1 10:00:00 h su: x", "su|user|h|x|-|-|notice|-|-|-|-"),
        ("<13>2026-01-01 10:00:00 h su[1]: x", "su|user|h|x|-|1|notice|-|-|-|-"),
    ] {
        assert_eq!(values(Syslog, &fields, line).as_deref(), Ok(expected), "{line}");
    }
    for (line, expected) in [
        ("<165>1 2003-08-24T05:14:15.000003-07:00 h a 1 - -", "2003-08-24T12:14:15Z"),
        // The year that is nearest to the record's.
        ("<34>Dec 31 23:59:59 h su: x", "2025-12-31T23:59:59Z"),
        ("<34>Jan  2 00:00:01 h su: x", "2026-01-02T00:00:01Z"),
        ("<34>Jun 30 00:00:01.25 h su: x", "2026-06-30T00:00:01.25Z"),
        ("<34>Feb  3 2019 10:00:00 h su: x", "2019-02-03T10:00:00Z"),
        ("<34>Jan  2 00:00:01.5 CET h su: x", "2026-01-01T23:00:01.5Z"),
        ("<34>2025 Feb 28 00:00:01 h su: x", "2025-02-28T00:00:01Z"),
        ("<34>2025-02-28 00:00:01,5 h su: x", "2025-02-28T00:00:01.5Z"),
        ("<34>Jan  2 00:00:01 CST h su: x", "bad_timestamp"),
        ("<34>1 - h su - - - x", "missing_timestamp"),
        ("<34>Feb 30 10:00:00 h su: x", "not_in_format"),
        ("<34>Jan 1 25:00:00 h su: x", "not_in_format"),
    ] {
        assert_eq!(time(Syslog, line), expected, "{line}");
    }
    for broken in [
        "plain text",
        "<>1 x",
        "<192>1 2003-10-11T22:14:15.003Z h a p m -",
        "<34>1 2003-10-11T22:14:15.003Z h a p",
        "<34>1 2003-10-11T22:14:15.003Z h a p m [x y=\"1]",
        "<34>1 2003-10-11T22:14:15.003Z h a p m [x y=\"1\"",
        "<34>",
        "<34>2025 2025-02-28 00:00:01 h su: x",
        "<34>2025-02-28Tx h su: x",
        "<1234>Jan 1 10:00:00 h su: x",
        "<34>1 2003-10-11T22:14:15.003Z h a p m -x",
    ] {
        assert_eq!(values(Syslog, &fields, broken), Err("not_in_format"), "{broken}");
    }
}

#[test]
fn lines_of_kubernetes_and_of_containers() {
    use FormatKind::{Cri, Klog};
    let fields = ["level", "id", "file", "line", "message"];
    let line = "I0505 17:59:40.692994   28133 klog.go:70] hello from klog";
    assert_eq!(values(Klog, &fields, line).as_deref(), Ok("info|28133|klog.go|70|hello from klog"));
    assert_eq!(time(Klog, line), "2026-05-05T17:59:40.692Z");
    assert_eq!(time(Klog, "E1231 23:00:00.000001 1 a.go:1] x"), "2025-12-31T23:00:00Z");
    let stack = "F0101 10:00:00.1 7 main.go:1] died\ngoroutine 1 [running]:\nmain()";
    assert_eq!(values(Klog, &fields, stack).as_deref(), Ok("fatal|7|main.go|1|died\ngoroutine 1 [running]:\nmain()"));
    for broken in [
        "D0505 17:59:40.692994 1 a.go:70] x",
        "I0505 17:59:40 1 a.go] x",
        "I0505",
        "I1305 17:59:40.1 1 a.go:70] x",
        "I05é5 17:59:40.1 1 a.go:70] x",
    ] {
        assert_eq!(values(Klog, &["timestamp"], broken), Err("not_in_format"), "{broken}");
    }
    let fields = ["timestamp", "stream", "logtag", "message"];
    for (line, expected) in [
        (
            "2016-10-06T00:17:09.669794202Z stdout F log content 1",
            "2016-10-06T00:17:09.669794202Z|stdout|F|log content 1",
        ),
        ("2016-10-06T00:17:09.669794202+02:00 stderr P  part", "2016-10-06T00:17:09.669794202+02:00|stderr|P| part"),
        ("2016-10-06T00:17:09Z stdout F ", "2016-10-06T00:17:09Z|stdout|F|"),
        ("2016-10-06T00:17:09Z stdout F", "2016-10-06T00:17:09Z|stdout|F|"),
    ] {
        assert_eq!(values(Cri, &fields, line).as_deref(), Ok(expected), "{line}");
    }
    for broken in
        ["2016-10-06T00:17:09Z stdlog F x", "2016-10-06T00:17:09Z stdout X x", "now stdout F x", "2016-10-06T00:17:09Z"]
    {
        assert_eq!(values(Cri, &fields, broken), Err("not_in_format"), "{broken}");
    }
}

#[test]
fn keys_and_values() {
    use FormatKind::{Cef, Logfmt};
    let fields = ["level", "msg", "took", "debug", "\"a.b\"", "x"];
    for (line, expected) in [
        (r#"level=info msg="request \"done\"\n" took=12ms debug a.b=1"#, "info|request \"done\"\n|12ms|true|1|-"),
        ("  level=warn\tmsg=  x=1 x=2 ", "warn||-|-|-|2"),
        (r#"msg="caf\u00e9 \x \ud800" level="""#, "|café \\x \\ud800|-|-|-|-"),
        ("x=a=b level=é", "é|-|-|-|-|a=b"),
    ] {
        assert_eq!(values(Logfmt, &fields, line).as_deref(), Ok(expected), "{line}");
    }
    for broken in ["plain text", "=1", "a=\"cut", "a=b\"c", "a=\"b\"c", "\"a\"=1", "a\"=1", "  "] {
        assert_eq!(values(Logfmt, &fields, broken), Err("not_in_format"), "{broken}");
    }
    let fields = [
        "cefVersion",
        "deviceVendor",
        "deviceProduct",
        "deviceVersion",
        "deviceEventClassId",
        "name",
        "severity",
        "suser",
        "msg",
        "cs1Label",
    ];
    for (event, expected) in [
        (
            "CEF:0|CyberArk|PTA|12.6|1|Suspected credentials theft|8|suser=mike2@prod1.domain.com msg=a b \\= c\\nd cs1Label=ExtraData",
            "0|CyberArk|PTA|12.6|1|Suspected credentials theft|8|mike2@prod1.domain.com|a b = c\nd|ExtraData",
        ),
        (r"Sep 29 08:26:10 host CEF:1|a\|b|c\\d|1|x|y|High|", r"1|a|b|c\d|1|x|y|High|-|-|-"),
        ("CEF:0|a|b|1|x|y|3|msg=http://h/?q=1&r=2 suser= cs1Label=z", "0|a|b|1|x|y|3||http://h/?q=1&r=2|z"),
    ] {
        assert_eq!(values(Cef, &fields, event).as_deref(), Ok(expected), "{event}");
    }
    for broken in ["CEF:0|a|b|1|x|y|3", "CEF:0|a", "x", "CEF:0|a|b|1|x|y|3|no key"] {
        assert_eq!(values(Cef, &fields, broken), Err("not_in_format"), "{broken}");
    }
    assert_eq!(time(Cef, "CEF:0|a|b|1|x|y|3|rt=1700000000000 msg=x"), "2023-11-14T22:13:20Z");
    assert_eq!(time(Cef, "CEF:0|a|b|1|x|y|3|rt=Nov 14 2023 22:13:20"), "2023-11-14T22:13:20Z");
    assert_eq!(time(Cef, "CEF:0|a|b|1|x|y|3|"), "2026-01-02T00:00:00Z");
}

#[test]
fn columns_with_names() {
    let csv = |delimiter| FormatKind::Csv { names: names(&["time", "host", "text"]), delimiter };
    let fields = ["host", "text", "time"];
    for (kind, line, expected) in [
        (csv(','), "1,web1,plain", Ok("web1|plain|1")),
        (csv(','), "1,\"web,1\",\"a \"\"b\"\" c\",more", Ok("web,1|a \"b\" c|1")),
        (csv(','), ",,", Ok("||")),
        (csv(';'), "1;\"a;b\";c,d", Ok("a;b|c,d|1")),
        (csv(','), "1,web1", Err("not_in_format")),
        (csv(','), "1,\"web1,x", Err("not_in_format")),
        (csv(','), "1,\"web1\"x,y", Err("not_in_format")),
        (csv(','), "time,host,\"text\"", Err("comment")),
        (csv(','), "time,host,other", Ok("host|other|time")),
        (FormatKind::Tsv { names: names(&["time", "host", "text"]) }, "1\ta b\t\"x", Ok("a b|\"x|1")),
        (FormatKind::Tsv { names: names(&["time", "host", "text"]) }, "1\ta", Err("not_in_format")),
    ] {
        assert_eq!(values(kind, &fields, line).as_deref(), expected.as_ref().copied(), "{line}");
    }
    let kind =
        FormatKind::W3c { names: names(&["date", "time", "cs-method", "cs-uri-stem", "sc-status", "cs(User-Agent)"]) };
    let fields = ["cs-method", "cs-uri-stem", "sc-status", "\"cs(User-Agent)\"", "timestamp"];
    for (line, expected) in [
        (
            "2026-01-01 10:00:00 GET /a.htm 200 Mozilla/5.0+(X11)",
            Ok("GET|/a.htm|200|Mozilla/5.0+(X11)|2026-01-01T10:00:00"),
        ),
        ("2026-01-01\t10:00:00\tGET\t/a\t-\t\"a b\"\tmore", Ok("GET|/a|-|a b|2026-01-01T10:00:00")),
        // Where tabs part the columns, spaces do not, as CloudFront and Zeek write them.
        ("2026-01-01\t10:00:00\tGET\t\t200\tMozilla/5.0 (X11", Ok("GET||200|Mozilla/5.0 (X11|2026-01-01T10:00:00")),
        ("2026-01-01\t10:00:00\tGET\t/a\t200\t\"a\" b", Ok("GET|/a|200|\"a\" b|2026-01-01T10:00:00")),
        ("#Fields: date time cs-method", Err("comment")),
        ("#fields\tdate\ttime\tcs-method", Err("comment")),
        // Columns that are others than the config's, so that lines would be read wrong; other names for them are none.
        ("#Fields: date time c-ip cs-method", Err("not_in_format")),
        ("#Fields: date time method cs-uri-stem", Err("comment")),
        ("2026-01-01 10:00:00 GET", Err("not_in_format")),
        ("- - GET /a 200 x", Err("bad_timestamp")),
    ] {
        assert_eq!(values(kind.clone(), &fields, line).as_deref(), expected.as_ref().copied(), "{line}");
    }
    assert_eq!(time(kind, "2026-01-01 10:00:00.5 GET /a 200 x"), "2026-01-01T10:00:00.5Z");
}

#[test]
fn any_text_and_many_lines() {
    let kind = FormatKind::Regex { pattern: r"^(?<host>\S+) (?:took (?<took>\d+)|(?<word>\w+))".into() };
    assert_eq!(values(kind.clone(), &["took", "host", "word", "none"], "h took 12 ms").as_deref(), Ok("12|h|-|-"));
    assert_eq!(values(kind.clone(), &["took", "host", "word"], "h slept").as_deref(), Ok("-|h|slept"));
    assert_eq!(values(kind, &["host"], "h"), Err("not_in_format"));
    assert_eq!(values(FormatKind::Raw, &["message", "x"], "a\nb\r\n").as_deref(), Ok("a\nb|-"));
    let gelf = FormatKind::Gelf;
    assert_eq!(values(gelf.clone(), &["host", "_user"], "{\"host\":\"h\",\"_user\":5}\0").as_deref(), Ok("h|Int(5)"));
    assert_eq!(time(gelf.clone(), r#"{"timestamp":1385053862.3072}"#), "2013-11-21T17:11:02.307Z");
    assert_eq!(time(gelf.clone(), r#"{"timestamp":1385053862307}"#), "2013-11-21T17:11:02.307Z");
    assert_eq!(time(gelf, "{}"), "2026-01-02T00:00:00Z");

    let mut lines = decoder(FormatKind::Logfmt, true, &["a"], Timestamp::Kafka);
    let found = events(&mut lines, b"a=1\r\n\nplain\na=\"\xff\"\n");
    let event = |text: &str| Ok((RECORD_TIME, vec![text.to_owned()]));
    assert_eq!(found, [event("1"), Err("not_in_format"), event("\u{fffd}")]);
    assert_eq!(events(&mut lines, b"a=1"), [event("1")]);
    assert_eq!(events(&mut lines, b"\n\n"), []);
}

const SAMPLES: [&str; 16] = [
    r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.0" 200 2326 "http://x/" "Mozilla/4.08 [en]""#,
    r#"::1 - - [10/Oct/2000:13:55:36 +0000] "POST / HTTP/2.0" 503 - "-" "\"q\"""#,
    r#"a.example:443 127.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#,
    r#"127.0.0.1, 10.0.0.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5"#,
    r#"level=info msg="a \"b\" \u00e9" took=12ms flag x="#,
    "1,\"web,1\",\"a \"\"b\"\" c\"",
    "a,b,c",
    "I0505 17:59:40.692994   28133 klog.go:70] hello",
    "2016-10-06T00:17:09.669794202Z stdout F log content",
    r"CEF:0|a\|b|c|1|x|y|8|suser=m msg=a b \= c\nd cs1=E",
    r#"<13>1 2020-03-13T20:45:38.119Z h non 2426 ID931 [ex@1 iut="3" e= "A"][other x="a\]b"] Try"#,
    "<34>1 2003-10-11T22:14:15.003Z - su - ID47 - x",
    "<34>Oct 11 22:14:15 mymachine su[1]: 'su root' failed",
    "Jan  2 2026 09:10:11 web1 CRON: CMD",
    "1\t-\t\"x\ty\"\tz",
    "2026-01-02 \"a \"\"b\"\"\" - 7",
];

/// A sample with some of its pieces changed.
fn line() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        " ", "\"", "\\", "=", "|", ",", "[", "]", "-", "a", "1", ":", "\n", "é", "\t", "<", ">", "\"\"", "/", "x=",
        "\\\"", "",
    ]);
    (0..SAMPLES.len(), prop::collection::vec((any::<prop::sample::Index>(), piece, 0usize..4), 0..4)).prop_map(
        |(sample, edits)| {
            let mut characters: Vec<char> = SAMPLES[sample].chars().collect();
            for (at, piece, cut) in edits {
                let at = at.index(characters.len() + 1);
                let end = (at + cut).min(characters.len());
                characters.splice(at..end, piece.chars());
            }
            characters.into_iter().collect()
        },
    )
}

/// Compares with the twin: in the format or not, and every one of the fields.
fn agrees(kind: FormatKind, line: &str, fields: &[&str], twin: Option<Fields>) -> Result<(), TestCaseError> {
    let line = line.trim_end_matches(['\n', '\r', '\0']);
    let found = events(&mut decoder(kind, false, fields, Timestamp::Kafka), line.as_bytes()).remove(0);
    let twin = twin.map(|twin| {
        let of = |field: &&str| twin.get(&field.replace('"', "")).cloned().unwrap_or_else(|| "-".into());
        fields.iter().map(of).collect::<Vec<_>>()
    });
    prop_assert_eq!(found.ok().map(|(_, values)| values), twin, "{:?}", line);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn every_format_reads_as_its_slow_twin(line in line()) {
        let line = line.trim_end_matches(['\n', '\r', '\0']);
        prop_assume!(!line.is_empty());
        let fields = ["host", "identity", "user", "timestamp", "message", "method", "path", "protocol", "status", "size", "referrer", "agent", "vhost"];
        agrees(FormatKind::Combined, line, &fields, twins::access_log(line))?;
        let fields = ["level", "msg", "took", "flag", "x", "a", "1", "-"];
        agrees(FormatKind::Logfmt, line, &fields, twins::logfmt(line))?;
        let columns = ["a", "b", "c"];
        agrees(FormatKind::Csv { names: names(&columns), delimiter: ',' }, line, &columns, twins::csv(line, &columns))?;
        agrees(FormatKind::Tsv { names: names(&columns) }, line, &columns, twins::tsv(line, &columns))?;
        agrees(FormatKind::W3c { names: names(&columns) }, line, &columns, twins::w3c(line, &columns))?;
        let fields = ["level", "id", "file", "line", "message"];
        agrees(FormatKind::Klog, line, &fields, twins::klog(line))?;
        let fields = ["timestamp", "stream", "logtag", "message"];
        agrees(FormatKind::Cri, line, &fields, twins::cri(line))?;
        let fields = ["cefVersion", "deviceVendor", "deviceProduct", "deviceVersion", "deviceEventClassId", "name", "severity", "suser", "msg", "cs1", "x", "a"];
        agrees(FormatKind::Cef, line, &fields, twins::cef(line))?;
        if line.starts_with('<') && line.split('>').nth(1).is_some_and(|rest| rest.starts_with("1 ")) {
            let fields = ["facility", "severity", "version", "timestamp", "hostname", "appname", "procid", "msgid", "message", "\"ex@1\".iut", "\"ex@1\".e", "other.x"];
            agrees(FormatKind::Syslog, line, &fields, twins::syslog(line))?;
        }
    }

    #[test]
    fn no_bytes_make_a_format_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), line in line(), cut in any::<prop::sample::Index>()) {
        let all = [
            FormatKind::Common, FormatKind::Syslog, FormatKind::Klog, FormatKind::Cri, FormatKind::Cef, FormatKind::Gelf, FormatKind::Logfmt,
            FormatKind::W3c { names: names(&["date", "time", "a"]) }, FormatKind::Tsv { names: names(&["a"]) },
            FormatKind::Regex { pattern: "(?<a>a+)(?<b>b*)".into() }, FormatKind::Raw,
        ];
        let mut cut_line = line.into_bytes();
        cut_line.truncate(cut.index(cut_line.len() + 1));
        for kind in all {
            let timestamp = kind.timestamp().unwrap_or(Timestamp::Kafka);
            for lines in [false, true] {
                let mut decoder = decoder(kind.clone(), lines, &["a", "message", "timestamp", "host"], timestamp.clone());
                events(&mut decoder, &bytes);
                events(&mut decoder, &cut_line);
            }
        }
    }
}

#[test]
fn long_lines_are_read_in_one_pass() {
    // Each of these would take minutes if a format looked back at all that it has read for every piece of it.
    let long = 1 << 19;
    for (kind, line) in [
        (FormatKind::Cef, format!("CEF:0|a|b|1|x|y|8|a={}", "=".repeat(long))),
        (FormatKind::Cef, format!("CEF:0|a|b|1|x|y|8|a={}", " !=".repeat(long / 4))),
        (FormatKind::Logfmt, format!("a=\"{}", "\\".repeat(long))),
        (FormatKind::Logfmt, "a=b ".repeat(long / 4)),
        (FormatKind::Syslog, format!("<34>1 2003-10-11T22:14:15.003Z h a p m {}", "[x y=\"1\"]".repeat(long / 9))),
        (FormatKind::Combined, format!("h - - [{}", " [".repeat(long / 2))),
        (FormatKind::Csv { names: names(&["a"]), delimiter: ',' }, format!("\"{}", "\"\"".repeat(long / 2))),
        (FormatKind::Json, "{\"a\":[".repeat(long / 6)),
        (FormatKind::Json, "{\"a\":[\n".repeat(long / 7)),
        (FormatKind::Json, "{\"a\":\n".repeat(long / 7)),
        (FormatKind::Json, format!("[{}", "{},".repeat(long / 3))),
    ] {
        events(&mut decoder(kind, false, &["a", "x.y"], Timestamp::Kafka), line.as_bytes());
    }
}
