//! Names people give to containers (semantics.md T8).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name in bytes: a name must fit one path component and a host name line.
const MAX: usize = 253;

/// Why a text is no container name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A character is not allowed where it stands.
    #[error(
        "invalid name {0:?}: names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*, choose letters, digits, '_', '.' and '-'"
    )]
    Malformed(String),
    /// More than 253 bytes.
    #[error("the name is {0} bytes long, the limit is 253")]
    TooLong(usize),
}

/// A container's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 253 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

impl ContainerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ContainerName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut bytes = text.bytes();
        let first_ok = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest_ok = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if !(first_ok && rest_ok) {
            return Err(NameError::Malformed(text.chars().take(80).collect()));
        }
        if text.len() > MAX {
            return Err(NameError::TooLong(text.len()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ContainerName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule() {
        for good in ["a", "web", "Web_1.x-y", "0", &"x".repeat(253)] {
            assert!(good.parse::<ContainerName>().is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "-a",
            ".a",
            "_a",
            "a/b",
            "a b",
            "ä",
            "a\n",
            "a\0",
            &"x".repeat(254),
        ] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad:?}");
        }
    }
}
