#!/usr/bin/env python3
"""Counts the sample logs by hand, kind by kind: what the examples in examples/logs ask for, from the lines alone.

Usage: recount.py FOLDER. Prints a JSON object: kind -> list of [metric, {label: value}, number]. Nothing of it knows how the
agent reads a config, a path or a time; it is another program with other mistakes.
"""

import json
import pathlib
import re
import sys
import time
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

NOW = time.time()
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


class Dead(Exception):
    """A line that is no event: the word for why."""


def get(event, *path):
    for step in path:
        if isinstance(step, int):
            if not isinstance(event, list) or not -len(event) <= step < len(event):
                return None
            event = event[step]
        else:
            if not isinstance(event, dict):
                return None
            event = event.get(step)
    return event


def first(*values):
    return next((value for value in values if value not in (None, "")), None)


def text(value, default=""):
    if value is None or value == "" or isinstance(value, (list, dict)):
        return default
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() else repr(value)
    return str(value)


def number(value):
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9.]+([eE][+-]?[0-9]+)?\s*", value):
        return float(value)
    return None


def seconds(value, unit):
    """A duration in seconds; a number without a suffix is in `unit` seconds."""
    plain = number(value)
    if plain is not None:
        return plain * unit
    total = 0.0
    if not isinstance(value, str) or not re.fullmatch(r"([0-9.]+(ns|us|µs|ms|s|m|h))+", value):
        return None
    for amount, suffix in re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h)", value):
        total += float(amount) * {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}[suffix]
    return total


def iso(value, zone=timezone.utc):
    """Unix seconds of an ISO 8601 text, with any number of decimals."""
    form = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?", value)
    if not form:
        return None
    shown = datetime(*(int(part) for part in form.groups()[:6]))
    offset = form.group(8)
    if offset in (None, "Z"):
        shown = shown.replace(tzinfo=timezone.utc if offset else zone)
    else:
        minutes = int(offset[1:3]) * 60 + int(offset[-2:])
        shown = shown.replace(tzinfo=timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)))
    return shown.timestamp() + float(form.group(7) or 0)


def access_log(value, zone=timezone.utc):
    form = re.fullmatch(r"(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d)(\.\d+)?( [+-]\d{4})?", value)
    if not form:
        return None
    day, month, year, hour, minute, second = form.groups()[:6]
    shown = datetime(int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    if form.group(8):
        return datetime.strptime(value, "%d/%b/%Y:%H:%M:%S %z").timestamp()
    return shown.replace(tzinfo=zone).timestamp() + float(form.group(7) or 0)


def dated(when, there=True):
    """Takes note of a time: an event needs one, from 1970 on and not an hour ahead of its record."""
    if not there:
        raise Dead("missing_timestamp")
    if when is None or when < 0:
        raise Dead("bad_timestamp")
    if when > NOW + 3600:
        raise Dead("too_far_ahead")


def template(url):
    path = re.sub(r"^[a-z]+://[^/]*", "", re.split("[?#]", url)[0]) or "/"

    def shown(part):
        uuid = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
        digit = re.search(r"\d", part)
        long = re.fullmatch(r"[0-9A-Za-z]{20,}", part)
        is_id = digit and (re.fullmatch(rf"\d+|[0-9a-fA-F]{{8,}}|{uuid}", part) or long)
        return ":id" if is_id else part

    return "/".join(shown(part) for part in path.split("/"))


def status_class(value):
    value = text(value)
    return value[0] + "xx" if re.fullmatch("[1-5][0-9][0-9]", value) else "other" if value else ""


def matched(pattern, value):
    found = re.search(pattern, text(value), re.ASCII)
    return found.group(1) if found else ""


def counted(metric, labels, holds=True):
    yield metric + "_total", labels, 1.0 if holds else 0.0


def summed(metric, labels, value):
    yield metric + "_total", labels, value if value is not None and value >= 0 else 0.0


def measured(metric, labels, value):
    fits = value is not None and value >= 0
    yield metric + "_count", labels, 1.0 if fits else 0.0
    yield metric + "_sum", labels, value if fits else 0.0


def nginx_strings(e):
    dated(number(e.get("msec")))
    by = {"host": text(e["http_host"]), "method": text(e["request_method"]), "status": text(e["status"])}
    yield from counted("nginx_requests", by)
    yield from counted("nginx_errors", by, int(e["status"]) >= 400)
    yield from measured("nginx_time_seconds", by, number(e["request_time"]))
    yield from summed("nginx_sent_bytes", by, number(e["bytes_sent"]))


def nginx_clf(e):
    dated(access_log(first(e.get("time"), e.get("timestamp"))))
    by = {"method": e["request"].split(" ")[0], "status": text(first(e.get("response"), e.get("status")))}
    yield from counted("nginx_clf_requests", by)
    yield from summed("nginx_clf_sent_bytes", by, number(first(e.get("bytes"), e.get("sent_body_bytes"))))
    yield from measured("nginx_clf_upstream_seconds", by, number(e.get("upstream_response_time")))


def envoy_typed(e):
    dated(iso(e["start_time"]))
    by = {
        "route": text(e["route_name"], "none"),
        "authority": text(first(e.get("authority"), e.get(":authority"))),
        "status": text(e["response_code"]),
        "flags": text(e["response_flags"]),
    }
    upstream = first(e.get("upstream_service_time"), e.get("x-envoy-upstream-service-time"))
    yield from counted("envoy_requests", by)
    yield from measured("envoy_duration_seconds", by, seconds(e["duration"], 1e-3))
    yield from summed("envoy_upstream_seconds", by, seconds(upstream, 1e-3))


def haproxy(e):
    dated(access_log(first(e.get("time_local"), e.get("time"), e.get("time_date")), ZoneInfo("Europe/Berlin")))
    by = {
        "frontend": text(e.get("frontend_name")),
        "backend": text(first(e.get("backend_name"), e.get("upstream_addr"))),
        "server": text(e.get("server_name")),
        "status": text(first(e.get("status"), e.get("status_code"))),
    }
    millis = lambda *names: seconds(first(*(e.get(name) for name in names)), 1e-3)
    yield from counted("haproxy_requests", by)
    yield from measured("haproxy_total_seconds", by, millis("duration_total_ms", "ta", "request_time"))
    yield from summed("haproxy_response_seconds", by, millis("duration_response_ms", "tr_server", "upstream_header_time"))
    yield from summed("haproxy_connect_seconds", by, millis("tc", "upstream_connect_time"))
    yield from summed("haproxy_retries", by, number(e.get("retries")))


def gcp_http(e):
    dated(iso(e["timestamp"]))
    request = e["httpRequest"]
    by = {
        "backend": text(e["resource"]["labels"]["backend_service_name"], "none"),
        "method": request["requestMethod"],
        "status": status_class(request["status"]),
        "cache": text(request.get("cacheHit")),
    }
    yield from counted("gcp_http_requests", by)
    yield from measured("gcp_http_latency_seconds", by, seconds(request.get("latency"), 1))
    yield from summed("gcp_http_sent_bytes", by, number(request["responseSize"]))


def gcp_structured(e):
    if e.get("time"):
        dated(iso(e["time"]))
    else:
        dated(get(e, "instant", "epochSecond"), get(e, "instant") is not None)
    yield from counted("gcp_lines", {"severity": text(first(e.get("severity"), e.get("level")), "DEFAULT")})
    if e.get("httpRequest"):
        request = e["httpRequest"]
        by = {"method": request["requestMethod"], "status": text(request["status"])}
        yield from counted("gcp_requests_requests", by)
        yield from measured("gcp_requests_latency_seconds", by, seconds(first(request.get("latency"), e.get("latency")), 1))
        yield from summed("gcp_requests_sent_bytes", by, number(request.get("responseSize")))


def k8s_audit(e):
    dated(iso(e["requestReceivedTimestamp"]))
    by = {
        "verb": e["verb"],
        "resource": text(get(e, "objectRef", "resource"), "none"),
        "code": text(get(e, "responseStatus", "code")),
        "user": matched(r"^(system:[a-z]+|[^:]+)", get(e, "user", "username")),
        "decision": text(get(e, "annotations", "authorization.k8s.io/decision")),
    }
    until = e.get("stageTimestamp")
    yield from counted("k8s_requests", by)
    took = iso(until) - iso(e["requestReceivedTimestamp"]) if until else None
    yield from measured("k8s_latency_seconds", by, took)
    yield from summed("k8s_etcd_seconds", by, seconds(get(e, "annotations", "apiserver.latency.k8s.io/etcd"), 1))
    yield from counted("k8s_forwarded", by, get(e, "sourceIPs", 1) is not None)


def suricata(e):
    dated(iso(e["timestamp"]))
    by = {"type": e["event_type"], "proto": text(e.get("proto"), "none")}
    yield from counted("suricata_events", by)
    yield from summed("suricata_to_server_bytes", by, number(get(e, "flow", "bytes_toserver")))
    yield from summed("suricata_to_client_bytes", by, number(get(e, "flow", "bytes_toclient")))
    alert = e.get("alert", {})
    if e["event_type"] == "alert" and alert.get("signature"):
        by = {name: text(alert.get(name)) for name in ("signature", "severity", "category")}
        yield from counted("suricata_alerts_alerts", by)
    if e["event_type"] == "dns":
        by = {"type": text(get(e, "dns", "type")), "rcode": text(get(e, "dns", "rcode"), "none")}
        yield from counted("suricata_dns_messages", by)


def zeek(e):
    dated(iso(e["ts"]) if isinstance(e["ts"], str) else e["ts"])
    yield from counted("zeek_records", {"log": e["_path"], "port": text(e.get("id.resp_p"))})
    if e["_path"] == "dns":
        by = {"qtype": text(e.get("qtype_name")), "rcode": text(e.get("rcode_name")), "first_ttl": text(get(e, "TTLs", 0))}
        yield from counted("zeek_dns_queries", by)
        yield from counted("zeek_dns_answered", by, get(e, "answers", 0) is not None)
        yield from summed("zeek_dns_rtt_seconds", by, number(e.get("rtt")))


def gelf(e):
    by = {
        "host": text(e.get("host")),
        "level": text(e.get("level")),
        "container": matched("^([a-z]+)", e.get("_container_name")),
    }
    yield from counted("gelf_messages", by)


def ecs(e):
    dated(iso(e["@timestamp"]))
    by = {
        "level": e["log.level"],
        "service": text(e.get("service.name")),
        "logger": text(first(e.get("log.logger"), get(e, "log", "logger"))),
    }
    yield from counted("ecs_lines", by)
    yield from counted("ecs_errors", by, e["log.level"] in ("error", "critical"))


def pino(e):
    dated(iso(e["time"]) if isinstance(e["time"], str) else e["time"] / 1000)
    names = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal", "info": "info"}
    service = first(e.get("service.name"), e.get("service"), e.get("name"))
    yield from counted("pino_lines", {"level": names.get(e["level"], "other"), "service": text(service, "none")})
    if get(e, "req", "method") is not None:
        by = {
            "method": e["req"]["method"],
            "route": template(e["req"]["url"]),
            "status": text(first(get(e, "res", "statusCode"), e.get("statusCode"))),
        }
        yield from counted("pino_requests_requests", by)
        yield from measured("pino_requests_time_seconds", by, seconds(e.get("responseTime"), 1e-3))


def zap_etcd(e):
    dated(iso(e["ts"]))
    by = {"level": e["level"], "logger": text(e.get("logger"), "none"), "file": matched("^([a-z]+)/", e.get("caller"))}
    yield from counted("etcd_lines", by)
    yield from counted("etcd_warnings", by, e["level"].startswith("warn"))
    yield from measured("etcd_took_seconds", by, seconds(e.get("took"), 1))


def serilog_clef(e):
    dated(iso(e["@t"]))
    by = {"level": text(e.get("@l"), "Information")}
    yield from counted("serilog_lines", by)
    yield from counted("serilog_exceptions", by, e.get("@x") is not None)
    if e.get("RequestPath") is not None:
        by = {"path": template(e["RequestPath"]), "status": status_class(e.get("StatusCode")) or "none"}
        yield from counted("serilog_requests_requests", by)
        yield from measured("serilog_requests_elapsed_seconds", by, seconds(e.get("Elapsed"), 1e-3))


def journald(e):
    dated(int(e["__REALTIME_TIMESTAMP"]) / 1e6)
    names = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]
    by = {"unit": text(e.get("_SYSTEMD_UNIT")), "priority": names[int(e["PRIORITY"])]}
    yield from counted("journald_lines", by)
    yield from counted("journald_errors", by, int(e["PRIORITY"]) <= 3)


def mongodb(e):
    dated(iso(e["t"]["$date"]))
    yield from counted("mongodb_lines", {"severity": e["s"], "component": e["c"]})
    if e["msg"] == "Slow query":
        plan = re.match("[A-Z]+", text(get(e, "attr", "planSummary")))
        by = {"namespace": text(get(e, "attr", "ns")), "plan": plan.group() if plan else ""}
        yield from counted("mongodb_slow_queries", by)
        yield from measured("mongodb_slow_duration_seconds", by, seconds(get(e, "attr", "durationMillis"), 1e-3))


def postgres_jsonlog(e):
    shown, zone = e["timestamp"].rsplit(" ", 1)
    dated(iso(shown, timezone(timedelta(hours={"CEST": 2, "CET": 1, "UTC": 0}[zone]))))
    by = {
        "severity": e["error_severity"],
        "backend": text(e.get("backend_type")),
        "database": text(e.get("dbname"), "none"),
        "state": text(e.get("state_code"), "none"),
    }
    yield from counted("postgres_lines", by)
    yield from counted("postgres_slow", by, re.match(r"duration: [0-9.]+ ms", e["message"]) is not None)


def laurel_auditd(e):
    dated(float(e["ID"].split(":")[0]))
    if get(e, "SYSCALL", "SYSCALL") == "execve":
        by = {
            "user": text(get(e, "SYSCALL", "UID")),
            "key": text(get(e, "SYSCALL", "key")),
            "program": matched("^(/[a-z]+|[a-z]+)", get(e, "EXECVE", "ARGV", 0)),
        }
        yield from counted("audit_executions", by)
        yield from counted("audit_failures", by, e["SYSCALL"]["success"] == "no")


def cloudevents(e):
    if e.get("time"):
        dated(iso(e["time"]))
    by = {"type": e["type"], "source": template(e["source"])}
    yield from counted("cloudevents_events", by)
    yield from summed("cloudevents_amount", by, number(get(e, "data", "amount")))
    yield from counted("cloudevents_outcomes", by, get(e, "data", "outcome") == "Succeeded")


def caddy(e):
    dated(e["ts"])
    yield from counted("caddy_lines", {"level": e["level"], "logger": e["logger"]})
    if e.get("request"):
        by = {
            "host": e["request"]["host"],
            "method": e["request"]["method"],
            "status": text(e.get("status")),
            "server": text(get(e, "resp_headers", "Server", 0)),
            "user": text(e.get("user_id")),
        }
        yield from counted("caddy_requests_requests", by)
        yield from measured("caddy_requests_duration_seconds", by, number(e.get("duration")))
        yield from summed("caddy_requests_size_bytes", by, number(e.get("size")))


def traefik(e):
    dated(iso(e["StartUTC"]))
    router = first(e.get("RouterName"), e["RequestHost"])
    by = {"router": router, "method": e["RequestMethod"], "status": status_class(e["DownstreamStatus"])}
    yield from counted("traefik_requests", by)
    yield from measured("traefik_duration_seconds", by, seconds(e["Duration"], 1e-9))
    yield from summed("traefik_sent_bytes", by, number(e["DownstreamContentSize"]))


def cloudflare_ns(e):
    def when(value):
        value = int(value)
        return value / 1e9 if value > 1e17 else float(value)

    dated(when(e["EdgeStartTimestamp"]))
    path = re.split("[?#]", e["ClientRequestURI"])[0].strip("/")
    route = "other"
    if path == "":
        route = "/"
    elif re.match("static(/|$)", path):
        route = "/static/*"
    elif re.match("api/[^/]+(/|$)", path):
        route = "/api/:version/*"
    by = {
        "host": e["ClientRequestHost"],
        "method": e["ClientRequestMethod"],
        "status": status_class(e["EdgeResponseStatus"]),
        "cache": text(e.get("CacheCacheStatus")),
        "route": route,
    }
    start, end = int(e["EdgeStartTimestamp"]), int(e["EdgeEndTimestamp"])
    took = (end - start) / 1e9 if start > 1e17 and end > 1e17 else when(end) - when(start)
    yield from counted("cloudflare_requests", by)
    yield from summed("cloudflare_sent_bytes", by, number(e["EdgeResponseBytes"]))
    yield from measured("cloudflare_time_seconds", by, took)


def logstash(e):
    dated(iso(e["@timestamp"]))
    by = {"level": e["level"].lower(), "logger": matched(r"([A-Za-z]+)\$?$", e["logger_name"])}
    yield from counted("logstash_lines", by)
    yield from counted("logstash_errors", by, e["level"] in ("ERROR", "FATAL"))


def debezium(e):
    when = e["ts_ms"]["long"] if isinstance(e["ts_ms"], dict) else e["ts_ms"]
    dated(when / 1000)
    names = {"c": "create", "u": "update", "d": "delete", "r": "read"}
    by = {
        "table": first(e["source"].get("table"), e["source"].get("collection")),
        "op": names[e["op"]],
        "connector": e["source"]["connector"],
    }
    lag = (e["ts_ms"] - e["source"]["ts_ms"]) / 1000 if not isinstance(e["ts_ms"], dict) else None
    yield from counted("debezium_changes", by)
    yield from measured("debezium_lag_seconds", by, lag)


def gharchive(e):
    dated(iso(e["created_at"]))
    by = {"type": e["type"], "org": text(get(e, "org", "login"), "none")}
    yield from counted("github_events", by)
    yield from summed("github_commits", by, number(get(e, "payload", "size")))
    yield from counted("github_named", by, get(e, "payload", "commits", 0, "author", "name") is not None)


def cloudtrail_records(e):
    for record in e["Records"]:
        try:
            dated(iso(record["eventTime"]))
        except Dead as why:
            yield "dead", {"reason": str(why)}, 1.0
            continue
        who = record.get("userIdentity", {})
        by = {
            "service": record["eventSource"],
            "event": record["eventName"],
            "region": text(record.get("awsRegion")),
            "user": text(first(who.get("userName"), who.get("arn"), who.get("type")), "none"),
        }
        failed = record.get("errorCode") is not None or record.get("errorMessage") is not None
        yield from counted("cloudtrail_events", by)
        yield from counted("cloudtrail_failures", by, failed)
        yield from counted("cloudtrail_writes", by, record.get("readOnly") is False or record.get("readOnly") == "false")


def aks_kube_audit(e):
    dated(iso(e["time"]))
    audit = e["properties"]["log"]
    audit = json.loads(audit) if isinstance(audit, str) else audit
    by = {
        "category": e["category"],
        "verb": audit["verb"],
        "resource": text(get(audit, "objectRef", "resource"), "none"),
        "code": text(get(audit, "responseStatus", "code")),
        "decision": text(get(audit, "annotations", "authorization.k8s.io/decision")),
    }
    yield from counted("aks_requests", by)
    yield from measured("aks_latency_seconds", by, iso(audit["stageTimestamp"]) - iso(audit["requestReceivedTimestamp"]))


def docker_json_file(e):
    dated(iso(e["time"]))
    try:
        inner = json.loads(e["log"])
    except ValueError:
        inner = {}
    in_text = re.search('" ([0-9]{3}) ', e["log"])
    status = inner.get("response_code") or (in_text.group(1) if in_text and not inner else None)
    by = {"stream": e["stream"], "status": text(status, "none")}
    yield from counted("docker_lines", by)
    yield from summed("docker_sent_bytes", by, number(inner.get("bytes_sent")))
    yield from measured("docker_duration_seconds", by, seconds(inner.get("duration"), 1e-3))


def fluentbit_kafka(e):
    dated(e["@timestamp"])
    by = {
        "namespace": text(get(e, "kubernetes", "namespace_name"), "host"),
        "container": text(get(e, "kubernetes", "container_name")),
        "app": text(get(e, "kubernetes", "labels", "app")),
        "method": matched('"([A-Z]+) /', e.get("log")),
    }
    yield from counted("fluentbit_lines", by)
    yield from counted("fluentbit_errors", by, re.search('" [45][0-9][0-9] ', text(e.get("log"))) is not None)


def otlp_logs(e):
    for resource in e["resourceLogs"]:
        named = {pair["key"]: pair["value"].get("stringValue") for pair in resource["resource"]["attributes"]}
        for scope in resource["scopeLogs"]:
            for record in scope["logRecords"]:
                by = {
                    "service": text(named.get("service.name")),
                    "host": text(named.get("host.name")),
                    "scope": text(get(scope, "scope", "name")),
                    "severity": text(record.get("severityText"), "none"),
                }
                yield from counted("otlp_lines", by)
                yield from counted("otlp_errors", by, (record.get("severityNumber") or 0) >= 17)


def refuse(word):
    raise ValueError(f"{word} is not JSON")


def recount(lines, kind):
    numbers = {}
    for line in lines:
        try:
            try:
                event = json.loads(line, parse_constant=refuse)
            except ValueError:
                raise Dead("not_json") from None
            if not isinstance(event, dict):
                raise Dead("not_an_object")
            found = list(kind(event))
        except Dead as why:
            found = [("dead", {"reason": str(why)}, 1.0)]
        for metric, labels, value in found:
            labels = tuple(sorted((name, value) for name, value in labels.items() if value))
            numbers[metric, labels] = numbers.get((metric, labels), 0.0) + value
    return [[metric, dict(labels), value] for (metric, labels), value in numbers.items() if value]


def main():
    counts = {}
    for file in sorted(pathlib.Path(sys.argv[1]).glob("*.jsonl")):
        kind = globals()[file.stem.replace("-", "_")]
        lines = [line for line in file.read_text(encoding="utf-8").split("\n") if line]
        counts[file.stem] = recount(lines, kind)
    json.dump(counts, sys.stdout)


main()
