//! One container's time with its monitor: a loop over everything that may happen, which never blocks on one of them.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ctr_monitor::config::MonitorConfig;
use ctr_monitor::exit_record::ExitRecord;
use ctr_monitor::live::{Live, Stage};
use ctr_monitor::log::LogWriter;
use ctr_monitor::protocol::{CHUNK, MESSAGE, Reply, Request};
use ctr_sys::SysError;
use ctr_sys::child::{Detached, Runner};
use ctr_sys::fs::Durability;
use ctr_sys::lock::FileLock;
use ctr_sys::process::{PidFd, ProcessId};
use ctr_sys::socket::{DescriptorListener, Listener, MessageSocket};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::time::{ClockId, clock_gettime};

use crate::cgroup;
use crate::children::{self, ChildStdio, Children, Role, RuntimeChild};
use crate::clients::{ClientId, Clients};
use crate::output::{Piece, Streams};

/// Limits of the runtime's programs (reliability.md F20).
const CREATE_LIMIT: Duration = Duration::from_mins(1);
const OTHER_LIMIT: Duration = Duration::from_secs(30);
/// How long the stop signal of a timeout may be.
const MAX_STOP: Duration = Duration::from_hours(876_000);

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
}

/// The process of an exec.
struct ExecProcess {
    pid: i32,
    client: ClientId,
}

/// Everything about one container.
pub(crate) struct Session {
    config: MonitorConfig,
    _lock: FileLock,
    signals: SignalFd,
    listener: Listener,
    clients: Clients,
    children: Children,
    execs: Vec<ExecProcess>,
    streams: Streams,
    log: Option<LogWriter>,
    live: Live,
    committed: bool,
    stop_deadline: Option<Instant>,
    /// How the first process ended, while the program that made or started it is still to be reaped.
    status: Option<i32>,
    /// The exit code, once everything about the exit has been written down.
    exited: Option<i32>,
    told: bool,
    cleaned_up: bool,
    failed: bool,
    /// Processes that ended while the runtime was starting some: whose they are is known when it has ended too.
    unclaimed: Vec<(i32, i32)>,
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
                    std::io::Error::other(crate::error_chain(&error)),
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
            streams,
            log,
            live,
            committed: false,
            stop_deadline: None,
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
        if self.status.is_some() && self.exited.is_none() && !self.children.is_starting() {
            self.exit();
        }
        if self.exited.is_some() && !self.told {
            self.drain();
        }
        self.clients.sweep();
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
        let deadline = [
            self.stop_deadline,
            self.children.deadline(),
            self.clients.deadline(),
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

    /// Takes every child that has ended. Programs of the runtime come first: they make known whose the others are.
    fn reap(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        let mut ended = Vec::new();
        loop {
            match nix::sys::wait::waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => ended.push((pid.as_raw(), code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    ended.push((pid.as_raw(), 128 + signal as i32));
                }
                Ok(
                    WaitStatus::Stopped(..)
                    | WaitStatus::PtraceEvent(..)
                    | WaitStatus::PtraceSyscall(_)
                    | WaitStatus::Continued(_),
                ) => {}
                Ok(WaitStatus::StillAlive) | Err(_) => break,
            }
        }
        let mut others = Vec::new();
        for (pid, code) in ended {
            match self.children.take(pid) {
                Some(child) => self.runtime_ended(child, code),
                None => others.push((pid, code)),
            }
        }
        for (pid, code) in others {
            if pid == self.live.process.pid {
                self.status = Some(code);
            } else if let Some(at) = self.execs.iter().position(|exec| exec.pid == pid) {
                let exec = self.execs.remove(at);
                self.clients
                    .reply(exec.client, &Reply::ExecExited { code }, &[]);
            } else {
                self.unclaimed.push((pid, code));
            }
        }
        if !self.children.is_executing() {
            self.unclaimed.clear();
        }
    }

    fn runtime_ended(&mut self, mut child: RuntimeChild, code: i32) {
        let (client, verb, from, to) = match child.role {
            Role::Create => return self.created(&mut child, code),
            Role::Exec { .. } => return self.exec_started(child, code),
            Role::Start(client) => (Some(client), "start", Stage::Created, Stage::Running),
            Role::Pause(client) => (Some(client), "pause", Stage::Running, Stage::Paused),
            Role::Resume(client) => (client, "resume", Stage::Paused, Stage::Running),
        };
        if code == 0 && self.live.stage == from {
            self.live.stage = to;
            self.publish();
        }
        let Some(client) = client else { return };
        let reply = if code == 0 {
            Reply::Ok
        } else {
            let complaint = complaint_of(&mut child, code);
            Reply::Error(format!(
                "the runtime could not {verb} the container: {complaint}"
            ))
        };
        self.clients.reply(client, &reply, &[]);
    }

    fn created(&mut self, child: &mut RuntimeChild, code: i32) {
        self.streams.accept_terminal();
        let process = (code == 0)
            .then(|| children::read_pid(&self.config.pid_file))
            .flatten()
            .and_then(|pid| ProcessId::of(pid).ok());
        let Some(process) = process else {
            let mut complaint = complaint_of(child, code);
            // Without a terminal the runtime's own complaints come by the container's pipe.
            if let Piece::Data(count) = self.streams.read(2, &mut self.buffer) {
                let text = self.buffer.get(..count).unwrap_or_default();
                String::from_utf8_lossy(text)
                    .trim_end()
                    .clone_into(&mut complaint);
            }
            self.clients.broadcast(&Reply::Error(complaint));
            self.failed = true;
            return;
        };
        // The program has not been started, so whatever is in the pipes is the runtime's own talk.
        for stream in [1, 2] {
            if !self.streams.terminal {
                while let Piece::Data(_) = self.streams.read(stream, &mut self.buffer) {}
            }
        }
        self.live.process = process;
        self.live.cgroup = cgroup::of_process(process.pid);
        self.live.stage = Stage::Created;
        self.publish();
        self.clients.broadcast(&Reply::Created { pid: process.pid });
    }

    fn exec_started(&mut self, mut child: RuntimeChild, code: i32) {
        let complaint = if code == 0 {
            String::new()
        } else {
            complaint_of(&mut child, code)
        };
        let Role::Exec {
            client,
            pid_file,
            console,
        } = child.role
        else {
            return;
        };
        let pid = (code == 0).then(|| children::read_pid(&pid_file)).flatten();
        let _gone = ctr_sys::fs::ensure_file_absent(&pid_file);
        let Some(pid) = pid else {
            self.clients.reply(client, &Reply::Error(complaint), &[]);
            return;
        };
        let master: Option<OwnedFd> = console.and_then(|console| console.accept().ok().flatten());
        let fds: Vec<BorrowedFd<'_>> = master.iter().map(|fd| fd.as_fd()).collect();
        self.clients
            .reply(client, &Reply::ExecStarted { pid }, &fds);
        // It may have been faster than the runtime that started it.
        match self.unclaimed.iter().position(|(ended, _)| *ended == pid) {
            Some(at) => {
                let (_, code) = self.unclaimed.remove(at);
                self.clients.reply(client, &Reply::ExecExited { code }, &[]);
            }
            None => self.execs.push(ExecProcess { pid, client }),
        }
    }

    fn client(&mut self, id: ClientId) {
        let Some(client) = self.clients.get(id) else {
            return;
        };
        let (message, fds) = match client.socket.receive(&mut self.message) {
            Ok(received) if received.length > 0 => (
                Request::decode(self.message.get(..received.length).unwrap_or_default()),
                received.fds,
            ),
            Err(rustix::io::Errno::AGAIN) => return,
            Ok(_) | Err(_) => return self.clients.mark_gone(id),
        };
        match message {
            Ok(request) => self.request(id, request, fds),
            Err(error) => self
                .clients
                .reply(id, &Reply::Error(error.to_string()), &[]),
        }
    }

    fn request(&mut self, id: ClientId, request: Request, fds: Vec<OwnedFd>) {
        let no = |text: &str| Reply::Error(text.to_owned());
        let stage = self.live.stage;
        let answer = match request {
            Request::Commit => {
                if self.clients.get(id).is_some_and(|client| client.engine) {
                    self.committed = true;
                }
                None
            }
            Request::Start => {
                if stage == Stage::Created && self.committed && self.status.is_none() {
                    self.live.started_ns = now_ns();
                    let argv = self.config.start.clone();
                    self.run_for(Role::Start(id), &argv)
                } else {
                    Some(no("the container is not in a state to be started"))
                }
            }
            Request::Signal(number) => Some(if self.signal(number) {
                Reply::Ok
            } else {
                no("the container has no process to send a signal to")
            }),
            Request::Stop { signal, timeout_ms } => Some(self.stop(signal, timeout_ms)),
            Request::Pause if stage == Stage::Running => {
                let argv = self.config.pause.clone();
                self.run_for(Role::Pause(id), &argv)
            }
            Request::Pause => Some(no("the container is not running")),
            Request::Resume if stage == Stage::Paused => {
                let argv = self.config.resume.clone();
                self.run_for(Role::Resume(Some(id)), &argv)
            }
            Request::Resume => Some(no("the container is not paused")),
            Request::Resize { rows, columns } => {
                if let Some(master) = self.streams.master() {
                    let size = rustix::termios::Winsize {
                        ws_row: rows,
                        ws_col: columns,
                        ws_xpixel: 0,
                        ws_ypixel: 0,
                    };
                    let _gone = rustix::termios::tcsetwinsize(master, size);
                }
                None
            }
            Request::Attach { lossless } => {
                self.clients.attach(id, lossless);
                // Somebody who comes too late hears of the end all the same.
                if let Some(code) = self.exited.filter(|_| self.told) {
                    self.clients.reply(id, &Reply::Ok, &[]);
                    Some(Reply::Exited { code })
                } else {
                    Some(Reply::Ok)
                }
            }
            Request::Stdin(data) => {
                self.streams.input(&data);
                None
            }
            Request::StdinEnd => {
                self.streams.end_input();
                None
            }
            Request::Exec {
                argv,
                pid_file,
                console_socket,
            } => self.exec(id, argv, pid_file, console_socket.as_deref(), fds),
            Request::Foreground => {
                if let Some(client) = self.clients.get(id) {
                    client.foreground = true;
                }
                None
            }
            Request::CleanedUp => {
                self.cleaned_up = true;
                None
            }
        };
        if let Some(answer) = answer {
            self.clients.reply(id, &answer, &[]);
        }
    }

    /// Starts a program of the runtime; the client is answered when it has ended.
    fn run_for(&mut self, role: Role, argv: &[std::ffi::OsString]) -> Option<Reply> {
        self.children
            .spawn(
                role,
                argv,
                &self.config.environment,
                ChildStdio::default(),
                OTHER_LIMIT,
            )
            .err()
            .map(|error| Reply::Error(crate::error_chain(&error)))
    }

    fn exec(
        &mut self,
        client: ClientId,
        mut argv: Vec<std::ffi::OsString>,
        pid_file: PathBuf,
        console_socket: Option<&Path>,
        fds: Vec<OwnedFd>,
    ) -> Option<Reply> {
        if self.live.stage != Stage::Running {
            return Some(Reply::Error("the container is not running".into()));
        }
        let console = match console_socket {
            None => None,
            Some(path) => match DescriptorListener::bind(path) {
                Ok(console) => {
                    replace_path(&mut argv, path, &console);
                    Some(console)
                }
                Err(error) => return Some(Reply::Error(crate::error_chain(&error))),
            },
        };
        let stdio = match <[OwnedFd; 3]>::try_from(fds) {
            Ok(three) => ChildStdio(Some(three)),
            Err(_) => ChildStdio::default(),
        };
        let role = Role::Exec {
            client,
            pid_file,
            console,
        };
        self.children
            .spawn(role, &argv, &self.config.environment, stdio, OTHER_LIMIT)
            .err()
            .map(|error| Reply::Error(crate::error_chain(&error)))
    }

    /// Sends a signal to the first process; `false` when there is none.
    fn signal(&mut self, number: i32) -> bool {
        if self.status.is_some() || self.live.process.pid == 0 {
            return false;
        }
        // Our own child, not reaped: the number cannot belong to another.
        let sent = PidFd::open(self.live.process.pid)
            .ok()
            .flatten()
            .is_some_and(|pidfd| pidfd.signal(number).unwrap_or(false));
        if sent && number == 9 && self.live.stage == Stage::Paused {
            // A frozen process on cgroup v1 dies only when it is thawed.
            let argv = self.config.resume.clone();
            let _refused = self.children.spawn(
                Role::Resume(None),
                &argv,
                &self.config.environment,
                ChildStdio::default(),
                OTHER_LIMIT,
            );
        }
        sent
    }

    fn stop(&mut self, signal: i32, timeout_ms: u64) -> Reply {
        if self.status.is_some() || self.live.process.pid == 0 {
            return Reply::Error("the container has no process".into());
        }
        self.live.stop_requested = true;
        if self.live.stage != Stage::Exited {
            self.live.stage = Stage::Stopping;
        }
        self.publish();
        let timeout = Duration::from_millis(timeout_ms).min(MAX_STOP);
        if timeout.is_zero() {
            self.stop_deadline = None;
            self.signal(9);
        } else {
            self.signal(signal);
            let deadline = Instant::now() + timeout;
            // A second, more patient stop does not take the first one's word back.
            self.stop_deadline = Some(
                self.stop_deadline
                    .map_or(deadline, |first| first.min(deadline)),
            );
        }
        Reply::Ok
    }

    /// Reads one piece of output, writes it to the log and sends it on.
    fn output(&mut self, stream: u8) {
        if self.clients.is_behind() {
            return;
        }
        if let Piece::Data(count) = self.streams.read(stream, &mut self.buffer) {
            let data = self.buffer.get(..count).unwrap_or_default();
            if let Some(log) = &mut self.log {
                log.write(stream, data);
            }
            self.clients.output(stream, data);
        }
    }

    /// Writes down how the first process ended, before anything else happens.
    fn exit(&mut self) {
        let Some(code) = self.status else { return };
        let record = ExitRecord {
            boot_id: self.config.boot_id.clone(),
            exit_code: code,
            oom_killed: cgroup::oom_killed(&self.live.cgroup),
            started_ns: self.live.started_ns,
            finished_ns: now_ns(),
        };
        let durability = if self.config.durable {
            Durability::PowerLoss
        } else {
            Durability::ProcessDeath
        };
        // On a full disk the live file, on another file system, still tells that it has ended.
        let _full = record.write(&self.config.exit_record, durability);
        if !self.config.own_pid_namespace {
            let _gone = self.runner(&self.config.kill_all).run();
        }
        self.live.stage = Stage::Exited;
        self.live.log_dropped = self.log.as_ref().map_or(0, LogWriter::dropped);
        self.publish();
        self.stop_deadline = None;
        self.exited = Some(code);
    }

    /// After the exit: reads what is left in the pipes. Processes that outlive the container may hold them open, so their end
    /// is not waited for.
    fn drain(&mut self) {
        for stream in [1, 2] {
            loop {
                if self.clients.is_behind() {
                    return;
                }
                match self.streams.read(stream, &mut self.buffer) {
                    Piece::Data(count) => {
                        let data = self.buffer.get(..count).unwrap_or_default();
                        if let Some(log) = &mut self.log {
                            log.write(stream, data);
                        }
                        self.clients.output(stream, data);
                    }
                    Piece::Empty | Piece::End => break,
                }
            }
        }
        if self.clients.is_behind() {
            return;
        }
        let code = self.exited.unwrap_or_default();
        self.clients.broadcast(&Reply::Exited { code });
        self.told = true;
    }

    fn publish(&mut self) {
        self.live.log_dropped = self.log.as_ref().map_or(0, LogWriter::dropped);
        // On a full disk readers keep the last state, and see by our lock and the process what became of it.
        let _full = self.live.write(&self.config.live);
    }

    fn runner(&self, argv: &[std::ffi::OsString]) -> Runner {
        let program = PathBuf::from(argv.first().cloned().unwrap_or_default());
        let mut runner = Runner::new(&program).args(argv.get(1..).unwrap_or_default());
        for (name, value) in children::variables(&self.config.environment) {
            runner = runner.env(name, value);
        }
        runner.deadline(OTHER_LIMIT)
    }

    /// Undoes what was done for an engine that is gone, or after a failure.
    fn abort(&mut self) {
        self.children.kill_all();
        children::kill(self.live.process);
        let _deleted = self.runner(&self.config.delete).run();
        for path in [
            &self.config.live,
            &self.config.socket,
            &self.config.pid_file,
        ] {
            let _gone = ctr_sys::fs::ensure_file_absent(path);
        }
    }

    /// Hands over to the engine's clean-up, which outlives this process.
    fn run_cleanup(&self) {
        let argv = &self.config.cleanup;
        let Some(program) = argv.first() else { return };
        let mut cleanup = Detached::new(program.as_ref());
        for argument in argv.iter().skip(1) {
            cleanup = cleanup.arg(argument);
        }
        for (name, value) in children::variables(&self.config.environment) {
            cleanup = cleanup.env(name, value);
        }
        // The next ordinary command cleans up if this one cannot be run.
        let _refused = cleanup.spawn();
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

fn complaint_of(child: &mut RuntimeChild, code: i32) -> String {
    let text = child.complaint();
    if text.is_empty() {
        format!("it ended with status {code} and said nothing")
    } else {
        text
    }
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}
