//! What happens while no engine looks: a line for each event, which the next engine that asks takes into its store. The
//! monitor has no database.
//!
//! ```text
//! NANOSECONDS ACTION [KEY=VALUE]
//! ```

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ctr_sys::SysError;
use ctr_sys::error::Context as _;

/// Longest file: what comes then is lost, as a container that crashes for weeks must not fill the memory.
const LIMIT: u64 = 256 << 10;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiding {
    /// When, nanoseconds since 1970.
    pub time_ns: u64,
    /// What: `died`, `restart`, `health_status`.
    pub action: String,
    /// More of it.
    pub attribute: Option<(String, String)>,
}

impl Tiding {
    /// Adds it to the file at `path`.
    pub fn append(&self, path: &Path) -> Result<(), SysError> {
        let shown = || path.display().to_string();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .context("open", shown)?;
        if file.metadata().context("stat", shown)?.len() > LIMIT {
            return Ok(());
        }
        let attribute = self
            .attribute
            .as_ref()
            .map_or_else(String::new, |(key, value)| format!(" {key}={value}"));
        let line = format!("{} {}{attribute}\n", self.time_ns, self.action);
        // One write(2): two writers do not mix, and a reader sees whole lines.
        file.write_all(line.as_bytes()).context("write", shown)
    }

    /// Takes all of them, and leaves none.
    pub fn take_all(path: &Path) -> Result<Vec<Self>, SysError> {
        let taken = path.with_extension("taken");
        ctr_sys::fs::rename_if_present(path, &taken)?;
        let content = ctr_sys::fs::read_if_present(&taken, 2 * LIMIT)?.unwrap_or_default();
        ctr_sys::fs::ensure_file_absent(&taken)?;
        let text = String::from_utf8_lossy(&content);
        Ok(text.lines().filter_map(Self::parse).collect())
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        Some(Self {
            time_ns: words.next()?.parse().ok()?,
            action: words.next()?.to_owned(),
            attribute: words
                .next()
                .and_then(|pair| pair.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_taken_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tidings");
        let died = Tiding {
            time_ns: 5,
            action: "died".into(),
            attribute: Some(("exitCode".into(), "3".into())),
        };
        let again = Tiding {
            time_ns: 6,
            action: "restart".into(),
            attribute: None,
        };
        died.append(&path).unwrap();
        again.append(&path).unwrap();
        assert_eq!(Tiding::take_all(&path).unwrap(), [died, again]);
        assert_eq!(Tiding::take_all(&path).unwrap(), []);
    }
}
