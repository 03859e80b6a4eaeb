//! The cgroups of a container: one path, in one hierarchy (v2) or in each controller's (v1, hybrid) (cgroups(7)).
//!
//! The path is a function of the container's id, so "no process is left in it" and "it is not there" can be brought about
//! without any record, whatever has died before (reliability.md rules 3 and 8).

mod usage;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use ctr_sys::process::PidFd;
use ctr_types::ContainerId;
use rustix::io::Errno;

pub use usage::Usage;

/// Where the hierarchies are mounted.
const ROOT: &str = "/sys/fs/cgroup";

/// Which hierarchy the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupMode {
    /// One hierarchy for everything.
    V2,
    /// One per controller.
    V1,
    /// One per controller, and a v2 one without controllers at `unified`.
    Hybrid,
}

impl CgroupMode {
    /// Looks at what is mounted (statfs(2)).
    pub fn detect() -> Result<Self, SysError> {
        // CGROUP2_SUPER_MAGIC, linux/magic.h
        const CGROUP2: i64 = 0x6367_7270;
        let is_v2 = |path: &str| rustix::fs::statfs(path).map(|found| found.f_type == CGROUP2);
        if is_v2(ROOT).context("statfs", || ROOT)? {
            return Ok(Self::V2);
        }
        Ok(if is_v2("/sys/fs/cgroup/unified") == Ok(true) {
            Self::Hybrid
        } else {
            Self::V1
        })
    }
}

/// The parent of all containers' cgroups.
pub const PARENT: &str = "/ctrs";

/// A container's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    path: String,
}

impl Cgroup {
    /// That of the container `id`, below `parent` or, when there is none, [`PARENT`].
    pub fn of(id: &ContainerId, parent: Option<&str>) -> Self {
        let parent = parent.unwrap_or(PARENT).trim_matches('/');
        Self {
            path: format!("/{parent}/{id}"),
        }
    }

    /// As a runtime spec's `linux.cgroupsPath`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its directories that exist now, in every hierarchy.
    fn directories(&self) -> Result<Vec<PathBuf>, SysError> {
        let relative = self.path.trim_start_matches('/');
        let mut candidates: Vec<PathBuf> = hierarchies()?
            .iter()
            .map(|hierarchy| hierarchy.join(relative))
            .collect();
        candidates.retain(|path| path.is_dir());
        Ok(candidates)
    }

    /// The processes in it and below, in the host's pid namespace, each once.
    pub fn processes(&self) -> Result<Vec<i32>, SysError> {
        let mut pids = Vec::new();
        for directory in self.directories()? {
            let mut pending = vec![directory];
            while let Some(directory) = pending.pop() {
                let file = directory.join("cgroup.procs");
                match ctr_sys::fs::read_limited(&file, 4 << 20) {
                    Ok(content) => {
                        let text = String::from_utf8_lossy(&content);
                        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
                    }
                    Err(error) if is_gone(&error) => {}
                    Err(error) => return Err(error),
                }
                pending.extend(below(&directory)?);
            }
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Kills every process in it and waits until they are gone.
    ///
    /// # Errors
    /// `ETIMEDOUT` when some are still there after `patience`: they hang in the kernel.
    pub fn kill_all(&self, patience: Duration) -> Result<(), SysError> {
        let started = Instant::now();
        loop {
            let pids = self.processes()?;
            if pids.is_empty() {
                return Ok(());
            }
            if started.elapsed() > patience {
                let hanging = pids
                    .iter()
                    .map(i32::to_string)
                    .collect::<Vec<_>>()
                    .join(" ");
                let object = format!("processes {hanging} of {}", self.path);
                return Err(SysError::new("kill", object, Errno::TIMEDOUT));
            }
            for directory in self.directories()? {
                // v2 since 5.14; elsewhere the file is missing and the loop below does it.
                let _absent = write(&directory.join("cgroup.kill"), "1");
                // A frozen process on v1 dies only when it is thawed.
                let _absent = write(&directory.join("freezer.state"), "THAWED");
            }
            let mut opened = Vec::new();
            for pid in pids {
                if let Some(pidfd) = PidFd::open(pid)? {
                    // Opened after the list was read: look again whether the number is still one of ours.
                    if self.processes()?.contains(&pid) {
                        pidfd.signal(9)?;
                        opened.push(pidfd);
                    }
                }
            }
            for pidfd in opened {
                // Most are gone at once; the next round deals with the others.
                let _in_time = pidfd.wait(Some(Duration::from_millis(100)))?;
            }
        }
    }

    /// Makes sure that it, and every process in it, is gone. For a container that has ended this is a few rmdir(2), which
    /// fail with `EBUSY` as long as there is anything to kill.
    ///
    /// # Errors
    /// As [`Cgroup::kill_all`] and [`Cgroup::ensure_absent`].
    pub fn ensure_ended(&self, patience: Duration) -> Result<(), SysError> {
        let removed: Result<(), SysError> = self
            .directories()?
            .iter()
            .try_for_each(|directory| remove(directory));
        match removed {
            Err(error) if error.errno() == Some(Errno::BUSY) => {
                self.kill_all(patience)?;
                self.ensure_absent()
            }
            other => other,
        }
    }

    /// Whether it is there, in any hierarchy.
    pub fn exists(&self) -> Result<bool, SysError> {
        Ok(self
            .directories()?
            .iter()
            .any(|directory| directory.exists()))
    }

    /// Removes it in every hierarchy, with what is below. No process may be in it.
    pub fn ensure_absent(&self) -> Result<(), SysError> {
        let patience = Duration::from_secs(2);
        let started = Instant::now();
        for directory in self.directories()? {
            while let Err(error) = remove(&directory) {
                // A process just killed leaves its cgroup a moment after it is reaped.
                if error.errno() != Some(Errno::BUSY) || started.elapsed() > patience {
                    return Err(error);
                }
                std::thread::yield_now();
            }
        }
        Ok(())
    }
}

/// Where hierarchies are mounted: looked up once, since they change with a boot.
fn hierarchies() -> Result<&'static [PathBuf], SysError> {
    static FOUND: OnceLock<Vec<PathBuf>> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found);
    }
    let mut found = vec![PathBuf::from(ROOT)];
    if CgroupMode::detect()? != CgroupMode::V2 {
        for entry in std::fs::read_dir(ROOT).context("read directory", || ROOT)? {
            let entry = entry.context("read directory", || ROOT)?;
            // Names such as `cpu` are often symlinks to `cpu,cpuacct`; once is enough.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push(entry.path());
            }
        }
        found.sort();
    }
    Ok(FOUND.get_or_init(|| found))
}

fn is_gone(error: &SysError) -> bool {
    // Reading the file of a cgroup that is being removed says ENODEV.
    error.is_not_found() || error.errno() == Some(Errno::NODEV)
}

fn below(directory: &Path) -> Result<Vec<PathBuf>, SysError> {
    let shown = || directory.display().to_string();
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(SysError::new("read directory", shown(), error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.context("read directory", shown)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn remove(directory: &Path) -> Result<(), SysError> {
    for child in below(directory)? {
        remove(&child)?;
    }
    match rustix::fs::rmdir(directory) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(SysError::new(
            "rmdir",
            directory.display().to_string(),
            error,
        )),
    }
}

/// Writes a control file, which must exist.
fn write(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    std::fs::OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}
