//! Colours of values, for verbs that draw or print them.

use ratatui::style::Color;

/// By what a label or field says, where its name is one that says such things.
pub fn of_value(name: &str, value: &str) -> Option<Color> {
    let name = name.to_ascii_lowercase();
    let is_status = ["status", "code"].iter().any(|word| name.contains(word));
    match (value.as_bytes().first(), value.len()) {
        (Some(b'2'), 3) if is_status => return Some(Color::Green),
        (Some(b'3'), 3) if is_status => return Some(Color::Cyan),
        (Some(b'4'), 3) if is_status => return Some(Color::Yellow),
        (Some(b'5'), 3) if is_status => return Some(Color::Red),
        _ => {}
    }
    if ["level", "severity"].iter().any(|word| name.contains(word)) {
        return match value.to_ascii_lowercase().as_str() {
            "error" | "fatal" | "critical" => Some(Color::Red),
            "warn" | "warning" => Some(Color::Yellow),
            "debug" | "trace" => Some(Color::DarkGray),
            _ => None,
        };
    }
    if name.contains("type") {
        const OF_TYPES: [Color; 6] =
            [Color::Cyan, Color::Magenta, Color::Blue, Color::Green, Color::Yellow, Color::LightRed];
        let sum = value.bytes().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        return Some(OF_TYPES[sum % OF_TYPES.len()]);
    }
    None
}

/// What every verb takes about colours.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ColourArgs {
    /// When to colour what is printed and logged.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = When::Auto)]
    color: When,
    /// The same as --color never.
    #[arg(
        long, global = true, env = "NO_COLOR", num_args = 0..=1, require_equals = true, default_missing_value = "1",
        hide_env_values = true
    )]
    no_color: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum When {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

impl ColourArgs {
    /// Whether there are colours on an output that is, or is not, a terminal.
    pub fn are_on(&self, is_terminal: bool) -> bool {
        match self.color {
            When::Always => true,
            When::Never => false,
            // As https://no-color.org has it: set, and not empty.
            When::Auto => is_terminal && self.no_color.as_ref().is_none_or(String::is_empty),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_outright_comes_before_no_color_and_that_before_the_terminal() {
        let args = |color, no_color: Option<&str>| ColourArgs { color, no_color: no_color.map(str::to_owned) };
        for (color, no_color, is_terminal, expected) in [
            (When::Auto, None, true, true),
            (When::Auto, None, false, false),
            (When::Auto, Some(""), true, true),
            (When::Auto, Some("1"), true, false),
            (When::Always, Some("1"), false, true),
            (When::Never, None, true, false),
        ] {
            assert_eq!(args(color, no_color).are_on(is_terminal), expected, "{color:?} {no_color:?} {is_terminal}");
        }
    }
}
