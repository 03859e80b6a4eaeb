//! Reads the log across its rotated files, oldest first.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;

use super::rotated;

/// Where a piece of output went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the standard streams")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One line of the log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When, RFC 3339.
    pub time: String,
    /// Where to.
    pub stream: Stream,
    /// It is a piece of a line, and the next entry of that stream goes on with it.
    pub partial: bool,
    /// The text, without a line break.
    pub text: Vec<u8>,
}

impl LogEntry {
    /// The output as it was: with a line break unless it is a piece.
    pub fn output(mut self) -> Vec<u8> {
        if !self.partial {
            self.text.push(b'\n');
        }
        self.text
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let time = String::from_utf8(fields.next()?.to_vec()).ok()?;
        let stream = match fields.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let partial = match fields.next()? {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        Some(Self {
            time,
            stream,
            partial,
            text: fields.next()?.to_vec(),
        })
    }
}

/// Reads one container's log from its beginning, or from a number of lines before its end.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    file: BufReader<File>,
    /// How many rotations old the open file is, as far as known.
    age: u32,
    /// What has been read of a line that is not whole yet.
    half: Vec<u8>,
}

fn open_if_present(path: &Path) -> Result<Option<File>, SysError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SysError::new("open", path.display().to_string(), error)),
    }
}

impl LogReader {
    /// Opens the log at its beginning; `None` when there is none.
    pub fn open(path: &Path) -> Result<Option<Self>, SysError> {
        let mut oldest = 0;
        while rotated(path, oldest + 1).exists() {
            oldest += 1;
        }
        Self::open_at(path, oldest)
    }

    fn open_at(path: &Path, age: u32) -> Result<Option<Self>, SysError> {
        let file = open_if_present(&rotated(path, age))?;
        Ok(file.map(|file| Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(64 << 10, file),
            age,
            half: Vec::new(),
        }))
    }

    /// Opens the log `lines` whole lines before its end, reading no more of it than needed.
    pub fn open_tail(path: &Path, lines: u64) -> Result<Option<Self>, SysError> {
        let mut left = lines;
        let mut age = 0;
        loop {
            let Some(mut file) = open_if_present(&rotated(path, age))? else {
                // All files together hold fewer lines: begin with the oldest.
                return if age == 0 {
                    Ok(None)
                } else {
                    Self::open_at(path, age - 1)
                };
            };
            let shown = || rotated(path, age).display().to_string();
            let (offset, found) = tail_offset(&mut file, left).context("read", shown)?;
            if found >= left {
                file.seek(SeekFrom::Start(offset)).context("seek", shown)?;
                return Ok(Some(Self {
                    path: path.to_owned(),
                    file: BufReader::with_capacity(64 << 10, file),
                    age,
                    half: Vec::new(),
                }));
            }
            left -= found;
            age += 1;
        }
    }

    /// The next entry; `None` at the end as of now. A line that is only half written is not an entry yet.
    pub fn next_entry(&mut self) -> Result<Option<LogEntry>, SysError> {
        loop {
            let shown = || self.path.display().to_string();
            self.file
                .read_until(b'\n', &mut self.half)
                .context("read", shown)?;
            if self.half.last() == Some(&b'\n') {
                self.half.pop();
                let entry = LogEntry::parse(&self.half);
                self.half.clear();
                // A line that makes no sense (a torn write after a full disk) is passed over.
                if entry.is_some() {
                    return Ok(entry);
                }
                continue;
            }
            if !self.go_on_to_newer()? {
                return Ok(None);
            }
        }
    }

    /// At the end of a file: goes on with the one written after it, if there is one.
    fn go_on_to_newer(&mut self) -> Result<bool, SysError> {
        let shown = || self.path.display().to_string();
        let here = self.file.get_ref().metadata().context("stat", shown)?;
        // Rotation may have moved the open file meanwhile: find it among its successors by its inode.
        let mut age = self.age;
        loop {
            match std::fs::metadata(rotated(&self.path, age)) {
                Ok(there) if (there.dev(), there.ino()) == (here.dev(), here.ino()) => break,
                Ok(_) => age += 1,
                // It is gone: it was the oldest. The oldest now is the next one.
                Err(_) => break,
            }
        }
        self.age = age;
        if age == 0 {
            return Ok(false);
        }
        let Some(file) = open_if_present(&rotated(&self.path, age - 1))? else {
            return Ok(false);
        };
        self.file = BufReader::with_capacity(64 << 10, file);
        self.age = age - 1;
        self.half.clear();
        Ok(true)
    }
}

/// Where the last `lines` whole lines of a file begin, and how many there are (not more than asked for). Pieces of a line
/// count with the piece that ends it.
fn tail_offset(file: &mut File, lines: u64) -> io::Result<(u64, u64)> {
    const BLOCK: u64 = 64 << 10;
    let length = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok((length, 0));
    }
    let mut block = Vec::new();
    let mut start = length;
    // The text after the line break found last, as far as read: it tells whether that line is a piece.
    let (mut found, mut end) = (0, length);
    let mut line_start = length;
    while start > 0 {
        let size = BLOCK.min(start);
        start -= size;
        file.seek(SeekFrom::Start(start))?;
        block.resize(usize::try_from(size).unwrap_or(0), 0);
        file.read_exact(&mut block)?;
        for (at, byte) in block.iter().enumerate().rev() {
            if *byte != b'\n' {
                continue;
            }
            let position = start + u64::try_from(at).unwrap_or(0);
            // A line begins behind this break.
            let begins = position + 1;
            if begins < end && is_final(file, begins)? {
                if found == lines {
                    return Ok((line_start, found));
                }
                found += 1;
                line_start = begins;
            } else if begins < end {
                line_start = begins;
            }
            end = begins;
        }
    }
    if end > 0 && is_final(file, 0)? {
        if found == lines {
            return Ok((line_start, found));
        }
        found += 1;
    }
    Ok((0, found))
}

/// Whether the entry that begins at `offset` ends its line (tag `F`).
fn is_final(file: &mut File, offset: u64) -> io::Result<bool> {
    let mut head = [0_u8; 64];
    file.seek(SeekFrom::Start(offset))?;
    let count = file.read(&mut head)?;
    let tag = head
        .get(..count)
        .unwrap_or_default()
        .split(|byte| *byte == b' ')
        .nth(2);
    Ok(tag != Some(b"P"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogWriter;

    fn all(reader: Option<LogReader>) -> String {
        let mut reader = reader.unwrap();
        let mut text = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            text.extend(entry.output());
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn what_was_written_comes_back_across_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctr.log");
        let mut log = LogWriter::open(&path, 4000, 50).unwrap();
        let mut expected = String::new();
        for number in 0..1000 {
            let line = format!("line {number} with spaces\n");
            let (a, b) = line.split_at(5);
            log.write(1, a.as_bytes());
            log.write(1, b.as_bytes());
            expected.push_str(&line);
        }
        assert_eq!(all(LogReader::open(&path).unwrap()), expected);
        for lines in [0, 1, 2, 39, 500, 999, 1000, 5000] {
            let from = expected.lines().count().saturating_sub(lines);
            let tail: String = expected.split_inclusive('\n').skip(from).collect();
            let reader = LogReader::open_tail(&path, u64::try_from(lines).unwrap()).unwrap();
            assert_eq!(all(reader), tail, "{lines}");
        }
        assert!(LogReader::open(&dir.path().join("none")).unwrap().is_none());
        assert!(
            LogReader::open_tail(&dir.path().join("none"), 1)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_reader_follows_through_rotations() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctr.log");
        let mut log = LogWriter::open(&path, 300, 5).unwrap();
        log.write(2, b"first\n");
        let mut reader = LogReader::open(&path).unwrap().unwrap();
        assert_eq!(reader.next_entry().unwrap().unwrap().stream, Stream::Stderr);
        assert!(reader.next_entry().unwrap().is_none());
        for number in 0..15 {
            log.write(1, format!("{number}\n").as_bytes());
            let entry = reader.next_entry().unwrap().unwrap();
            assert_eq!(entry.text, number.to_string().as_bytes());
        }
        assert!(reader.next_entry().unwrap().is_none());
    }

    #[test]
    fn binary_output_and_empty_lines_survive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctr.log");
        let mut log = LogWriter::open(&path, 0, 1).unwrap();
        let data = b"\n\x00\xff \r\n\n  two  spaces\npiece";
        log.write(1, data);
        let mut reader = LogReader::open(&path).unwrap().unwrap();
        let mut text = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            text.extend(entry.output());
        }
        assert_eq!(text, data);
    }
}
