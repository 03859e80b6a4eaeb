//! What a container uses, as its cgroup counts it (cgroup-v2.rst; cgroup-v1/{cpuacct,memory,pids,blkio-controller}.rst).

use std::path::{Path, PathBuf};

use ctr_sys::SysError;

use super::{Cgroup, CgroupMode, ROOT, is_gone};

/// What a container uses. What the host does not count is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time used, in nanoseconds.
    pub cpu_ns: u64,
    /// Of which in the kernel.
    pub cpu_kernel_ns: u64,
    /// Memory in bytes, without file cache that can be dropped at once.
    pub memory: u64,
    /// Limit of memory in bytes; none when there is none.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes read from block devices.
    pub block_read: u64,
    /// Bytes written to them.
    pub block_written: u64,
}

/// Longest control file read.
const LIMIT: u64 = 1 << 20;
/// A limit beyond this is v1's way to say that there is none (`PAGE_COUNTER_MAX`).
const NO_LIMIT: u64 = 1 << 62;

impl Cgroup {
    /// What it uses now.
    ///
    /// # Errors
    /// When a control file is there and cannot be read; one that is missing counts 0.
    pub fn usage(&self) -> Result<Usage, SysError> {
        let relative = self.path.trim_start_matches('/');
        match CgroupMode::detect()? {
            CgroupMode::V2 => usage_v2(&Path::new(ROOT).join(relative)),
            CgroupMode::V1 | CgroupMode::Hybrid => {
                usage_v1(|controller| Path::new(ROOT).join(controller).join(relative))
            }
        }
    }
}

fn usage_v2(directory: &Path) -> Result<Usage, SysError> {
    let file = |name: &str| text(&directory.join(name));
    let cpu = file("cpu.stat")?;
    let io = file("io.stat")?;
    let (block_read, block_written) = io_stat(&io);
    Ok(Usage {
        cpu_ns: keyed(&cpu, "usage_usec").saturating_mul(1000),
        cpu_kernel_ns: keyed(&cpu, "system_usec").saturating_mul(1000),
        memory: number(&file("memory.current")?)
            .saturating_sub(keyed(&file("memory.stat")?, "inactive_file")),
        memory_limit: file("memory.max")?.trim().parse().ok(),
        pids: number(&file("pids.current")?),
        block_read,
        block_written,
    })
}

fn usage_v1(directory: impl Fn(&str) -> PathBuf) -> Result<Usage, SysError> {
    let file = |controller: &str, name: &str| text(&directory(controller).join(name));
    let blkio = file("blkio", "blkio.throttle.io_service_bytes")?;
    let limit = number(&file("memory", "memory.limit_in_bytes")?);
    Ok(Usage {
        cpu_ns: number(&file("cpuacct", "cpuacct.usage")?),
        cpu_kernel_ns: number(&file("cpuacct", "cpuacct.usage_sys")?),
        memory: number(&file("memory", "memory.usage_in_bytes")?).saturating_sub(keyed(
            &file("memory", "memory.stat")?,
            "total_inactive_file",
        )),
        memory_limit: Some(limit).filter(|limit| (1..NO_LIMIT).contains(limit)),
        pids: number(&file("pids", "pids.current")?),
        block_read: of_operation(&blkio, "Read"),
        block_written: of_operation(&blkio, "Write"),
    })
}

/// A control file; one that is not there, or belongs to a cgroup just removed, is empty.
fn text(path: &Path) -> Result<String, SysError> {
    match ctr_sys::fs::read_limited(path, LIMIT) {
        Ok(content) => Ok(String::from_utf8_lossy(&content).into_owned()),
        Err(error) if is_gone(&error) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The number behind `key` in lines of `key number`.
fn keyed(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .map_or(0, number)
}

/// Sums of `rbytes=` and `wbytes=` over all devices of io.stat.
fn io_stat(text: &str) -> (u64, u64) {
    let sum = |key: &str| {
        text.split_whitespace()
            .filter_map(|word| word.strip_prefix(key))
            .map(number)
            .sum()
    };
    (sum("rbytes="), sum("wbytes="))
}

/// Sum over all devices of lines `8:0 Read 4096`.
fn of_operation(text: &str, operation: &str) -> u64 {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.nth(1) == Some(operation)).then(|| words.next().map_or(0, number))
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut file = std::fs::File::create(path).unwrap();
            std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
        }
        dir
    }

    #[test]
    fn the_one_hierarchy_is_read() {
        let dir = tree(&[
            ("cpu.stat", "usage_usec 5\nuser_usec 3\nsystem_usec 2\n"),
            ("memory.current", "1000\n"),
            ("memory.stat", "anon 1\ninactive_file 400\nactive_file 9\n"),
            ("memory.max", "4096\n"),
            ("pids.current", "3\n"),
            (
                "io.stat",
                "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n",
            ),
        ]);
        let seen = usage_v2(dir.path()).unwrap();
        let expected = Usage {
            cpu_ns: 5000,
            cpu_kernel_ns: 2000,
            memory: 600,
            memory_limit: Some(4096),
            pids: 3,
            block_read: 11,
            block_written: 22,
        };
        assert_eq!(seen, expected);
        assert_eq!(
            usage_v2(Path::new("/nowhere")).unwrap(),
            Usage::default(),
            "one that has gone uses nothing"
        );
    }

    #[test]
    fn each_controllers_hierarchy_is_read() {
        let dir = tree(&[
            ("cpuacct/cpuacct.usage", "7\n"),
            ("cpuacct/cpuacct.usage_sys", "4\n"),
            ("memory/memory.usage_in_bytes", "1000\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "memory/memory.stat",
                "inactive_file 1\ntotal_inactive_file 100\n",
            ),
            ("pids/pids.current", "2\n"),
            (
                "blkio/blkio.throttle.io_service_bytes",
                "8:0 Read 5\n8:0 Write 6\n8:0 Total 11\nTotal 11\n",
            ),
        ]);
        let seen = usage_v1(|controller| dir.path().join(controller)).unwrap();
        let expected = Usage {
            cpu_ns: 7,
            cpu_kernel_ns: 4,
            memory: 900,
            memory_limit: None,
            pids: 2,
            block_read: 5,
            block_written: 6,
        };
        assert_eq!(seen, expected);
    }
}
