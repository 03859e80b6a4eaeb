//! The monitor's own children: runtime programs that it has started and waits for without ever blocking.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use ctr_sys::child::{ChildError, spawn_bound};
use ctr_sys::process::PidFd;
use ctr_sys::socket::DescriptorListener;

use crate::clients::ClientId;

/// What a child is for.
#[derive(Debug)]
pub(crate) enum Role {
    /// `runtime create`.
    Create,
    /// `runtime start`, asked for by a client, or by the restart policy.
    Start(Option<ClientId>),
    /// `runtime delete`, before it is made again.
    Delete,
    /// `runtime exec --detach` of a health check.
    Check,
    /// `runtime pause`.
    Pause(ClientId),
    /// `runtime resume`.
    Resume(Option<ClientId>),
    /// `runtime exec --detach`.
    Exec {
        /// Who asked.
        client: ClientId,
        /// The session's id.
        session: String,
        /// Where the process' pid will be.
        pid_file: PathBuf,
        /// Where its terminal will come.
        console: Option<DescriptorListener>,
    },
}

/// A child that has not been reaped.
#[derive(Debug)]
pub(crate) struct RuntimeChild {
    pub(crate) pid: i32,
    pub(crate) role: Role,
    deadline: Instant,
    stderr: Option<ChildStderr>,
}

impl RuntimeChild {
    /// What it wrote to standard error, as far as it is there and fits 16 KiB.
    pub(crate) fn complaint(&mut self) -> String {
        let mut text = vec![0; 16 << 10];
        let count = self.stderr.take().and_then(|mut stderr| {
            // What it wrote is in the pipe already; a grandchild may hold the pipe open, so do not wait for the end.
            rustix::io::ioctl_fionbio(&stderr, true).ok()?;
            stderr.read(&mut text).ok()
        });
        let text = text.get(..count.unwrap_or(0)).unwrap_or_default();
        String::from_utf8_lossy(text).trim_end().to_owned()
    }
}

/// Standard input, output and error of a child; none means `/dev/null`, and a pipe for the error.
#[derive(Debug, Default)]
pub(crate) struct ChildStdio(pub(crate) Option<[OwnedFd; 3]>);

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Children(Vec<RuntimeChild>);

impl Children {
    /// Starts a program in a process group of its own, to be killed if it has not ended after `limit`, or when
    /// the monitor dies: a runtime that goes on alone makes things nobody knows of.
    pub(crate) fn spawn(
        &mut self,
        role: Role,
        argv: &[OsString],
        environment: &[OsString],
        stdio: ChildStdio,
        limit: Duration,
    ) -> Result<(), ChildError> {
        let (mut command, program) = command(argv, environment);
        match stdio.0 {
            Some([stdin, stdout, stderr]) => {
                command.stdin(stdin).stdout(stdout).stderr(stderr);
            }
            None => {
                command
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped());
            }
        }
        command.process_group(0);
        let mut child = spawn_bound(&mut command, &program)?;
        self.0.push(RuntimeChild {
            pid: i32::try_from(child.id()).unwrap_or_default(),
            role,
            deadline: Instant::now() + limit,
            stderr: child.stderr.take(),
        });
        Ok(())
    }

    /// Takes a child out that has been reaped.
    pub(crate) fn take(&mut self, pid: i32) -> Option<RuntimeChild> {
        let at = self.0.iter().position(|child| child.pid == pid)?;
        Some(self.0.remove(at))
    }

    /// Whether the container is being made or started.
    pub(crate) fn is_starting(&self) -> bool {
        self.0
            .iter()
            .any(|child| matches!(child.role, Role::Create | Role::Start(_) | Role::Delete))
    }

    /// Whether the runtime is starting a process whose pid is not known yet.
    pub(crate) fn is_executing(&self) -> bool {
        let is_exec = |child: &RuntimeChild| matches!(child.role, Role::Exec { .. } | Role::Check);
        self.0.iter().any(is_exec)
    }

    /// Whether the runtime is freezing the container.
    pub(crate) fn is_pausing(&self) -> bool {
        let is_pause = |child: &RuntimeChild| matches!(child.role, Role::Pause(_));
        self.0.iter().any(is_pause)
    }

    /// The next deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|child| child.deadline).min()
    }

    /// Kills those whose time is up, with their groups. They are reaped like others.
    pub(crate) fn kill_overdue(&mut self) {
        let now = Instant::now();
        for child in &mut self.0 {
            if child.deadline <= now {
                kill_group(child.pid);
                // Not again at once: it may take a moment to die.
                child.deadline = now + Duration::from_secs(1);
            }
        }
    }

    /// Kills the programs that are starting a health check.
    pub(crate) fn kill_checks(&self) {
        for child in self
            .0
            .iter()
            .filter(|child| matches!(child.role, Role::Check))
        {
            kill_group(child.pid);
        }
    }

    /// Kills all.
    pub(crate) fn kill_all(&self) {
        for child in &self.0 {
            kill_group(child.pid);
        }
    }
}

/// A child that is not reaped yet keeps its number, so the group is the right one.
fn kill_group(pid: i32) {
    if let Some(group) = rustix::process::Pid::from_raw(pid) {
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

fn command(argv: &[OsString], environment: &[OsString]) -> (Command, PathBuf) {
    let program = PathBuf::from(argv.first().cloned().unwrap_or_default());
    let mut command = Command::new(&program);
    command
        .args(argv.get(1..).unwrap_or_default())
        .env_clear()
        .current_dir("/");
    for (name, value) in variables(environment) {
        command.env(name, value);
    }
    (command, program)
}

/// `NAME=value` in two.
pub(crate) fn variables(environment: &[OsString]) -> impl Iterator<Item = (OsString, OsString)> {
    environment.iter().filter_map(|variable| {
        let bytes = variable.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=')?;
        let part = |range: Option<&[u8]>| {
            std::ffi::OsStr::from_bytes(range.unwrap_or_default()).to_owned()
        };
        Some((part(bytes.get(..at)), part(bytes.get(at + 1..))))
    })
}

/// The pid in a pid file.
pub(crate) fn read_pid(path: &Path) -> Option<i32> {
    let content = ctr_sys::fs::read_limited(path, 64).ok()?;
    String::from_utf8(content)
        .ok()?
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 0)
}

/// Kills a process at once if it is still there.
pub(crate) fn kill(process: ctr_sys::process::ProcessId) {
    if let Ok(Some(pidfd)) = process.open() {
        let _gone: Result<bool, _> = PidFd::signal(&pidfd, 9);
    }
}
