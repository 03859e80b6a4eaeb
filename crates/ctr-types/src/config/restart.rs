//! When a container is started again (semantics.md T13, B25).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// When a container that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// After an end with a code other than 0, so many times; 0 means without limit.
    OnFailure(u32),
    /// After any end but one that a user asked for, and after a reboot.
    Always,
    /// As always, but not after a reboot when a user had stopped it.
    UnlessStopped,
}

/// A text that names no policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("restart policy {0:?} is unknown: use no, on-failure[:MAX], always or unless-stopped")]
pub struct RestartPolicyError(String);

impl RestartPolicy {
    /// docker's and podman's word, without the number.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// How often it is started again at most; 0 means without limit.
    pub const fn retries(self) -> u32 {
        match self {
            Self::OnFailure(most) => most,
            Self::No | Self::Always | Self::UnlessStopped => 0,
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.retries() {
            0 => f.write_str(self.as_str()),
            most => write!(f, "{}:{most}", self.as_str()),
        }
    }
}

impl FromStr for RestartPolicy {
    type Err = RestartPolicyError;
    fn from_str(text: &str) -> Result<Self, RestartPolicyError> {
        let wrong = || RestartPolicyError(text.chars().take(40).collect());
        match text.split_once(':') {
            Some(("on-failure", most)) => {
                let most = most.parse().map_err(|_no_number| wrong())?;
                Ok(Self::OnFailure(most))
            }
            Some(_) => Err(wrong()),
            None => match text {
                "no" | "" => Ok(Self::No),
                "on-failure" => Ok(Self::OnFailure(0)),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                _ => Err(wrong()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t13_policies_are_read_and_written_as_people_write_them() {
        for text in [
            "no",
            "on-failure",
            "on-failure:3",
            "always",
            "unless-stopped",
        ] {
            let policy: RestartPolicy = text.parse().unwrap();
            assert_eq!(policy.to_string(), text);
        }
        for bad in ["on-failure:", "on-failure:-1", "always:3", "sometimes"] {
            assert!(bad.parse::<RestartPolicy>().is_err(), "{bad}");
        }
    }
}
