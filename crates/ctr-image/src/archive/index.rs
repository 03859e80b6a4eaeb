//! Where each member of a tar stands. Only what the writers of image archives use is understood: ustar, GNU and PAX names.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use super::ArchiveError;

/// Most members of an archive.
const MAX_MEMBERS: usize = 100_000;
/// Longest extended header.
const MAX_EXTENSION: u64 = 1 << 20;
/// Size of a header, and what contents are padded to.
const BLOCK: u64 = 512;

/// Where a member's content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file.
    Span { offset: u64, size: u64 },
    /// The content of another member.
    Link(String),
}

/// A part of a file.
pub(super) struct Span {
    pub(super) file: File,
    pub(super) offset: u64,
    pub(super) left: u64,
}

impl Read for Span {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let part = buffer.get_mut(..most).unwrap_or_default();
        let count = self.file.read_at(part, self.offset)?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive is cut short",
            ));
        }
        let count64 = u64::try_from(count).unwrap_or(0);
        self.offset += count64;
        self.left -= count64;
        Ok(count)
    }
}

/// Finds the members of a tar.
pub(super) fn index(file: &File) -> Result<BTreeMap<String, Place>, ArchiveError> {
    let mut indexer = Indexer {
        file,
        length: file.metadata()?.len(),
        members: BTreeMap::new(),
        next_name: None,
        next_size: None,
    };
    let mut offset = 0;
    while let Some(next) = indexer.step(offset)? {
        offset = next;
    }
    Ok(indexer.members)
}

/// One header block.
struct Header([u8; 512]);

impl Header {
    /// Bytes of a field, to its first NUL.
    fn field(&self, at: usize, size: usize) -> &[u8] {
        let field = self.0.get(at..at + size).unwrap_or_default();
        field.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// An octal field; an empty one is 0.
    fn octal(&self, at: usize, size: usize) -> Option<u64> {
        let text = std::str::from_utf8(self.field(at, size)).ok()?.trim();
        if text.is_empty() {
            return Some(0);
        }
        u64::from_str_radix(text, 8).ok()
    }

    fn is_end(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// Whether the checksum is right, its own field counted as spaces.
    fn is_valid(&self) -> bool {
        let counted = |(at, byte): (usize, &u8)| {
            if (148..156).contains(&at) {
                u64::from(b' ')
            } else {
                u64::from(*byte)
            }
        };
        self.octal(148, 8) == Some(self.0.iter().enumerate().map(counted).sum())
    }

    fn name(&self) -> Vec<u8> {
        let is_ustar = self.0.get(257..263) == Some(b"ustar\0");
        let prefix = if is_ustar { self.field(345, 155) } else { &[] };
        if prefix.is_empty() {
            return self.field(0, 100).to_vec();
        }
        [prefix, b"/", self.field(0, 100)].concat()
    }

    /// Size of the content, octal or GNU's base 256.
    fn size(&self) -> Option<u64> {
        if self.0.get(124).is_some_and(|first| first & 0x80 != 0) {
            let bytes = self.0.get(128..136).unwrap_or_default();
            return Some(
                bytes
                    .iter()
                    .fold(0, |value, byte| value << 8 | u64::from(*byte)),
            );
        }
        self.octal(124, 12)
    }

    fn kind(&self) -> u8 {
        self.0.get(156).copied().unwrap_or(0)
    }

    fn link(&self) -> String {
        String::from_utf8_lossy(self.field(157, 100)).into_owned()
    }
}

struct Indexer<'a> {
    file: &'a File,
    length: u64,
    members: BTreeMap<String, Place>,
    /// What an extended header says of the next member.
    next_name: Option<Vec<u8>>,
    next_size: Option<u64>,
}

impl Indexer<'_> {
    /// Takes in the member at `offset`; gives where the next one is.
    fn step(&mut self, offset: u64) -> Result<Option<u64>, ArchiveError> {
        let content = offset + BLOCK;
        if content > self.length {
            return Ok(None);
        }
        let mut header = Header([0; 512]);
        self.file.read_exact_at(&mut header.0, offset)?;
        if header.is_end() {
            return Ok(None);
        }
        if !header.is_valid() {
            return Err(ArchiveError::NotAnArchive);
        }
        let is_extension = matches!(header.kind(), b'x' | b'g' | b'L' | b'K');
        let name = if is_extension {
            header.name()
        } else {
            self.next_name.take().unwrap_or_else(|| header.name())
        };
        let name = String::from_utf8_lossy(&name).into_owned();
        let wrong = |rule| ArchiveError::Member {
            name: name.chars().take(120).collect(),
            rule,
        };
        let said = header
            .size()
            .ok_or_else(|| wrong("its size is malformed"))?;
        let size = if is_extension {
            said
        } else {
            self.next_size.take().unwrap_or(said)
        };
        let end = content
            .checked_add(size)
            .filter(|end| *end <= self.length)
            .ok_or_else(|| wrong("it is cut short"))?;
        let content = Place::Span {
            offset: content,
            size,
        };
        match self.take_in(&header, &name, content) {
            Ok(()) => {}
            Err(Refused::Rule(rule)) => return Err(wrong(rule)),
            Err(Refused::Io(error)) => return Err(error.into()),
        }
        if self.members.len() > MAX_MEMBERS {
            return Err(wrong("the archive has too many members"));
        }
        Ok(Some(end.next_multiple_of(BLOCK)))
    }

    fn take_in(&mut self, header: &Header, name: &str, content: Place) -> Result<(), Refused> {
        match header.kind() {
            b'0' | 0 => {
                let cleaned =
                    clean(name).ok_or(Refused::Rule("its name leads out of the archive"))?;
                self.members.insert(cleaned, content);
            }
            kind @ (b'1' | b'2') => {
                let cleaned =
                    clean(name).ok_or(Refused::Rule("its name leads out of the archive"))?;
                let target = resolve_link(&cleaned, &header.link(), kind == b'1')
                    .ok_or(Refused::Rule("it is a link out of the archive"))?;
                self.members.insert(cleaned, Place::Link(target));
            }
            b'L' => {
                let mut text = self.read_extension(&content)?;
                text.retain(|byte| *byte != 0);
                self.next_name = Some(text);
            }
            b'x' => self.take_in_pax(&self.read_extension(&content)?)?,
            b'K' => return Err(Refused::Rule("its link is too long")),
            // Directories and global headers tell nothing here; anything else has no place in such an archive.
            _ => {}
        }
        Ok(())
    }

    fn take_in_pax(&mut self, text: &[u8]) -> Result<(), Refused> {
        for (key, value) in pax(text).ok_or(Refused::Rule("a PAX record is malformed"))? {
            match key.as_str() {
                "path" => self.next_name = Some(value.into_bytes()),
                "size" => {
                    let size = value
                        .parse()
                        .map_err(|_not_a_number| Refused::Rule("its size is malformed"))?;
                    self.next_size = Some(size);
                }
                "linkpath" => return Err(Refused::Rule("its link is too long")),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_extension(&self, content: &Place) -> Result<Vec<u8>, Refused> {
        let Place::Span { offset, size } = content else {
            return Ok(Vec::new());
        };
        if *size > MAX_EXTENSION {
            return Err(Refused::Rule("an extended header is longer than 1 MiB"));
        }
        let mut text = Vec::new();
        let file = self.file.try_clone().map_err(Refused::Io)?;
        let mut span = Span {
            file,
            offset: *offset,
            left: *size,
        };
        span.read_to_end(&mut text).map_err(Refused::Io)?;
        Ok(text)
    }
}

/// Why a member is not taken in.
enum Refused {
    Rule(&'static str),
    Io(io::Error),
}

fn pax(mut text: &[u8]) -> Option<Vec<(String, String)>> {
    let mut records = Vec::new();
    while !text.is_empty() {
        let space = text.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(text.get(..space)?).ok()?.parse().ok()?;
        let record = std::str::from_utf8(text.get(space + 1..length)?)
            .ok()?
            .strip_suffix('\n')?;
        let (key, value) = record.split_once('=')?;
        records.push((key.to_owned(), value.to_owned()));
        text = text.get(length..)?;
    }
    Some(records)
}

/// A member's name without `./` and doubled slashes; none for one that leads elsewhere.
fn clean(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    (!name.starts_with('/') && !parts.is_empty()).then(|| parts.join("/"))
}

/// Where a link leads: beside its own directory, within the archive.
fn resolve_link(name: &str, target: &str, is_hard: bool) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = if is_hard {
        Vec::new()
    } else {
        name.split('/').collect()
    };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}
