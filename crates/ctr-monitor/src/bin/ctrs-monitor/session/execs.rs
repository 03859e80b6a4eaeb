//! Processes run beside the container's first one: asked for, started by the runtime, ended, remembered.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use ctr_monitor::live::Stage;
use ctr_monitor::protocol::{Reply, Request, Session as Known};
use ctr_sys::process::ProcessId;
use ctr_sys::socket::DescriptorListener;

use super::runtime::complaint_of;
use super::{ExecProcess, Exit, OTHER_LIMIT, SESSIONS_KEPT, Session, SessionOwner, replace_path};
use crate::children::{self, ChildStdio, Role, RuntimeChild};
use crate::clients::ClientId;

impl Session {
    /// What is asked about execs.
    pub(super) fn exec_request(
        &mut self,
        client: ClientId,
        request: Request,
        fds: Vec<OwnedFd>,
    ) -> Option<Reply> {
        if let Request::Exec {
            id,
            argv,
            pid_file,
            console_socket,
        } = request
        {
            let role = Role::Exec {
                client,
                session: id,
                pid_file,
                console: None,
            };
            return self.exec(role, argv, console_socket.as_deref(), fds);
        }
        if let Request::ForgetSession(id) = request {
            let known = self.sessions.len();
            self.sessions
                .retain(|one| one.id != id || one.code.is_none());
            return Some(if self.sessions.len() < known {
                Reply::Ok
            } else {
                Reply::Error("no such exec session has ended".into())
            });
        }
        Some(Reply::Sessions(self.sessions.clone()))
    }

    fn exec(
        &mut self,
        mut role: Role,
        mut argv: Vec<OsString>,
        console_socket: Option<&Path>,
        fds: Vec<OwnedFd>,
    ) -> Option<Reply> {
        if self.live.stage != Stage::Running {
            return Some(Reply::Error("the container is not running".into()));
        }
        if let (Some(path), Role::Exec { console, .. }) = (console_socket, &mut role) {
            match DescriptorListener::bind(path) {
                Ok(listener) => {
                    replace_path(&mut argv, path, &listener);
                    *console = Some(listener);
                }
                Err(error) => return Some(Reply::Error(ctr_sys::error::error_chain(&error))),
            }
        }
        let stdio = match <[OwnedFd; 3]>::try_from(fds) {
            Ok(three) => ChildStdio(Some(three)),
            Err(_) => ChildStdio::default(),
        };
        self.children
            .spawn(role, &argv, &self.config.environment, stdio, OTHER_LIMIT)
            .err()
            .map(|error| Reply::Error(ctr_sys::error::error_chain(&error)))
    }

    pub(super) fn exec_started(&mut self, mut child: RuntimeChild, code: i32) {
        let complaint = if code == 0 {
            String::new()
        } else {
            complaint_of(&mut child, code)
        };
        let Role::Exec {
            client,
            session,
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
        self.remember(session, pid);
        let master: Option<OwnedFd> = console.and_then(|console| console.accept().ok().flatten());
        let fds: Vec<BorrowedFd<'_>> = master.iter().map(|fd| fd.as_fd()).collect();
        self.clients
            .reply(client, &Reply::ExecStarted { pid }, &fds);
        // It may have been faster than the runtime that started it.
        match self.unclaimed.iter().position(|(ended, _)| *ended == pid) {
            Some(at) => {
                let (_, Exit { code, .. }) = self.unclaimed.remove(at);
                self.session_ended(pid, code);
                self.clients.reply(client, &Reply::ExecExited { code }, &[]);
            }
            None => self.execs.push(ExecProcess {
                pid,
                owner: SessionOwner::Client(client),
            }),
        }
    }

    /// Remembers a session that runs; of those that have ended the oldest are forgotten.
    fn remember(&mut self, id: String, pid: i32) {
        let ended = |one: &Known| one.code.is_some();
        while self.sessions.iter().filter(|one| ended(one)).count() >= SESSIONS_KEPT {
            let Some(oldest) = self.sessions.iter().position(ended) else {
                break;
            };
            self.sessions.remove(oldest);
        }
        // Ours, and not reaped yet: it is there, as a zombie at the least.
        let process = ProcessId::of(pid).unwrap_or(ProcessId { pid, start: 0 });
        self.sessions.push(Known {
            id,
            process,
            code: None,
        });
    }

    pub(super) fn session_ended(&mut self, pid: i32, code: i32) {
        let running = self
            .sessions
            .iter_mut()
            .find(|one| one.process.pid == pid && one.code.is_none());
        if let Some(session) = running {
            session.code = Some(code);
        }
    }
}
