//! The screen. Pure: what is drawn follows from what was heard and chosen.

use super::app::App;
use super::keys::HELP;
use crate::cli::colours;
use crate::config::format_duration;
use crate::human;
use crate::overview::{Agent, Line as Series, Overview, Session};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table};
use std::time::Duration;

/// Steps of a sparkline: eight of each character.
const HEIGHT: f64 = 8.0;
/// Agents that are told one by one.
const AGENTS: usize = 3;
/// Measures that get a line.
const LINES: usize = 6;
const NAME: u16 = 16;
const NUMBER: u16 = 12;
const EXTRA: u16 = 22;

/// Whether there is colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    All,
    None,
}

impl Colours {
    fn of(self, colour: Color) -> Style {
        match self {
            Colours::All => Style::new().fg(colour),
            Colours::None => Style::new(),
        }
    }

    /// By what a label says, where its name is one that says such things.
    fn label(self, label: &str, value: &str) -> Style {
        colours::of_value(label, value).map_or_else(Style::new, |colour| self.of(colour))
    }
}

pub fn draw(frame: &mut Frame<'_>, app: &mut App, colours: Colours) {
    let now = app.look.as_ref().and_then(|look| look.now.clone());
    let lines = now.as_ref().map_or(0, |now| now.lines.len().min(LINES)) as u16;
    let agents = app.look.as_ref().map_or(0, |look| look.agents.len().min(AGENTS + 1)) as u16;
    let [title, tabs, notice, measures, keys, group, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(lines),
        Constraint::Fill(1),
        Constraint::Length(agents),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(headline(app, colours), title);
    frame.render_widget(aggregates(app, colours), tabs);
    frame.render_widget(note(app, now.as_ref(), colours), notice);
    if let Some(now) = &now {
        let rates = app.look.as_ref().map(|look| look.rates.clone()).unwrap_or_default();
        for (at, line) in now.lines.iter().take(LINES).enumerate() {
            let area = Rect { y: measures.y + at as u16, height: 1, ..measures }.intersection(measures);
            series(frame, line, rates.get(at).copied().flatten(), area, colours);
        }
        match app.sessions().map(<[Session]>::to_vec) {
            Some(newest) => sessions(frame, app, &now.keys.labels, &newest, keys, colours),
            None => table(frame, app, now, keys, colours),
        }
    }
    let all = app.look.as_ref().map(|look| look.agents.as_slice()).unwrap_or_default();
    frame.render_widget(Paragraph::new(agent_lines(all, colours)), group);
    frame.render_widget(foot_line(app), foot);
    if app.shows_help {
        help(frame);
    }
}

fn headline(app: &App, colours: Colours) -> Line<'static> {
    let mut parts = vec![Span::styled("streamgauge top", Modifier::BOLD), Span::raw(format!("  {}  ", app.address))];
    match &app.look {
        Some(look) if look.not_ready.is_empty() => parts.push(Span::styled("ready", colours.of(Color::Green))),
        Some(_) => parts.push(Span::styled("not ready", colours.of(Color::Red))),
        None => parts.push(Span::raw("connecting")),
    }
    if let Some(look) = &app.look {
        let lag = look.agents.iter().map(|agent| agent.lag).sum();
        parts.push(Span::raw(format!("  lag {}  {}", human::count(lag), clock(look.at))));
    }
    if app.is_paused {
        parts.push(Span::styled("  paused", colours.of(Color::Yellow).add_modifier(Modifier::BOLD)));
    }
    Line::from(parts)
}

fn aggregates(app: &App, colours: Colours) -> Line<'static> {
    let shown = app.info().map(|info| info.name.clone());
    let all = app.look.as_ref().map(|look| look.aggregates.as_slice()).unwrap_or_default();
    let one = |name: &String| match Some(name) == shown.as_ref() {
        true => Span::styled(format!("[{name}] "), colours.of(Color::Cyan).add_modifier(Modifier::BOLD)),
        false => Span::raw(format!(" {name}  ")),
    };
    all.iter().map(|info| one(&info.name)).collect()
}

/// What is wrong if something is, else what is looked at.
fn note(app: &App, now: Option<&Overview>, colours: Colours) -> Line<'static> {
    let bad = |text: String| Line::styled(text, colours.of(Color::Red));
    if let Some(why) = &app.lost {
        return bad(format!("stale, connecting again: {why}"));
    }
    if let Some(look) = &app.look {
        let missing = now.and_then(|now| now.missing.first()).map(|missing| format!("without {missing}"));
        if let Some(text) =
            look.refused.clone().or(missing).or_else(|| look.not_ready.iter().chain(&look.notes).next().cloned())
        {
            return bad(text);
        }
    }
    let Some(now) = now else { return Line::default() };
    let only: Vec<_> = app.drilled.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let mut text = format!("last {}, by steps of {}", length(now.stretch), length(now.step));
    if !only.is_empty() {
        text += &format!("  only {}", only.join(" "));
    }
    let closed = now.closed.iter().filter_map(|window| Some(format!("{} to {}", window.kind, clock(window.end?))));
    let closed: Vec<_> = closed.collect();
    if !closed.is_empty() && only.is_empty() {
        text += &format!("  closed: {}", closed.join(", "));
    }
    if now.sessions.is_some() {
        text += if app.shows_sessions { "  v keys" } else { "  v sessions" };
    }
    Line::styled(text, colours.of(Color::DarkGray))
}

fn series(frame: &mut Frame<'_>, line: &Series, rate: Option<f64>, area: Rect, colours: Colours) {
    let [name, number, spark, extra] = Layout::horizontal([
        Constraint::Length(NAME),
        Constraint::Length(NUMBER),
        Constraint::Fill(1),
        Constraint::Length(EXTRA),
    ])
    .spacing(1)
    .areas(area);
    let newest = |points: &[Option<f64>]| points.iter().rev().flatten().next().copied();
    let adds_up = line.what == "per second";
    let shown = if adds_up { rate } else { newest(&line.points) };
    let what = if adds_up { "/s" } else { "" };
    let text =
        shown.map_or_else(|| "–".to_owned(), |value| human::value(rounded(value, &line.unit), &line.unit) + what);
    let more = match (&line.total, &line.below) {
        (Some(total), _) => format!("{} in all", human::value(*total, &line.unit)),
        (None, Some((below, points))) => {
            let median = newest(points).map_or_else(|| "–".to_owned(), |value| human::value(value, &line.unit));
            format!("{}, {below} {median}", line.what)
        }
        (None, None) => line.what.to_owned(),
    };
    frame.render_widget(Paragraph::new(line.measure.clone()), name);
    frame.render_widget(Paragraph::new(text).alignment(Alignment::Right), number);
    frame.render_widget(Paragraph::new(more), extra);
    let width = usize::from(spark.width);
    let points = &line.points[line.points.len().saturating_sub(width)..];
    let top = points.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    let bars = points.iter().map(|point| point.map(|value| (value / top * HEIGHT).round().max(1.0) as u64));
    let bars: Vec<Option<u64>> = bars.collect();
    frame.render_widget(Sparkline::default().data(bars).max(HEIGHT as u64).style(colours.of(Color::Blue)), spark);
}

fn table(frame: &mut Frame<'_>, app: &mut App, now: &Overview, area: Rect, colours: Colours) {
    let Some((_, first)) = now.keys.rows.first() else {
        frame.render_widget(Paragraph::new("no events in this stretch"), area);
        return;
    };
    let arrow = if app.ascending { "▲" } else { "▼" };
    let heading = |(at, text): (usize, &String)| match app.sort == Some(at) {
        true => format!("{arrow}{}", text.to_uppercase()),
        false => text.to_uppercase(),
    };
    let headings: Vec<String> = first.iter().map(|column| &column.heading).enumerate().map(heading).collect();
    let cells = |measured: &crate::overview::Measured| match measured.share {
        Some(share) => format!("{} {:>6}", measured.text(), human::value(share, "ratio")),
        None => measured.text(),
    };
    let texts: Vec<Vec<String>> =
        now.keys.rows.iter().map(|(_, measured)| measured.iter().map(cells).collect()).collect();
    let width = |at: usize| {
        let longest = texts.iter().filter_map(|row| row.get(at)).map(|text| text.chars().count()).max().unwrap_or(0);
        longest.max(headings[at].chars().count()) as u16
    };
    let widths = now.keys.labels.iter().map(|_| Constraint::Fill(1));
    let widths: Vec<_> = widths.chain((0..headings.len()).map(|at| Constraint::Length(width(at)))).collect();
    let right = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
    let labels = now.keys.labels.iter().map(|label| Cell::from(label.to_uppercase()));
    let header = Row::new(labels.chain(headings.iter().cloned().map(right))).style(Modifier::BOLD);
    let rows = now.keys.rows.iter().zip(texts).map(|((values, _), texts)| {
        let labels = now.keys.labels.iter().zip(values);
        let labels = labels.map(|(label, value)| Cell::from(value.clone()).style(colours.label(label, value)));
        Row::new(labels.chain(texts.into_iter().map(right)))
    });
    let table = Table::new(rows, widths).header(header).row_highlight_style(Modifier::REVERSED);
    frame.render_stateful_widget(table, area, &mut app.selected);
}

fn sessions(frame: &mut Frame<'_>, app: &mut App, labels: &[String], newest: &[Session], area: Rect, colours: Colours) {
    if newest.is_empty() {
        frame.render_widget(Paragraph::new("no sessions yet"), area);
        return;
    }
    let right = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
    let headings = labels.iter().map(|label| Cell::from(label.to_uppercase()));
    let header = headings.chain(["FROM", "LAST EVENT"].map(Cell::from));
    let header = header.chain(["LENGTH", "EVENTS"].map(|text| right(text.to_owned()))).chain([Cell::from("STATE")]);
    let rows = newest.iter().map(|session| {
        let keys = labels.iter().zip(&session.labels);
        let keys = keys.map(|(label, value)| Cell::from(value.clone()).style(colours.label(label, value)));
        let times = [session.start, session.end].map(|at| Cell::from(clock(at)));
        let numbers = [human::length(session.length()), human::count(session.events)].map(right);
        let state =
            if session.is_closed { Cell::from("closed") } else { Cell::from("open").style(colours.of(Color::Green)) };
        Row::new(keys.chain(times).chain(numbers).chain([state]))
    });
    let widths = labels.iter().map(|_| Constraint::Fill(1)).chain([10, 10, 8, 8, 6].map(Constraint::Length));
    let table = Table::new(rows, widths.collect::<Vec<_>>()).header(Row::new(header).style(Modifier::BOLD));
    frame.render_stateful_widget(table.row_highlight_style(Modifier::REVERSED), area, &mut app.selected);
}

fn agent_lines(agents: &[Agent], colours: Colours) -> Vec<Line<'static>> {
    let one = |agent: &Agent| {
        let name = if agent.address.is_empty() { "this agent" } else { &agent.address };
        let time = agent.stream_time.map_or_else(|| "idle".to_owned(), clock);
        let states: Vec<_> = agent.not_running.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let (state, colour) = match states.is_empty() {
            true => ("running".to_owned(), Color::Green),
            false => (states.join(", "), Color::Red),
        };
        let text =
            format!("{name:<22} {:>3} partitions  lag {:>9}  {time:<9}  ", agent.partitions, human::count(agent.lag));
        Line::from(vec![Span::raw(text), Span::styled(state, colours.of(colour))])
    };
    let mut lines: Vec<_> = agents.iter().take(AGENTS).map(one).collect();
    if agents.len() > AGENTS {
        lines.push(Line::from(format!("and {} more agents", agents.len() - AGENTS)));
    }
    lines
}

fn foot_line(app: &App) -> Line<'static> {
    if app.types_filter {
        return Line::from(format!("filter: {}▏  enter takes it, esc leaves it", app.filter));
    }
    let filter = if app.filter.is_empty() { String::new() } else { format!("  filter {}", app.filter) };
    Line::styled(
        format!("q end  ? help  ←→ aggregate  ↑↓ enter key  s r sort  / filter  w window  p pause{filter}"),
        Modifier::DIM,
    )
}

fn help(frame: &mut Frame<'_>) {
    let lines: Vec<_> = HELP.iter().map(|(keys, what)| Line::from(format!(" {keys:<15} {what} "))).collect();
    let (width, height) = (lines.iter().map(Line::width).max().unwrap_or(0) as u16 + 2, lines.len() as u16 + 2);
    let area = frame.area();
    let area = Rect {
        x: area.width.saturating_sub(width) / 2,
        y: area.height.saturating_sub(height) / 2,
        width: width.min(area.width),
        height: height.min(area.height),
    };
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), area);
}

/// Events per second have no use for fractions, unless there are few.
fn rounded(number: f64, unit: &str) -> f64 {
    if unit.is_empty() && number >= 10.0 { number.round() } else { number }
}

fn length(millis: i64) -> String {
    format_duration(Duration::from_millis(millis.unsigned_abs()))
}

/// Time of day in UTC.
fn clock(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |at| at.strftime("%H:%M:%SZ").to_string())
}
