//! Health checks: processes run in the container at intervals, and what follows from their ends.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ctr_monitor::config::OnUnhealthy;
use ctr_monitor::health::{Check, Health, OUTPUT_MAX, Status};
use ctr_monitor::live::Stage;
use ctr_monitor::protocol::Reply;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use super::{ExecProcess, OTHER_LIMIT, Session, SessionOwner, now_ns};
use crate::children::{ChildStdio, Role};
use crate::clients::ClientId;

/// What the monitor knows of its container's health.
#[derive(Debug, Default)]
pub(super) struct Checks {
    health: Health,
    next: Option<Instant>,
    /// Failures before this do not count.
    start_period_ends: Option<Instant>,
    running: Option<Running>,
}

/// A check that is going on.
#[derive(Debug)]
struct Running {
    begun_ns: u64,
    deadline: Instant,
    output: Option<std::fs::File>,
    text: Vec<u8>,
    /// Its process, as soon as it is known.
    pid: Option<i32>,
    timed_out: bool,
    /// Who has asked for it, or for one while it went on.
    clients: Vec<ClientId>,
}

impl Session {
    /// The container runs: its first check comes an interval from now.
    pub(super) fn begin_checks(&mut self) {
        let Some(config) = &self.config.health else {
            return;
        };
        let now = Instant::now();
        self.checks = Checks {
            next: (!config.interval.is_zero()).then(|| now + config.interval),
            start_period_ends: Some(now + config.start_period),
            ..Checks::default()
        };
        self.write_health();
    }

    fn write_health(&self) {
        if let Some(config) = &self.config.health {
            // On a full disk the last state stays.
            let _full = self.checks.health.write(&config.file);
        }
    }

    /// The next moment at which something is to be done.
    pub(super) fn checks_deadline(&self) -> Option<Instant> {
        match &self.checks.running {
            // One that was killed for its time is waited for by its end.
            Some(running) => (!running.timed_out).then_some(running.deadline),
            None => self.checks.next,
        }
    }

    /// The output of a check that is going on.
    pub(super) fn check_output(&self) -> Option<&std::fs::File> {
        self.checks
            .running
            .as_ref()
            .and_then(|running| running.output.as_ref())
    }

    /// Reads what a check has written; what is beyond the limit is read and forgotten, so that it does not block.
    pub(super) fn read_check_output(&mut self) {
        let Some(running) = &mut self.checks.running else {
            return;
        };
        let Some(output) = &mut running.output else {
            return;
        };
        match output.read(&mut self.buffer) {
            Ok(0) => running.output = None,
            Ok(count) => {
                let room = OUTPUT_MAX.saturating_sub(running.text.len());
                let data = self.buffer.get(..count.min(room)).unwrap_or_default();
                running.text.extend_from_slice(data);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => running.output = None,
        }
    }

    /// Begins a check that is due, and ends one whose time is up.
    pub(super) fn run_due_checks(&mut self) {
        let now = Instant::now();
        if let Some(running) = &mut self.checks.running {
            if running.deadline <= now && !running.timed_out {
                running.timed_out = true;
                let pid = running.pid;
                match pid {
                    Some(pid) => super::kill_session(pid),
                    // The runtime has not even started it.
                    None => self.children.kill_checks(),
                }
            }
            return;
        }
        let Some(interval) = self.config.health.as_ref().map(|config| config.interval) else {
            return;
        };
        if self.checks.next.is_none_or(|next| next > now) {
            return;
        }
        self.checks.next = Some(now + interval);
        // A frozen container answers nothing, and is not to blame.
        if self.live.stage == Stage::Running {
            self.begin_check(None);
        }
    }

    /// Begins a check; a client that has asked for it hears of its end.
    pub(super) fn begin_check(&mut self, client: Option<ClientId>) -> Option<Reply> {
        let no = |text: &str| Some(Reply::Error(text.to_owned()));
        let Some(config) = &self.config.health else {
            return no("the container has no health check");
        };
        if self.live.stage != Stage::Running {
            return no("the container is not running");
        }
        if let Some(running) = &mut self.checks.running {
            // Its result is as good as that of another.
            running.clients.extend(client);
            return None;
        }
        let Ok((output, stdio)) = pipe() else {
            return no("there is no pipe to be had");
        };
        let argv: Vec<OsString> = config.exec.clone();
        let role = Role::Check;
        let environment = &self.config.environment;
        let (begun_ns, deadline) = (now_ns(), Instant::now() + config.timeout);
        let limit = OTHER_LIMIT;
        if let Err(error) = self.children.spawn(role, &argv, environment, stdio, limit) {
            return no(&ctr_sys::error::error_chain(&error));
        }
        self.checks.running = Some(Running {
            begun_ns,
            deadline,
            output: Some(output),
            text: Vec::new(),
            pid: None,
            timed_out: false,
            clients: client.into_iter().collect(),
        });
        None
    }

    /// The runtime has started the check, or has not been able to.
    pub(super) fn check_started(&mut self, code: i32) {
        let Some(config) = &self.config.health else {
            return;
        };
        let pid = (code == 0)
            .then(|| crate::children::read_pid(&config.pid_file))
            .flatten();
        let _gone = ctr_sys::fs::ensure_file_absent(&config.pid_file);
        let Some(pid) = pid else {
            return self.check_ended(code.max(1));
        };
        let Some(running) = &mut self.checks.running else {
            return;
        };
        running.pid = Some(pid);
        if running.timed_out {
            super::kill_session(pid);
        }
        // It may have been faster than the runtime that started it.
        match self.unclaimed.iter().position(|(ended, _)| *ended == pid) {
            Some(at) => {
                let (_, exit) = self.unclaimed.remove(at);
                self.check_ended(exit.code);
            }
            None => self.execs.push(ExecProcess {
                pid,
                owner: SessionOwner::Check,
            }),
        }
    }

    /// The check's process has ended.
    pub(super) fn check_ended(&mut self, code: i32) {
        self.read_check_output();
        let Some(running) = self.checks.running.take() else {
            return;
        };
        let Some(config) = &self.config.health else {
            return;
        };
        let mut output = String::from_utf8_lossy(&running.text).into_owned();
        // podman's and docker's code for a check that took too long.
        let code = if running.timed_out { -1 } else { code };
        if running.timed_out {
            output = format!("check exceeded its time of {:?}", config.timeout);
        }
        let check = Check {
            begun_ns: running.begun_ns,
            ended_ns: now_ns(),
            code,
            output,
        };
        let in_start_period = self
            .checks
            .start_period_ends
            .is_some_and(|end| Instant::now() < end);
        let (retries, action) = (config.retries, config.on_unhealthy);
        let changed = self.checks.health.record(check, retries, in_start_period);
        self.write_health();
        for client in running.clients {
            self.clients.reply(client, &Reply::ExecExited { code }, &[]);
        }
        let Some(status) = changed else { return };
        self.tell("health_status", Some(("health_status", status.to_string())));
        if status == Status::Unhealthy && self.live.stage == Stage::Running {
            self.act_on_unhealthy(action);
        }
    }

    fn act_on_unhealthy(&mut self, action: OnUnhealthy) {
        match action {
            OnUnhealthy::Nothing => {}
            OnUnhealthy::Kill => {
                self.signal(9);
            }
            OnUnhealthy::Restart => {
                self.restart_for_health = true;
                self.signal(self.config.stop_signal);
                self.stop_deadline = Some(Instant::now() + self.config.stop_timeout);
            }
            OnUnhealthy::Stop => {
                let timeout = self.config.stop_timeout;
                let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                let _stopping = self.stop(self.config.stop_signal, timeout_ms);
            }
        }
    }
}

/// A pipe for the output of a check: our end, and its standard streams.
fn pipe() -> Result<(std::fs::File, ChildStdio), rustix::io::Errno> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let null: OwnedFd =
        rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let second = writer.try_clone().or(Err(rustix::io::Errno::MFILE))?;
    Ok((reader.into(), ChildStdio(Some([null, writer, second]))))
}

/// Zero is not waited for.
pub(super) fn after(time: Duration) -> Option<Instant> {
    (!time.is_zero()).then(|| Instant::now() + time)
}
