//! Zones by their names, and by the abbreviations that logs have for them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// A place's own time. The rules are compiled in: a recount on another machine finds the same.
#[derive(Clone, Debug)]
pub(super) struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Zone(TimeZone::UTC)
    }
}

impl Zone {
    pub fn named(name: &str) -> Option<Zone> {
        match name {
            "UTC" => Some(Zone::default()),
            name => TimeZoneDatabase::bundled().get(name).ok().map(Zone),
        }
    }

    /// Nanoseconds since 1970 of what a clock there shows. Where clocks are set forward, what they skip is read as if they
    /// had not been set yet; where they are set back, what they show twice is the first.
    pub fn nanos(&self, shown: DateTime) -> Option<i128> {
        let time = self.0.to_ambiguous_timestamp(shown).compatible().ok()?;
        Some(time.as_nanosecond())
    }

    /// The same, if an abbreviation says in which zone's time: one of this place's, or one that everybody means the same by.
    pub fn nanos_in(&self, abbreviation: &str, shown: DateTime) -> Option<i128> {
        let ambiguous = self.0.to_ambiguous_timestamp(shown);
        let both = [ambiguous.earlier(), ambiguous.later()];
        let own = both.into_iter().flatten().find(|time| self.calls(*time, abbreviation));
        if let Some(time) = own {
            return Some(time.as_nanosecond());
        }
        let minutes = ABBREVIATIONS.iter().find(|(known, _)| *known == abbreviation)?.1;
        let offset = Offset::from_seconds(minutes * 60).ok()?;
        Some(offset.to_timestamp(shown).ok()?.as_nanosecond())
    }

    fn calls(&self, time: Timestamp, abbreviation: &str) -> bool {
        self.0.to_offset_info(time).abbreviation() == abbreviation
    }
}

/// Whether there is a zone of this name.
pub fn is_zone(name: &str) -> bool {
    Zone::named(name).is_some()
}

/// Every name, to suggest one that is near.
pub fn zone_names() -> Vec<String> {
    TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect()
}

/// Whether this is the abbreviation of a zone, whether or not it means one alone.
pub fn is_abbreviation(text: &str) -> bool {
    let several = ["IST", "CST", "CDT", "PST", "BST"];
    text.len() > 1 && (ABBREVIATIONS.iter().any(|(known, _)| *known == text) || several.contains(&text))
}

/// Abbreviations that mean one offset, in minutes, wherever they are used today. Left out are those of several places, such as
/// `IST` (India, Ireland, Israel), `CST` (America, China, Cuba), `PST` (America, the Philippines) and `BST`.
pub(super) const ABBREVIATIONS: [(&str, i32); 38] = [
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("Z", 0),
    ("WET", 0),
    ("WEST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("MEZ", 60),
    ("MESZ", 120),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("TRT", 180),
    ("SAST", 120),
    ("EAT", 180),
    ("WAT", 60),
    ("PKT", 300),
    ("NPT", 345),
    ("WIB", 420),
    ("HKT", 480),
    ("SGT", 480),
    ("AWST", 480),
    ("JST", 540),
    ("KST", 540),
    ("ACST", 570),
    ("ACDT", 630),
    ("AEST", 600),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
    ("EST", -300),
    ("EDT", -240),
    ("MST", -420),
    ("HST", -600),
    ("MDT", -360),
    ("PDT", -420),
    ("AKDT", -480),
];
