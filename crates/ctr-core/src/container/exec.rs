//! One more process in a running container. The monitor holds the session; nothing is written to the store.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ctr_monitor::client::{ClientError, MonitorClient};
use ctr_monitor::protocol::{CHUNK, Reply, Request};
use ctr_oci::rootfs::RootFs;
use ctr_oci::runtime::write_process;
use ctr_oci::spec::{Exec, exec_process};
use ctr_state::Op;
use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use ctr_types::{ContainerConfig, OpId};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use super::attach::write_all;
use super::start::refusal;
use super::{AttachEnd, AttachOptions, Container};
use crate::EngineError;

/// How long the runtime has to start it.
const PATIENCE: Duration = Duration::from_secs(40);

/// What is to be run.
#[derive(Clone, Debug, Default)]
pub struct ExecRequest {
    /// The command.
    pub command: Vec<String>,
    /// Environment added to the container's.
    pub env: Vec<String>,
    /// Working directory; none means the container's.
    pub workdir: Option<String>,
    /// `user[:group]`; none means the container's.
    pub user: Option<String>,
    /// It has a terminal.
    pub terminal: bool,
    /// Rows and columns of its terminal, if they are known.
    pub console_size: Option<(u16, u16)>,
    /// Its standard input stays open.
    pub stdin: bool,
    /// It has all capabilities.
    pub privileged: bool,
    /// Nobody stays with it.
    pub detach: bool,
}

/// A process that runs.
#[derive(Debug)]
pub struct ExecSession {
    /// Its id.
    pub id: OpId,
    name: String,
    client: MonitorClient,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    terminal: bool,
}

fn pipe() -> Result<(OwnedFd, OwnedFd), SysError> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context("make", || "pipe")
}

fn null() -> Result<OwnedFd, SysError> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context("open", || "/dev/null")
}

impl Container<'_> {
    /// Runs one more process in the container.
    ///
    /// # Errors
    /// When the container does not run, or the process cannot be started.
    pub fn exec(&self, request: &ExecRequest) -> Result<ExecSession, EngineError> {
        let locked = self.lock()?;
        locked.admit(Op::Exec)?;
        let config = locked.config().clone();
        drop(locked);
        let name = config.name.to_string();
        let failed = |source| EngineError::Monitor {
            name: name.clone(),
            source,
        };
        let id = OpId::random()?;
        let run = self.run_dir();
        let file = |suffix: &str| run.join(format!("exec-{}{suffix}", id.short()));
        let process = self.exec_process(&config, request)?;
        write_process(&file(".json"), &process)?;
        let console = request.terminal.then(|| file(".tty"));
        let runtime = self.engine.runtime(&config)?;
        let argv = runtime.exec_args(
            self.id.as_str(),
            &file(".json"),
            &file(".pid"),
            console.as_deref(),
        );
        let message = Request::Exec {
            id: id.to_string(),
            argv,
            pid_file: file(".pid"),
            console_socket: console.clone(),
        };
        let mut session = ExecSession {
            id: id.clone(),
            name: name.clone(),
            client: self.monitor().map_err(failed)?,
            stdin: None,
            stdout: None,
            stderr: None,
            terminal: request.terminal,
        };
        let outcome = session.start(&message, request);
        ctr_sys::fs::ensure_file_absent(&file(".json"))?;
        match outcome {
            Ok(()) => Ok(session),
            Err(EngineError::Monitor {
                source: ClientError::Refused(text),
                ..
            }) => {
                let program = request.command.first().cloned().unwrap_or_default();
                Err(refusal(self.engine, &config, program, &request.env, &text))
            }
            Err(error) => Err(error),
        }
    }

    fn exec_process(
        &self,
        config: &ContainerConfig,
        request: &ExecRequest,
    ) -> Result<ctr_oci::oci_spec::runtime::Process, EngineError> {
        let rootfs = RootFs::open(&self.engine.container_fs(&self.id).merged())?;
        let user = request.user.as_ref().unwrap_or(&config.process.user);
        let unknown = |source| EngineError::User {
            image: config.rootfs.shown(),
            source,
        };
        let mut user = ctr_oci::user::resolve(&rootfs, user).map_err(unknown)?;
        if request.user.is_none() {
            ctr_oci::user::add_groups(&rootfs, &mut user, &config.process.groups)
                .map_err(unknown)?;
        }
        let exec = Exec {
            args: request.command.clone(),
            env: request.env.clone(),
            workdir: request.workdir.clone(),
            user,
            terminal: request.terminal,
            console_size: request.console_size,
            privileged: request.privileged,
        };
        Ok(exec_process(config, self.engine.host()?, &exec)?)
    }
}

impl ExecSession {
    fn start(&mut self, message: &Request, request: &ExecRequest) -> Result<(), EngineError> {
        let mut theirs = Vec::new();
        if !request.terminal {
            if request.stdin && !request.detach {
                let (reader, writer) = pipe()?;
                self.stdin = Some(writer);
                theirs.push(reader);
            } else {
                theirs.push(null()?);
            }
            for ours in [&mut self.stdout, &mut self.stderr] {
                if request.detach {
                    theirs.push(null()?);
                } else {
                    let (reader, writer) = pipe()?;
                    *ours = Some(reader);
                    theirs.push(writer);
                }
            }
        }
        let fds: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
        let failed = |source| EngineError::Monitor {
            name: self.name.clone(),
            source,
        };
        self.client.send(message, &fds).map_err(failed)?;
        drop(theirs);
        let failed = |source| EngineError::Monitor {
            name: self.name.clone(),
            source,
        };
        let (reply, fds) = self.client.receive(Some(PATIENCE)).map_err(failed)?;
        match reply {
            Reply::ExecStarted { .. } => {
                if let Some(master) = fds.into_iter().next() {
                    self.stdin = Some(master.try_clone().context("duplicate", || "terminal")?);
                    self.stdout = Some(master);
                }
                Ok(())
            }
            Reply::Error(text) => Err(EngineError::Monitor {
                name: self.name.clone(),
                source: ClientError::Refused(text),
            }),
            Reply::Ok
            | Reply::Created { .. }
            | Reply::Output { .. }
            | Reply::Exited { .. }
            | Reply::Restarting { .. }
            | Reply::Sessions(_)
            | Reply::ExecExited { .. } => Err(EngineError::Monitor {
                name: self.name.clone(),
                source: ClientError::Gone,
            }),
        }
    }

    /// Sets the terminal's size to the caller's.
    fn resize(&self, options: &AttachOptions<'_>) {
        let Some(master) = self.stdout.as_ref().filter(|_| self.terminal) else {
            return;
        };
        for fd in [options.stdin, options.stdout].into_iter().flatten() {
            if let Ok(size) = rustix::termios::tcgetwinsize(fd) {
                let _gone = rustix::termios::tcsetwinsize(master, size);
                return;
            }
        }
    }

    /// Passes everything on, both ways, until the process ends; gives its exit code.
    ///
    /// # Errors
    /// When the monitor goes away, or the caller's output cannot be written.
    pub fn pump(mut self, options: &AttachOptions<'_>) -> Result<AttachEnd, EngineError> {
        self.resize(options);
        let fds = [&self.stdin, &self.stdout, &self.stderr];
        for fd in fds.into_iter().flatten() {
            rustix::io::ioctl_fionbio(fd, true).context("set non-blocking", || "pipe")?;
        }
        let mut input = options.stdin.filter(|_| self.stdin.is_some());
        let mut unwritten: Vec<u8> = Vec::new();
        let mut ended = None;
        let mut buffer = vec![0; CHUNK];
        loop {
            let mut fds = vec![PollFd::from_borrowed_fd(self.client.as_fd(), PollFlags::IN)];
            let streams = [&self.stdout, &self.stderr];
            fds.extend(
                streams
                    .into_iter()
                    .flatten()
                    .map(|fd| PollFd::new(fd, PollFlags::IN)),
            );
            if unwritten.is_empty() {
                fds.extend(input.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            } else {
                fds.extend(
                    self.stdin
                        .as_ref()
                        .map(|fd| PollFd::new(fd, PollFlags::OUT)),
                );
            }
            fds.extend(options.signals.map(|fd| PollFd::new(fd, PollFlags::IN)));
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(SysError::new("poll", "streams", error).into()),
            }
            let from_monitor = fds.first().is_some_and(|fd| !fd.revents().is_empty());
            drop(fds);
            if from_monitor {
                ended = Some(self.end()?);
            }
            forward(&mut self.stdout, options.stdout, &mut buffer)?;
            forward(&mut self.stderr, options.stderr, &mut buffer)?;
            if let Some(code) = ended {
                return Ok(AttachEnd::Exited(code));
            }
            if let Some(signals) = options.signals {
                while let Ok(Some(_)) = signals.read_signal() {
                    self.resize(options);
                }
            }
            if unwritten.is_empty()
                && let Some(fd) = input
                && is_readable(fd)
            {
                match rustix::io::read(fd, &mut buffer) {
                    Ok(0) => {
                        input = None;
                        if !self.terminal {
                            self.stdin = None;
                        }
                    }
                    Ok(count) => {
                        unwritten.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    }
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(_) => input = None,
                }
            }
            self.write_input(&mut unwritten);
        }
    }

    fn end(&mut self) -> Result<i32, EngineError> {
        match self.client.receive(Some(PATIENCE)) {
            Ok((Reply::ExecExited { code }, _)) => Ok(code),
            // The container, and this process with it, was killed.
            Ok((Reply::Exited { .. } | Reply::Restarting { .. }, _)) => Ok(137),
            Ok(_) => Err(EngineError::Monitor {
                name: self.name.clone(),
                source: ClientError::Gone,
            }),
            Err(source) => Err(EngineError::Monitor {
                name: self.name.clone(),
                source,
            }),
        }
    }

    fn write_input(&mut self, unwritten: &mut Vec<u8>) {
        while let Some(stdin) = self.stdin.as_ref().filter(|_| !unwritten.is_empty()) {
            match rustix::io::write(stdin, unwritten) {
                Ok(count) => drop(unwritten.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    unwritten.clear();
                    self.stdin = None;
                }
            }
        }
        if self.stdin.is_none() {
            unwritten.clear();
        }
    }
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let zero = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut fds, Some(&zero)).is_ok_and(|ready| ready > 0)
}

/// Passes on what is there now; at the end of the stream, closes it.
fn forward(
    from: &mut Option<OwnedFd>,
    to: Option<BorrowedFd<'_>>,
    buffer: &mut [u8],
) -> Result<(), EngineError> {
    while let Some(fd) = from.as_ref() {
        match rustix::io::read(fd, &mut *buffer) {
            Ok(count) if count > 0 => write_all(to, buffer.get(..count).unwrap_or_default())?,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Ok(_) | Err(_) => *from = None,
        }
    }
    Ok(())
}
