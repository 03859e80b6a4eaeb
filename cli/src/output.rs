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
