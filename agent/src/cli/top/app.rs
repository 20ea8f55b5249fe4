//! What is on the screen, and what the user chose. Pure.

use super::ask::{Heard, Look, Wish};
use crate::overview::{Focus, Overview, Session};
use ratatui::widgets::TableState;
use std::time::Duration;
use streamgauge_proto::v1 as pb;

/// Stretches of event time to choose from, minutes.
const STRETCHES: [u64; 5] = [1, 5, 15, 60, 360];
const FIRST_STRETCH: usize = 2;
/// Keys that are asked for: more than fit any screen.
const KEYS: u32 = 200;

pub struct App {
    pub address: String,
    aggregate: Option<String>,
    stretch: usize,
    /// Column that keys are ordered by; `None`: as the agent does.
    pub sort: Option<usize>,
    pub ascending: bool,
    /// The key that was drilled into.
    pub drilled: Vec<(String, String)>,
    pub filter: String,
    /// The filter is being typed.
    pub types_filter: bool,
    pub is_paused: bool,
    pub shows_help: bool,
    /// Sessions instead of keys, where there are some.
    pub shows_sessions: bool,
    pub selected: TableState,
    pub look: Option<Box<Look>>,
    /// Why nothing newer is there.
    pub lost: Option<String>,
}

impl App {
    pub fn new(address: &str, aggregate: Option<String>) -> App {
        App {
            address: address.to_owned(),
            aggregate,
            stretch: FIRST_STRETCH,
            sort: None,
            ascending: false,
            drilled: Vec::new(),
            filter: String::new(),
            types_filter: false,
            is_paused: false,
            shows_help: false,
            shows_sessions: false,
            selected: TableState::default(),
            look: None,
            lost: None,
        }
    }

    pub fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Look(_) if self.is_paused => {}
            Heard::Look(look) => {
                self.lost = None;
                self.look = Some(look);
                let rows = self.rows();
                if self.selected.selected().is_some_and(|at| at >= rows) {
                    self.selected.select(rows.checked_sub(1));
                }
            }
            Heard::Lost(why) => self.lost = Some(why),
        }
    }

    /// What to look at.
    pub fn wish(&self) -> Wish {
        let order = self.sort.and_then(|at| {
            let now = self.look.as_ref()?.now.as_ref()?;
            Some(now.keys.rows.first()?.1.get(at)?.order.clone())
        });
        let focus = Focus {
            matchers: self.matchers(),
            stretch: Some(Duration::from_secs(60 * STRETCHES[self.stretch])),
            order,
            ascending: self.ascending,
            keys: KEYS,
        };
        Wish { aggregate: self.aggregate.clone(), focus, is_paused: self.is_paused }
    }

    fn matchers(&self) -> Vec<pb::LabelMatcher> {
        let equal = |(label, value): &(String, String)| pb::LabelMatcher {
            label: label.clone(),
            op: pb::label_matcher::Operator::Equal.into(),
            value: value.clone(),
        };
        let mut all: Vec<_> = self.drilled.iter().map(equal).collect();
        if !self.filter.is_empty() && !self.types_filter {
            all.extend(self.filter_matcher());
        }
        all
    }

    /// `status=~5..` as it is; a word alone is looked for in the first label.
    fn filter_matcher(&self) -> Option<pb::LabelMatcher> {
        let labels = self.info().map(|info| info.labels.as_slice()).unwrap_or_default();
        let written = crate::api::parse_matcher(&self.filter).ok();
        written.filter(|matcher| labels.contains(&matcher.label)).or_else(|| {
            Some(pb::LabelMatcher {
                label: labels.first()?.clone(),
                op: pb::label_matcher::Operator::Matches.into(),
                value: format!("(?i).*{}.*", regex::escape(&self.filter)),
            })
        })
    }

    /// The aggregate that is shown.
    pub fn info(&self) -> Option<&pb::AggregateInfo> {
        let look = self.look.as_ref()?;
        let name = look.now.as_ref().map(|now| now.name.as_str());
        look.aggregates.iter().find(|info| Some(info.name.as_str()) == self.aggregate.as_deref().or(name))
    }

    /// Goes to the next aggregate, or to the one before.
    pub fn go(&mut self, by: isize) {
        let Some(look) = &self.look else { return };
        let count = look.aggregates.len() as isize;
        let Some(info) = self.info() else { return };
        let Some(at) = look.aggregates.iter().position(|known| known.name == info.name) else { return };
        let next = (at as isize + by).rem_euclid(count.max(1)) as usize;
        self.aggregate = look.aggregates.get(next).map(|info| info.name.clone());
        (self.sort, self.ascending) = (None, false);
        self.drilled.clear();
        self.filter.clear();
        self.selected.select(None);
    }

    /// Moves among the keys.
    pub fn select(&mut self, by: isize) {
        let rows = self.rows() as isize;
        if rows > 0 {
            let at = self.selected.selected().map_or(if by > 0 { -1 } else { rows }, |at| at as isize);
            self.selected.select(Some((at + by).clamp(0, rows - 1) as usize));
        }
    }

    fn now(&self) -> Option<&Overview> {
        self.look.as_ref()?.now.as_ref()
    }

    /// The sessions, if they are what is shown.
    pub fn sessions(&self) -> Option<&[Session]> {
        self.now()?.sessions.as_deref().filter(|_| self.shows_sessions)
    }

    fn rows(&self) -> usize {
        let keys = || self.now().map_or(0, |now| now.keys.rows.len());
        self.sessions().map_or_else(keys, <[Session]>::len)
    }

    /// The labels of a row.
    fn row(&self, at: usize) -> Option<&Vec<String>> {
        match self.sessions() {
            Some(sessions) => sessions.get(at).map(|session| &session.labels),
            None => self.now()?.keys.rows.get(at).map(|(labels, _)| labels),
        }
    }

    /// From keys to sessions, and back.
    pub fn turn(&mut self) {
        self.shows_sessions = !self.shows_sessions;
        self.selected.select(None);
    }

    /// Orders keys by the next column.
    pub fn sort_next(&mut self) {
        let columns = self.look.as_ref().and_then(|look| look.now.as_ref()?.keys.rows.first().map(|row| row.1.len()));
        let columns = columns.unwrap_or(0);
        self.sort = match self.sort {
            None if columns > 0 => Some(0),
            Some(at) if at + 1 < columns => Some(at + 1),
            _ => None,
        };
    }

    pub fn next_stretch(&mut self) {
        self.stretch = (self.stretch + 1) % STRETCHES.len();
    }

    /// Looks at the selected key alone.
    pub fn drill(&mut self) {
        let Some(now) = self.now() else { return };
        let row = self.selected.selected().and_then(|at| self.row(at));
        if let Some(values) = row.filter(|_| self.drilled.is_empty() && !now.keys.labels.is_empty()) {
            self.drilled = now.keys.labels.iter().cloned().zip(values.iter().cloned()).collect();
            self.selected.select(None);
        }
    }

    /// Back to all keys. False if it was there already.
    pub fn back(&mut self) -> bool {
        let was_somewhere = !self.drilled.is_empty() || !self.filter.is_empty();
        self.drilled.clear();
        self.filter.clear();
        was_somewhere
    }
}
