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

/// As https://no-color.org has it: set, and not empty.
pub fn are_off(no_color: Option<&str>) -> bool {
    no_color.is_some_and(|value| !value.is_empty())
}
