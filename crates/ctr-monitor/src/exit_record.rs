//! How a run ended: written by the monitor before anything else happens after an exit.
//!
//! Atomically (temporary file, fsync, rename, fsync of the directory), so that a reader never sees half a record
//! and, for a container that outlives a reboot, power loss does not take it back.

use std::path::Path;

use ctr_sys::SysError;
use ctr_sys::fs::Durability;

use crate::keyvalue::{Lines, get};

/// The version written.
const VERSION: u32 = 1;
/// Longest exit record in bytes.
const LIMIT: u64 = 4 << 10;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitRecord {
    /// The boot it ended in.
    pub boot_id: String,
    /// As a shell shows it: the process' own code, or 128 + n for signal n.
    pub exit_code: i32,
    /// A signal ended the process; the code alone does not tell, a program may end itself with 137 too.
    pub signalled: bool,
    /// The kernel killed a process of the container for want of memory.
    pub oom_killed: bool,
    /// A user asked for the end.
    pub stop_requested: bool,
    /// When the run began, nanoseconds since 1970; 0 when it never was started.
    pub started_ns: u64,
    /// When it ended.
    pub finished_ns: u64,
}

impl ExitRecord {
    /// As text.
    pub fn render(&self) -> String {
        let mut lines = Lines::default();
        lines.put("version", VERSION);
        lines.put("boot", &self.boot_id);
        lines.put("exit_code", self.exit_code);
        lines.put("signalled", self.signalled);
        lines.put("oom_killed", self.oom_killed);
        lines.put("stop_requested", self.stop_requested);
        lines.put("started_ns", self.started_ns);
        lines.put("finished_ns", self.finished_ns);
        lines.0
    }

    /// From text; `None` when something is missing.
    pub fn parse(text: &str) -> Option<Self> {
        (get::<u32>(text, "version")? >= VERSION).then_some(())?;
        Some(Self {
            boot_id: get(text, "boot")?,
            exit_code: get(text, "exit_code")?,
            signalled: get(text, "signalled")?,
            oom_killed: get(text, "oom_killed")?,
            stop_requested: get(text, "stop_requested").unwrap_or_default(),
            started_ns: get(text, "started_ns")?,
            finished_ns: get(text, "finished_ns")?,
        })
    }

    /// Reads a record; `None` when there is none, or none that makes sense.
    pub fn read(path: &Path) -> Result<Option<Self>, SysError> {
        let content = ctr_sys::fs::read_if_present(path, LIMIT)?;
        Ok(content.and_then(|content| Self::parse(&String::from_utf8_lossy(&content))))
    }

    /// Writes a record.
    pub fn write(&self, path: &Path, durability: Durability) -> Result<(), SysError> {
        ctr_sys::fs::write_atomic(path, self.render().as_bytes(), 0o600, durability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_went_and_half_of_it_does_not() {
        let record = ExitRecord {
            boot_id: "b".into(),
            exit_code: 137,
            signalled: true,
            oom_killed: true,
            stop_requested: true,
            started_ns: 1,
            finished_ns: 2,
        };
        let text = record.render();
        assert_eq!(ExitRecord::parse(&text), Some(record));
        assert_eq!(ExitRecord::parse(&text[..20]), None);
    }
}
