//! The dashboard of a source's aggregates: rates, shares, quantiles, top keys, closed windows. It is made of what the
//! measures are, so every config has one.

use super::board::Board;
use super::panel::{Look, Panel};
use crate::config::{Aggregate, Measure, Stat, Window, format_duration};
use crate::monitoring::subject::Subject;
use crate::monitoring::uid::of_source;

pub fn board(source: &str, subjects: &[Subject]) -> Board {
    let title = capital(source);
    let mut board = Board::new(
        &of_source(source),
        &title,
        "What the aggregates of this source count. Rates are as of the commit; windows are in event time.",
    );
    board = board.variable("job", "streamgauge_build_info");
    for subject in subjects {
        if let Some(family) = subject.aggregate.measures.first().map(|m| subject.family(m)) {
            let metric = &family.sample_names()[family.sample_names().len() - 1];
            board = subject.labels().into_iter().fold(board, |board, label| board.variable(label, metric));
        }
    }
    board = board.row("Is it fine?", overview(subjects));
    for subject in subjects {
        board = board.row(row_title(subject), totals(subject));
    }
    board.row("Closed windows (event time)", subjects.iter().flat_map(windows).chain(closing(subjects)).collect())
}

fn row_title(subject: &Subject) -> String {
    match subject.labels().as_slice() {
        [] => subject.aggregate.name.clone(),
        labels => format!("{} by {}", subject.aggregate.name, labels.join(", ")),
    }
}

/// The label matchers of all variables that the aggregate has.
fn matchers(aggregate: &Aggregate) -> String {
    let labels = aggregate.by.iter().map(|by| format!(", {0}=~\"${0}\"", by.label));
    format!("job=~\"$job\"{}", labels.collect::<String>())
}

/// A counter's rate, left with `labels`.
fn rate(subject: &Subject, counter: &str, labels: &[&str]) -> String {
    let inner = format!("(rate({counter}{{{}}}[$__rate_interval]))", matchers(subject.aggregate));
    sum_by(labels) + &inner
}

fn sum_by(labels: &[&str]) -> String {
    if labels.is_empty() { "sum ".into() } else { format!("sum by ({}) ", labels.join(", ")) }
}

fn total(subject: &Subject, measure: &Measure) -> String {
    format!("{}_total", subject.family(measure).name)
}

fn ratio(subject: &Subject, share: &Measure, count: &Measure, labels: &[&str]) -> String {
    format!("{} / {}", rate(subject, &total(subject, share), labels), rate(subject, &total(subject, count), labels))
}

fn quantile(subject: &Subject, measure: &Measure, q: f64, labels: &[&str]) -> String {
    let bucket = format!("{}_bucket", subject.family(measure).name);
    let kept: Vec<&str> = labels.iter().copied().chain(["le"]).collect();
    format!("histogram_quantile({q}, {})", rate(subject, &bucket, &kept))
}

/// The most important numbers of the source, each from the first aggregate that has it.
fn overview(subjects: &[Subject]) -> Vec<Panel> {
    let mut panels = Vec::new();
    if let Some((subject, count)) = subjects.iter().find_map(|s| Some((s, s.count()?))) {
        let text = format!("Rate of all {}, over all keys.", count.name);
        let panel = Panel::new(Look::Stat, capital(&count.name), per_second(&count.name), text);
        panels.push(panel.query(rate(subject, &total(subject, count), &[]), ""));
        if let Some(share) = subject.shares().next() {
            let text = format!("Share of {} among all {}.", share.name, count.name);
            let panel = Panel::new(Look::Stat, capital(&share.name), "percentunit", text);
            panels.push(panel.query(ratio(subject, share, count, &[]), ""));
        }
    }
    if let Some((subject, measure)) = subjects.iter().find_map(|s| Some((s, s.histograms().next()?))) {
        for q in [0.5, 0.99] {
            let word = Stat::Quantile(q).word();
            let text = format!("{} % of the events have a {} of at most this.", (q * 100.0).round(), measure.name);
            let panel = Panel::new(Look::Stat, format!("{} {word}", capital(&measure.name)), unit(measure), text);
            panels.push(panel.query(quantile(subject, measure, q, &[]), ""));
        }
    }
    let behind = "How far the committed numbers are behind the newest event of any partition, in event time.";
    let panel = Panel::new(Look::Stat, "Behind", "s", behind).red_from(30.0);
    panels.push(panel.query("max(streamgauge_lag_seconds{job=~\"$job\"})", ""));
    let complete: Vec<String> =
        windowed(subjects).map(|a| format!("min({}{{job=~\"$job\"}})", a.window_complete_family().name)).collect();
    if !complete.is_empty() {
        let text = "Whether the last closed window of each aggregate has every partition.";
        let panel = Panel::new(Look::Stat, "Windows complete", "bool_yes_no", text).red_below(1.0);
        panels.push(panel.query(complete.join(" * "), ""));
    }
    panels
}

/// Everything about the totals of one aggregate.
fn totals(subject: &Subject) -> Vec<Panel> {
    let name = &subject.aggregate.name;
    let status = subject.status_label();
    let labels = without_status(subject);
    let mut panels = Vec::new();
    if let Some(count) = subject.count() {
        panels.extend(counts(subject, count, &labels));
        panels.extend(status.into_iter().flat_map(|label| by_status(subject, count, label)));
        for share in subject.shares() {
            let text = format!("Share of {} among the {} of {name}.", share.name, count.name);
            let panel = Panel::new(Look::Lines, format!("{}, share", capital(&share.name)), "percentunit", text);
            panels.push(panel.query(ratio(subject, share, count, &labels), legend(&labels)));
        }
    }
    for measure in subject.histograms() {
        panels.extend(durations(subject, measure, &labels));
    }
    for measure in subject.sums() {
        let text = format!("Sum of {} of {name}, per second.", measure.name);
        let panel = Panel::new(Look::Lines, format!("{} per second", capital(&measure.name)), unit_rate(measure), text);
        panels.push(panel.query(rate(subject, &total(subject, measure), &labels), legend(&labels)));
    }
    for measure in subject.averages() {
        let family = subject.family(measure).name;
        let [sum, count] = ["sum", "count"].map(|part| rate(subject, &format!("{family}_{part}"), &labels));
        let text = format!("Average {} of {name}.", measure.name);
        let panel = Panel::new(Look::Lines, format!("{}, average", capital(&measure.name)), unit(measure), text);
        panels.push(panel.query(format!("{sum} / {count}"), legend(&labels)));
    }
    for measure in subject.sessions() {
        let (family, matchers) = (subject.family(measure).name, matchers(subject.aggregate));
        let text = format!("Sessions of {name} that have ended, per second.");
        let panel = Panel::new(Look::Lines, format!("{}, closed", capital(&measure.name)), "cps", text);
        panels.push(panel.query(rate(subject, &format!("{family}_total"), &[]), "closed"));
        let text = format!("Sessions of {name} that are under way.");
        let panel = Panel::new(Look::Lines, format!("{}, open", capital(&measure.name)), "short", text);
        panels.push(panel.query(format!("sum (sum without (topic, partition) ({family}_open{{{matchers}}}))"), "open"));
        let text = format!("Half and 95 % of the sessions of {name} that have ended were no longer than this.");
        let panel = Panel::new(Look::Lines, format!("{}, duration", capital(&measure.name)), "s", text);
        let buckets = rate(subject, &format!("{family}_duration_seconds_bucket"), &["le"]);
        let panel = panel.query(format!("histogram_quantile(0.5, {buckets})"), "p50");
        panels.push(panel.query(format!("histogram_quantile(0.95, {buckets})"), "p95"));
    }
    for measure in subject.anomalies() {
        let text = format!("Values of {} of {name} that were unusual for their key, per second.", measure.name);
        let panel = Panel::new(Look::Lines, format!("{}, unusual", capital(&measure.name)), "cps", text);
        let families = subject.aggregate.total_families(measure);
        panels.push(families.iter().fold(panel, |panel, (stat, family)| {
            let legend = format!("{} {}", legend(&labels), stat.word());
            panel.query(rate(subject, &family.sample_names().concat(), &labels), legend)
        }));
    }
    for (measure, function) in subject.gauges() {
        let (word, family) = (measure.kind.word(), subject.family(measure).name);
        let by = if labels.is_empty() { String::new() } else { format!("by ({}) ", labels.join(", ")) };
        let gauge = format!("{function} {by}({family}{{{}}})", matchers(subject.aggregate));
        if measure.exposed_unit() == "timestamp_seconds" {
            let text = format!("How long ago the latest event of {name} was, by its own time.");
            let panel = Panel::new(Look::Lines, format!("{}, ago", capital(&measure.name)), "s", text);
            panels.push(panel.query(format!("time() - {gauge}"), legend(&labels)));
            continue;
        }
        let text = format!("The {word} of {} of {name} since the state began.", measure.name);
        let panel = Panel::new(Look::Lines, format!("{}, {word}", capital(&measure.name)), unit(measure), text);
        panels.push(panel.query(gauge, legend(&labels)));
    }
    panels
}

fn without_status<'a>(subject: &Subject<'a>) -> Vec<&'a str> {
    let status = subject.status_label();
    subject.labels().into_iter().filter(|label| Some(*label) != status).collect()
}

fn counts(subject: &Subject, count: &Measure, labels: &[&str]) -> Vec<Panel> {
    let (counter, what) = (total(subject, count), capital(&count.name));
    let text = format!("Events of {}, as they are committed.", subject.aggregate.name);
    let lines = Panel::new(Look::Lines, format!("{what} per second"), per_second(&count.name), text);
    let mut panels = vec![lines.query(rate(subject, &counter, labels), legend(labels))];
    if !labels.is_empty() {
        let text = format!("The ten with the highest rate of {}, now.", count.name);
        let bars = Panel::new(Look::Bars, format!("Top {}", labels.join(", ")), per_second(&count.name), text);
        let top = format!("sort_desc(topk(10, {}))", rate(subject, &counter, labels));
        panels.push(bars.query(top, legend(labels)));
    }
    panels
}

fn by_status(subject: &Subject, count: &Measure, status: &str) -> Vec<Panel> {
    let counter = total(subject, count);
    let unit = per_second(&count.name);
    let all = Panel::new(
        Look::Stack,
        format!("{} by {status}", capital(&count.name)),
        unit,
        format!("All {} over time, by {status}, upon each other.", count.name),
    );
    let bad = Panel::new(
        Look::Lines,
        format!("Errors by {status}"),
        unit,
        format!("{} with a {status} of 400 and above.", capital(&count.name)),
    );
    let matchers = matchers(subject.aggregate);
    let errors = format!("sum by ({status}) (rate({counter}{{{matchers}, {status}=~\"[45]..\"}}[$__rate_interval]))");
    vec![
        all.query(rate(subject, &counter, &[status]), format!("{{{{{status}}}}}")),
        bad.query(errors, format!("{{{{{status}}}}}")),
    ]
}

fn durations(subject: &Subject, measure: &Measure, labels: &[&str]) -> Vec<Panel> {
    let (what, unit) = (capital(&measure.name), unit(measure));
    let text = format!("Quantiles of {} over all keys: half, 95 % and 99 % are below.", measure.name);
    let all = Panel::new(Look::Lines, format!("{what} p50, p95, p99"), unit, text);
    let quantiles = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")];
    let all = quantiles.iter().fold(all, |panel, (q, word)| panel.query(quantile(subject, measure, *q, &[]), *word));
    let mut panels = vec![all];
    if !labels.is_empty() {
        let text = format!("99 % of the events of each {} have a {} below this.", labels.join(", "), measure.name);
        let each = Panel::new(Look::Lines, format!("{what} p99 by {}", labels.join(", ")), unit, text);
        panels.push(each.query(quantile(subject, measure, 0.99, labels), legend(labels)));
    }
    let bucket = format!("{}_bucket", subject.family(measure).name);
    let text = format!("How many events had which {}, over time.", measure.name);
    let heat = Panel::new(Look::Heatmap, format!("{what}, distribution"), unit, text);
    panels.push(heat.query(rate(subject, &bucket, &["le"]), "{{le}}"));
    panels
}

/// What the last closed windows hold, and how old they are.
fn windows(subject: &Subject) -> Vec<Panel> {
    let aggregate = subject.aggregate;
    let Some(window) = aggregate.windows.first() else { return Vec::new() };
    let labels = subject.labels();
    let mut panels = Vec::new();
    let shown = subject.count().into_iter().chain(subject.histograms().take(1)).chain(subject.unmerged());
    for measure in shown {
        let families = aggregate.window_families(measure);
        let wanted = |stat: &Stat| matches!(stat, Stat::Own | Stat::Quantile(0.99));
        for (stat, family) in families.iter().filter(|(stat, _)| wanted(stat)) {
            let word = stat.word();
            let title = format!("{} {} {word} in {window}", aggregate.name, measure.name);
            let text = format!("{} Window {window}.", family.help);
            let panel = Panel::new(Look::Lines, title.replace("  ", " "), unit(measure), text);
            let selector = format!("{}{{{}, {}}}", family.name, matchers(aggregate), of_window(*window));
            let by = |labels: &[&str]| {
                if labels.is_empty() { String::new() } else { format!("by ({}) ", labels.join(", ")) }
            };
            let each = format!("max {}({selector})", by(&labels));
            // A line for each key and status would be too many; counts can be added up.
            let few = without_status(subject);
            let query = match subject.count().is_some_and(|count| count.name == measure.name) && few != labels {
                true => panel.query(format!("sum {}({each})", by(&few)), legend(&few)),
                false => panel.query(each, legend(&labels)),
            };
            panels.push(query);
        }
    }
    for measure in subject.rankings() {
        for (_, family) in aggregate.window_families(measure) {
            let text = format!("{} Window {window}.", family.help);
            let bars =
                Panel::new(Look::Bars, format!("{} {} in {window}", aggregate.name, measure.name), unit(measure), text);
            let labels: Vec<&str> = labels.iter().copied().chain([measure.label.as_str()]).collect();
            let selector = format!("{}{{{}, {}}}", family.name, matchers(aggregate), of_window(*window));
            let top = format!("sort_desc(topk(20, max by ({}) ({selector})))", labels.join(", "));
            panels.push(bars.query(top, legend(&labels)));
        }
    }
    panels
}

fn windowed<'a>(subjects: &'a [Subject<'a>]) -> impl Iterator<Item = &'a Aggregate> {
    subjects.iter().map(|subject| subject.aggregate).filter(|aggregate| !aggregate.windows.is_empty())
}

/// Of all aggregates: how old their last closed windows are, and whether they are whole.
fn closing(subjects: &[Subject]) -> Vec<Panel> {
    if windowed(subjects).next().is_none() {
        return Vec::new();
    }
    let legend = |aggregate: &Aggregate| format!("{} {{{{window}}}}/{{{{hop}}}}", aggregate.name);
    let text = "Time since the end of the last closed window: its length, the hop and the grace are normal.";
    let age = Panel::new(Look::Lines, "Age of the last closed window", "dthms", text);
    let age = windowed(subjects).fold(age, |panel, aggregate| {
        let end = aggregate.window_end_family().name;
        panel.query(format!("time() - max by (window, hop) ({end}{{job=~\"$job\"}})"), legend(aggregate))
    });
    let text = "1: every partition was counted in the last closed window; 0: at least one was missing.";
    let whole = Panel::new(Look::Lines, "Windows complete", "bool_yes_no", text);
    let whole = windowed(subjects).fold(whole, |panel, aggregate| {
        let complete = aggregate.window_complete_family().name;
        panel.query(format!("max by (window, hop) ({complete}{{job=~\"$job\"}})"), legend(aggregate))
    });
    vec![age, whole]
}

fn of_window(window: Window) -> String {
    format!("window=\"{}\", hop=\"{}\"", format_duration(window.size), format_duration(window.hop))
}

fn legend(labels: &[&str]) -> String {
    if labels.is_empty() {
        return "all".into();
    }
    labels.iter().map(|label| format!("{{{{{label}}}}}")).collect::<Vec<_>>().join(" ")
}

/// Grafana's unit of a measure's values.
fn unit(measure: &Measure) -> &'static str {
    match measure.exposed_unit() {
        "seconds" => "s",
        "bytes" => "bytes",
        "ratio" => "percentunit",
        _ => "short",
    }
}

/// Grafana's unit of a sum's rate.
fn unit_rate(measure: &Measure) -> &'static str {
    if measure.exposed_unit() == "bytes" { "Bps" } else { "cps" }
}

fn per_second(name: &str) -> &'static str {
    if name.contains("request") { "reqps" } else { "cps" }
}

fn capital(word: &str) -> String {
    let text = word.replace('_', " ");
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
