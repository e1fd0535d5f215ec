//! Times on the wire: milliseconds since 1970 to and from the forms the dialects use.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::TimeZone;

/// Faster than a pattern that is read each time: an answer has many times.
const MILLIS: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
const SECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(0));

fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn civil(ms: i64) -> jiff::civil::DateTime {
    timestamp(ms).to_zoned(TimeZone::UTC).datetime()
}

/// `2024-09-15T12:27:45.123Z` (both Medusas).
pub(crate) fn millis_text(ms: i64) -> String {
    MILLIS.timestamp_to_string(&timestamp(ms))
}

/// `2024-09-15T12:27:45Z` (Moyasar MPG).
pub(crate) fn seconds_text(ms: i64) -> String {
    SECONDS.timestamp_to_string(&timestamp(ms))
}

/// `2024-09-15T12:27:45.123000+00:00` (Gr4vy).
pub(crate) fn micros_text(ms: i64) -> String {
    civil(ms).strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

/// `Sun, 15 Sep 2024 12:27:45 GMT` (HTTP, cookies).
pub(crate) fn http_text(ms: i64) -> String {
    civil(ms).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads RFC 3339 with any offset, to whole milliseconds. `None` for anything else.
pub(crate) fn parse(text: &str) -> Option<i64> {
    instant(text).map(Timestamp::as_millisecond)
}

/// A time whose year has four digits in UTC too: others cannot be written in any dialect.
fn instant(text: &str) -> Option<Timestamp> {
    let instant = text.parse::<Timestamp>().ok()?;
    let year = civil(instant.as_millisecond()).year();
    (text.starts_with(|first: char| first.is_ascii_digit()) && year >= 0).then_some(instant)
}

/// As [`parse`]; what lies between two milliseconds is the later one.
pub(crate) fn parse_up(text: &str) -> Option<i64> {
    let ms = instant(text)?.as_nanosecond().saturating_add(999_999).div_euclid(1_000_000);
    i64::try_from(ms).ok()
}

/// As [`parse`], and where no offset is named it is UTC, where no time is named the day's beginning:
/// `2024-09-15`, `2024-09-15 12:27`.
pub(crate) fn parse_loose(text: &str) -> Option<i64> {
    let civil = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    parse(text).or_else(|| civil().map(|zoned| zoned.timestamp().as_millisecond()))
}

/// Days since 1970-01-01 UTC.
#[cfg(test)]
pub(crate) fn day(ms: i64) -> i64 {
    ms.div_euclid(86_400_000)
}

/// Two-digit year and day of the year (1 to 366) of a day since 1970, as card-message reference
/// numbers begin.
pub(crate) fn year_and_day(day: i64) -> (i16, i16) {
    let date = civil(day.saturating_mul(86_400_000)).date();
    (date.year().rem_euclid(100), date.day_of_year())
}

/// Year and month in UTC, as cards expire at the end of one.
pub(crate) fn year_and_month(ms: i64) -> (i64, i64) {
    let date = civil(ms).date();
    (date.year().into(), date.month().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spelled_as_each_dialect_spells_them() {
        let ms = parse("2024-09-15T14:27:45.123+02:00").expect("a time");
        assert_eq!(millis_text(ms), "2024-09-15T12:27:45.123Z");
        assert_eq!(seconds_text(ms), "2024-09-15T12:27:45Z");
        assert_eq!(micros_text(ms), "2024-09-15T12:27:45.123000+00:00");
        assert_eq!(http_text(ms), "Sun, 15 Sep 2024 12:27:45 GMT");
        assert_eq!(year_and_day(day(ms)), (24, 259));
        assert_eq!(year_and_month(ms), (2024, 9));
        for text in [
            "2024-09-15",
            "-009999-01-02T01:59:59Z",
            "+002024-09-15T12:27:45Z",
            "0000-01-01T00:30:00+01:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let up = |text| parse_up(text).map(millis_text);
        assert_eq!(up("2024-09-15T12:27:45.123Z").as_deref(), Some("2024-09-15T12:27:45.123Z"));
        assert_eq!(up("2024-09-15T12:27:45.1230001Z").as_deref(), Some("2024-09-15T12:27:45.124Z"));
        assert_eq!(up("1969-12-31T23:59:59.9991Z").as_deref(), Some("1970-01-01T00:00:00.000Z"));
        let second = 1_726_403_265_000;
        for (text, ms) in [
            ("2024-09-15T14:27:45+02:00", Some(second)),
            ("2024-09-15T12:27:45", Some(second)),
            ("2024-09-15 12:27:45", Some(second)),
            ("2024-09-15 12:27", Some(second - 45_000)),
            ("2024-09-15", Some(1_726_358_400_000)),
            ("2024", None),
            ("notadate", None),
            ("", None),
        ] {
            assert_eq!(parse_loose(text), ms, "{text}");
        }
    }
}
