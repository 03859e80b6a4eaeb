//! Archives of images: what `docker save`, `podman save` and `skopeo copy` write.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};

use ctr_image::archive::{Archive, ArchiveError, ArchivedImage, ArchivedLayer};
use ctr_image::compression::Compression;
use ctr_state::record::OpKind;
use ctr_types::Digest;

use super::ImageError;
use super::bring_in::Staged;
use crate::{Engine, EngineError};

/// How often a load is tried again when another command removes a layer it was to share.
const TRIES: u32 = 3;

/// Where an archive is.
pub enum LoadSource<'a> {
    /// A file, plain or compressed, or a directory with an OCI layout.
    Path(PathBuf),
    /// A stream.
    Stream(Box<dyn Read + 'a>),
}

impl std::fmt::Debug for LoadSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Stream(_) => f.debug_tuple("Stream").finish_non_exhaustive(),
        }
    }
}

/// An image that has been loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedImage {
    /// Its id.
    pub id: Digest,
    /// The names it got; perhaps none.
    pub names: Vec<String>,
}

impl Engine {
    /// Loads every image of an archive.
    ///
    /// # Errors
    /// When it is no archive of images, or anything in it is malformed or hostile; nothing is kept then.
    pub fn load(&self, source: LoadSource<'_>) -> Result<Vec<LoadedImage>, EngineError> {
        let mut source = source;
        let mut tries = 0;
        loop {
            tries += 1;
            let can_retry = matches!(source, LoadSource::Path(_)) && tries < TRIES;
            match self.bring_in(OpKind::Load, "load", |staging| {
                self.stage_archive(staging, &mut source)
            }) {
                Err(EngineError::Image(ImageError::LayerRemoved(_))) if can_retry => {}
                Err(error) => return Err(error),
                Ok(images) => {
                    return Ok(images
                        .into_iter()
                        .map(|(id, names)| LoadedImage { id, names })
                        .collect());
                }
            }
        }
    }

    fn stage_archive(
        &self,
        staging: &Path,
        source: &mut LoadSource<'_>,
    ) -> Result<Staged, EngineError> {
        let shown = match source {
            LoadSource::Path(path) => path.display().to_string(),
            LoadSource::Stream(_) => "standard input".to_owned(),
        };
        let wrong = |source| ImageError::Archive {
            path: shown.clone(),
            source,
        };
        let archive = open(staging, source).map_err(wrong)?;
        let images = archive.images().map_err(wrong)?;
        let mut staged = Staged::default();
        for image in images {
            let ArchivedImage {
                config_json,
                config,
                layers,
                names,
            } = image;
            for layer in &layers {
                let is_here = self.look(|store| store.layer(&layer.diff_id))?.is_some()
                    || staged
                        .layers
                        .iter()
                        .any(|known| known.record.diff_id == layer.diff_id);
                if !is_here {
                    stage_layer(&archive, staging, layer, &mut staged, &shown)?;
                }
            }
            let names = names
                .into_iter()
                .map(|name| name.from_docker().to_string())
                .collect();
            staged.add_image(staging, config, &config_json, names)?;
        }
        Ok(staged)
    }
}

fn stage_layer(
    archive: &Archive,
    staging: &Path,
    layer: &ArchivedLayer,
    staged: &mut Staged,
    shown: &str,
) -> Result<(), EngineError> {
    let what = format!("layer {} of {shown}", layer.diff_id);
    let input = archive.layer(layer).map_err(|source| ImageError::Archive {
        path: shown.to_owned(),
        source,
    })?;
    let found = &staged.unpack(staging, input, &what)?.record;
    if found.diff_id != layer.diff_id {
        let (expected, found) = (layer.diff_id.clone(), found.diff_id.clone());
        return Err(ImageError::WrongDigest {
            what,
            expected,
            found,
        }
        .into());
    }
    match &layer.blob {
        Some((digest, size)) if *digest != found.blob || *size != found.blob_size => {
            let (expected, found) = (digest.clone(), found.blob.clone());
            Err(ImageError::WrongDigest {
                what,
                expected,
                found,
            }
            .into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Opens an archive where it is, or, when it is compressed or a stream, a copy of it.
fn open(staging: &Path, source: &mut LoadSource<'_>) -> Result<Archive, ArchiveError> {
    let (mut input, is_file): (Box<dyn Read + '_>, bool) = match source {
        LoadSource::Path(path) if path.is_dir() => return Archive::open_directory(path),
        LoadSource::Path(path) => {
            let mut file = File::open(path)?;
            let is_file = file.metadata()?.is_file();
            if is_file {
                let mut head = Vec::new();
                file.by_ref().take(4).read_to_end(&mut head)?;
                file.rewind()?;
                if Compression::of(&head) == Compression::None {
                    return Archive::open_tar(file);
                }
            }
            (Box::new(file), is_file)
        }
        LoadSource::Stream(stream) => (Box::new(stream), false),
    };
    let path = staging.join("archive");
    let mut copy = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(&path)?;
    let size = ctr_image::compression::decompress(&mut input, &mut copy)?;
    if size == 0 && !is_file {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing came").into());
    }
    copy.rewind()?;
    Archive::open_tar(copy)
}
