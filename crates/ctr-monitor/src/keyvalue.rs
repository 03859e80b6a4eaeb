//! `key=value` lines: the form of the live file and the exit record. Values hold no line breaks; unknown keys are ignored,
//! so that a newer monitor can add some.

use std::fmt::{Display, Write as _};
use std::str::FromStr;

#[derive(Debug, Default)]
pub(crate) struct Lines(pub(crate) String);

impl Lines {
    pub(crate) fn put(&mut self, key: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _infallible = writeln!(self.0, "{key}={value}");
    }
}

/// The value of a key, if it is there and of that type.
pub(crate) fn get<T: FromStr>(text: &str, key: &str) -> Option<T> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .and_then(|value| value.parse().ok())
}
