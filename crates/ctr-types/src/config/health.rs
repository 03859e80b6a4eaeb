//! How a container's health is checked (image-spec config.md, `Healthcheck`; semantics.md T13).

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is done to a container that has become unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthAction {
    /// Nothing: its state says so.
    #[default]
    None,
    /// SIGKILL.
    Kill,
    /// It is stopped and started again, whatever its restart policy.
    Restart,
    /// It is stopped.
    Stop,
}

impl HealthAction {
    /// podman's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Stop => "stop",
        }
    }
}

impl FromStr for HealthAction {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::None, Self::Kill, Self::Restart, Self::Stop]
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| format!("action {text:?} is unknown: use none, kill, restart or stop"))
    }
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The argument vector.
    pub command: Vec<String>,
    /// Between two checks; zero means that none is made but when asked for.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// How long after the start failures do not count.
    pub start_period: Duration,
    /// How many failures in a row make it unhealthy.
    pub retries: u32,
    /// What is done then.
    pub action: HealthAction,
}

impl HealthCheck {
    /// A check with docker's and podman's defaults.
    pub fn new(command: Vec<String>) -> Self {
        Self {
            command,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::ZERO,
            retries: 3,
            action: HealthAction::None,
        }
    }

    /// The argument vector of a check in the words of images and options: `["CMD", …]`, `["CMD-SHELL", "…"]`, `["NONE"]` or
    /// nothing; none means that there is no check.
    pub fn command_of(test: &[String]) -> Option<Vec<String>> {
        let (first, rest) = test.split_first()?;
        match first.as_str() {
            "NONE" | "none" => None,
            "CMD" => Some(rest.to_vec()).filter(|command| !command.is_empty()),
            "CMD-SHELL" => {
                let shell = ["/bin/sh".to_owned(), "-c".to_owned(), rest.join(" ")];
                (!rest.is_empty()).then(|| shell.to_vec())
            }
            _ => Some(test.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t13_checks_are_read_in_all_their_forms() {
        let of = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            HealthCheck::command_of(&words)
        };
        assert_eq!(of(&["CMD", "a", "b"]).unwrap(), ["a", "b"]);
        assert_eq!(
            of(&["CMD-SHELL", "a | b"]).unwrap(),
            ["/bin/sh", "-c", "a | b"]
        );
        assert_eq!(of(&["a", "b"]).unwrap(), ["a", "b"]);
        for none in [&["NONE"][..], &[], &["CMD"], &["CMD-SHELL"]] {
            assert_eq!(of(none), None);
        }
    }
}
