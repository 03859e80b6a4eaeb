//! What clients ask for.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ctr_monitor::live::Stage;
use ctr_monitor::policy::asks_for_the_end;
use ctr_monitor::protocol::{Reply, Request};
use ctr_sys::process::PidFd;

use super::restart::Restarting;
use super::{OTHER_LIMIT, Session, now_ns};
use crate::children::{ChildStdio, Role};
use crate::clients::ClientId;

/// How long the stop signal of a timeout may be.
const MAX_STOP: Duration = Duration::from_hours(876_000);

impl Session {
    pub(super) fn client(&mut self, id: ClientId) {
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
                    self.run_for(Role::Start(Some(id)), &argv)
                } else {
                    Some(no("the container is not in a state to be started"))
                }
            }
            Request::Signal(number) => Some(if self.signal(number) {
                if asks_for_the_end(number, self.config.stop_signal) {
                    self.live.stop_requested = true;
                    self.publish();
                }
                Reply::Ok
            } else {
                no("the container has no process to send a signal to")
            }),
            Request::Stop { signal, timeout_ms } => Some(self.stop(signal, timeout_ms)),
            Request::Pause if stage == Stage::Running => {
                let argv = self.config.pause.clone();
                self.run_for(Role::Pause(id), &argv)
            }
            Request::Freeze if stage == Stage::Running => {
                self.frozen_for = Some(id);
                let argv = self.config.pause.clone();
                self.run_for(Role::Pause(id), &argv)
            }
            Request::Pause | Request::Freeze => Some(no("the container is not running")),
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
            request @ (Request::Exec { .. } | Request::Sessions | Request::ForgetSession(_)) => {
                self.exec_request(id, request, fds)
            }
            Request::CheckHealth => self.begin_check(Some(id)),
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

    /// Sends a signal to the first process; `false` when there is none.
    pub(super) fn signal(&mut self, number: i32) -> bool {
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

    pub(super) fn stop(&mut self, signal: i32, timeout_ms: u64) -> Reply {
        if self.restarting != Restarting::No {
            self.live.stop_requested = true;
            if !self.is_remaking() {
                self.give_up();
            } else if self.live.process.pid > 0 {
                self.signal(9);
            }
            return Reply::Ok;
        }
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
}
