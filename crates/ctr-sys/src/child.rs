//! Children under control: the one way ctrs runs another program (reliability.md rules 17 and 18).
//!
//! A child gets an own process group, a deadline, capped output, `/` as its directory, exactly the environment
//! given, and no descriptor but 0, 1 and 2. When the deadline passes the whole group is killed.
#![expect(unsafe_code, reason = "pre_exec closures between fork and exec")]

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::error::SysError;
use crate::process::PidFd;

/// Most bytes of standard output kept (reliability.md rule 18).
pub const OUTPUT_CAP: usize = 1 << 20;
/// Most bytes of standard error kept: the last ones.
pub const STDERR_TAIL: usize = 16 << 10;

/// Why a child gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// There is no such program.
    #[error("program {} is not there", program.display())]
    NotFound {
        /// The program.
        program: PathBuf,
    },
    /// It is there but cannot be run.
    #[error("program {} cannot be run", program.display())]
    CannotRun {
        /// The program.
        program: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It did not end in time and was killed with its process group.
    #[error("program {} did not end within {limit:?} and was killed", program.display())]
    Timeout {
        /// The program.
        program: PathBuf,
        /// The limit.
        limit: Duration,
        /// The last of its standard error.
        stderr: String,
    },
    /// It wrote more than [`OUTPUT_CAP`] bytes and was killed.
    #[error("program {} wrote more than {OUTPUT_CAP} bytes and was killed", program.display())]
    TooMuchOutput {
        /// The program.
        program: PathBuf,
    },
    /// A call failed while it ran.
    #[error(transparent)]
    Sys(#[from] SysError),
}

/// What a child left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The last of its standard error, for messages.
    pub stderr: String,
}

/// A program to run.
#[derive(Debug)]
pub struct Runner {
    command: Command,
    program: PathBuf,
    limit: Duration,
    input: Vec<u8>,
    inherit_stdio: bool,
}

impl Runner {
    /// Prepares `program` (looked up in no `PATH`: give a path) with a deadline of 30 s.
    pub fn new(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.env_clear().current_dir("/");
        Self {
            command,
            program: program.to_owned(),
            limit: Duration::from_secs(30),
            input: Vec::new(),
            inherit_stdio: false,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets one variable of its environment, which is otherwise empty.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the deadline, counted from its start.
    #[must_use]
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Gives it this on standard input; otherwise that is empty. At most 64 KiB (a pipe's buffer).
    #[must_use]
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    /// Gives it these as 0, 1 and 2 instead of an empty input and captured outputs.
    #[must_use]
    pub fn stdio(mut self, stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd) -> Self {
        self.command.stdin(stdin).stdout(stdout).stderr(stderr);
        self.inherit_stdio = true;
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// Only when it could not be run to its end; a status other than 0 is a result.
    pub fn run(mut self) -> Result<Finished, ChildError> {
        if !self.inherit_stdio {
            let stdin = if self.input.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            };
            self.command
                .stdin(stdin)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
        }
        self.command.process_group(0);
        let started = Instant::now();
        let mut child = spawn_clean(&mut self.command, &self.program)?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(&self.input) {
                Ok(()) => {}
                // It may end without reading its input; its status tells.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => {
                    kill_group(&mut child);
                    return Err(SysError::new("write to", self.shown(), error).into());
                }
            }
        }
        let outcome = self.collect(&mut child, started);
        if outcome.is_err() {
            kill_group(&mut child);
        }
        outcome
    }

    fn shown(&self) -> String {
        self.program.display().to_string()
    }

    fn collect(&self, child: &mut Child, started: Instant) -> Result<Finished, ChildError> {
        let sys = |action: &'static str, error: Errno| SysError::new(action, self.shown(), error);
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let pidfd = PidFd::open(pid)?.ok_or_else(|| sys("pidfd_open", Errno::SRCH))?;
        let mut stdout = child.stdout.take();
        let mut stderr = child.stderr.take();
        let streams = [
            stdout.as_ref().map(|s| s.as_fd()),
            stderr.as_ref().map(|s| s.as_fd()),
        ];
        for fd in streams.into_iter().flatten() {
            rustix::io::ioctl_fionbio(fd, true).map_err(|e| sys("set non-blocking", e))?;
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        loop {
            let left = self.limit.saturating_sub(started.elapsed());
            let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
            fds.extend(stdout.as_ref().map(|s| PollFd::new(s, PollFlags::IN)));
            fds.extend(stderr.as_ref().map(|s| PollFd::new(s, PollFlags::IN)));
            let timeout = Timespec::try_from(left).ok();
            let ready = match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(ready) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(sys("poll", error).into()),
            };
            let exited = fds.first().is_some_and(|fd| !fd.revents().is_empty());
            drop(fds);
            // When it has exited, what it wrote is in the pipes: read it, but do not wait for their end,
            // which a grandchild that lives on (a container) may hold open.
            drain(&mut stdout, &mut out, usize::MAX);
            drain(&mut stderr, &mut err, STDERR_TAIL);
            if out.len() > OUTPUT_CAP {
                return Err(ChildError::TooMuchOutput {
                    program: self.program.clone(),
                });
            }
            if exited {
                let status = child
                    .wait()
                    .map_err(|e| SysError::new("wait for", self.shown(), e))?;
                let stderr = String::from_utf8_lossy(&err).into_owned();
                return Ok(Finished {
                    status,
                    stdout: out,
                    stderr,
                });
            }
            if ready == 0 {
                return Err(ChildError::Timeout {
                    program: self.program.clone(),
                    limit: self.limit,
                    stderr: String::from_utf8_lossy(&err).into_owned(),
                });
            }
        }
    }
}

/// Takes what is there now, keeping the last `keep` bytes; drops the stream at its end.
fn drain<R: io::Read>(stream: &mut Option<R>, into: &mut Vec<u8>, keep: usize) {
    let Some(source) = stream else { return };
    let mut buffer = [0_u8; 8192];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                into.extend_from_slice(buffer.get(..n).unwrap_or_default());
                if into.len() > keep {
                    into.drain(..into.len() - keep);
                }
                if into.len() > OUTPUT_CAP {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => break,
        }
    }
    *stream = None;
}

fn kill_group(child: &mut Child) {
    let group = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // ESRCH: it is gone, as wished. It is our unreaped child, so the number is still its own.
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    // Reaps it; a child in uninterruptible sleep would hold us here, and there is nothing better to do.
    let _status = child.wait();
}

/// A child to be left running by itself: an own session, `/` as directory, descriptors 0, 1, 2 and the ones given.
#[derive(Debug)]
pub struct Detached {
    command: Command,
    program: PathBuf,
}

impl Detached {
    /// Prepares `program` with an empty environment and `/dev/null` as 0, 1 and 2.
    pub fn new(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.env_clear().current_dir("/");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self {
            command,
            program: program.to_owned(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.command.arg(arg.into());
        self
    }

    /// Sets one variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it a descriptor as standard input, which is how it gets its one socket.
    #[must_use]
    pub fn input(mut self, fd: OwnedFd) -> Self {
        self.command.stdin(fd);
        self
    }

    /// Starts it in an own session.
    ///
    /// The caller must reap it (it is a child) or die before it.
    pub fn spawn(mut self) -> Result<Child, ChildError> {
        // SAFETY: the closure runs between fork and exec. setsid is async-signal-safe (signal-safety(7)),
        // allocates nothing and takes no lock.
        unsafe {
            self.command
                .pre_exec(|| rustix::process::setsid().map(drop).map_err(io::Error::from));
        }
        spawn_clean(&mut self.command, &self.program)
    }
}

/// Starts a command so that it inherits no descriptor but 0, 1 and 2, whatever this process inherited or opened
/// without close-on-exec, and no blocked signals.
pub fn spawn_clean(command: &mut Command, program: &Path) -> Result<Child, ChildError> {
    spawn(command, program, false)
}

/// As [`spawn_clean`], and the child is killed when the calling thread ends (prctl(2), `PR_SET_PDEATHSIG`).
pub fn spawn_bound(command: &mut Command, program: &Path) -> Result<Child, ChildError> {
    spawn(command, program, true)
}

fn spawn(command: &mut Command, program: &Path, is_bound: bool) -> Result<Child, ChildError> {
    let parent = rustix::process::getpid();
    // SAFETY: the closure runs between fork and exec. It makes at most a sigprocmask, a prctl, a getppid and one
    // close_range system call, the last through close_on_exec_from, which allocates only on failure, when the child reports the error and
    // ends.
    // std's own error pipe is close-on-exec already, so it stays open until exec as std needs it.
    unsafe {
        command.pre_exec(move || {
            // Blocked signals are inherited, and std leaves them as they are: what we wait for with a signalfd would
            // never reach the program.
            SigSet::empty().thread_set_mask().map_err(io::Error::from)?;
            if is_bound {
                let signal = Some(rustix::process::Signal::KILL);
                rustix::process::set_parent_process_death_signal(signal)?;
                if rustix::process::getppid() != Some(parent) {
                    // It died before it could be seen to die.
                    return Err(io::Error::from(Errno::SRCH));
                }
            }
            crate::process::close_on_exec_from(3)
                .map_err(|error| io::Error::from(error.errno().unwrap_or(Errno::INVAL)))
        });
    }
    command.spawn().map_err(|source| {
        let program = program.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            ChildError::NotFound { program }
        } else {
            ChildError::CannotRun { program, source }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Runner {
        Runner::new(Path::new("/bin/sh")).arg("-c").arg(script)
    }

    #[test]
    fn blocked_signals_are_not_inherited() {
        SigSet::all().thread_block().unwrap();
        let finished = shell("grep SigBlk /proc/self/status").run().unwrap();
        assert_eq!(finished.stdout, b"SigBlk:\t0000000000000000\n");
    }

    #[test]
    fn status_and_both_outputs_arrive() {
        let finished = shell("echo out; echo err >&2; exit 3").run().unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!(finished.stdout, b"out\n");
        assert_eq!(finished.stderr, "err\n");
    }

    #[test]
    fn a_child_that_outlasts_its_deadline_dies_with_its_group() {
        let error = shell("echo why >&2; sleep 600 & sleep 600")
            .deadline(Duration::from_millis(100))
            .run()
            .unwrap_err();
        assert!(
            matches!(&error, ChildError::Timeout { stderr, .. } if stderr == "why\n"),
            "{error:?}"
        );
    }

    #[test]
    fn endless_output_ends_the_child() {
        let error = shell("yes").run().unwrap_err();
        assert!(
            matches!(error, ChildError::TooMuchOutput { .. }),
            "{error:?}"
        );
        let finished = shell("yes | head -c 3000000 >&2").run().unwrap();
        assert!(finished.stderr.len() <= STDERR_TAIL);
    }

    #[test]
    fn a_missing_program_is_told_apart() {
        assert!(matches!(
            Runner::new(Path::new("/no/such")).run().unwrap_err(),
            ChildError::NotFound { .. }
        ));
        assert!(matches!(
            Runner::new(Path::new("/etc/passwd")).run().unwrap_err(),
            ChildError::CannotRun { .. }
        ));
    }

    #[test]
    fn nothing_but_the_three_standard_descriptors_is_inherited() {
        let leaky = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 50).unwrap();
        rustix::io::fcntl_setfd(&leaky, rustix::io::FdFlags::empty()).unwrap();
        let finished = shell("ls /proc/$$/fd").run().unwrap();
        let listed = String::from_utf8(finished.stdout).unwrap();
        assert!(!listed.lines().any(|fd| fd == "50"), "{listed}");
    }

    #[test]
    fn a_grandchild_that_holds_the_pipe_does_not_hold_us() {
        let started = Instant::now();
        let finished = shell("sleep 5 & echo hi").run().unwrap();
        assert_eq!(finished.stdout, b"hi\n");
        assert!(started.elapsed() < Duration::from_secs(4));
    }
}
