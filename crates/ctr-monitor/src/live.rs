//! The live file: what is true of a container in this boot, written by its monitor alone.
//!
//! Text, one `key=value` a line, replaced by rename: a reader sees an old or a new state, never half of one. It lies in a
//! directory of this boot, so a reboot voids it; nothing is synced.

use std::path::Path;

use ctr_sys::SysError;
use ctr_sys::fs::Durability;
use ctr_sys::process::ProcessId;

use crate::keyvalue::{Lines, get};

/// The version written.
const VERSION: u32 = 1;
/// Longest live file in bytes.
const LIMIT: u64 = 16 << 10;

/// How far the container is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the container's phase of that name")]
pub enum Stage {
    #[default]
    Creating,
    Created,
    Running,
    Paused,
    Stopping,
    /// Ended, and about to be started again.
    Waiting,
    Exited,
}

impl Stage {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Creating, "creating"),
        (Self::Created, "created"),
        (Self::Running, "running"),
        (Self::Paused, "paused"),
        (Self::Stopping, "stopping"),
        (Self::Waiting, "waiting"),
        (Self::Exited, "exited"),
    ];

    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(stage, _)| *stage == self)
            .map_or("", |(_, word)| word)
    }
}

impl std::str::FromStr for Stage {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .find(|(_, word)| *word == text)
            .map(|(stage, _)| *stage)
            .ok_or(())
    }
}

/// The content of a live file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// How far.
    pub stage: Stage,
    /// The monitor.
    pub monitor: ProcessId,
    /// The container's first process; pid 0 before there is one.
    pub process: ProcessId,
    /// When it was started, nanoseconds since 1970; 0 before.
    pub started_ns: u64,
    /// Its cgroup, as in `/proc/PID/cgroup` with `|` between the lines.
    pub cgroup: String,
    /// A user asked for its end.
    pub stop_requested: bool,
    /// Bytes of output that could not be written to the log.
    pub log_dropped: u64,
    /// How often it has been started again by its policy since a user started it.
    pub restart_count: u32,
}

impl Live {
    /// As text.
    pub fn render(&self) -> String {
        let mut lines = Lines::default();
        lines.put("version", VERSION);
        lines.put("stage", self.stage.as_str());
        lines.put("monitor_pid", self.monitor.pid);
        lines.put("monitor_start", self.monitor.start);
        lines.put("pid", self.process.pid);
        lines.put("start", self.process.start);
        lines.put("started_ns", self.started_ns);
        lines.put("cgroup", &self.cgroup);
        lines.put("stop_requested", self.stop_requested);
        lines.put("log_dropped", self.log_dropped);
        lines.put("restart_count", self.restart_count);
        lines.0
    }

    /// From text; `None` when something that must be there is not.
    pub fn parse(text: &str) -> Option<Self> {
        let process = |pid, start| {
            Some(ProcessId {
                pid: get(text, pid)?,
                start: get(text, start)?,
            })
        };
        (get::<u32>(text, "version")? >= VERSION).then_some(())?;
        Some(Self {
            stage: get(text, "stage")?,
            monitor: process("monitor_pid", "monitor_start")?,
            process: process("pid", "start")?,
            started_ns: get(text, "started_ns")?,
            cgroup: get(text, "cgroup").unwrap_or_default(),
            stop_requested: get(text, "stop_requested").unwrap_or_default(),
            log_dropped: get(text, "log_dropped").unwrap_or_default(),
            restart_count: get(text, "restart_count").unwrap_or_default(),
        })
    }

    /// Reads a live file; `None` when there is none, or none that makes sense.
    pub fn read(path: &Path) -> Result<Option<Self>, SysError> {
        let content = ctr_sys::fs::read_if_present(path, LIMIT)?;
        Ok(content.and_then(|content| Self::parse(&String::from_utf8_lossy(&content))))
    }

    /// Replaces a live file.
    pub fn write(&self, path: &Path) -> Result<(), SysError> {
        ctr_sys::fs::write_atomic(
            path,
            self.render().as_bytes(),
            0o600,
            Durability::ProcessDeath,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_went_and_half_of_it_does_not() {
        let live = Live {
            stage: Stage::Stopping,
            monitor: ProcessId { pid: 1, start: 2 },
            process: ProcessId { pid: 3, start: 4 },
            started_ns: 5,
            cgroup: "0::/x|1:cpu:/y".into(),
            stop_requested: true,
            log_dropped: 6,
            restart_count: 7,
        };
        let text = live.render();
        assert_eq!(Live::parse(&text), Some(live));
        assert_eq!(Live::parse(""), None);
        assert_eq!(Live::parse(&text[..40]), None);
        for (stage, word) in Stage::ALL {
            assert_eq!(word.parse(), Ok(stage));
        }
    }
}
