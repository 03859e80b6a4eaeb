//! The k8s-file log (Kubernetes' CRI log format), as podman writes it:
//!
//! ```text
//! 2026-11-24T07:00:00.123456789Z stdout F a whole line
//! 2026-11-24T07:00:00.123456789Z stderr P a piece of a line
//! ```
//! `ctr.log` is the newest file, `ctr.log.1` the one before, and so on.

mod reader;
mod writer;

pub use reader::{LogEntry, LogReader, Stream};
pub use writer::LogWriter;

use std::path::{Path, PathBuf};

/// The file `age` rotations old; 0 is the current one.
fn rotated(path: &Path, age: u32) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}
