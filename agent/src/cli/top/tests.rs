//! Screens as they are drawn, and what keys do to them.

use super::app::App;
use super::ask::{Heard, Look};
use super::draw::{Colours, draw};
use super::keys::press;
use crate::overview::{Agent, Keys, Line, Measured, Overview, Session, Window};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use streamgauge_proto::v1 as pb;
use streamgauge_proto::v1::label_matcher::Operator;

const T0: i64 = 1_763_596_800_000;

fn look() -> Look {
    let info = |name: &str, labels: &[&str]| pb::AggregateInfo {
        name: name.into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..Default::default()
    };
    let measured = |heading: &str, order: (&str, &str), number: f64, unit: &str| Measured {
        heading: heading.into(),
        number: Some(number),
        item: None,
        unit: unit.into(),
        order: (order.0.into(), order.1.into()),
        share: (heading == "errors").then_some(0.1),
    };
    let row = |endpoint: &str, status: &str, requests: f64| {
        let measured = vec![
            measured("requests", ("requests", ""), requests, ""),
            measured("errors", ("errors", ""), requests / 10.0, ""),
            measured("duration p99", ("duration", "p99"), 0.0727, "seconds"),
        ];
        (vec![endpoint.to_owned(), status.to_owned()], measured)
    };
    let points: Vec<_> = (0..15).map(|at| (at != 3).then_some(100.0 + f64::from(at) * 20.0)).collect();
    let line = Line { points: points.clone(), ..Line::default() };
    let now = Overview {
        name: "http".into(),
        stretch: 900_000,
        step: 60_000,
        lines: vec![
            Line { measure: "requests".into(), what: "per second", total: Some(12_345_678.0), ..line.clone() },
            Line {
                measure: "duration".into(),
                what: "p99",
                unit: "seconds".into(),
                points: vec![Some(0.08), Some(0.0727)],
                below: Some(("p50", vec![Some(0.0451)])),
                ..line
            },
        ],
        keys: Keys {
            labels: vec!["endpoint".into(), "status".into()],
            rows: vec![row("/api/users", "200", 1_234_567.0), row("/api/cart", "503", 7_000.0)],
        },
        closed: vec![Window { kind: "5m/1m".into(), end: Some(T0), measured: Vec::new() }],
        ..Overview::default()
    };
    let agent = |address: &str, lag| Agent {
        address: address.into(),
        partitions: 6,
        lag,
        stream_time: Some(T0 + 1_000),
        ..Agent::default()
    };
    let mut other = agent("10.0.0.2:9747", 1_200);
    other.not_running.insert("replica", 2);
    Look {
        aggregates: vec![info("http", &["endpoint", "status"]), info("regions", &["region"])],
        now: Some(now),
        rates: vec![Some(40_012.4), None],
        agents: vec![agent("", 0), other],
        at: T0 + 2_000,
        ..Look::default()
    }
}

fn app() -> App {
    let mut app = App::new("127.0.0.1:9747", None);
    app.hear(Heard::Look(Box::new(look())));
    app
}

fn screen(app: &mut App, width: u16, height: u16, colours: Colours) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app, colours)).unwrap();
    terminal.backend().clone()
}

fn type_all(app: &mut App, keys: &[KeyCode]) {
    for &key in keys {
        assert!(!press(app, KeyEvent::new(key, KeyModifiers::NONE)), "{key:?} ends it");
    }
}

#[test]
fn a_terminal_of_eighty_by_twenty_four_shows_all_of_it() {
    let backend = screen(&mut app(), 80, 24, Colours::None);
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("top", backend);
    });
    assert!(backend.buffer().content().iter().all(|cell| cell.fg == Color::Reset), "NO_COLOR is no colour");
}

#[test]
fn statuses_have_their_colours_and_any_size_is_drawn() {
    let backend = screen(&mut app(), 120, 40, Colours::All);
    let has = |colour| backend.buffer().content().iter().any(|cell| cell.fg == colour);
    assert!(has(Color::Green) && has(Color::Red) && has(Color::Cyan));
    for (width, height) in [(1, 1), (10, 3), (20, 8), (300, 5)] {
        let mut app = app();
        screen(&mut app, width, height, Colours::All);
        app.shows_help = true;
        screen(&mut app, width, height, Colours::All);
    }
}

#[test]
fn keys_sort_filter_drill_and_choose_what_is_asked_next() {
    let mut app = app();
    let wish = app.wish();
    assert_eq!((wish.aggregate, wish.focus.order, wish.focus.stretch.unwrap().as_secs()), (None, None, 900));
    type_all(&mut app, &[KeyCode::Char('s'), KeyCode::Char('s'), KeyCode::Char('s'), KeyCode::Char('r')]);
    let focus = app.wish().focus;
    assert_eq!((focus.order, focus.ascending), (Some(("duration".into(), "p99".into())), true));
    assert!(screen(&mut app, 80, 24, Colours::None).to_string().contains("▲DURATION P99"));
    type_all(&mut app, &[KeyCode::Char('s'), KeyCode::Char('w')]);
    assert_eq!((app.wish().focus.order, app.wish().focus.stretch.unwrap().as_secs()), (None, 3_600));

    type_all(&mut app, &[KeyCode::Down, KeyCode::Down, KeyCode::Down, KeyCode::Up, KeyCode::Down, KeyCode::Enter]);
    let matchers = app.wish().focus.matchers;
    let matchers: Vec<_> = matchers.iter().map(|m| (m.label.as_str(), m.op(), m.value.as_str())).collect();
    assert_eq!(matchers, [("endpoint", Operator::Equal, "/api/cart"), ("status", Operator::Equal, "503")]);
    assert!(screen(&mut app, 80, 24, Colours::None).to_string().contains("only endpoint=/api/cart status=503"));
    type_all(&mut app, &[KeyCode::Esc]);
    assert!(app.wish().focus.matchers.is_empty());

    let typed = |text: &str| text.chars().map(KeyCode::Char).collect::<Vec<_>>();
    type_all(&mut app, &typed("/api.q"));
    assert!(app.wish().focus.matchers.is_empty(), "half a word is not asked for");
    type_all(&mut app, &[KeyCode::Enter]);
    let asked = app.wish().focus.matchers.remove(0);
    assert_eq!(
        (asked.label.as_str(), asked.op(), asked.value.as_str()),
        ("endpoint", Operator::Matches, "(?i).*api\\.q.*")
    );
    type_all(&mut app, &typed("/status=~5.."));
    type_all(&mut app, &[KeyCode::Enter]);
    let asked = app.wish().focus.matchers.remove(0);
    assert_eq!((asked.label.as_str(), asked.op(), asked.value.as_str()), ("status", Operator::Matches, "5.."));

    type_all(&mut app, &[KeyCode::Right]);
    assert_eq!((app.wish().aggregate.as_deref(), app.wish().focus.matchers.len()), (Some("regions"), 0));
    type_all(&mut app, &[KeyCode::Right]);
    assert_eq!(app.wish().aggregate.as_deref(), Some("http"));
    assert!(press(&mut app, KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE)));
    assert!(press(&mut app, KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
}

#[test]
fn sessions_take_the_place_of_keys_and_can_be_drilled_into() {
    let mut app = app();
    type_all(&mut app, &[KeyCode::Char('v')]);
    assert!(screen(&mut app, 80, 24, Colours::None).to_string().contains("REQUESTS"), "there are no sessions");
    let mut look = look();
    let session = |endpoint: &str, end, is_closed| Session {
        labels: vec![endpoint.to_owned(), "200".to_owned()],
        start: T0 - 90_000,
        end,
        events: 1_234,
        is_closed,
    };
    look.now.as_mut().unwrap().sessions =
        Some(vec![session("/api/new", T0, false), session("/api/old", T0 - 5_000, true)]);
    app.hear(Heard::Look(Box::new(look)));
    let text = screen(&mut app, 80, 24, Colours::None).to_string();
    let line = |word: &str| text.lines().find(|line| line.contains(word)).unwrap_or_default().to_owned();
    for words in ["23:58:30Z", "00:00:00Z", "1m 30s", "1,234", "open"] {
        assert!(line("/api/new").contains(words), "{words}: {text}");
    }
    assert!(line("/api/old").contains("closed") && text.contains("v keys") && !text.contains("/api/users"), "{text}");
    type_all(&mut app, &[KeyCode::Down, KeyCode::Down, KeyCode::Enter]);
    assert_eq!(app.wish().focus.matchers[0].value, "/api/old");
    type_all(&mut app, &[KeyCode::Char('v')]);
    assert!(screen(&mut app, 80, 24, Colours::None).to_string().contains("v sessions"));
}

#[test]
fn a_pause_keeps_the_screen_and_a_lost_agent_is_told_with_what_was_last_known() {
    let mut app = app();
    type_all(&mut app, &[KeyCode::Char('p')]);
    app.hear(Heard::Look(Box::default()));
    let text = screen(&mut app, 80, 24, Colours::None).to_string();
    assert!(app.wish().is_paused && text.contains("paused") && text.contains("/api/users"), "{text}");
    type_all(&mut app, &[KeyCode::Char('p')]);
    app.hear(Heard::Lost("no agent answers".into()));
    let text = screen(&mut app, 80, 24, Colours::None).to_string();
    assert!(text.contains("stale, connecting again: no agent answers") && text.contains("/api/users"), "{text}");
    app.hear(Heard::Look(Box::new(look())));
    assert!(!screen(&mut app, 80, 24, Colours::None).to_string().contains("stale"));
}
