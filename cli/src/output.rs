//! What goes to standard output, and notes on standard error.

pub(crate) mod inspect;
mod table;
mod template;

use std::io::{self, Write as _};
use std::str::FromStr;

use serde_json::Value;

pub(crate) use table::Table;
pub(crate) use template::Template;

/// Prints one line.
///
/// # Errors
/// When standard output is not there to be written.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Clears the terminal.
pub(crate) fn clear() -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    // ECMA-48: cursor to the upper left, and everything below it erased.
    write!(out, "\x1b[H\x1b[J")?;
    Ok(out.flush()?)
}

/// Bytes as docker and podman print them: powers of 1000, up to four digits.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut unit, mut scale) = (0, 1_u64);
    while count / scale >= 1000 {
        scale *= 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    let (whole, rest) = (count / scale, count % scale);
    let digits = match whole {
        0..10 => 3,
        10..100 => 2,
        _ => 1,
    };
    let fraction = u128::from(rest) * 10_u128.pow(digits) / u128::from(scale);
    let width = usize::try_from(digits).unwrap_or(1);
    let fraction = format!("{fraction:0width$}");
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        format!("{whole}{name}")
    } else {
        format!("{whole}.{fraction}{name}")
    }
}

/// Writes a small file that a user asked for, in place of what is there.
pub(crate) fn file(path: &std::path::Path, text: &str) -> io::Result<()> {
    std::fs::File::create(path)?.write_all(text.as_bytes())
}

/// Prints a note on standard error; when nobody is there, nobody misses it.
pub(crate) fn note(text: &str) {
    let _gone = writeln!(io::stderr().lock(), "{text}");
}

/// Prints JSON with indentation.
pub(crate) fn json(value: &Value) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints nested objects as an outline, a line for each value.
pub(crate) fn outline(value: &Value) -> anyhow::Result<()> {
    fn lines(out: &mut Vec<String>, value: &Value, depth: usize) {
        let Some(object) = value.as_object() else {
            return;
        };
        for (key, value) in object {
            let indent = "  ".repeat(depth);
            if value.is_object() {
                out.push(format!("{indent}{key}:"));
                lines(out, value, depth + 1);
            } else {
                let shown = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                out.push(format!("{indent}{key}: {shown}"));
            }
        }
    }
    let mut out = Vec::new();
    lines(&mut out, value, 0);
    line(&out.join("\n"))
}

/// `--format` of commands that show one thing.
#[derive(Clone, Debug)]
pub(crate) enum Format {
    Json,
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" | "{{json .}}" => Ok(Self::Json),
            _ => Err("this version knows json".into()),
        }
    }
}

/// `--format` of lists.
#[derive(Clone, Debug)]
pub(crate) enum ListFormat {
    Json,
    Table,
    Template(Template),
}

impl FromStr for ListFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "json" => Self::Json,
            "table" | "" => Self::Table,
            text => Self::Template(text.strip_prefix("table ").unwrap_or(text).parse()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_up_to_four_digits() {
        for (count, text) in [
            (0, "0B"),
            (999, "999B"),
            (618_500, "618.5kB"),
            (25_280_000_000, "25.28GB"),
            (1_000_000, "1MB"),
            (1_234_567, "1.234MB"),
            (u64::MAX, "18.44EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
