//! Where a container is in its life. A variant owns what exists only then: a pid exists exactly while a process may.
//!
//! ```text
//! Configured ──init──► Created ──start──► Running ◄──► Paused
//!      ▲                  │                  │           │
//!      └──────cleanup─────┘        stop ─► Stopping      │
//!                                            │  exit     │ exit
//!                                            ▼           ▼
//!                       Exited ◄─cleanup─ Stopped ◄──────┘
//!      any ──remove──► Removing ──► gone
//! ```

use std::fmt;
use std::str::FromStr;

use ctr_types::Timestamp;
use serde::{Deserialize, Serialize};

/// What is known of a container whose processes may exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Pid of its first process in the host's pid namespace.
    pub pid: i32,
    /// That process's start time in clock ticks since boot.
    pub start: u64,
    /// Whether its monitor lives.
    pub monitored: bool,
    /// When it was started; none before.
    pub started_at: Option<Timestamp>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The first process ended by itself; the exit code is its own.
    Exited,
    /// A signal ended the first process; the exit code is 128 + its number.
    Signalled,
    /// The host went down under it.
    HostRebooted,
    /// It is gone and nobody saw how.
    Unknown,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Exit code as a shell shows it; 255 when unknown.
    pub exit_code: i32,
    /// Why.
    pub reason: EndReason,
    /// The kernel killed a process of it for want of memory.
    pub oom_killed: bool,
    /// A user asked for the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_user: bool,
    /// When the run began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Ended {
    /// The exit code that stands for "nobody knows".
    pub const UNKNOWN_CODE: i32 = 255;

    /// An end nobody saw.
    pub fn unseen(reason: EndReason, started_at: Option<Timestamp>) -> Self {
        Self {
            exit_code: Self::UNKNOWN_CODE,
            reason,
            oom_killed: false,
            by_user: false,
            started_at,
            finished_at: None,
        }
    }
}

/// Where a container is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has a configuration and a writable layer; the runtime does not know it.
    Configured,
    /// The runtime has made it; its program does not run yet.
    Created(Live),
    /// Its program runs.
    Running(Live),
    /// Its processes are frozen.
    Paused(Live),
    /// It was asked to end and has not yet.
    Stopping(Live),
    /// It has ended and is not yet cleaned up.
    Stopped(Ended),
    /// It has ended and is cleaned up.
    Exited(Ended),
    /// It is being removed; only removal goes on from here.
    Removing,
}

/// A phase without what it owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is described at Phase")]
pub enum PhaseName {
    Configured = 1,
    Created = 2,
    Running = 3,
    Stopped = 4,
    Paused = 5,
    Exited = 6,
    Removing = 7,
    Stopping = 8,
}

/// A text that names no phase.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown status {0:?}: use created, initialized, running, stopped, paused, exited, removing or stopping"
)]
pub struct PhaseNameError(String);

impl PhaseName {
    /// Every phase, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Configured,
        Self::Created,
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Stopped,
        Self::Exited,
        Self::Removing,
    ];

    /// The number libpod stores (semantics.md T1).
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What `ps` and `inspect` print, as podman does (semantics.md T2).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "created",
            Self::Created => "initialized",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Stopping => "stopping",
        }
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for PhaseName {
    type Err = PhaseNameError;
    fn from_str(text: &str) -> Result<Self, PhaseNameError> {
        if text == "configured" {
            return Ok(Self::Configured);
        }
        Self::ALL
            .into_iter()
            .find(|name| name.as_str() == text)
            .ok_or_else(|| PhaseNameError(text.chars().take(40).collect()))
    }
}

impl Phase {
    /// Its name.
    pub const fn name(&self) -> PhaseName {
        match self {
            Self::Configured => PhaseName::Configured,
            Self::Created(_) => PhaseName::Created,
            Self::Running(_) => PhaseName::Running,
            Self::Paused(_) => PhaseName::Paused,
            Self::Stopping(_) => PhaseName::Stopping,
            Self::Stopped(_) => PhaseName::Stopped,
            Self::Exited(_) => PhaseName::Exited,
            Self::Removing => PhaseName::Removing,
        }
    }

    /// The live part, while a process may exist.
    pub const fn live(&self) -> Option<&Live> {
        match self {
            Self::Created(live)
            | Self::Running(live)
            | Self::Paused(live)
            | Self::Stopping(live) => Some(live),
            Self::Configured | Self::Stopped(_) | Self::Exited(_) | Self::Removing => None,
        }
    }

    /// How the last run ended, once it has.
    pub const fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Stopped(ended) | Self::Exited(ended) => Some(ended),
            Self::Configured
            | Self::Created(_)
            | Self::Running(_)
            | Self::Paused(_)
            | Self::Stopping(_)
            | Self::Removing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t01_t02_numbers_and_names_are_libpods_and_parse_back() {
        let table: Vec<_> = PhaseName::ALL
            .map(|name| (name.number(), name.as_str()))
            .into();
        assert_eq!(
            table,
            [
                (1, "created"),
                (2, "initialized"),
                (3, "running"),
                (5, "paused"),
                (8, "stopping"),
                (4, "stopped"),
                (6, "exited"),
                (7, "removing")
            ]
        );
        for name in PhaseName::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert!("bad state".parse::<PhaseName>().is_err());
    }
}
