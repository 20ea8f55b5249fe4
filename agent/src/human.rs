//! Numbers as people read them: thousands apart, times and sizes with the unit that fits.

#![forbid(unsafe_code)]

/// `1234567` as `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds with three digits that matter: `850 µs`, `45.2 ms`, `1.25 s`.
pub fn seconds(seconds: f64) -> String {
    match seconds.abs() {
        0.0 => "0 s".to_owned(),
        s if s < 1e-6 => format!("{} ns", three_digits(seconds * 1e9)),
        s if s < 1e-3 => format!("{} µs", three_digits(seconds * 1e6)),
        s if s < 1.0 => format!("{} ms", three_digits(seconds * 1e3)),
        _ => format!("{} s", three_digits(seconds)),
    }
}

/// A length of time in hours, minutes and seconds: `1h 2m 3s`.
pub fn length(millis: i64) -> String {
    format!("{:#}", jiff::SignedDuration::from_secs((millis as f64 / 1e3).round() as i64))
}

/// Unix seconds as people write a time.
fn time(seconds: f64) -> String {
    jiff::Timestamp::from_millisecond((seconds * 1e3).round() as i64)
        .map_or(seconds.to_string(), |time| time.to_string())
}

/// Bytes in units of a thousand: `1.5 MB`.
pub fn bytes(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes;
    let mut unit = 0;
    while value.abs() >= 1_000.0 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    format!("{} {}", three_digits(value), units[unit])
}

/// A value in an exposed unit: seconds, bytes, ratio, Unix time, or none.
pub fn value(value: f64, unit: &str) -> String {
    match unit {
        _ if !value.is_finite() => value.to_string(),
        "seconds" => seconds(value),
        "bytes" => bytes(value),
        "timestamp_seconds" => time(value),
        "ratio" => format!("{} %", three_digits(value * 100.0)),
        _ if value.fract() == 0.0 && value.abs() < 1e15 => {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}", count(value.abs() as u64))
        }
        _ => three_digits(value),
    }
}

/// Three digits that matter, but all of those before the point.
fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn lengths_have_their_units() {
        assert_eq!([0, 1_600, 90_000, 7_384_000].map(super::length), ["0s", "2s", "1m 30s", "2h 3m 4s"]);
    }

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 7, 999, 1_000, 123_456, 1_234_567].map(super::count);
        assert_eq!(texts, ["0", "7", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn values_have_the_unit_that_fits() {
        let texts = [0.0, 0.000_85, 0.045_21, 1.25, 130.0].map(super::seconds);
        assert_eq!(texts, ["0 s", "850 µs", "45.2 ms", "1.25 s", "130 s"]);
        assert_eq!(super::value(1_500_000.0, "bytes"), "1.5 MB");
        assert_eq!(super::value(0.1, "ratio"), "10 %");
        assert_eq!([super::value(-12_000.0, ""), super::value(0.5, "")], ["-12,000", "0.5"]);
    }
}
