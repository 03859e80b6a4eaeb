//! Archives of images: what `docker save` writes (`manifest.json` beside layers), and an OCI layout in a tar or a directory.
//!
//! Members are read where they stand in the file and nowhere else: a name that leads outside, or a member that is a link to
//! the host, is never opened (reliability.md H24).

mod index;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt as _};
use ctr_types::Digest;
use serde::Deserialize;

use self::index::{Place, Span, index};
use crate::blobs::SMALL;
use crate::config::{ConfigError, ImageConfig, host_architecture};
use crate::manifest::{self, Descriptor, Manifest, ManifestError, ManifestOrIndex};
use crate::reference::{ImageReference, ReferenceError};

/// How deep indexes may refer to indexes (reliability.md H27).
const MAX_DEPTH: u32 = 4;

/// Why an archive cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("read the archive")]
    Io(#[from] io::Error),
    /// It holds no images.
    #[error(
        "it is neither a docker archive (manifest.json) nor an OCI archive or layout (oci-layout, index.json); \
         a root file system is brought in with `ctrs import`"
    )]
    NotAnArchive,
    /// A member is missing or not what it should be.
    #[error("member {name:?}: {rule}")]
    Member {
        /// The member.
        name: String,
        /// The rule.
        rule: &'static str,
    },
    /// Something in it is not JSON of the right form.
    #[error("member {name:?} is malformed")]
    Json {
        /// The member.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A name.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

/// Where the bytes come from.
#[derive(Debug)]
enum Source {
    Tar {
        file: File,
        members: BTreeMap<String, Place>,
    },
    Directory(Dir),
}

/// An archive that has been looked through.
#[derive(Debug)]
pub struct Archive {
    source: Source,
}

/// A layer in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedLayer {
    member: String,
    /// What the configuration says its tar's digest is.
    pub diff_id: Digest,
    /// What a manifest says its blob's digest and size are, if one does.
    pub blob: Option<(Digest, u64)>,
}

/// An image in an archive.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchivedImage {
    /// Its configuration, byte for byte.
    pub config_json: Vec<u8>,
    /// And read.
    pub config: ImageConfig,
    /// Its layers, lowest first.
    pub layers: Vec<ArchivedLayer>,
    /// Its names.
    pub names: Vec<ImageReference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Archive {
    /// Looks through an uncompressed tar.
    pub fn open_tar(file: File) -> Result<Self, ArchiveError> {
        let members = index(&file)?;
        Ok(Self {
            source: Source::Tar { file, members },
        })
    }

    /// Looks at a directory with an OCI layout.
    pub fn open_directory(path: &Path) -> Result<Self, ArchiveError> {
        let directory = Dir::open_ambient_dir(path, ambient_authority())?;
        if !directory.is_file("oci-layout") {
            return Err(ArchiveError::NotAnArchive);
        }
        Ok(Self {
            source: Source::Directory(directory),
        })
    }

    fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Tar { members, .. } => members.contains_key(name),
            Source::Directory(directory) => directory.is_file(name),
        }
    }

    /// Opens a member.
    fn open(&self, name: &str) -> Result<Box<dyn Read>, ArchiveError> {
        let wrong = |rule| ArchiveError::Member {
            name: name.chars().take(120).collect(),
            rule,
        };
        match &self.source {
            Source::Directory(directory) => {
                // The descriptor confines names and links to the layout; a FIFO must not hold us up.
                let mut options = OpenOptions::new();
                let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
                options.read(true).custom_flags(nonblocking.cast_signed());
                let opened = directory.open_with(name, &options);
                let file = opened.map_err(|error| {
                    if error.kind() == io::ErrorKind::NotFound {
                        return wrong("it is missing");
                    }
                    ArchiveError::Io(error)
                })?;
                if !file.metadata()?.is_file() {
                    return Err(wrong("it is not a file"));
                }
                Ok(Box::new(file))
            }
            Source::Tar { file, members } => {
                let mut at = name.to_owned();
                for _ in 0..8 {
                    match members.get(&at) {
                        None => return Err(wrong("it is missing")),
                        Some(Place::Link(target)) => target.clone_into(&mut at),
                        Some(Place::Span { offset, size }) => {
                            let file = file.try_clone()?;
                            return Ok(Box::new(Span {
                                file,
                                offset: *offset,
                                left: *size,
                            }));
                        }
                    }
                }
                Err(wrong("it is a loop of links"))
            }
        }
    }

    fn read_small(&self, name: &str) -> Result<Vec<u8>, ArchiveError> {
        let mut content = Vec::new();
        self.open(name)?.take(SMALL + 1).read_to_end(&mut content)?;
        if u64::try_from(content.len()).unwrap_or(u64::MAX) > SMALL {
            return Err(ArchiveError::Member {
                name: name.to_owned(),
                rule: "it is longer than 4 MiB",
            });
        }
        Ok(content)
    }

    /// Reads a layer.
    pub fn layer(&self, layer: &ArchivedLayer) -> Result<Box<dyn Read>, ArchiveError> {
        self.open(&layer.member)
    }

    /// The images in it.
    ///
    /// # Errors
    /// The first thing that is not as it should be; a hostile archive is refused whole.
    pub fn images(&self) -> Result<Vec<ArchivedImage>, ArchiveError> {
        if self.has("manifest.json") {
            return self.docker_images();
        }
        if self.has("oci-layout") && self.has("index.json") {
            return self.oci_images();
        }
        Err(ArchiveError::NotAnArchive)
    }

    fn docker_images(&self) -> Result<Vec<ArchivedImage>, ArchiveError> {
        let json = self.read_small("manifest.json")?;
        let images: Vec<DockerImage> =
            serde_json::from_slice(&json).map_err(|source| ArchiveError::Json {
                name: "manifest.json".into(),
                source,
            })?;
        let mut found = Vec::new();
        for image in images {
            let config_json = self.read_small(&image.config)?;
            check_name_digest(&image.config, &config_json)?;
            let config = ImageConfig::parse(&config_json)?;
            let names = image.repo_tags.unwrap_or_default();
            let names = names
                .iter()
                .map(|name| name.parse())
                .collect::<Result<_, _>>()?;
            let layers = pair_layers(
                &config,
                &image.config,
                image.layers.into_iter().map(|name| (name, None)),
            )?;
            found.push(ArchivedImage {
                config_json,
                config,
                layers,
                names,
            });
        }
        Ok(found)
    }

    fn oci_images(&self) -> Result<Vec<ArchivedImage>, ArchiveError> {
        let json = self.read_small("index.json")?;
        let ManifestOrIndex::Index(index) = manifest::parse(&json)? else {
            return Err(ArchiveError::Member {
                name: "index.json".into(),
                rule: "it is no index",
            });
        };
        let mut found = Vec::new();
        for descriptor in &index.manifests {
            let name = descriptor
                .annotations
                .as_ref()
                .and_then(|notes| {
                    notes
                        .get("io.containerd.image.name")
                        .or_else(|| notes.get("org.opencontainers.image.ref.name"))
                })
                // A name that is only a tag, as some tools write it, names nothing by itself.
                .filter(|name| name.contains('/') || name.contains(':'));
            let names = name
                .map(|name| name.parse())
                .transpose()?
                .into_iter()
                .collect();
            if let Some(manifest) = self.select(descriptor, 1)? {
                found.push(self.oci_image(&manifest, names)?);
            }
        }
        Ok(found)
    }

    /// The manifest that a descriptor refers to; of an index, that for this host.
    fn select(
        &self,
        descriptor: &Descriptor,
        depth: u32,
    ) -> Result<Option<Manifest>, ArchiveError> {
        let member = blob_member(&descriptor.digest);
        if depth > MAX_DEPTH {
            return Err(ArchiveError::Member {
                name: member,
                rule: "indexes are nested too deep",
            });
        }
        match manifest::parse(&self.read_blob(descriptor)?)? {
            ManifestOrIndex::Manifest(manifest) => Ok(Some(manifest)),
            ManifestOrIndex::Index(index) => {
                let ours = |platform: &manifest::Platform| {
                    platform.os == "linux" && platform.architecture == host_architecture()
                };
                let chosen = index
                    .manifests
                    .iter()
                    .find(|entry| entry.platform.as_ref().is_some_and(ours))
                    .or_else(|| {
                        index
                            .manifests
                            .iter()
                            .find(|entry| entry.platform.is_none())
                    });
                chosen.map_or(Ok(None), |entry| self.select(entry, depth + 1))
            }
        }
    }

    fn read_blob(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ArchiveError> {
        let name = blob_member(&descriptor.digest);
        let content = self.read_small(&name)?;
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        if Digest::of(&content) != descriptor.digest || size != descriptor.size {
            return Err(ArchiveError::Member {
                name,
                rule: "its content is not what its digest and size say",
            });
        }
        Ok(content)
    }

    fn oci_image(
        &self,
        manifest: &Manifest,
        names: Vec<ImageReference>,
    ) -> Result<ArchivedImage, ArchiveError> {
        let config_json = self.read_blob(&manifest.config)?;
        let config = ImageConfig::parse(&config_json)?;
        let layers = manifest.layers.iter().map(|layer| {
            (
                blob_member(&layer.digest),
                Some((layer.digest.clone(), layer.size)),
            )
        });
        let layers = pair_layers(&config, manifest.config.digest.as_str(), layers)?;
        Ok(ArchivedImage {
            config_json,
            config,
            layers,
            names,
        })
    }
}

fn blob_member(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A configuration named by a digest must have it.
fn check_name_digest(name: &str, content: &[u8]) -> Result<(), ArchiveError> {
    let stem = name.rsplit('/').next().unwrap_or(name);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    match Digest::from_hex(stem) {
        Ok(digest) if digest != Digest::of(content) => Err(ArchiveError::Member {
            name: name.to_owned(),
            rule: "its content is not what its name's digest says",
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The layers with the diff ids that the configuration gives them, one each (reliability.md H23).
fn pair_layers(
    config: &ImageConfig,
    name: &str,
    layers: impl ExactSizeIterator<Item = (String, Option<(Digest, u64)>)>,
) -> Result<Vec<ArchivedLayer>, ArchiveError> {
    let diff_ids = &config.rootfs.diff_ids;
    if layers.len() != diff_ids.len() {
        return Err(ArchiveError::Member {
            name: name.to_owned(),
            rule: "the numbers of layers and of diff ids differ",
        });
    }
    Ok(layers
        .zip(diff_ids)
        .map(|((member, blob), diff_id)| ArchivedLayer {
            member,
            diff_id: diff_id.clone(),
            blob,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[derive(Default)]
    struct Builder(Vec<(String, Vec<u8>, Option<String>)>);

    impl Builder {
        fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
            self.0.push((name.into(), content.as_ref().to_vec(), None));
            self
        }

        fn link(mut self, name: &str, target: &str) -> Self {
            self.0.push((name.into(), vec![], Some(target.into())));
            self
        }

        fn open(self) -> Result<Vec<ArchivedImage>, ArchiveError> {
            self.archive()?.images()
        }

        fn archive(self) -> Result<Archive, ArchiveError> {
            let mut tar = tar::Builder::new(Vec::new());
            for (name, content, link) in self.0 {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                let field = &mut header.as_gnu_mut().unwrap().name;
                field[..name.len()].copy_from_slice(name.as_bytes());
                if let Some(target) = link {
                    header.set_entry_type(tar::EntryType::Symlink);
                    let field = &mut header.as_gnu_mut().unwrap().linkname;
                    field[..target.len()].copy_from_slice(target.as_bytes());
                }
                header.set_cksum();
                tar.append(&header, &content[..]).unwrap();
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&tar.into_inner().unwrap()).unwrap();
            Archive::open_tar(file)
        }
    }

    fn config(layers: &[&[u8]]) -> String {
        let ids: Vec<String> = layers
            .iter()
            .map(|layer| format!("\"{}\"", Digest::of(layer)))
            .collect();
        format!(
            r#"{{"config":{{"Cmd":["x"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            ids.join(",")
        )
    }

    fn docker(config_name: &str, layers: &str, tags: &str) -> String {
        format!(r#"[{{"Config":"{config_name}","RepoTags":[{tags}],"Layers":[{layers}]}}]"#)
    }

    #[test]
    fn a_docker_archive_with_shared_layers_is_read() {
        let archive = Builder::default()
            .file(
                "manifest.json",
                docker("c.json", r#""a/layer.tar","b/layer.tar""#, r#""x/y:1""#),
            )
            .file("c.json", config(&[b"AAA", b"AAA"]))
            .file("./a/layer.tar", "AAA")
            .link("b/layer.tar", "../a/layer.tar")
            .archive()
            .unwrap();
        let images = archive.images().unwrap();
        assert_eq!(
            (images.len(), images[0].names[0].to_string()),
            (1, "x/y:1".into())
        );
        for layer in &images[0].layers {
            let mut text = String::new();
            archive
                .layer(layer)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, "AAA");
        }
    }

    fn oci(manifests: &[(&str, String)], index: &str) -> Builder {
        let mut builder = Builder::default()
            .file("oci-layout", "{}")
            .file("index.json", index);
        for (_, content) in manifests {
            builder = builder.file(&blob_member(&Digest::of(content.as_bytes())), content);
        }
        builder
    }

    fn descriptor(content: &str, media_type: &str) -> String {
        let (digest, size) = (Digest::of(content.as_bytes()), content.len());
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    }

    #[test]
    fn an_oci_archive_is_read_through_nested_indexes() {
        let config = config(&[b"L"]);
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            descriptor(&config, manifest::CONFIG),
            descriptor("L", "x")
        );
        let inner = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            descriptor(&manifest, manifest::MANIFEST)
        );
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            descriptor(&inner, manifest::INDEX)
        );
        let blobs = [
            ("c", config),
            ("m", manifest),
            ("i", inner),
            ("l", "L".into()),
        ];
        let images = oci(&blobs, &index).open().unwrap();
        assert_eq!(images[0].layers[0].diff_id, Digest::of(b"L"));
        assert_eq!(images[0].layers[0].blob, Some((Digest::of(b"L"), 1)));
    }

    #[test]
    fn h23_digests_and_counts_must_agree() {
        let manifest = docker("c.json", r#""l.tar""#, "");
        let two = Builder::default()
            .file("manifest.json", &manifest)
            .file("c.json", config(&[b"A", b"B"]));
        assert!(
            two.file("l.tar", "A")
                .open()
                .unwrap_err()
                .to_string()
                .contains("diff ids")
        );
        let name = format!("{}.json", "0".repeat(64));
        let wrong = Builder::default()
            .file("manifest.json", docker(&name, "", ""))
            .file(&name, config(&[]));
        assert!(wrong.open().unwrap_err().to_string().contains("digest"));
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            descriptor("A", "x")
        );
        let lies = oci(&[], &index).file(&blob_member(&Digest::of(b"A")), "B");
        assert!(
            lies.open()
                .unwrap_err()
                .to_string()
                .contains("digest and size")
        );
    }

    #[test]
    fn h24_members_never_lead_to_the_host() {
        let manifest = docker("../../../etc/hostname", "", "");
        let error = Builder::default()
            .file("manifest.json", manifest)
            .open()
            .unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        for target in ["/etc/passwd", "../../../../etc/passwd", "../x"] {
            let archive = Builder::default()
                .file("manifest.json", docker("c.json", r#""l.tar""#, ""))
                .file("c.json", config(&[b"A"]))
                .link("l.tar", target);
            assert!(
                archive.open().unwrap_err().to_string().contains("l.tar"),
                "{target}"
            );
        }
        let outside = Builder::default().file("../evil", "x");
        assert!(outside.open().unwrap_err().to_string().contains("evil"));
        let circle = Builder::default()
            .file("manifest.json", docker("c.json", "", ""))
            .link("c.json", "d.json")
            .link("d.json", "c.json");
        assert!(circle.open().unwrap_err().to_string().contains("loop"));
    }

    #[test]
    fn h24_a_layout_is_not_left_through_links_and_waits_for_nobody() {
        let root = tempfile::tempdir().unwrap();
        let blobs = root.path().join("layout/blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let open = |content: &str| {
            let descriptor = descriptor(content, manifest::MANIFEST);
            let index = format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#);
            for (name, text) in [("oci-layout", "{}"), ("index.json", index.as_str())] {
                let mut file = File::create(root.path().join("layout").join(name)).unwrap();
                file.write_all(text.as_bytes()).unwrap();
            }
            Archive::open_directory(&root.path().join("layout"))
                .unwrap()
                .images()
                .unwrap_err()
        };
        let mut outside = File::create(root.path().join("secret")).unwrap();
        outside.write_all(b"secret").unwrap();
        let digest = Digest::of(b"secret");
        std::os::unix::fs::symlink("../../../secret", blobs.join(digest.hex())).unwrap();
        assert!(matches!(open("secret"), ArchiveError::Io(_)));
        let digest = Digest::of(b"fifo");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            blobs.join(digest.hex()),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        assert!(open("fifo").to_string().contains("not a file"));
    }

    #[test]
    fn h26_names_in_an_archive_are_checked() {
        for name in ["../../etc", "UPPER", r"a\u001b[31m"] {
            let archive = Builder::default()
                .file(
                    "manifest.json",
                    docker("c.json", "", &format!("\"{name}\"")),
                )
                .file("c.json", config(&[]));
            assert!(
                matches!(archive.open().unwrap_err(), ArchiveError::Reference(_)),
                "{name}"
            );
        }
    }

    #[test]
    fn h27_indexes_that_go_on_and_on_are_refused() {
        let mut blobs = vec![("m", r#"{"schemaVersion":2,"manifests":[]}"#.to_owned())];
        for _ in 0..6 {
            let inner = descriptor(&blobs[blobs.len() - 1].1, manifest::INDEX);
            blobs.push((
                "i",
                format!(r#"{{"schemaVersion":2,"manifests":[{inner}]}}"#),
            ));
        }
        let index = blobs.pop().unwrap().1;
        assert!(
            oci(&blobs, &index)
                .open()
                .unwrap_err()
                .to_string()
                .contains("nested")
        );
    }

    #[test]
    fn what_is_no_archive_is_told_with_what_would_be() {
        let rootfs = Builder::default().file("bin/sh", "x").open().unwrap_err();
        assert!(rootfs.to_string().contains("ctrs import"), "{rootfs}");
        let mut garbage = tempfile::tempfile().unwrap();
        garbage.write_all(&[7; 2000]).unwrap();
        assert!(matches!(
            Archive::open_tar(garbage),
            Err(ArchiveError::NotAnArchive)
        ));
        assert!(Archive::open_directory(Path::new("/etc")).is_err());
    }
}
