//! Manifests and indexes (image-spec, manifest.md and image-index.md; docker's schema 2 is the same with other media types).

use ctr_types::Digest;
use serde::{Deserialize, Serialize};

/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of a configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is not JSON of the right form.
    #[error("the manifest is malformed")]
    Json(#[from] serde_json::Error),
    /// It is a manifest and an index at once (CVE-2021-41190).
    #[error("the manifest has both layers and manifests, so it is ambiguous")]
    Ambiguous,
}

/// A reference to a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Whom it is for, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Notes, such as a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// Whom an image is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Architecture, in Go's words.
    pub architecture: String,
    /// Operating system.
    pub os: String,
}

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
}

/// An index of manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Manifests, or further indexes.
    pub manifests: Vec<Descriptor>,
}

/// One or the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestOrIndex {
    /// A manifest.
    Manifest(Manifest),
    /// An index.
    Index(Index),
}

impl Manifest {
    /// A manifest of a configuration and layers.
    pub fn new(config: (Digest, u64), layers: Vec<Descriptor>) -> Self {
        let config = Descriptor {
            media_type: CONFIG.to_owned(),
            digest: config.0,
            size: config.1,
            platform: None,
            annotations: None,
        };
        Self {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            config,
            layers,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, ManifestError> {
        Ok(serde_json::to_vec(self)?)
    }
}

/// Reads a manifest or an index, whichever it is by its content.
///
/// # Errors
/// [`ManifestError::Ambiguous`] when it is both.
pub fn parse(json: &[u8]) -> Result<ManifestOrIndex, ManifestError> {
    #[derive(Deserialize)]
    struct Shape {
        layers: Option<serde::de::IgnoredAny>,
        config: Option<serde::de::IgnoredAny>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(json)?;
    match (
        shape.layers.is_some() || shape.config.is_some(),
        shape.manifests.is_some(),
    ) {
        (true, true) => Err(ManifestError::Ambiguous),
        (_, true) => Ok(ManifestOrIndex::Index(serde_json::from_slice(json)?)),
        (_, false) => Ok(ManifestOrIndex::Manifest(serde_json::from_slice(json)?)),
    }
}

impl Descriptor {
    /// Whether it refers to an index.
    pub fn is_index(&self) -> bool {
        self.media_type == INDEX || self.media_type == DOCKER_INDEX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h25_a_manifest_that_is_an_index_too_is_refused() {
        let descriptor = format!(
            r#"{{"mediaType":"x","digest":"sha256:{}","size":1}}"#,
            "0".repeat(64)
        );
        let manifest =
            format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}]}}"#);
        assert!(matches!(
            parse(manifest.as_bytes()),
            Ok(ManifestOrIndex::Manifest(_))
        ));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#);
        assert!(matches!(
            parse(index.as_bytes()),
            Ok(ManifestOrIndex::Index(_))
        ));
        let both =
            format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[],"manifests":[]}}"#);
        assert!(matches!(
            parse(both.as_bytes()),
            Err(ManifestError::Ambiguous)
        ));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"schemaVersion":2,"manifests":[{"digest":"../x","size":1}]}"#,
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
