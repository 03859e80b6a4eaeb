//! Root file system and mounts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Where the root file system comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rootfs {
    /// An overlay over the layers of an image.
    Image {
        /// The image's id: the digest of its configuration.
        id: Digest,
        /// The name the user gave.
        name: String,
        /// Diff ids of its layers, the lowest first.
        layers: Vec<Digest>,
    },
    /// A directory of the host (`--rootfs`).
    Directory {
        /// Absolute path on the host.
        path: PathBuf,
        /// Changes go into the container's own layer, and the directory stays as it is (`--rootfs PATH:O`).
        overlay: bool,
    },
}

impl Rootfs {
    /// The image's name, or the directory.
    pub fn shown(&self) -> String {
        match self {
            Self::Image { name, .. } => name.clone(),
            Self::Directory { path, .. } => path.display().to_string(),
        }
    }

    /// The image's id and name, if it is made of one.
    pub fn image(&self) -> Option<(&Digest, &str)> {
        match self {
            Self::Image { id, name, .. } => Some((id, name)),
            Self::Directory { .. } => None,
        }
    }
}

/// What becomes of the volumes that an image declares (`--image-volume`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageVolumes {
    /// Each becomes an anonymous volume, filled with what the image has there.
    #[default]
    Anonymous,
    /// Each becomes a tmpfs.
    Tmpfs,
    /// They are directories of the image like others.
    Ignore,
}

/// Which way later mounts and unmounts travel (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the kernel's own name")]
pub enum Propagation {
    #[default]
    Rprivate,
    Private,
    Rshared,
    Shared,
    Rslave,
    Slave,
}

impl Propagation {
    /// The mount option's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rprivate => "rprivate",
            Self::Private => "private",
            Self::Rshared => "rshared",
            Self::Shared => "shared",
            Self::Rslave => "rslave",
            Self::Slave => "slave",
        }
    }
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A directory or file of the host.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// Bind mounts below the source come along.
        recursive: bool,
        /// Propagation.
        propagation: Propagation,
    },
    /// A directory of the container's own, outside its layer; it goes with the container.
    Anonymous {
        /// Its name: 64 hex digits.
        volume: String,
        /// What the root file system has there is copied into it when it is first mounted.
        copy_up: bool,
    },
    /// A fresh tmpfs.
    Tmpfs {
        /// Size limit in bytes.
        size: Option<u64>,
        /// Mode of its root.
        mode: Option<u32>,
    },
}

/// One mount the user asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path in the container.
    pub destination: String,
    /// What is mounted.
    pub kind: MountKind,
    /// Read-only.
    pub read_only: bool,
    /// Further options as given: `nosuid`, `noexec`, `nodev` …
    #[serde(default)]
    pub options: Vec<String>,
}
