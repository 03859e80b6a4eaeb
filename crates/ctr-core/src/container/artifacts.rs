//! Small files kept with a container by those who embed the engine (semantics.md T3, M23, B34).
//!
//! ```text
//! containers/<id>/artifacts/<name>
//! ```

use std::path::PathBuf;

use ctr_state::Op;
use ctr_sys::error::Context as _;
use ctr_sys::fs::Durability;

use super::Container;
use crate::EngineError;

/// Longest artifact in bytes.
pub const ARTIFACT_MAX: usize = 16 << 20;
/// Longest name of one in bytes (`NAME_MAX`, with room for the name of a temporary file).
const NAME_MAX: usize = 200;

impl Container<'_> {
    fn artifact(&self, name: &str) -> Result<PathBuf, EngineError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let is_name = !name.is_empty() && name.chars().all(allowed) && !name.starts_with('.');
        if !is_name || name.len() > NAME_MAX {
            let shown: String = name.chars().take(80).collect();
            return Err(EngineError::Invalid(format!(
                "artifact {shown:?}: names may hold letters, digits, '-', '_' and '.', and not begin with a dot"
            )));
        }
        Ok(self.artifacts_directory().join(name))
    }

    fn artifacts_directory(&self) -> PathBuf {
        self.engine.roots.container(&self.id).join("artifacts")
    }

    /// Keeps `content` under a name; one that is there already is replaced, whole.
    ///
    /// # Errors
    /// When the name would be more than a name, the content is longer than [`ARTIFACT_MAX`], or the container is going.
    pub fn add_artifact(&self, name: &str, content: &[u8]) -> Result<(), EngineError> {
        let path = self.artifact(name)?;
        if content.len() > ARTIFACT_MAX {
            return Err(EngineError::Invalid(format!(
                "artifact {name:?} is longer than 16 MiB"
            )));
        }
        let locked = self.lock()?;
        locked.admit(Op::Mount)?;
        ctr_sys::fs::ensure_directory(&self.artifacts_directory(), 0o700)?;
        ctr_sys::fs::write_atomic(&path, content, 0o600, Durability::PowerLoss)?;
        Ok(())
    }

    /// What is kept under a name, if there is anything.
    pub fn artifact_content(&self, name: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let path = self.artifact(name)?;
        let limit = u64::try_from(ARTIFACT_MAX).unwrap_or(u64::MAX);
        Ok(ctr_sys::fs::read_if_present(&path, limit)?)
    }

    /// The names of what is kept, sorted.
    pub fn artifacts(&self) -> Result<Vec<String>, EngineError> {
        let directory = self.artifacts_directory();
        let shown = || directory.display().to_string();
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("read directory", shown)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.context("read directory", shown)?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        // Temporary files of writers that died.
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        Ok(names)
    }

    /// Takes away what is kept under a name; nothing there is as good.
    pub fn remove_artifact(&self, name: &str) -> Result<(), EngineError> {
        let path = self.artifact(name)?;
        let _locked = self.lock()?;
        Ok(ctr_sys::fs::ensure_file_absent(&path)?)
    }
}
