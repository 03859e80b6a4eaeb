//! The engine as a whole: what it is, whether everything it says is true, and starting anew.

mod check;
mod reset;

use std::path::PathBuf;

use ctr_oci::cgroup::CgroupMode;
use ctr_oci::runtime::Runtime;
use ctr_state::PhaseName;

pub use check::{CheckOptions, Finding};

use crate::{Engine, EngineError};

/// What `info` shows.
#[derive(Clone, Debug)]
pub struct SystemInfo {
    /// Durable root.
    pub root: PathBuf,
    /// Run root.
    pub runroot: PathBuf,
    /// The kernel's release.
    pub kernel: String,
    /// The host's name.
    pub hostname: String,
    /// Its architecture, in Go's words.
    pub architecture: &'static str,
    /// `v2`, `v1` or `hybrid`.
    pub cgroups: &'static str,
    /// Name and path of the runtime that is used when none is asked for, if there is one.
    pub runtime: Option<(String, PathBuf)>,
    /// The monitor's program.
    pub monitor: PathBuf,
    /// Containers that run.
    pub running: usize,
    /// Containers that are paused.
    pub paused: usize,
    /// Containers that do neither.
    pub stopped: usize,
    /// Records that cannot be read.
    pub damaged: usize,
    /// Images.
    pub images: usize,
    /// Logical processors this process may use.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// The kernel can filter system calls.
    pub seccomp: bool,
}

impl Engine {
    /// What `info` shows.
    ///
    /// # Errors
    /// When the store or the host cannot be read. A missing runtime is no error here.
    pub fn info(&self) -> Result<SystemInfo, EngineError> {
        let (containers, damaged) = self.containers()?;
        let count = |name: PhaseName| containers.iter().filter(|c| c.phase.name() == name).count();
        let (running, paused) = (count(PhaseName::Running), count(PhaseName::Paused));
        let uname = rustix::system::uname();
        let mode = self.host()?.cgroup;
        let somewhere = self.roots.boot().join("runtime");
        let runtime = match &self.options.runtime {
            Some(name) => Runtime::named(name, &somewhere),
            None => Runtime::probe(mode, &somewhere),
        };
        let memory = rustix::system::sysinfo();
        Ok(SystemInfo {
            root: self.roots.root().to_owned(),
            runroot: self.roots.runroot().to_owned(),
            kernel: uname.release().to_string_lossy().into_owned(),
            hostname: uname.nodename().to_string_lossy().into_owned(),
            architecture: ctr_image::config::host_architecture(),
            cgroups: match mode {
                CgroupMode::V2 => "v2",
                CgroupMode::V1 => "v1",
                CgroupMode::Hybrid => "hybrid",
            },
            runtime: runtime
                .ok()
                .map(|runtime| (runtime.name(), runtime.program().to_owned())),
            monitor: self.options.monitor.clone(),
            running,
            paused,
            stopped: containers.len() - running - paused,
            damaged: damaged.len(),
            images: self.look(ctr_state::Store::images)?.len(),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: u64::from(memory.mem_unit).saturating_mul(memory.totalram),
            // seccomp(2): there when the kernel filters system calls.
            seccomp: std::path::Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
        })
    }
}
