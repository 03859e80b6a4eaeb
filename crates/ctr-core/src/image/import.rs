//! A root file system becomes an image of one layer.

use std::io::Read;

use ctr_image::config::{History, ImageConfig, RootfsIds, host_architecture};
use ctr_image::reference::ImageReference;
use ctr_state::record::OpKind;
use ctr_types::{Digest, Timestamp};

use super::bring_in::Staged;
use crate::{Engine, EngineError};

/// What to import.
pub struct ImportRequest<'a> {
    /// The tar, plain or compressed with gzip or zstd.
    pub input: Box<dyn Read + 'a>,
    /// Where it comes from, for messages and the history.
    pub source: String,
    /// The name it gets.
    pub name: Option<ImageReference>,
    /// Changes in a Containerfile's words.
    pub changes: Vec<String>,
    /// A note for the history.
    pub message: Option<String>,
}

impl std::fmt::Debug for ImportRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportRequest")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Imports a root file system; gives the image's id.
    ///
    /// # Errors
    /// When a change is not understood, or the tar is malformed or hostile; nothing is kept then.
    pub fn import(&self, request: ImportRequest<'_>) -> Result<Digest, EngineError> {
        let ImportRequest {
            input,
            source,
            name,
            changes,
            message,
        } = request;
        let now = Timestamp::now();
        let mut config = ImageConfig {
            created: Some(now),
            architecture: host_architecture().to_owned(),
            os: "linux".to_owned(),
            ..ImageConfig::default()
        };
        // Before anything is read: a typing error must not cost a gigabyte.
        for change in &changes {
            config.apply(change)?;
        }
        let names: Vec<String> = name
            .into_iter()
            .map(|name| name.normalized().to_string())
            .collect();
        let images = self.bring_in(OpKind::Import, "import", |staging| {
            let mut staged = Staged::default();
            let layer = staged.unpack(staging, input, &source)?;
            config.rootfs = RootfsIds {
                kind: "layers".to_owned(),
                diff_ids: vec![layer.record.diff_id.clone()],
            };
            config.history = vec![History {
                created: Some(now),
                created_by: format!("ctrs import {source}"),
                comment: message.unwrap_or_else(|| format!("Imported from {source}")),
                ..History::default()
            }];
            let json = config.to_json()?;
            staged.add_image(staging, config, &json, names)?;
            Ok(staged)
        })?;
        let imported = images.into_iter().next();
        imported
            .map(|(id, _)| id)
            .ok_or_else(|| EngineError::Invalid("nothing was imported".into()))
    }
}
