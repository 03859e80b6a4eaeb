//! Where an engine keeps its things: the durable root, the per-boot run root, and the boot's id.
//!
//! ```text
//! root     /var/lib/ctrs        survives a reboot
//! runroot  /run/ctrs            voided by a reboot, whether or not the file system forgets it
//! └── boot-<boot id>/           everything of this boot (reliability.md F24, F25)
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ContainerId, OpId};

/// Why a text is no boot id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a boot id")]
pub struct BootIdError(String);

/// The kernel's id of this boot, `/proc/sys/kernel/random/boot_id` (random(4)).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootId(String);

impl BootId {
    /// The id as the kernel writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BootId {
    type Err = BootIdError;
    fn from_str(text: &str) -> Result<Self, BootIdError> {
        let text = text.trim_end();
        let ok = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(BootIdError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for BootId {
    type Error = BootIdError;
    fn try_from(text: String) -> Result<Self, BootIdError> {
        text.parse()
    }
}

impl From<BootId> for String {
    fn from(id: BootId) -> String {
        id.0
    }
}

/// The directories one engine works in. Every path of a container is a function of its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    root: PathBuf,
    boot: PathBuf,
    boot_id: BootId,
}

impl Roots {
    /// An engine under `root` and `runroot`, in the boot `boot_id`. Both must be absolute.
    pub fn new(root: &Path, runroot: &Path, boot_id: BootId) -> Self {
        let boot = runroot.join(format!("boot-{boot_id}"));
        Self {
            root: root.to_owned(),
            boot,
            boot_id,
        }
    }

    /// The durable root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// This boot's directory below the run root.
    pub fn boot(&self) -> &Path {
        &self.boot
    }

    /// The boot the engine runs in.
    pub fn boot_id(&self) -> &BootId {
        &self.boot_id
    }

    /// The run root that holds this and earlier boots' directories.
    pub fn runroot(&self) -> &Path {
        self.boot.parent().unwrap_or(&self.boot)
    }

    /// The state database.
    pub fn database(&self) -> PathBuf {
        self.root.join("state.db")
    }

    /// A container's durable directory: record, exit record, log, upper layer.
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.root.join("containers").join(id.as_str())
    }

    /// A container's directory of this boot: bundle, live file, sockets, resolv.conf and the like.
    pub fn container_run(&self, id: &ContainerId) -> PathBuf {
        self.boot.join("containers").join(id.as_str())
    }

    /// Unpacked layers, by diff id.
    pub fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    /// The OCI image layout: `oci-layout`, `index.json`, `blobs/sha256/`.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// Where an operation builds what it will rename into place.
    pub fn staging(&self, op: &OpId) -> PathBuf {
        self.root.join("staging").join(op.as_str())
    }
}
