//! Archives that are right, wrong and hostile.

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
