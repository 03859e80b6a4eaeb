//! Programs of the runtime: starting them, and what their end means.

use std::ffi::OsString;
use std::path::PathBuf;

use ctr_monitor::live::Stage;
use ctr_monitor::protocol::Reply;
use ctr_sys::child::Runner;
use ctr_sys::process::ProcessId;
use nix::sys::wait::{WaitPidFlag, WaitStatus};

use super::{Exit, OTHER_LIMIT, Session, SessionOwner};
use crate::cgroup;
use crate::children::{self, ChildStdio, Role, RuntimeChild};
use crate::output::Piece;

impl Session {
    /// Takes every child that has ended. Programs of the runtime come first: they make known whose the others are.
    pub(super) fn reap(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        let mut ended = Vec::new();
        loop {
            match nix::sys::wait::waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => ended.push((
                    pid.as_raw(),
                    Exit {
                        code,
                        signalled: false,
                    },
                )),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    ended.push((
                        pid.as_raw(),
                        Exit {
                            code: 128 + signal as i32,
                            signalled: true,
                        },
                    ));
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
        for (pid, exit) in ended {
            match self.children.take(pid) {
                Some(child) => self.runtime_ended(child, exit.code),
                None => others.push((pid, exit)),
            }
        }
        for (pid, exit) in others {
            if pid == self.live.process.pid {
                self.status = Some(exit);
            } else if let Some(at) = self.execs.iter().position(|exec| exec.pid == pid) {
                let exec = self.execs.remove(at);
                match exec.owner {
                    SessionOwner::Client(client) => {
                        self.session_ended(pid, exit.code);
                        self.clients
                            .reply(client, &Reply::ExecExited { code: exit.code }, &[]);
                    }
                    SessionOwner::Check => self.check_ended(exit.code),
                }
            } else {
                self.unclaimed.push((pid, exit));
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
            Role::Delete => return self.deleted(),
            Role::Check => return self.check_started(code),
            Role::Start(client) => (client, "start", Stage::Created, Stage::Running),
            Role::Pause(client) => (Some(client), "pause", Stage::Running, Stage::Paused),
            Role::Resume(client) => (client, "resume", Stage::Paused, Stage::Running),
        };
        if code == 0 && self.live.stage == from {
            self.live.stage = to;
            self.publish();
        }
        if from == Stage::Created {
            self.started(code);
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

    /// The program has been started, or could not be.
    fn started(&mut self, code: i32) {
        if code != 0 {
            return self.give_up();
        }
        self.run_deadline = super::checks::after(self.config.timeout);
        self.begin_checks();
        if self.is_remaking() {
            self.restarted();
        }
    }

    fn created(&mut self, child: &mut RuntimeChild, code: i32) {
        self.streams.accept_terminal();
        let process = (code == 0)
            .then(|| children::read_pid(&self.config.pid_file))
            .flatten()
            .and_then(|pid| ProcessId::of(pid).ok());
        if process.is_none() && self.is_remaking() {
            return self.give_up();
        }
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
        if self.is_remaking() {
            return self.remade();
        }
        self.clients.broadcast(&Reply::Created { pid: process.pid });
    }

    /// Starts a program of the runtime; the client is answered when it has ended.
    pub(super) fn run_for(&mut self, role: Role, argv: &[OsString]) -> Option<Reply> {
        self.children
            .spawn(
                role,
                argv,
                &self.config.environment,
                ChildStdio::default(),
                OTHER_LIMIT,
            )
            .err()
            .map(|error| Reply::Error(ctr_sys::error::error_chain(&error)))
    }

    pub(super) fn runner(&self, argv: &[OsString]) -> Runner {
        let program = PathBuf::from(argv.first().cloned().unwrap_or_default());
        let mut runner = Runner::new(&program).args(argv.get(1..).unwrap_or_default());
        for (name, value) in children::variables(&self.config.environment) {
            runner = runner.env(name, value);
        }
        runner.deadline(OTHER_LIMIT)
    }
}

pub(super) fn complaint_of(child: &mut RuntimeChild, code: i32) -> String {
    let text = child.complaint();
    if text.is_empty() {
        format!("it ended with status {code} and said nothing")
    } else {
        text
    }
}
