//! Tars made by hand, so that they can be as wrong as an attacker's.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use ctr_storage::archive::apply::Limits;
use ctr_storage::archive::{Applied, ApplyError, apply};

/// A tar being written.
#[derive(Default)]
pub(crate) struct Tarball(pub(crate) Vec<u8>);

pub(crate) struct Header([u8; 512]);

impl Header {
    pub(crate) fn new(kind: u8, name: &[u8], size: u64) -> Self {
        let mut bytes = [0; 512];
        let length = name.len().min(100);
        bytes[..length].copy_from_slice(&name[..length]);
        bytes[100..108].copy_from_slice(b"0000755\0");
        bytes[108..116].copy_from_slice(b"0000000\0");
        bytes[116..124].copy_from_slice(b"0000000\0");
        bytes[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        bytes[136..148].copy_from_slice(b"00000001000\0");
        bytes[156] = kind;
        bytes[257..265].copy_from_slice(b"ustar\x0000");
        Self(bytes)
    }

    pub(crate) fn link(mut self, target: &[u8]) -> Self {
        self.0[157..157 + target.len()].copy_from_slice(target);
        self
    }

    pub(crate) fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn bytes(mut self) -> [u8; 512] {
        self.0[148..156].copy_from_slice(b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

impl Tarball {
    pub(crate) fn raw(mut self, header: Header, content: &[u8]) -> Self {
        self.0.extend_from_slice(&header.bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        let header = Header::new(b'0', name.as_bytes(), content.len() as u64);
        self.raw(header, content)
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.raw(Header::new(b'5', name.as_bytes(), 0), b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(
            Header::new(b'2', name.as_bytes(), 0).link(target.as_bytes()),
            b"",
        )
    }

    pub(crate) fn hardlink(self, name: &str, target: &str) -> Self {
        self.raw(
            Header::new(b'1', name.as_bytes(), 0).link(target.as_bytes()),
            b"",
        )
    }

    /// A PAX header for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.extension(b'x', records)
    }

    pub(crate) fn extension(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let base = key.len() + value.len() + 3;
            let mut length = base + base.to_string().len();
            length = base + length.to_string().len();
            text.extend_from_slice(format!("{length} {key}=").as_bytes());
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        let header = Header::new(kind, b"PaxHeaders/x", text.len() as u64);
        self.raw(header, &text)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// A root to unpack into, beside things of the "host" that nobody may touch.
pub(crate) struct Sandbox {
    _dir: tempfile::TempDir,
    pub(crate) root: PathBuf,
    outside: PathBuf,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        std::fs::create_dir_all(outside.join("dir")).unwrap();
        std::fs::create_dir(&root).unwrap();
        std::fs::copy("/etc/hostname", outside.join("secret")).unwrap();
        Self {
            _dir: dir,
            root,
            outside,
        }
    }

    pub(crate) fn outside(&self) -> String {
        self.outside.to_str().unwrap().to_owned()
    }

    /// Everything outside the root with mode, owner, time and size.
    fn fingerprint(&self) -> String {
        let output = std::process::Command::new("find")
            .arg(self.root.parent().unwrap())
            .args([
                "-path",
                "*/root",
                "-prune",
                "-o",
                "-printf",
                "%p %y %m %U %G %T@ %s %l\n",
            ])
            .output()
            .unwrap();
        let mut lines: Vec<String> = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines.join("\n")
    }

    /// Unpacks, and makes sure that nothing outside the root changed.
    pub(crate) fn apply(&self, tar: &[u8]) -> Result<Applied, ApplyError> {
        self.apply_limited(tar, &Limits::default())
    }

    pub(crate) fn apply_limited(&self, tar: &[u8], limits: &Limits) -> Result<Applied, ApplyError> {
        let before = self.fingerprint();
        let root = ctr_sys::fs::open_directory(&self.root).unwrap();
        let outcome = apply(tar, root.as_fd(), limits);
        assert_eq!(
            before,
            self.fingerprint(),
            "something outside the root changed"
        );
        outcome
    }

    /// Unpacks what must be refused, with the entry's name in the message.
    pub(crate) fn refuse(&self, tar: &[u8], name: &str) -> String {
        let error = self.apply(tar).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(&format!("{name:?}")),
            "{message} does not name {name:?}"
        );
        message
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn read(&self, name: impl AsRef<Path>) -> String {
        std::fs::read_to_string(self.root.join(name)).unwrap()
    }
}
