//! Durations and sizes as people write them: `100ms`, `1h30m`, `64MiB`.

use std::time::Duration;

/// No duration in the config may be longer, so that sums of them cannot overflow.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

const DURATION_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// Reads `100ms`, `30s`, `5m`, `2h`, `7d` or several of them in a row. The error says what is wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    let mut millis: u64 = 0;
    if rest.is_empty() {
        return Err("a duration is a number and a unit: `100ms`, `30s`, `5m`, `2h`, `7d`".into());
    }
    while !rest.is_empty() {
        let (number, unit, after) = split_quantity(rest);
        let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a duration such as `30s` or `1h30m`"))?;
        let factor = DURATION_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let factor = factor.ok_or_else(|| match unit {
            "" => format!("`{text}` has no unit: write `{text}ms`, `{text}s`, `{text}m`, `{text}h` or `{text}d`"),
            _ => format!("`{unit}` is not a unit of time: use `ms`, `s`, `m`, `h` or `d`"),
        })?;
        millis = number
            .checked_mul(factor)
            .and_then(|part| millis.checked_add(part))
            .filter(|sum| *sum <= LONGEST.as_millis() as u64)
            .ok_or_else(|| format!("`{text}` is longer than {} allows", format_duration(LONGEST)))?;
        rest = after;
    }
    Ok(Duration::from_millis(millis))
}

/// Writes a duration so that [`parse_duration`] reads the same from it: `90s`, `5m`, `100ms`.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let unit =
        DURATION_UNITS.iter().rev().find(|(_, factor)| millis != 0 && millis.is_multiple_of(u128::from(*factor)));
    match unit {
        Some((name, factor)) => format!("{}{name}", millis / u128::from(*factor)),
        None => "0s".into(),
    }
}

/// Reads `65536`, `64KiB`, `64MiB`, `1MB` as bytes. The error says what is wrong with it.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit, after) = split_quantity(text.trim());
    let number: u64 = match after {
        "" => number.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| format!("`{text}` is not a size such as `64MiB` or a number of bytes"))?;
    let unit = if unit.is_empty() { "B" } else { unit };
    let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let factor =
        factor.ok_or_else(|| format!("`{unit}` is not a unit of size: use `KiB`, `MiB`, `GiB`, `kB`, `MB`, `GB`"))?;
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"))
}

/// Writes a size so that [`parse_size`] reads the same from it.
pub fn format_size(bytes: u64) -> String {
    let binary = SIZE_UNITS.iter().rev().filter(|(name, _)| name.ends_with("iB"));
    match binary.into_iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// The leading digits, the letters after them, and the rest.
fn split_quantity(text: &str) -> (&str, &str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    (number, unit.trim_end(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        for (text, millis) in [
            ("100ms", 100),
            ("30s", 30_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("1h30m", 5_400_000),
            ("1m 30s", 90_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "s", "5", "5x", "5m3", "-5s", "1.5s", "99999999999999999999s", "99999999999d", "5 5s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_read_as_written() {
        for (text, bytes) in
            [("0", 0), ("65536", 65_536), ("64MiB", 64 << 20), ("1MB", 1_000_000), ("900 KiB", 921_600)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MiB", "64M", "1.5GiB", "-1", "64MiB2", "99999999999GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for millis in [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 86_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
        for bytes in [0, 1, 1_000, 1_024, 921_600, 1 << 30] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
    }
}
