//! Values of options: sizes, limits, times.

use ctr_core::types::Timestamp;
use ctr_core::types::config::{RlimitKind, Ulimit};
use jiff::SignedDuration;

/// Bytes, such as `64m` or `1.5GiB`; the units are powers of 1024, as docker's and podman's.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let bad = || "use a number and perhaps b, k, m, g or t, such as 512m".to_owned();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let shift = match unit
        .strip_suffix("ib")
        .or_else(|| unit.strip_suffix('b'))
        .unwrap_or(&unit)
    {
        "" => 0_u32,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(bad()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 {
        return Err(bad());
    }
    let parse = |digits: &str| {
        if digits.is_empty() {
            Some(0)
        } else {
            digits.parse::<u128>().ok()
        }
    };
    let whole = parse(whole).ok_or_else(bad)?;
    let digits = u32::try_from(fraction.len()).unwrap_or(0);
    let fraction = parse(fraction).ok_or_else(bad)?;
    let bytes = whole
        .checked_mul(1 << shift)
        .and_then(|whole| whole.checked_add((fraction << shift) / 10_u128.pow(digits)))
        .ok_or_else(bad)?;
    u64::try_from(bytes).map_err(|_too_large| bad())
}

/// Bytes, or -1.
pub(crate) fn swap(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    i64::try_from(size(text)?).map_err(|_too_large| "it is too large".to_owned())
}

/// Processors, in billionths.
pub(crate) fn cpus(text: &str) -> Result<u64, String> {
    let bad = || "use a number above 0, such as 1.5".to_owned();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let whole: u64 = if whole.is_empty() {
        Ok(0)
    } else {
        whole.parse()
    }
    .map_err(|_no_number| bad())?;
    let fraction: u64 = format!("{fraction:0<9}")
        .parse()
        .map_err(|_no_number| bad())?;
    let nano = whole
        .checked_mul(1_000_000_000)
        .and_then(|nano| nano.checked_add(fraction));
    nano.filter(|nano| *nano > 0).ok_or_else(bad)
}

/// `NAME=SOFT[:HARD]`; -1 is no limit.
pub(crate) fn ulimit(text: &str) -> Result<Ulimit, String> {
    let bad = || "use NAME=SOFT[:HARD], such as nofile=1024:2048".to_owned();
    let (name, limits) = text.split_once('=').ok_or_else(bad)?;
    let kind: RlimitKind = name.parse().map_err(|()| {
        let names: Vec<&str> = RlimitKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("{name:?} is no limit: use one of {}", names.join(", "))
    })?;
    let limit = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        text => text.parse().map_err(|_no_number| bad()),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (limit(soft)?, limit(hard)?);
    if soft > hard {
        return Err("the soft limit is above the hard one".to_owned());
    }
    Ok(Ulimit { kind, soft, hard })
}

/// A span of time, such as `1m30s`.
pub(crate) fn span(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || "use a span such as 30s or 1m30s".to_owned();
    let span: SignedDuration = text.parse().map_err(|_no_span| wrong())?;
    std::time::Duration::try_from(span).map_err(|_negative| wrong())
}

/// A moment: RFC 3339, seconds since 1970, or a span before now, such as `10m`.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    at(text, Timestamp::checked_sub)
}

/// As [`moment`], but a span lies ahead of now, as podman has it for `--until`.
pub(crate) fn moment_ahead(text: &str) -> Result<Timestamp, String> {
    at(text, Timestamp::checked_add)
}

fn at(
    text: &str,
    span_from: impl FnOnce(Timestamp, SignedDuration) -> Result<Timestamp, jiff::Error>,
) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let (seconds, nanos) = text.split_once('.').unwrap_or((text, "0"));
    if let (Ok(seconds), Ok(nanos)) = (
        seconds.parse::<i64>(),
        format!("{nanos:0<9}").parse::<i32>(),
    ) {
        return Timestamp::new(seconds, nanos).map_err(|error| error.to_string());
    }
    let wrong =
        "use a time such as 2026-01-31T12:00:00Z, seconds since 1970, or a span such as 10m";
    let span: SignedDuration = text.parse().map_err(|_no_span| wrong.to_owned())?;
    span_from(Timestamp::now(), span).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, bytes) in [
            ("0", 0),
            ("1b", 1),
            ("1k", 1024),
            ("64m", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("2T", 2 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in [
            "",
            "m",
            "-1",
            "1x",
            "1..2",
            "1e3",
            "99999999999999999999t",
            "１",
        ] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!((swap("-1"), swap("1k")), (Ok(-1), Ok(1024)));
    }

    #[test]
    fn processors_are_counted_in_billionths() {
        assert_eq!(cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(cpus(".5"), Ok(500_000_000));
        for bad in ["0", "-1", "x", "1.x", "1.0000000001"] {
            assert!(cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_have_a_name_and_one_or_two_numbers() {
        let limit = ulimit("nofile=10:20").unwrap();
        assert_eq!(
            (limit.kind, limit.soft, limit.hard),
            (RlimitKind::Nofile, 10, 20)
        );
        assert_eq!(ulimit("core=-1").unwrap().hard, u64::MAX);
        for bad in ["nofile", "nofiles=1", "nofile=2:1", "nofile=x"] {
            assert!(ulimit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_times_or_spans() {
        assert_eq!(moment("1700000000").unwrap().as_second(), 1_700_000_000);
        assert_eq!(
            moment("2026-01-31T12:00:00Z").unwrap().to_string(),
            "2026-01-31T12:00:00Z"
        );
        assert!(moment("10m").unwrap() < Timestamp::now());
        assert!(moment("yesterday-ish").is_err());
    }
}
