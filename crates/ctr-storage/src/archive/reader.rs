//! A tar reader that knows ustar, PAX (POSIX.1-2017 pax, "Interchange format") and GNU long names, base-256 numbers and
//! sparse files, and refuses everything else.
//!
//! The size in a PAX record always wins over the header's, for the entry and for finding the next one, so that no two
//! parsers can disagree about where an entry ends (CVE-2025-62518).

mod fields;
mod sparse;

use std::collections::BTreeMap;
use std::io::{self, Read};

use self::fields::{decimal, field, octal, seconds, until_nul, ustar_name};

/// Bytes of a block.
pub const BLOCK: u64 = 512;
/// Longest PAX or GNU header in bytes.
pub const MAX_EXTENSION: u64 = 1 << 20;
/// Longest path in bytes (`PATH_MAX`).
pub const MAX_PATH: usize = 4096;
/// Longest path component in bytes (`NAME_MAX`).
pub const MAX_COMPONENT: usize = 255;
/// Most extended attributes of an entry.
pub const MAX_XATTRS: usize = 64;
/// Longest extended attribute in bytes (`XATTR_SIZE_MAX`).
pub const MAX_XATTR: usize = 64 << 10;
/// Most parts of a sparse file.
const MAX_SPARSE: usize = 1 << 16;

/// PAX records by key.
type Records = BTreeMap<Vec<u8>, Vec<u8>>;
/// Extended attributes: name and value.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// What an archive did that is not allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// A rule was broken.
    #[error("entry {index} {name:?}: {rule}")]
    Rule {
        /// Number of the entry, from 1.
        index: u64,
        /// Its name, as far as known.
        name: String,
        /// The rule.
        rule: &'static str,
    },
    /// The archive ended early or could not be read.
    #[error("reading the archive at entry {index} {name:?}")]
    Read {
        /// Number of the entry, from 1.
        index: u64,
        /// Its name, as far as known.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the type of file of that name")]
pub enum EntryKind {
    File,
    Directory,
    Symlink,
    Hardlink,
    Fifo,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
}

/// One entry's metadata. Names are bytes, without NUL.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Number of the entry, from 1.
    pub index: u64,
    /// Its name as written.
    pub name: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, set-id bits and the sticky bit.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time: seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Bytes of its content in the archive.
    pub stored: u64,
    /// Bytes of the file (more than stored when it is sparse).
    pub size: u64,
    /// Parts of a sparse file as (offset, length), in order; none means not sparse.
    pub sparse: Option<Vec<(u64, u64)>>,
    /// Extended attributes.
    pub xattrs: Xattrs,
}

/// Reads entries one after another. The content of an entry is read through [`TarReader::read_content`]; what is left of
/// it is skipped by the next [`TarReader::next_entry`].
#[derive(Debug)]
pub struct TarReader<R> {
    input: R,
    index: u64,
    name: String,
    /// Bytes of the current entry not read yet, and of padding behind them.
    left: u64,
    padding: u64,
    global: Records,
    finished: bool,
}

type Block = [u8; 512];

impl<R: Read> TarReader<R> {
    /// Reads from `input`, an uncompressed tar.
    pub fn new(input: R) -> Self {
        Self {
            input,
            index: 0,
            name: String::new(),
            left: 0,
            padding: 0,
            global: BTreeMap::new(),
            finished: false,
        }
    }

    /// Gives the input back.
    pub fn into_inner(self) -> R {
        self.input
    }

    fn rule<T>(&self, rule: &'static str) -> Result<T, TarError> {
        Err(TarError::Rule {
            index: self.index,
            name: self.name.clone(),
            rule,
        })
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        self.input.read_exact(buffer).map_err(|source| {
            let source = if source.kind() == io::ErrorKind::UnexpectedEof {
                io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut short")
            } else {
                source
            };
            TarError::Read {
                index: self.index,
                name: self.name.clone(),
                source,
            }
        })
    }

    /// Reads content of the current entry; 0 at its end.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(part) = buffer.get_mut(..most).filter(|part| !part.is_empty()) else {
            return Ok(0);
        };
        let count = loop {
            match self.input.read(part) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(TarError::Read {
                        index: self.index,
                        name: self.name.clone(),
                        source,
                    });
                }
            }
        };
        if count == 0 {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut short");
            return Err(TarError::Read {
                index: self.index,
                name: self.name.clone(),
                source,
            });
        }
        self.left -= u64::try_from(count).unwrap_or(0);
        Ok(count)
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let mut buffer = [0_u8; 16 << 10];
        while self.left > 0 {
            self.read_content(&mut buffer)?;
        }
        self.left = std::mem::take(&mut self.padding);
        while self.left > 0 {
            self.read_content(&mut buffer)?;
        }
        Ok(())
    }

    fn begin_content(&mut self, size: u64) -> Result<(), TarError> {
        self.left = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
        if size > i64::MAX.unsigned_abs() - BLOCK {
            return self.rule("its size is beyond all bounds");
        }
        Ok(())
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > MAX_EXTENSION {
            return self.rule("an extended header is longer than 1 MiB");
        }
        self.begin_content(size)?;
        let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
        self.fill(&mut content)?;
        self.left = 0;
        self.skip_rest()?;
        Ok(content)
    }

    /// Goes on to the next entry; `None` at the end of the archive.
    ///
    /// # Errors
    /// The first broken rule or failed read; the reader is of no use afterwards.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_rest()?;
        if self.finished {
            return Ok(None);
        }
        self.index += 1;
        self.name.clear();
        let mut local: Option<Records> = None;
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let mut header: Block = [0; 512];
            if !self.fill_header(&mut header)? {
                if local.is_some() || long_name.is_some() || long_link.is_some() {
                    return self.rule("the archive ends behind an extended header");
                }
                self.finished = true;
                return Ok(None);
            }
            self.check_sum(&header)?;
            let kind = header[156];
            if local.is_none() && long_name.is_none() {
                self.name = String::from_utf8_lossy(&ustar_name(&header)).into_owned();
            }
            match kind {
                b'x' => {
                    if local.is_some() {
                        return self.rule("two PAX headers precede one entry");
                    }
                    let size = self.number(&header, 124, 12)?;
                    let text = self.read_extension(size)?;
                    local = Some(self.pax_records(&text)?);
                }
                b'g' => {
                    let size = self.number(&header, 124, 12)?;
                    let text = self.read_extension(size)?;
                    let records = self.pax_records(&text)?;
                    for key in [&b"path"[..], b"linkpath", b"size", b"GNU.sparse.name"] {
                        if records.contains_key(key) {
                            return self.rule("a global PAX header sets a name or a size");
                        }
                    }
                    self.global.extend(records);
                }
                b'L' | b'K' => {
                    let slot = if kind == b'L' {
                        &mut long_name
                    } else {
                        &mut long_link
                    };
                    if slot.is_some() || local.is_some() {
                        return self
                            .rule("extended headers of different kinds contradict each other");
                    }
                    let size = self.number(&header, 124, 12)?;
                    let mut text = self.read_extension(size)?;
                    while text.last() == Some(&0) {
                        text.pop();
                    }
                    if kind == b'L' {
                        self.name = String::from_utf8_lossy(&text).into_owned();
                        long_name = Some(text);
                    } else {
                        long_link = Some(text);
                    }
                }
                _ => return self.entry(&header, local, long_name, long_link).map(Some),
            }
        }
    }

    /// Reads one header block; `false` at the end: two blocks of zeros, or the end of input where a header would begin.
    fn fill_header(&mut self, header: &mut Block) -> Result<bool, TarError> {
        let mut have = 0;
        while let Some(rest) = header.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) if have == 0 && self.index > 1 => return Ok(false),
                Ok(0) => {
                    let source =
                        io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut short");
                    return Err(TarError::Read {
                        index: self.index,
                        name: self.name.clone(),
                        source,
                    });
                }
                Ok(count) => have += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(TarError::Read {
                        index: self.index,
                        name: self.name.clone(),
                        source,
                    });
                }
            }
        }
        if header.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        let mut second: Block = [0; 512];
        self.fill(&mut second)?;
        if second.iter().any(|byte| *byte != 0) {
            return self.rule("a block of zeros stands between entries");
        }
        Ok(false)
    }

    fn check_sum(&self, header: &Block) -> Result<(), TarError> {
        let stated = octal(field(header, 148, 8));
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u64::from(*byte)
                }
            })
            .sum();
        if stated == Some(sum) {
            Ok(())
        } else {
            self.rule(if self.index <= 1 {
                "this is no tar archive (its first header has a wrong checksum)"
            } else {
                "its header has a wrong checksum"
            })
        }
    }

    fn number(&self, header: &Block, at: usize, length: usize) -> Result<u64, TarError> {
        let text = field(header, at, length);
        match text.first() {
            // Base 256 (GNU): the first bit marks it, the second is the sign.
            Some(first) if first & 0x80 != 0 => {
                if first & 0x40 != 0 {
                    return self.rule("a number in its header is negative");
                }
                let mut value = u64::from(first & 0x3f);
                for byte in text.iter().skip(1) {
                    if value >> 56 != 0 {
                        return self.rule("a number in its header is beyond all bounds");
                    }
                    value = value << 8 | u64::from(*byte);
                }
                Ok(value)
            }
            _ => octal(text).map_or_else(|| self.rule("a number in its header is malformed"), Ok),
        }
    }

    /// `length key=value\n` again and again; the length counts itself.
    fn pax_records(&self, text: &[u8]) -> Result<Records, TarError> {
        const MALFORMED: &str = "a PAX record is malformed";
        let mut records = BTreeMap::new();
        let mut rest = text;
        while !rest.is_empty() {
            let Some(space) = rest.iter().take(8).position(|byte| *byte == b' ') else {
                return self.rule(MALFORMED);
            };
            let (digits, _) = rest.split_at(space);
            let length = decimal(digits).and_then(|length| usize::try_from(length).ok());
            let record = length.and_then(|length| rest.get(space + 1..length));
            let Some((b'\n', record)) = record.and_then(|record| record.split_last()) else {
                return self.rule(MALFORMED);
            };
            let Some(equals) = record.iter().position(|byte| *byte == b'=') else {
                return self.rule(MALFORMED);
            };
            let (key, value) = record.split_at(equals);
            let value = value.get(1..).unwrap_or_default();
            if key.is_empty() || key.contains(&0) {
                return self.rule(MALFORMED);
            }
            let repeated = records.insert(key.to_vec(), value.to_vec()).is_some();
            // GNU sparse format 0.0 repeats these two keys by design; the formats that need it are refused below.
            if repeated {
                return self.rule("a PAX key stands twice");
            }
            rest = rest.get(length.unwrap_or(usize::MAX)..).unwrap_or_default();
        }
        Ok(records)
    }

    /// A PAX record in force for the current entry.
    fn record<'r>(&'r self, local: &'r Records, key: &str) -> Option<&'r [u8]> {
        let key = key.as_bytes();
        local
            .get(key)
            .or_else(|| self.global.get(key))
            .map(Vec::as_slice)
    }

    fn entry(
        &mut self,
        header: &Block,
        local: Option<Records>,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry, TarError> {
        let local = local.unwrap_or_default();
        let name = self
            .record(&local, "GNU.sparse.name")
            .or_else(|| self.record(&local, "path"))
            .map(<[u8]>::to_vec)
            .or(long_name)
            .unwrap_or_else(|| ustar_name(header));
        let link = self
            .record(&local, "linkpath")
            .map(<[u8]>::to_vec)
            .or(long_link)
            .unwrap_or_else(|| until_nul(field(header, 157, 100)).to_vec());
        self.name = String::from_utf8_lossy(&name).into_owned();
        if name.contains(&0) || link.contains(&0) {
            return self.rule("a name holds a NUL byte");
        }
        if name.len() > MAX_PATH || link.len() > MAX_PATH {
            return self.rule("a name is longer than 4096 bytes");
        }
        let stored = match self.record(&local, "size") {
            Some(text) => {
                decimal(text).map_or_else(|| self.rule("its PAX size is malformed"), Ok)?
            }
            None => self.number(header, 124, 12)?,
        };
        let kind = self.kind(header, &name)?;
        // Only files have content; a size on anything else is ignored by some readers and honoured by others.
        if kind != EntryKind::File && stored != 0 {
            return self.rule("it is not a file and has content");
        }
        let mut entry = Entry {
            index: self.index,
            name,
            link,
            kind,
            mode: u32::try_from(self.number(header, 100, 8)? & 0o7777).unwrap_or(0),
            uid: self.id(header, self.record(&local, "uid"), 108)?,
            gid: self.id(header, self.record(&local, "gid"), 116)?,
            mtime: self.mtime(header, self.record(&local, "mtime"))?,
            stored,
            size: stored,
            sparse: None,
            xattrs: self.xattrs(&local)?,
        };
        if header[156] == b'S' {
            self.old_sparse(header, &mut entry)?;
        } else if local.keys().any(|key| key.starts_with(b"GNU.sparse.")) {
            let version =
                ["GNU.sparse.major", "GNU.sparse.minor"].map(|key| self.record(&local, key));
            if version != [Some(&b"1"[..]), Some(&b"0"[..])] {
                return self.rule("it is sparse in a format other than GNU's old one and 1.0");
            }
            let size = self.record(&local, "GNU.sparse.realsize").and_then(decimal);
            entry.size = size.map_or_else(|| self.rule("its real size is malformed"), Ok)?;
            self.begin_content(stored)?;
            self.sparse_1_0(&mut entry)?;
        } else {
            self.begin_content(stored)?;
        }
        if let Some(parts) = &entry.sparse {
            self.check_sparse(&entry, parts)?;
        }
        Ok(entry)
    }

    fn kind(&self, header: &Block, name: &[u8]) -> Result<EntryKind, TarError> {
        let device = |at| {
            self.number(header, at, 8).and_then(|number| {
                u32::try_from(number).or_else(|_| self.rule("its device number is too large"))
            })
        };
        Ok(match header[156] {
            // Archives older than ustar mark directories by the slash alone.
            0 if name.last() == Some(&b'/') => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::Hardlink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice {
                major: device(329)?,
                minor: device(337)?,
            },
            b'4' => EntryKind::BlockDevice {
                major: device(329)?,
                minor: device(337)?,
            },
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            _ => return self.rule("its type is unknown"),
        })
    }

    fn id(&self, header: &Block, pax: Option<&[u8]>, at: usize) -> Result<u32, TarError> {
        let value = match pax {
            Some(text) => decimal(text).map_or_else(|| self.rule("its owner is malformed"), Ok)?,
            None => self.number(header, at, 8)?,
        };
        // The last one means "no change" to the kernel.
        match u32::try_from(value) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => self.rule("its owner does not fit 32 bits"),
        }
    }

    fn mtime(&self, header: &Block, pax: Option<&[u8]>) -> Result<(i64, u32), TarError> {
        match pax {
            Some(text) => {
                seconds(text).map_or_else(|| self.rule("its modification time is malformed"), Ok)
            }
            None => Ok((
                i64::try_from(self.number(header, 136, 12)?).unwrap_or(i64::MAX),
                0,
            )),
        }
    }

    fn xattrs(&self, local: &Records) -> Result<Xattrs, TarError> {
        let mut xattrs = Vec::new();
        for (key, value) in local {
            let Some(name) = key.strip_prefix(b"SCHILY.xattr.") else {
                continue;
            };
            if xattrs.len() >= MAX_XATTRS {
                return self.rule("it has more than 64 extended attributes");
            }
            if name.is_empty() || name.len() > MAX_COMPONENT || value.len() > MAX_XATTR {
                return self.rule("an extended attribute is too long");
            }
            xattrs.push((name.to_vec(), value.clone()));
        }
        Ok(xattrs)
    }
}
