//! Content-addressed blobs in an OCI image layout (image-spec, image-layout.md):
//!
//! ```text
//! images/oci-layout                 {"imageLayoutVersion":"1.0.0"}
//!        index.json                 every image by name; derived from the database, written anew after each change
//!        blobs/sha256/<hex>         manifests, configurations, layers
//! ```
//! A blob is written elsewhere on the same file system while its digest is computed, and renamed to its digest.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use ctr_sys::fs::Durability;
use ctr_types::{Digest, Hasher};
use rustix::fs::{Mode, OFlags};
use serde_json::json;

use crate::manifest::MANIFEST;

/// Longest manifest or configuration in bytes (as containers/image's limits).
pub const SMALL: u64 = 4 << 20;

/// The blobs of one store.
#[derive(Clone, Debug)]
pub struct BlobStore {
    root: PathBuf,
}

/// A blob being written.
#[derive(Debug)]
pub struct BlobWriter {
    file: File,
    path: PathBuf,
    hasher: Hasher,
    size: u64,
}

/// A blob that is whole and has no name yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Where it is.
    pub path: PathBuf,
}

impl BlobStore {
    /// Blobs below `root`; the layout is made when it is not there.
    pub fn open(root: &Path) -> Result<Self, SysError> {
        let store = Self {
            root: root.to_owned(),
        };
        let layout = root.join("oci-layout");
        if !layout.exists() {
            ctr_sys::fs::ensure_directory(&root.join("blobs/sha256"), 0o700)?;
            let text = br#"{"imageLayoutVersion":"1.0.0"}"#;
            ctr_sys::fs::write_atomic(&layout, text, 0o644, Durability::ProcessDeath)?;
        }
        Ok(store)
    }

    /// Where a blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Reads a small blob and checks that it is what its name says.
    ///
    /// # Errors
    /// When it is missing, longer than 4 MiB, or not what its digest says.
    pub fn read_small(&self, digest: &Digest) -> Result<Vec<u8>, SysError> {
        let path = self.path(digest);
        let content = ctr_sys::fs::read_limited(&path, SMALL)?;
        if Digest::of(&content) == *digest {
            return Ok(content);
        }
        let damaged = io::Error::new(
            io::ErrorKind::InvalidData,
            "its content is not what its digest says",
        );
        Err(SysError::new("read", path.display().to_string(), damaged))
    }

    /// Starts a blob in a staging directory, under a name of the caller's.
    pub fn stage(staging: &Path, name: &str) -> Result<BlobWriter, SysError> {
        let path = staging.join(name);
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
            .context("create", || path.display().to_string())?;
        Ok(BlobWriter {
            file: File::from(fd),
            path,
            hasher: Hasher::default(),
            size: 0,
        })
    }

    /// Stages a small blob.
    pub fn stage_bytes(staging: &Path, name: &str, content: &[u8]) -> Result<StagedBlob, SysError> {
        let mut writer = Self::stage(staging, name)?;
        writer
            .write_all(content)
            .context("write", || writer.path.display().to_string())?;
        Ok(writer.finish())
    }

    /// Gives a staged blob its name. Its content must have been synced.
    pub fn publish(&self, blob: &StagedBlob) -> Result<(), SysError> {
        let path = self.path(&blob.digest);
        rustix::fs::rename(&blob.path, &path).context("rename to", || path.display().to_string())
    }

    /// Makes the names given so far survive power loss.
    pub fn sync(&self) -> Result<(), SysError> {
        ctr_sys::fs::sync_directory(&self.root.join("blobs/sha256"))
    }

    /// Moves a blob to `trash`; one that is not there is as good as moved.
    pub fn discard(&self, digest: &Digest, trash: &Path) -> Result<(), SysError> {
        ctr_sys::fs::rename_if_present(&self.path(digest), trash)
    }

    /// The digests of all blobs. Whatever else lies there is passed over.
    pub fn list(&self) -> Result<Vec<Digest>, SysError> {
        let directory = self.root.join("blobs/sha256");
        let shown = || directory.display().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&directory).context("read directory", shown)? {
            let name = entry.context("read directory", shown)?.file_name();
            found.extend(Digest::from_hex(&name.to_string_lossy()));
        }
        found.sort();
        Ok(found)
    }

    /// Writes the index, so that skopeo, umoci and others read the store: `(name, manifest, its size)`.
    pub fn write_index(&self, images: &[(Option<String>, Digest, u64)]) -> Result<(), SysError> {
        let manifests: Vec<serde_json::Value> = images
            .iter()
            .map(|(name, digest, size)| {
                let mut entry =
                    json!({ "mediaType": MANIFEST, "digest": digest.as_str(), "size": size });
                if let (Some(name), Some(object)) = (name, entry.as_object_mut()) {
                    let annotations = json!({ "org.opencontainers.image.ref.name": name });
                    object.insert("annotations".to_owned(), annotations);
                }
                entry
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "manifests": manifests }).to_string();
        let path = self.root.join("index.json");
        ctr_sys::fs::write_atomic(&path, index.as_bytes(), 0o644, Durability::ProcessDeath)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.file.write(data)?;
        self.hasher.update(data.get(..count).unwrap_or_default());
        self.size += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl BlobWriter {
    /// The blob is whole.
    pub fn finish(self) -> StagedBlob {
        StagedBlob {
            digest: self.hasher.finish(),
            size: self.size,
            path: self.path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_kept_by_digest_and_checked_when_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&dir.path().join("images")).unwrap();
        let blob = BlobStore::stage_bytes(dir.path(), "b", b"content").unwrap();
        assert_eq!((blob.size, &blob.digest), (7, &Digest::of(b"content")));
        store.publish(&blob).unwrap();
        assert_eq!(store.read_small(&blob.digest).unwrap(), b"content");
        assert_eq!(store.list().unwrap(), std::slice::from_ref(&blob.digest));
        ctr_sys::fs::write_atomic(
            &store.path(&blob.digest),
            b"bad",
            0o600,
            Durability::ProcessDeath,
        )
        .unwrap();
        assert!(store.read_small(&blob.digest).is_err());
        store
            .discard(&blob.digest, &dir.path().join("trash"))
            .unwrap();
        assert!(store.list().unwrap().is_empty());
        store
            .write_index(&[(Some("localhost/x:latest".into()), blob.digest, 3)])
            .unwrap();
    }
}
