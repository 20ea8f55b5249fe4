//! The page as HTML. Whatever comes from events or the config is text: `maud` escapes it.

use super::look::Look;
use super::spark::spark;
use crate::config::format_duration;
use crate::human;
use crate::overview::{Agent, Keys, Line, Measured, Overview, Ranking, Session, Window};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::time::Duration;

/// The whole page, with its middle, and a place for single events of the sources that show them.
pub fn page(main: &str, sources: &[String]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Streamgauge" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/-/page.css";
                script src="/-/page.js" defer {}
            }
            body {
                header {
                    h1 { "Streamgauge" }
                    span #sign role="status" data-state="still" { "as of the page's loading" }
                }
                main { (PreEscaped(main)) }
                @for source in sources {
                    // Whoever wants to see events says so: it is noted who saw them.
                    details.events data-source=(source) {
                        summary { "Recent events of " (source) }
                        p.small role="status" { "reading …" }
                        div.scroll { table { thead {} tbody {} } }
                    }
                }
                footer {
                    nav {
                        a href="/metrics" { "metrics" }
                        a href="/-/ready" { "readiness" }
                        a href="/-/healthy" { "health" }
                        a href="/-/config" { "config" }
                        a href="/api/v1/aggregates" { "aggregates" }
                        a href="/api/v1/status" { "status" }
                        a href="/api/v1/openapi.json" { "API" }
                    }
                }
            }
        }
    }
}

/// The part of the page that lives. In one line, for an event has lines of its own.
pub fn main(look: &Look) -> Markup {
    let text = html! {
        (readiness(look))
        @for problem in &look.refused { p.problem { "Not shown: " (problem) } }
        @for (now, rates) in &look.aggregates { (aggregate(now, rates)) }
        (group(look))
    };
    // A label may have one.
    PreEscaped(text.into_string().replace('\r', "&#13;"))
}

fn readiness(look: &Look) -> Markup {
    let lag: u64 = look.agents.iter().map(|agent| agent.lag).sum();
    html! {
        p.state {
            @if look.status.ready { b.good { "ready" } } @else { b.bad { "not ready" } }
            " · lag " span #lag title=(lag) { (human::count(lag)) }
            " · as of " time { (clock(look.at)) }
            " · version " (look.status.version)
        }
        @for reason in &look.status.not_ready_reasons { p.problem { (reason) } }
        @for note in &look.status.notes { p.problem { (note) } }
    }
}

fn aggregate(now: &Overview, rates: &[Option<f64>]) -> Markup {
    let (stretch, step) = (length(now.stretch), length(now.step));
    html! {
        section data-aggregate=(now.name) {
            h2 { (now.name) small { (now.topics.join(", ")) } }
            @for missing in &now.missing { p.problem { "Without " (missing) } }
            div.cards {
                @for (line, rate) in now.lines.iter().zip(rates) { (card(line, *rate, now)) }
            }
            div.tables {
                (keys(&now.keys, &stretch))
                @for ranking in &now.rankings { (ranked(ranking, &stretch)) }
                @if let Some(newest) = &now.sessions { (sessions(&now.keys.labels, newest)) }
                (closed(&now.closed))
            }
            p.small { "The last " (stretch) " of event time" @if let Some(through) = now.through { ", to " (clock(through)) }
                "; a point is " (step) ", the last one still being filled." }
        }
    }
}

fn card(line: &Line, rate: Option<f64>, now: &Overview) -> Markup {
    let newest = |points: &[Option<f64>]| points.iter().rev().flatten().next().copied();
    let adds_up = line.what == "per second";
    let number = if adds_up { rate } else { newest(&line.points) };
    let says = format!("{} of {}, {}, by steps of {}", line.measure, now.name, line.what, length(now.step));
    html! {
        article data-measure=(line.measure) {
            h3 { (line.measure) small { (line.what) } }
            p.number title=[number] { (text(number, &line.unit)) }
            (spark(&line.points, line.below.as_ref().map(|(_, points)| points.as_slice()), &says))
            p.small {
                @if let Some(total) = line.total { span.total title=(total) { (human::value(total, &line.unit)) } " in all" }
                @if let Some((what, points)) = &line.below { (what) " " (text(newest(points), &line.unit)) }
            }
        }
    }
}

fn keys(keys: &Keys, stretch: &str) -> Markup {
    let Some((_, first)) = keys.rows.first() else {
        return html! { p.small { "No events in the last " (stretch) "." } };
    };
    html! {
        div.scroll {
            table.keys {
                caption { "The last " (stretch) @if !keys.labels.is_empty() { ", the most first" } }
                thead { tr {
                    @for label in &keys.labels { th scope="col" { (label) } }
                    @for column in first { th.right scope="col" { (column.heading) } }
                } }
                tbody {
                    @for (labels, measured) in &keys.rows {
                        tr {
                            @for label in labels { td { (label) } }
                            @for measured in measured { (cell(measured)) }
                        }
                    }
                }
            }
        }
    }
}

fn ranked(ranking: &Ranking, stretch: &str) -> Markup {
    html! {
        div.scroll {
            table.ranking data-measure=(ranking.measure) {
                caption {
                    (ranking.measure) ", the last " (stretch)
                    @if ranking.error > 0.0 { "; each may have " (human::value(ranking.error, &ranking.unit)) " more" }
                }
                tbody {
                    @for (item, value) in &ranking.items {
                        tr { td { (item) } td.right title=(value) { (human::value(*value, &ranking.unit)) } }
                    }
                }
            }
        }
    }
}

fn sessions(labels: &[String], newest: &[Session]) -> Markup {
    if newest.is_empty() {
        return html! { p.small { "No sessions yet." } };
    }
    html! {
        div.scroll {
            table.sessions {
                caption { "The newest sessions" }
                thead { tr {
                    @for label in labels { th scope="col" { (label) } }
                    @for heading in ["from", "last event"] { th scope="col" { (heading) } }
                    @for heading in ["length", "events"] { th.right scope="col" { (heading) } }
                    th scope="col" { "state" }
                } }
                tbody {
                    @for session in newest {
                        tr {
                            @for label in &session.labels { td { (label) } }
                            td title=(session.start) { (clock(session.start)) }
                            td title=(session.end) { (clock(session.end)) }
                            td.right { (human::length(session.length())) }
                            td.right title=(session.events) { (human::count(session.events)) }
                            td { @if session.is_closed { "closed" } @else { span.good { "open" } } }
                        }
                    }
                }
            }
        }
    }
}

fn closed(windows: &[Window]) -> Markup {
    let Some(first) = windows.iter().find(|window| !window.measured.is_empty()) else { return html! {} };
    html! {
        div.scroll {
            table.closed {
                caption { "The newest closed windows" }
                thead { tr {
                    th scope="col" { "window" }
                    th scope="col" { "until" }
                    @for column in &first.measured { th.right scope="col" { (column.heading) } }
                } }
                tbody {
                    @for window in windows {
                        tr data-window=(window.kind) {
                            td { (window.kind) }
                            td { (window.end.map_or_else(|| "none yet".to_owned(), clock)) }
                            @for measured in &window.measured { (cell(measured)) }
                        }
                    }
                }
            }
        }
    }
}

fn cell(measured: &Measured) -> Markup {
    html! {
        td.right title=[measured.number] {
            (measured.text())
            @if let Some(share) = measured.share { small { (human::value(share, "ratio")) } }
        }
    }
}

fn group(look: &Look) -> Markup {
    html! {
        section #group {
            h2 { "Agents" }
            div.scroll {
                table.agents {
                    thead { tr {
                        th scope="col" { "agent" }
                        th.right scope="col" { "partitions" }
                        th.right scope="col" { "lag" }
                        th scope="col" { "stream time" }
                        th scope="col" { "last commit" }
                        th scope="col" { "state" }
                    } }
                    tbody { @for agent in &look.agents { (row(agent)) } }
                }
            }
            @if look.agents.is_empty() { p.small { "No partition is read yet." } }
        }
    }
}

fn row(agent: &Agent) -> Markup {
    let states: Vec<_> = agent.not_running.iter().map(|(state, count)| format!("{count} {state}")).collect();
    html! {
        tr {
            td { @if agent.address.is_empty() { "this agent" } @else { (agent.address) } }
            td.right { (agent.partitions) }
            td.right title=(agent.lag) { (human::count(agent.lag)) }
            td { (agent.stream_time.map_or_else(|| "idle".to_owned(), clock)) }
            td { (agent.committed_at.map_or_else(|| "none yet".to_owned(), clock)) }
            td { @if states.is_empty() { span.good { "running" } } @else { span.bad { (states.join(", ")) } } }
        }
    }
}

fn text(number: Option<f64>, unit: &str) -> String {
    number.map_or_else(|| "–".to_owned(), |number| human::value(rounded(number, unit), unit))
}

/// Events per second have no use for fractions, unless there are few.
fn rounded(number: f64, unit: &str) -> f64 {
    if unit.is_empty() && number >= 10.0 { number.round() } else { number }
}

fn length(millis: i64) -> String {
    let text = format_duration(Duration::from_millis(millis.unsigned_abs()));
    match text.strip_suffix('m') {
        Some(minutes) => format!("{minutes} min"),
        None => text,
    }
}

/// Time of day in UTC.
fn clock(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |at| at.strftime("%H:%M:%SZ").to_string())
}
