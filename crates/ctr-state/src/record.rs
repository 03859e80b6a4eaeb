//! What the store keeps of containers, images, layers, operations and events.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use ctr_types::{BootId, ContainerConfig, ContainerId, ContainerName, Digest, OpId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::derive::DurablePhase;

/// What `ps` needs of a container: everything but its configuration, which is large and kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRow {
    /// Id.
    pub id: ContainerId,
    /// Name.
    pub name: ContainerName,
    /// When it was created.
    pub created: Timestamp,
    /// Id of its image, if it has one.
    pub image: Option<Digest>,
    /// The name its image was asked for by, or its root directory.
    pub image_name: String,
    /// Its argument vector.
    pub command: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// It is removed as soon as it has exited.
    pub auto_remove: bool,
    /// What the store knows of its life.
    pub phase: DurablePhase,
}

/// A container as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRecord {
    /// What it is.
    pub config: ContainerConfig,
    /// What the store knows of its life.
    pub phase: DurablePhase,
}

/// An image as stored. Manifest and configuration are blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    /// Id: the digest of its configuration.
    pub id: Digest,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Bytes of its manifest.
    pub manifest_size: u64,
    /// When it was made, as it says.
    pub created: Option<Timestamp>,
    /// The architecture it is for, in Go's words (OCI image spec, config.md).
    pub architecture: String,
    /// The operating system it is for.
    pub os: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it came into this store.
    pub imported: Timestamp,
    /// Diff ids of its layers, the lowest first.
    pub layers: Vec<Digest>,
    /// Its names, sorted. Filled on reading; names are written by their own method.
    pub names: Vec<String>,
    /// Bytes of its layers unpacked. Filled on reading.
    pub size: u64,
}

/// An unpacked layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRecord {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Digest of the blob it came from.
    pub blob: Digest,
    /// Bytes of the blob.
    pub blob_size: u64,
    /// Media type of the blob.
    pub media_type: String,
    /// Bytes of the unpacked files.
    pub size: u64,
    /// How many files, directories included.
    pub files: u64,
}

/// The kind of an operation. It and the object decide how the operation is recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the command of that name")]
pub enum OpKind {
    Create,
    Start,
    Stop,
    Cleanup,
    Remove,
    /// A configuration is replaced: rename, update.
    Replace,
    /// Its file system is mounted for a while: export, commit, cp.
    Read,
    Import,
    Load,
    RemoveImage,
}

impl OpKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Start,
        Self::Stop,
        Self::Cleanup,
        Self::Remove,
        Self::Replace,
        Self::Read,
        Self::Import,
        Self::Load,
        Self::RemoveImage,
    ];

    /// The word in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Cleanup => "cleanup",
            Self::Remove => "remove",
            Self::Replace => "replace",
            Self::Read => "read",
            Self::Import => "import",
            Self::Load => "load",
            Self::RemoveImage => "remove-image",
        }
    }
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OpKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(())
    }
}

/// One operation in the journal: written before its first effect, gone after its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpRecord {
    /// Id; its owner holds a lock of that name while it lives.
    pub id: OpId,
    /// Kind.
    pub kind: OpKind,
    /// The container, or nothing when the operation id names all there is (an import's staging directory).
    pub container: Option<ContainerId>,
    /// The boot it was begun in.
    pub boot: BootId,
    /// When it was begun.
    pub started: Timestamp,
    /// How far it says it is, for people who look at a store by hand; recovery does not believe it.
    pub step: String,
}

/// Something that happened, for `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// When.
    pub time: Timestamp,
    /// `container`, `image` …
    pub object: String,
    /// `create`, `start`, `died` …
    pub action: String,
    /// The object's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// More, such as the exit code.
    pub attributes: BTreeMap<String, String>,
}
