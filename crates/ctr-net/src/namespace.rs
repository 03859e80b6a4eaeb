//! The network namespace of one container.

use std::io;
use std::path::{Path, PathBuf};

use ctr_sys::error::Context as _;
use ctr_sys::{SysError, netns};

/// Why a network could not be made, looked at or taken down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A call on the namespace failed.
    #[error("network namespace {}", path.display())]
    Namespace {
        /// Where it is, or should be, mounted.
        path: PathBuf,
        /// The failed call.
        source: SysError,
    },
}

/// The name of the mount in the container's run directory.
const FILE: &str = "netns";

/// A container's own network namespace, whether or not it exists now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkNamespace {
    path: PathBuf,
}

impl NetworkNamespace {
    /// The namespace of the container whose per-boot directory is `run_dir`.
    pub fn of(run_dir: &Path) -> Self {
        Self {
            path: run_dir.join(FILE),
        }
    }

    /// Where it is mounted; what a runtime spec's namespace path takes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the namespace with loopback up. One left by an earlier try is replaced.
    ///
    /// # Errors
    /// The failed call; nothing is left mounted then.
    pub fn create(&self) -> Result<(), NetworkError> {
        self.ensure_absent()?;
        netns::create(&self.path).map_err(|source| self.error(source))
    }

    /// Lets go of the namespace; one that is not there is as good as gone. Interfaces in it go with it.
    pub fn ensure_absent(&self) -> Result<(), NetworkError> {
        netns::ensure_absent(&self.path).map_err(|source| self.error(source))
    }

    /// The names of the interfaces in it, sorted.
    pub fn interfaces(&self) -> Result<Vec<String>, NetworkError> {
        netns::visit(&self.path, list_interfaces)
            .and_then(|listed| listed)
            .map_err(|source| self.error(source))
    }

    fn error(&self, source: SysError) -> NetworkError {
        NetworkError::Namespace {
            path: self.path.clone(),
            source,
        }
    }
}

/// Reads `/proc/thread-self/net/dev` (proc_pid_net(5)), which shows the calling thread's namespace: two lines of
/// heading, then `name: numbers` per interface.
fn list_interfaces() -> Result<Vec<String>, SysError> {
    let path = Path::new("/proc/thread-self/net/dev");
    let content = ctr_sys::fs::read_limited(path, 1 << 20)?;
    let text = String::from_utf8(content)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        .context("parse", || path.display().to_string())?;
    Ok(parse_interfaces(&text))
}

fn parse_interfaces(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':').map(|(name, _)| name.trim().to_owned()))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_are_read_from_the_kernels_table() {
        let text = "Inter-|   Receive\n face |bytes\n  eth0: 1 2\n    lo:0 0\n";
        assert_eq!(parse_interfaces(text), ["eth0", "lo"]);
        assert!(parse_interfaces("").is_empty());
    }

    #[test]
    fn root_a_namespace_has_loopback_only_and_leaves_nothing() {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let dir = tempfile::tempdir().unwrap();
        let namespace = NetworkNamespace::of(dir.path());
        namespace.create().unwrap();
        namespace.create().unwrap();
        assert_eq!(namespace.interfaces().unwrap(), ["lo"]);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(mounts.contains(&*namespace.path().to_string_lossy()));
        namespace.ensure_absent().unwrap();
        namespace.ensure_absent().unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&*namespace.path().to_string_lossy()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
