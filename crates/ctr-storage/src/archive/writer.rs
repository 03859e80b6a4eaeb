//! Writing tar: ustar with PAX headers where a value does not fit, GNU's sparse format 1.0 for files with holes.
//!
//! What is written depends on the entries alone: no time of day, no pid, no names of users. Times have whole seconds, since
//! a fraction would cost every entry two more blocks.

use std::io::{self, Write};

use tar::{EntryType, Header};

/// Bytes of a tar block.
const BLOCK: usize = 512;
/// Bytes of the fields for names and links.
const LINK: usize = 100;
/// Largest number that eleven octal digits hold.
const OCTAL_11: u64 = 0o777_7777_7777;
/// Largest number that seven octal digits hold.
const OCTAL_7: u64 = 0o777_7777;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// So many bytes follow by [`TarWriter::content`].
    File(u64),
    /// A file with holes: its size, and where its data lies. The data follows by [`TarWriter::content`], in this order.
    Sparse(u64, Vec<(u64, u64)>),
    Directory,
    Symlink(Vec<u8>),
    Hardlink(Vec<u8>),
    Fifo,
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
}

/// An entry.
#[derive(Clone, Debug)]
pub(super) struct NewEntry {
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Writes entries.
pub(super) struct TarWriter<W> {
    out: W,
    /// Bytes of content that are still to come, and those that fill its last block.
    left: u64,
    padding: usize,
}

/// One record of a PAX header: its own length, in decimal, counts too.
fn record(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    // Until the digits of the sum are counted in the sum.
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    to.extend_from_slice(length.to_string().as_bytes());
    to.push(b' ');
    to.extend_from_slice(key);
    to.push(b'=');
    to.extend_from_slice(value);
    to.push(b'\n');
}

fn padding(length: u64) -> usize {
    let block = BLOCK as u64;
    usize::try_from((block - length % block) % block).unwrap_or(0)
}

impl<W: Write> TarWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            left: 0,
            padding: 0,
        }
    }

    /// Begins an entry; its content, if it has any, comes next, all of it.
    pub(super) fn entry(&mut self, entry: &NewEntry) -> io::Result<()> {
        let mut pax = Vec::new();
        let mut header = Header::new_ustar();
        let (kind, size, link) = match &entry.kind {
            Kind::File(size) => (EntryType::Regular, *size, None),
            Kind::Sparse(_, parts) => {
                let data: u64 = parts.iter().map(|(_, length)| length).sum();
                (EntryType::Regular, data, None)
            }
            Kind::Directory => (EntryType::Directory, 0, None),
            Kind::Symlink(target) => (EntryType::Symlink, 0, Some(target)),
            Kind::Hardlink(target) => (EntryType::Link, 0, Some(target)),
            Kind::Fifo => (EntryType::Fifo, 0, None),
            Kind::CharDevice(..) => (EntryType::Char, 0, None),
            Kind::BlockDevice(..) => (EntryType::Block, 0, None),
        };
        let mut map = Vec::new();
        let mut name = entry.name.clone();
        if let Kind::Sparse(real, parts) = &entry.kind {
            record(&mut pax, b"GNU.sparse.major", b"1");
            record(&mut pax, b"GNU.sparse.minor", b"0");
            record(&mut pax, b"GNU.sparse.name", &name);
            record(
                &mut pax,
                b"GNU.sparse.realsize",
                real.to_string().as_bytes(),
            );
            name = [b"GNUSparseFile.0/", name.as_slice()].concat();
            map = sparse_map(parts);
        }
        let size = size.saturating_add(map.len() as u64);
        let is_sparse = matches!(entry.kind, Kind::Sparse(..));
        set_name(&mut header, &mut pax, &name, is_sparse);
        if let Some(target) = link {
            if target.len() <= LINK {
                set_bytes(&mut header, 157, target);
            } else {
                record(&mut pax, b"linkpath", target);
            }
        }
        for (key, value) in &entry.xattrs {
            record(
                &mut pax,
                &[b"SCHILY.xattr.", key.as_slice()].concat(),
                value,
            );
        }
        header.set_entry_type(kind);
        header.set_mode(entry.mode & 0o7777);
        for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
            if u64::from(id) > OCTAL_7 {
                record(&mut pax, key.as_bytes(), id.to_string().as_bytes());
            }
        }
        header.set_uid(u64::from(entry.uid).min(OCTAL_7));
        header.set_gid(u64::from(entry.gid).min(OCTAL_7));
        match u64::try_from(entry.mtime) {
            Ok(seconds) if seconds <= OCTAL_11 => header.set_mtime(seconds),
            // Before 1970, or after 2242.
            Ok(_) | Err(_) => {
                header.set_mtime(0);
                record(&mut pax, b"mtime", entry.mtime.to_string().as_bytes());
            }
        }
        if size > OCTAL_11 {
            record(&mut pax, b"size", size.to_string().as_bytes());
        }
        header.set_size(size.min(OCTAL_11));
        if let Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor) = entry.kind {
            header.set_device_major(major)?;
            header.set_device_minor(minor)?;
        }
        header.set_cksum();
        self.pax(&pax)?;
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(&map)?;
        self.left = size - map.len() as u64;
        self.padding = padding(size);
        self.pad_if_done()
    }

    fn pax(&mut self, records: &[u8]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        set_bytes(&mut header, 0, b"PaxHeaders.0");
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        self.zeros(padding(records.len() as u64) as u64)
    }

    /// Writes content; more than was announced is cut off.
    pub(super) fn content(&mut self, data: &[u8]) -> io::Result<()> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let data = data.get(..data.len().min(most)).unwrap_or_default();
        self.out.write_all(data)?;
        self.left -= data.len() as u64;
        if data.is_empty() {
            return Ok(());
        }
        self.pad_if_done()
    }

    fn pad_if_done(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Ok(());
        }
        let padding = std::mem::take(&mut self.padding) as u64;
        self.zeros(padding)
    }

    fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            let part = usize::try_from(count)
                .unwrap_or(usize::MAX)
                .min(ZEROS.len());
            self.out.write_all(ZEROS.get(..part).unwrap_or_default())?;
            count -= part as u64;
        }
        Ok(())
    }

    /// The end of the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.zeros(2 * BLOCK as u64)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The list of parts that comes before their data: decimal numbers, a line each, in whole blocks.
fn sparse_map(parts: &[(u64, u64)]) -> Vec<u8> {
    let mut map = format!("{}\n", parts.len()).into_bytes();
    for (offset, length) in parts {
        map.extend_from_slice(format!("{offset}\n{length}\n").as_bytes());
    }
    map.resize(map.len() + padding(map.len() as u64), 0);
    map
}

/// Puts bytes into a text field of the header.
fn set_bytes(header: &mut Header, at: usize, text: &[u8]) {
    if let Some(field) = header.as_mut_bytes().get_mut(at..at + text.len()) {
        field.copy_from_slice(text);
    }
}

/// Puts the name into the header, in two parts if need be, or into the PAX records.
fn set_name(header: &mut Header, pax: &mut Vec<u8>, name: &[u8], is_sparse: bool) {
    if name.len() <= LINK {
        set_bytes(header, 0, name);
        return;
    }
    // At a slash, the first part of at most 155 bytes (pax(1), "ustar Interchange Format").
    let split = name
        .iter()
        .enumerate()
        .filter(|(at, byte)| **byte == b'/' && *at <= 155 && name.len() - at - 1 <= LINK)
        .map(|(at, _)| at)
        .next_back()
        .filter(|at| *at > 0 && at + 1 < name.len());
    if let Some(at) = split {
        let (prefix, rest) = name.split_at(at);
        set_bytes(header, 345, prefix);
        set_bytes(header, 0, rest.get(1..).unwrap_or_default());
        return;
    }
    // The real name of a sparse file is in a record of its own.
    if !is_sparse {
        record(pax, b"path", name);
    }
    set_bytes(header, 0, name.get(..LINK).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::reader::{EntryKind, TarReader};

    fn entry(name: &str, kind: Kind) -> NewEntry {
        NewEntry {
            name: name.into(),
            kind,
            mode: 0o4755,
            uid: 7,
            gid: 8,
            mtime: 1_000_000_000,
            xattrs: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let long = format!("{}/{}", "d".repeat(150), "f".repeat(90));
        let longer = "ä".repeat(200);
        let mut big = entry("big", Kind::File(3));
        big.uid = 4_000_000_000;
        big.mtime = -5;
        big.xattrs = vec![(b"user.a".to_vec(), b"=\n\0".to_vec())];
        let entries = [
            entry("dir/", Kind::Directory),
            entry(&long, Kind::File(0)),
            entry(&longer, Kind::Symlink(longer.clone().into_bytes())),
            entry("link", Kind::Hardlink(b"big".to_vec())),
            entry("fifo", Kind::Fifo),
            entry("null", Kind::CharDevice(1, 3)),
            big,
            entry(
                "holes",
                Kind::Sparse(1 << 60, vec![(4096, 2), (1 << 50, 1)]),
            ),
        ];
        let mut writer = TarWriter::new(Vec::new());
        for entry in &entries {
            writer.entry(entry).unwrap();
            writer.content(b"xyz-too-long").unwrap();
        }
        let archive = writer.finish().unwrap();
        assert_eq!(archive.len() % 512, 0);
        let mut reader = TarReader::new(archive.as_slice());
        for wanted in &entries {
            let seen = reader.next_entry().unwrap().unwrap();
            assert_eq!(seen.name, wanted.name);
            assert_eq!(
                (seen.mode, seen.uid, seen.gid),
                (wanted.mode, wanted.uid, wanted.gid)
            );
            assert_eq!(seen.mtime.0, wanted.mtime);
            assert_eq!(seen.xattrs, wanted.xattrs);
            match &wanted.kind {
                Kind::Symlink(target) | Kind::Hardlink(target) => assert_eq!(&seen.link, target),
                Kind::CharDevice(major, minor) => {
                    let (major, minor) = (*major, *minor);
                    assert_eq!(seen.kind, EntryKind::CharDevice { major, minor });
                }
                Kind::Sparse(size, parts) => {
                    assert_eq!((seen.size, seen.sparse.as_ref()), (*size, Some(parts)));
                }
                Kind::File(size) => assert_eq!(seen.size, *size),
                Kind::Directory | Kind::Fifo | Kind::BlockDevice(..) => {}
            }
        }
        assert!(reader.next_entry().unwrap().is_none());
    }

    #[test]
    fn the_length_of_a_record_counts_itself() {
        for size in [1, 5, 6, 90, 91, 92, 93, 988, 989, 990, 991] {
            let mut out = Vec::new();
            record(&mut out, b"k", &vec![b'x'; size]);
            let text = String::from_utf8(out.clone()).unwrap();
            let (length, _) = text.split_once(' ').unwrap();
            assert_eq!(length.parse::<usize>().unwrap(), out.len());
        }
    }
}
