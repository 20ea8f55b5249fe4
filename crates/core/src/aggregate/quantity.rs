//! Quantities as text has them: `231.02ms`, `1h2m3.5s`, `PT1.5S`, `1.5MiB`.

use super::reason::Reason;
use super::sample::Factor;
use crate::measure::{Sample, nanos_to_f64};
use crate::value::Value;
use crate::value::number::{leading, with_suffix};

const NANOSECOND: Factor = Factor::times(1, 1_000_000_000);
const MICROSECOND: Factor = Factor::times(1, 1_000_000);
const MILLISECOND: Factor = Factor::times(1, 1_000);
const SECOND: Factor = Factor::times(1, 1);
const MINUTE: Factor = Factor::times(60, 1);
const HOUR: Factor = Factor::times(3_600, 1);
const DAY: Factor = Factor::times(86_400, 1);

const BYTE: Factor = Factor::times(1, 1);
const KILO: Factor = Factor::times(1_000, 1);
const MEGA: Factor = Factor::times(1_000_000, 1);
const KIBI: Factor = Factor::times(1 << 10, 1);
const MEBI: Factor = Factor::times(1 << 20, 1);

const PERCENT: Factor = Factor::times(1, 100);

type Read = Option<Result<Sample, Reason>>;

/// A duration as Go writes it (`1h2m3.5s`, `231.02ms`), or ISO 8601 (`PT1.5S`); `None` if it is none.
pub(super) fn duration(text: &str) -> Read {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let parts = match unsigned.strip_prefix('P') {
        Some(rest) => iso_parts(rest)?,
        None => go_parts(unsigned)?,
    };
    let mut sum = Sample { value: 0.0, nanos: 0 };
    for (number, unit) in &parts {
        match unit.of(*number) {
            Ok(part) => sum = Sample { value: sum.value + part.value, nanos: sum.nanos + part.nanos },
            Err(reason) => return Some(Err(reason)),
        }
    }
    // Of several parts the sum of floats would have rounded more than once.
    let value = if parts.len() > 1 { nanos_to_f64(sum.nanos) } else { sum.value };
    let sign = if negative { -1 } else { 1 };
    Some(Ok(Sample { value: f64::from(sign) * value + 0.0, nanos: i128::from(sign) * sum.nanos }))
}

type Parts<'a> = Vec<(Value<'a>, Factor)>;

fn go_parts(mut text: &str) -> Option<Parts<'_>> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let (number, rest) = leading(text)?;
        let rest = rest.trim_ascii_start();
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        parts.push((number, time_unit(&rest[..end])?));
        text = &rest[end..];
    }
    (!parts.is_empty()).then_some(parts)
}

fn time_unit(suffix: &str) -> Option<Factor> {
    Some(match suffix {
        "ns" => NANOSECOND,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// What follows the `P`. Years and months have no length.
fn iso_parts(text: &str) -> Option<Parts<'_>> {
    let (days, time) = text.split_once('T').unwrap_or((text, ""));
    let mut parts = Vec::new();
    for (mut rest, units) in [(days, &[('W', 7), ('D', 1)][..]), (time, &[('H', 3_600), ('M', 60), ('S', 1)][..])] {
        let mut units = units.iter();
        while !rest.is_empty() {
            let (number, after) = leading(rest)?;
            let mut characters = after.chars();
            let unit = characters.next()?;
            // Larger ones come first, each at most once.
            let &(unit, length) = units.find(|(letter, _)| *letter == unit)?;
            let scaling = match unit {
                'W' | 'D' if length == 7 => Factor::times(7 * 86_400, 1),
                'W' | 'D' => DAY,
                'H' => HOUR,
                'M' => MINUTE,
                _ => SECOND,
            };
            parts.push((number, scaling));
            rest = characters.as_str();
        }
    }
    (!parts.is_empty()).then_some(parts)
}

/// A size: `12kB`, `1.5MiB`; `None` if it is none.
pub(super) fn size(text: &str) -> Read {
    let (number, suffix) = with_suffix(text)?;
    // Beyond mega, a billionth of a byte times the factor would not fit; nobody measures billionths of terabytes.
    let (factor, unit) = match suffix {
        "B" => (1, BYTE),
        "kB" | "KB" => (1, KILO),
        "MB" => (1, MEGA),
        "GB" => (1_000, MEGA),
        "TB" => (1_000_000, MEGA),
        "KiB" => (1, KIBI),
        "MiB" => (1, MEBI),
        "GiB" => (1 << 10, MEBI),
        "TiB" => (1 << 20, MEBI),
        _ => return None,
    };
    let number = match number {
        Value::Int(whole) => whole.checked_mul(factor).map_or(Value::Float(f64::INFINITY), Value::Int),
        Value::Float(number) => Value::Float(number * factor as f64),
        other => other,
    };
    Some(unit.of(number))
}

/// A share: `12.5%`; `None` if it is none.
pub(super) fn percent(text: &str) -> Read {
    let (number, suffix) = with_suffix(text)?;
    (suffix == "%").then(|| PERCENT.of(number))
}

#[cfg(test)]
mod tests {
    use super::super::units::Scaling;
    use super::*;
    use crate::config::Unit;

    fn nanos(unit: Unit, text: &str) -> Result<i128, Reason> {
        Scaling::new(unit).sample(Value::Str(text)).map(|sample| sample.nanos)
    }

    #[test]
    fn a_duration_is_read_where_the_unit_is_of_time() {
        for (text, expected) in [
            ("231.023586ms", 231_023_586),
            ("1.263337456s", 1_263_337_456),
            ("1h2m3.5s", 3_723_500_000_000),
            ("-1.5s", -1_500_000_000),
            ("12 ms", 12_000_000),
            ("5us", 5_000),
            ("5µs", 5_000),
            ("5μs", 5_000),
            ("7ns", 7),
            ("0.055s", 55_000_000),
            ("PT1.5S", 1_500_000_000),
            ("-PT1M", -60_000_000_000),
            ("P1DT2H3M4.25S", 93_784_250_000_000),
            ("P2W", 1_209_600_000_000_000),
        ] {
            assert_eq!(nanos(Unit::Milliseconds, text), Ok(expected), "{text}");
            assert_eq!(nanos(Unit::Bytes, text), Err(Reason::ValueType), "{text}");
            assert_eq!(nanos(Unit::None, text), Err(Reason::ValueType), "{text}");
        }
        for text in ["5", "1.5.5s", "s", "5x", "5s3", "P", "PT", "P1Y", "PT1S1H", "1,5s", "1e3s", "5 s s", "ms5"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(nanos(Unit::Seconds, "1e18h"), Err(Reason::ValueType));
        assert_eq!(nanos(Unit::Seconds, "1000000000000000000h"), Err(Reason::ValueOutOfRange));
    }

    #[test]
    fn a_size_or_a_share_is_read_where_the_unit_is_one() {
        let byte = 1_000_000_000;
        for (text, bytes) in [
            ("12kB", 12_000),
            ("12 KB", 12_000),
            ("1.5MiB", 1_572_864),
            ("2GB", 2_000_000_000),
            ("1.5GiB", 1_610_612_736),
            ("1TiB", 1 << 40),
            ("7B", 7),
        ] {
            assert_eq!(nanos(Unit::Kilobytes, text), Ok(bytes * byte), "{text}");
            assert_eq!(nanos(Unit::Seconds, text), Err(Reason::ValueType), "{text}");
        }
        assert_eq!(nanos(Unit::Percent, "12.5%"), Ok(125_000_000));
        assert_eq!(nanos(Unit::Percent, "12.5"), Ok(125_000_000));
        assert_eq!(nanos(Unit::Bytes, "9000000000TiB"), Err(Reason::ValueOutOfRange));
    }

    #[test]
    fn a_plain_number_in_text_has_the_measures_unit_and_nothing_is_no_value() {
        assert_eq!(nanos(Unit::Milliseconds, "12.5"), Ok(12_500_000));
        for text in ["", "-", " ", " - "] {
            assert_eq!(nanos(Unit::Milliseconds, text), Err(Reason::MissingValue), "{text:?}");
        }
        assert_eq!(nanos(Unit::Milliseconds, "n/a"), Err(Reason::ValueType));
    }
}
