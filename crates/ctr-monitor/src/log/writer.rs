//! Writes the log. A write that fails (a full disk) loses output and counts it; it never ends the monitor.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::rotated;

/// Writes one container's log.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    file: OwnedFd,
    size: u64,
    max_size: u64,
    max_files: u32,
    dropped: u64,
    scratch: Vec<u8>,
}

impl LogWriter {
    /// Opens a log for appending. With a `max_size` other than 0 it is rotated before a write that would go beyond,
    /// and `max_files` files are kept, the current one included.
    pub fn open(path: &Path, max_size: u64, max_files: u32) -> Result<Self, SysError> {
        let file = open(path)?;
        let size = rustix::fs::fstat(&file)
            .context("stat", || path.display().to_string())?
            .st_size;
        Ok(Self {
            path: path.to_owned(),
            file,
            size: u64::try_from(size).unwrap_or(0),
            max_size,
            max_files: max_files.max(1),
            dropped: 0,
            scratch: Vec::new(),
        })
    }

    /// Bytes of output lost so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Writes output of stream 1 or 2, in one call to the kernel.
    pub fn write(&mut self, stream: u8, data: &[u8]) {
        let name = if stream == 2 { "stderr" } else { "stdout" };
        let stamp = timestamp();
        self.scratch.clear();
        let mut rest = data;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, tag, next) = match end {
                Some(end) => (rest.get(..end), 'F', rest.get(end + 1..)),
                None => (Some(rest), 'P', None),
            };
            // Writing to a Vec cannot fail.
            let _infallible = write!(self.scratch, "{stamp} {name} {tag} ");
            self.scratch.extend_from_slice(line.unwrap_or_default());
            self.scratch.push(b'\n');
            rest = next.unwrap_or_default();
        }
        let length = u64::try_from(self.scratch.len()).unwrap_or(u64::MAX);
        if self.max_size > 0 && self.size > 0 && self.size + length > self.max_size {
            self.rotate();
        }
        if !self.append() {
            self.dropped += u64::try_from(data.len()).unwrap_or(0);
        }
        // A single huge write must not stay in memory for the container's life.
        if self.scratch.capacity() > 128 << 10 {
            self.scratch = Vec::new();
        }
    }

    fn append(&mut self) -> bool {
        let mut rest = self.scratch.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(&self.file, rest) {
                Ok(written) => {
                    self.size += u64::try_from(written).unwrap_or(0);
                    rest = rest.get(written..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Shifts the files by one. When that fails, writing goes on in the file that is open.
    fn rotate(&mut self) {
        for age in (1..self.max_files).rev() {
            let (from, to) = (rotated(&self.path, age - 1), rotated(&self.path, age));
            let _missing = rustix::fs::rename(from, to);
        }
        if self.max_files == 1 {
            let _missing = rustix::fs::unlink(&self.path);
        }
        if let Ok(file) = open(&self.path) {
            self.file = file;
            self.size = 0;
        }
    }
}

fn open(path: &Path) -> Result<OwnedFd, SysError> {
    let flags =
        OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .context("open", || path.display().to_string())
}

/// Now, as RFC 3339 in UTC with nanoseconds.
fn timestamp() -> String {
    let now = clock_gettime(ClockId::Realtime);
    format_time(now.tv_sec, now.tv_nsec)
}

/// Days to civil date after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (the monitor links no calendar).
fn format_time(seconds: i64, nanos: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_right_across_leap_years() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_200, "2024-03-01T00:00:00"),
            (1_767_225_599, "2025-12-31T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
            (-1, "1969-12-31T23:59:59"),
        ] {
            assert_eq!(format_time(seconds, 5), format!("{text}.000000005Z"));
        }
    }

    #[test]
    fn rotation_keeps_the_asked_number_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctr.log");
        let mut log = LogWriter::open(&path, 200, 3).unwrap();
        for number in 0..20 {
            log.write(1, format!("line {number}\n").as_bytes());
        }
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["ctr.log", "ctr.log.1", "ctr.log.2"]);
        for name in names {
            assert!(dir.path().join(name).metadata().unwrap().len() <= 200);
        }
    }

    #[test]
    fn a_full_disk_loses_output_and_counts_it() {
        let mut log = LogWriter::open(Path::new("/dev/full"), 0, 1).unwrap();
        log.write(1, b"12345\n");
        assert_eq!(log.dropped(), 6);
    }
}
