//! One container's time with its monitor: a loop over everything that may happen, which never blocks on one of them.

mod checks;
mod ending;
mod execs;
mod requests;
mod restart;
mod runtime;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ctr_monitor::config::MonitorConfig;
use ctr_monitor::live::{Live, Stage};
use ctr_monitor::log::LogWriter;
use ctr_monitor::policy::Backoff;
use ctr_monitor::protocol::{CHUNK, MESSAGE, Session as Known};
use ctr_sys::SysError;
use ctr_sys::lock::FileLock;
use ctr_sys::process::{PidFd, ProcessId};
use ctr_sys::socket::{DescriptorListener, Listener, MessageSocket};
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::time::{ClockId, clock_gettime};

use self::checks::Checks;
use self::restart::Restarting;
use crate::children::{ChildStdio, Children, Role};
use crate::clients::{ClientId, Clients};
use crate::output::{Piece, Streams};

/// Limits of the runtime's programs (reliability.md F20).
const CREATE_LIMIT: Duration = Duration::from_mins(1);
const OTHER_LIMIT: Duration = Duration::from_secs(30);

/// Why the loop ends.
enum End {
    /// The container has ended; somebody has cleaned up, or will.
    CleanUp {
        /// Nobody in the foreground has done it.
        ours: bool,
    },
    /// The engine died, or the runtime failed, before the container was anybody's.
    Abort,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Listener,
    Client(ClientId),
    Output(u8),
    Stdin,
    Console,
    Check,
}

/// How a process ended.
#[derive(Clone, Copy)]
struct Exit {
    /// As a shell shows it.
    code: i32,
    /// A signal has ended it.
    signalled: bool,
}

/// Who is told of the end of an exec's process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SessionOwner {
    Client(ClientId),
    Check,
}

/// The process of an exec.
struct ExecProcess {
    pid: i32,
    owner: SessionOwner,
}

/// How many execs that have ended are remembered.
const SESSIONS_KEPT: usize = 64;

/// Everything about one container.
pub(crate) struct Session {
    config: MonitorConfig,
    _lock: FileLock,
    signals: SignalFd,
    listener: Listener,
    clients: Clients,
    children: Children,
    execs: Vec<ExecProcess>,
    /// What is known of execs, those that have ended too: a record stays, no process does (semantics.md B36).
    sessions: Vec<Known>,
    streams: Streams,
    log: Option<LogWriter>,
    live: Live,
    committed: bool,
    stop_deadline: Option<Instant>,
    /// Whoever has had the container frozen for as long as they are connected.
    frozen_for: Option<ClientId>,
    restarting: Restarting,
    backoff: Backoff,
    /// It is being ended to be started again, since it is unhealthy.
    restart_for_health: bool,
    /// When its time is up.
    run_deadline: Option<Instant>,
    checks: Checks,
    /// How the first process ended, while the program that made or started it is still to be reaped.
    status: Option<Exit>,
    /// The exit code, once everything about the exit has been written down.
    exited: Option<i32>,
    told: bool,
    cleaned_up: bool,
    failed: bool,
    /// Processes that ended while the runtime was starting some: whose they are is known when it has ended too.
    unclaimed: Vec<(i32, Exit)>,
    buffer: Box<[u8]>,
    /// One for all messages: of a new, large allocation only what is written to takes memory.
    message: Box<[u8]>,
}

impl Session {
    /// Prepares everything and starts `runtime create`.
    pub(crate) fn new(
        config: MonitorConfig,
        lock: FileLock,
        signals: SignalFd,
    ) -> Result<Self, SysError> {
        let none = ProcessId { pid: 0, start: 0 };
        let live = Live {
            stage: Stage::Creating,
            monitor: ProcessId::current()?,
            process: none,
            started_ns: 0,
            cgroup: String::new(),
            stop_requested: false,
            log_dropped: 0,
            restart_count: 0,
        };
        live.write(&config.live)?;
        let listener = Listener::bind(&config.socket)?;
        let log = match &config.log {
            Some(path) => Some(LogWriter::open(
                path,
                config.log_max_size,
                config.log_max_files,
            )?),
            None => None,
        };
        let mut create = config.create.clone();
        let (streams, stdio) = if config.terminal {
            let console = DescriptorListener::bind(&config.console_socket)?;
            replace_path(&mut create, &config.console_socket, &console);
            (Streams::terminal(console), ChildStdio::default())
        } else {
            Streams::pipes(config.stdin)?
        };
        let mut children = Children::default();
        children
            .spawn(
                Role::Create,
                &create,
                &config.environment,
                stdio,
                CREATE_LIMIT,
            )
            .map_err(|error| {
                SysError::new(
                    "run",
                    "the runtime",
                    std::io::Error::other(ctr_sys::error::error_chain(&error)),
                )
            })?;
        Ok(Self {
            config,
            _lock: lock,
            signals,
            listener,
            clients: Clients::default(),
            children,
            execs: Vec::new(),
            sessions: Vec::new(),
            streams,
            log,
            live,
            committed: false,
            stop_deadline: None,
            frozen_for: None,
            restarting: Restarting::No,
            backoff: Backoff::default(),
            restart_for_health: false,
            run_deadline: None,
            checks: Checks::default(),
            status: None,
            exited: None,
            told: false,
            cleaned_up: false,
            failed: false,
            unclaimed: Vec::new(),
            buffer: vec![0; CHUNK].into(),
            message: vec![0; MESSAGE].into(),
        })
    }

    /// Stays until the container has ended.
    pub(crate) fn run(mut self, engine: MessageSocket) -> ExitCode {
        self.clients.add(engine, true);
        let end = loop {
            if let Some(end) = self.ended() {
                break end;
            }
            self.turn();
        };
        if matches!(end, End::CleanUp { .. }) {
            self.clients.close(&mut self.message);
        }
        match end {
            End::CleanUp { ours: false } => ExitCode::SUCCESS,
            End::CleanUp { ours: true } => {
                self.run_cleanup();
                ExitCode::SUCCESS
            }
            End::Abort => {
                self.abort();
                ExitCode::FAILURE
            }
        }
    }

    fn ended(&self) -> Option<End> {
        if self.failed || (!self.committed && !self.clients.has_engine()) {
            return Some(End::Abort);
        }
        if !self.told {
            return None;
        }
        if self.cleaned_up {
            return Some(End::CleanUp { ours: false });
        }
        (!self.clients.has_foreground()).then_some(End::CleanUp { ours: true })
    }

    /// Waits for something to happen and deals with it.
    fn turn(&mut self) {
        let ready = self.wait();
        for source in ready {
            match source {
                Source::Signals => self.reap(),
                Source::Listener => {
                    while let Ok(socket) = self.listener.accept() {
                        self.clients.add(socket, false);
                    }
                }
                Source::Client(id) => self.client(id),
                Source::Output(stream) => self.output(stream),
                Source::Stdin => self.streams.write_input(),
                Source::Console => self.streams.accept_terminal(),
                Source::Check => self.read_check_output(),
            }
        }
        self.clients.flush();
        self.children.kill_overdue();
        if self
            .stop_deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            self.stop_deadline = None;
            self.signal(9);
        }
        if self
            .run_deadline
            .is_some_and(|deadline| deadline <= Instant::now())
        {
            self.run_deadline = None;
            self.signal(9);
        }
        if self.status.is_some() && self.exited.is_none() && !self.children.is_starting() {
            self.exit();
        }
        self.restart_if_due();
        self.run_due_checks();
        if self.exited.is_some() && !self.told {
            self.drain();
        }
        self.clients.sweep();
        self.thaw_for_the_gone();
    }

    /// Lets the container go on when whoever has had it frozen has left, or died.
    fn thaw_for_the_gone(&mut self) {
        let Some(id) = self.frozen_for else { return };
        // While the runtime is still freezing it there is nothing to undo yet.
        if self.clients.get(id).is_some() || self.children.is_pausing() {
            return;
        }
        self.frozen_for = None;
        if self.live.stage == Stage::Paused {
            let argv = self.config.resume.clone();
            let _refused = self.run_for(Role::Resume(None), &argv);
        }
    }

    fn wait(&self) -> Vec<Source> {
        let mut sources = vec![Source::Signals, Source::Listener];
        let mut fds = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let input_blocked = !self.streams.unwritten.is_empty();
        for client in self.clients.iter() {
            // While the container has not taken the last input, no more is read; a hang-up shows all the same.
            let mut flags = if input_blocked {
                PollFlags::empty()
            } else {
                PollFlags::IN
            };
            if client.is_behind() {
                flags |= PollFlags::OUT;
            }
            sources.push(Source::Client(client.id));
            fds.push(PollFd::from_borrowed_fd(client.fd(), flags));
        }
        if !self.clients.is_behind() && self.committed {
            for (stream, fd) in self.streams.outputs() {
                sources.push(Source::Output(stream));
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            }
        }
        if let Some(stdin) = self.streams.stdin.as_ref().filter(|_| input_blocked) {
            sources.push(Source::Stdin);
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        if let Some(console) = &self.streams.console {
            sources.push(Source::Console);
            fds.push(PollFd::new(console, PollFlags::IN));
        }
        if let Some(output) = self.check_output() {
            sources.push(Source::Check);
            fds.push(PollFd::new(output, PollFlags::IN));
        }
        let deadline = [
            self.stop_deadline,
            self.children.deadline(),
            self.clients.deadline(),
            self.run_deadline,
            self.restart_deadline(),
            self.checks_deadline(),
        ]
        .into_iter()
        .flatten()
        .min();
        // Draining after the exit reads until nothing is left, so there is nothing to wait for.
        let timeout = if self.exited.is_some() && !self.told && !self.clients.is_behind() {
            Some(Duration::ZERO)
        } else {
            deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // A failed poll (EINTR, ENOMEM) is a turn in which nothing was ready.
        let _failed = rustix::event::poll(&mut fds, timeout.as_ref());
        sources
            .into_iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(source, _)| source)
            .collect()
    }

    /// Reads one piece of output, writes it to the log and sends it on.
    fn output(&mut self, stream: u8) {
        if self.clients.is_behind() {
            return;
        }
        if let Piece::Data(count) = self.streams.read(stream, &mut self.buffer) {
            self.pass_on(stream, count);
        }
    }

    /// Writes the first `count` bytes of the buffer to the log and sends them on.
    fn pass_on(&mut self, stream: u8, count: usize) {
        let data = self.buffer.get(..count).unwrap_or_default();
        if let Some(log) = &mut self.log {
            log.write(stream, data);
        }
        self.clients.output(stream, data);
    }

    fn publish(&mut self) {
        self.live.log_dropped = self.log.as_ref().map_or(0, LogWriter::dropped);
        // On a full disk readers keep the last state, and see by our lock and the process what became of it.
        let _full = self.live.write(&self.config.live);
    }
}

/// Kills a process of an exec, one of our own descendants, which is not reaped yet.
fn kill_session(pid: i32) {
    if let Ok(Some(process)) = PidFd::open(pid) {
        let _gone = process.signal(9);
    }
}

/// Programs that have to reach a socket get a path short enough for it.
fn replace_path(argv: &mut [std::ffi::OsString], path: &Path, socket: &DescriptorListener) {
    for argument in argv
        .iter_mut()
        .filter(|argument| argument.as_os_str() == path.as_os_str())
    {
        *argument = socket.reachable_path().into_os_string();
    }
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}
