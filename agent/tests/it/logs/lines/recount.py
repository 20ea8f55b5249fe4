"""Counts what the files beside this one hold, with nothing but Python's standard library.

Prints one JSON array of [metric, {label: value}, number] for the test that compares an agent with it; an event that is no
event is counted under the metric "letters" by the kind it is of.
"""

import csv
import io
import json
import math
import pathlib
import re
import shlex
from collections import Counter

HERE = pathlib.Path(__file__).parent
numbers, letters = Counter(), Counter()


def add(metric, labels, number=1):
    key = tuple(sorted((name, str(text)) for name, text in labels.items() if text not in (None, "", "-")))
    numbers[metric, key] += number


def lines(name):
    return (HERE / name).read_text().splitlines()


def combined():
    quoted = r'"((?:[^"\\]|\\.)*)"'
    line_of = re.compile(rf'(\S+) (\S+) (.*?) \[([^\]]+)\] {quoted} (\d+|-) (\d+|-)(.*)')
    for line in lines("combined.log"):
        found = line_of.fullmatch(line)
        rest = found and found[8]
        if not found or rest and not re.match(rf' {quoted} {quoted}', rest):
            letters["combined"] += 1
            continue
        request = found[5].split(" ")
        method = request[0] if len(request) == 3 else ""
        labels = {"method": method, "status": found[6], "user": found[3]}
        add("combined_requests_total", labels)
        add("combined_sent_bytes_total", labels, 0 if found[7] == "-" else int(found[7]))


def seconds(text):
    units = {"us": 1e-6, "ms": 1e-3, "s": 1}
    found = re.fullmatch(r"([0-9.]+)(us|ms|s)", text or "")
    return float(found[1]) * units[found[2]] if found else 0


def logfmt():
    for line in lines("logfmt.log"):
        try:
            pairs = dict(part.split("=", 1) for part in shlex.split(line) if "=" in part)
        except ValueError:
            pairs = {}
        if "ts" not in pairs:
            letters["logfmt"] += 1
            continue
        labels = {"level": pairs.get("level"), "method": pairs.get("method")}
        add("logfmt_lines_total", labels)
        add("logfmt_took_seconds_total", labels, seconds(pairs.get("took")))


def syslog():
    facilities = "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clockd".split()
    facilities += [f"local{number}" for number in range(8)]
    severities = "emerg alert crit err warning notice info debug".split()
    new = re.compile(r'<(\d+)>1 (\S+) (\S+) (\S+) \S+ \S+ (?:-|(?:\[.*?[^\\]\])+)(?: .*)?')
    old = re.compile(r'(?:<(\d+)>)?(?:[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-\S+) (\S+) ([^\s:\[]+)(?:\[\d+\])?: .*')
    for line in lines("syslog.log"):
        found = new.fullmatch(line)
        if found:
            priority, time, host, app = found[1], found[2], found[3], found[4]
        else:
            found = old.fullmatch(line)
            priority, time, host, app = (found[1], "", found[2], found[3]) if found else ("", "-", "", "")
        if time == "-" or priority and int(priority) > 191:
            letters["syslog"] += 1
            continue
        labels = {"app": app, "host": host}
        if priority:
            labels |= {"facility": facilities[int(priority) // 8], "severity": severities[int(priority) % 8]}
        source = re.search(r'eventSource="((?:[^"\\]|\\.)*)"', line)
        if source and line.startswith("<165>"):
            labels["source"] = source[1].replace("\\]", "]")
        add("syslog_messages_total", labels)


def klog():
    levels = {"I": "info", "W": "warning", "E": "error", "F": "fatal"}
    for line in lines("klog.log"):
        found = re.fullmatch(r"([IWEF])(0\d|1[0-2])\d\d [\d:.]+ +\d+ (\S+):\d+\] .*", line)
        if found:
            add("klog_lines_total", {"level": levels[found[1]], "file": found[3]})
        else:
            letters["klog"] += 1


def cri():
    for line in lines("cri.log"):
        found = re.fullmatch(r"(\d{4}-\S+) (stdout|stderr) ([FP]) (.*)", line)
        if not found:
            letters["cri"] += 1
            continue
        try:
            level = json.loads(found[4])["level"]
        except ValueError:
            level = "none"
        add("cri_lines_total", {"stream": found[2], "level": level})


def table():
    for line in lines("table.csv"):
        try:
            columns = next(csv.reader(io.StringIO(line), strict=True))
        except csv.Error:
            columns = []
        if columns == ["time", "host", "status", "text"]:
            continue
        if len(columns) < 4:
            letters["table"] += 1
        else:
            add("table_lines_total", {"host": columns[1], "status": columns[2], "text": columns[3]})


def w3c():
    for line in lines("w3c.log"):
        columns = shlex.split(line, comments=True)
        if not columns:
            continue
        if len(columns) < 7:
            letters["w3c"] += 1
        else:
            labels = {"method": columns[2], "status": columns[4], "agent": columns[6]}
            add("w3c_requests_total", labels)
            add("w3c_took_seconds_total", labels, 0 if columns[5] == "-" else int(columns[5]) / 1000)


def cef():
    for line in lines("cef.log"):
        parts = re.split(r"(?<!\\)\|", line.partition("CEF:")[2])
        if len(parts) != 8:
            letters["cef"] += 1
            continue
        user = re.search(r"(?:^| )suser=(\S+)", parts[7])
        labels = {"vendor": parts[1].replace("\\|", "|"), "severity": parts[6], "user": user and user[1]}
        add("cef_events_total", labels)


def gelf():
    for line in lines("gelf.log"):
        try:
            message = json.loads(line)
        except ValueError:
            letters["gelf"] += 1
            continue
        labels = {"host": message["host"], "level": message["level"], "container": message.get("_container")}
        add("gelf_messages_total", labels)


def database():
    for line in lines("database.log"):
        found = re.fullmatch(r"\S+ \S+ UTC \[\d+\] (\w+):  (?:duration: ([\d.]+) ms)?.*", line)
        if not found:
            letters["database"] += 1
            continue
        add("database_lines_total", {"severity": found[1]})
        add("database_took_seconds_total", {"severity": found[1]}, float(found[2] or 0) / 1000)


def records():
    for line in lines("records.jsonl"):
        try:
            record = json.loads(line)
        except ValueError:
            letters["records"] += 1
            continue
        events = record.get("Records", [])
        for event in [events] if isinstance(events, dict) else events:
            if not isinstance(event, dict) or "eventTime" not in event:
                letters["records"] += 1
                continue
            labels = {"account": record["account"], "name": event["eventName"]}
            add("records_events_total", labels)
            add("records_size_bytes_total", labels, max(0, int(event.get("bytes", 0))))


def otlp():
    for line in lines("otlp.jsonl"):
        for resource in json.loads(line)["resourceLogs"]:
            shared = {pair["key"]: pair["value"] for pair in resource.get("resource", {}).get("attributes", [])}
            service = shared.get("service.name", {}).get("stringValue")
            for scope in resource["scopeLogs"]:
                for record in scope["logRecords"]:
                    labels = {"service": service, "severity": record.get("severityText"), "scope": scope.get("scope", {}).get("name")}
                    add("otlp_lines_total", labels)
                    add("otlp_proto_lines_total", labels)


for kind in (otlp, combined, logfmt, syslog, klog, cri, table, w3c, cef, gelf, database, records):
    kind()
shown = [[metric, dict(labels), number] for (metric, labels), number in sorted(numbers.items())]
shown += [["letters", {"kind": kind}, number] for kind, number in sorted(letters.items())]
assert all(math.isfinite(number) for _, _, number in shown)
print(json.dumps(shown, ensure_ascii=False))
