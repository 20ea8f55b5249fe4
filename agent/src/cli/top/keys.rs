//! What the keys do.

use super::app::App;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Keys and what they do, in the order of the help.
pub const HELP: [(&str, &str); 11] = [
    ("← →  tab", "the aggregate before, the next one"),
    ("↑ ↓", "choose a key"),
    ("enter", "look at this key alone"),
    ("esc  backspace", "back to all keys"),
    ("s", "order by the next column"),
    ("r", "smallest or largest first"),
    ("/", "filter: a word, or label=value, label!=value, label=~regex"),
    ("w", "the stretch of event time: 1, 5, 15 minutes, 1, 6 hours"),
    ("v", "sessions instead of keys, where there are some, and back"),
    ("p  space", "pause, and go on"),
    ("q  ctrl-c", "end"),
];

/// True if it is over.
pub fn press(app: &mut App, key: KeyEvent) -> bool {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return true;
    }
    if app.types_filter {
        match key.code {
            KeyCode::Enter => app.types_filter = false,
            KeyCode::Esc => {
                app.types_filter = false;
                app.filter.clear();
            }
            KeyCode::Backspace => drop(app.filter.pop()),
            KeyCode::Char(letter) => app.filter.push(letter),
            _ => {}
        }
        return false;
    }
    if app.shows_help {
        app.shows_help = false;
        return key.code == KeyCode::Char('q');
    }
    match key.code {
        KeyCode::Char('q') => return true,
        KeyCode::Char('?' | 'h') => app.shows_help = true,
        KeyCode::Left | KeyCode::BackTab => app.go(-1),
        KeyCode::Right | KeyCode::Tab => app.go(1),
        KeyCode::Up | KeyCode::Char('k') => app.select(-1),
        KeyCode::Down | KeyCode::Char('j') => app.select(1),
        KeyCode::Enter => app.drill(),
        KeyCode::Esc | KeyCode::Backspace => drop(app.back()),
        KeyCode::Char('s') => app.sort_next(),
        KeyCode::Char('r') => app.ascending = !app.ascending,
        KeyCode::Char('/') => {
            app.filter.clear();
            app.types_filter = true;
        }
        KeyCode::Char('w') => app.next_stretch(),
        KeyCode::Char('v') => app.turn(),
        KeyCode::Char('p' | ' ') => app.is_paused = !app.is_paused,
        _ => {}
    }
    false
}
