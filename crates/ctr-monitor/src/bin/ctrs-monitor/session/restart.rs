//! Starting the container again: the same bundle, the same mounts and network, no engine.
//!
//! ```text
//! end ─► written down, "waiting" ─► pause ─► runtime delete ─► runtime create ─► runtime start ─► running
//!              │                                  └──────────── any failure ────────────┐
//!              └── a user's stop ──────────────────────────────────────────────────────►┴► over
//! ```

use std::time::{Duration, Instant};

use ctr_monitor::live::Stage;
use ctr_monitor::policy::Ending;
use ctr_monitor::protocol::Reply;
use ctr_monitor::tidings::Tiding;
use ctr_sys::process::ProcessId;
use ctr_sys::socket::DescriptorListener;

use super::{CREATE_LIMIT, Exit, OTHER_LIMIT, Session, now_ns, replace_path};
use crate::children::{ChildStdio, Role};
use crate::output::{Piece, Streams};

/// How far a restart is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Restarting {
    /// None is going on.
    #[default]
    No,
    /// The pause before it, and the code of the run before.
    Waiting(Instant, i32),
    /// The runtime is at it.
    Remaking(i32),
}

impl Session {
    /// Whether the run that has ended is followed by another; if so, its pause begins.
    pub(super) fn restart_follows(&mut self, exit: Exit) -> bool {
        let ending = Ending {
            code: exit.code,
            by_user: self.live.stop_requested,
            unhealthy: std::mem::take(&mut self.restart_for_health),
            restarts: self.live.restart_count,
        };
        if !self.committed || !self.config.restart.follows(ending) {
            return false;
        }
        let ran = Duration::from_nanos(now_ns().saturating_sub(self.live.started_ns));
        let pause = self.backoff.after(ran);
        self.restarting = Restarting::Waiting(Instant::now() + pause, exit.code);
        self.status = None;
        self.stop_deadline = None;
        self.run_deadline = None;
        self.live.process = ProcessId { pid: 0, start: 0 };
        self.live.stage = Stage::Waiting;
        self.publish();
        self.tell("died", Some(("exitCode", exit.code.to_string())));
        self.clients
            .broadcast(&Reply::Restarting { code: exit.code });
        true
    }

    /// When the pause is over.
    pub(super) fn restart_deadline(&self) -> Option<Instant> {
        match self.restarting {
            Restarting::Waiting(at, _) => Some(at),
            Restarting::No | Restarting::Remaking(_) => None,
        }
    }

    /// Begins the restart when its pause is over.
    pub(super) fn restart_if_due(&mut self) {
        let Restarting::Waiting(at, code) = self.restarting else {
            return;
        };
        if at > Instant::now() || self.clients.is_behind() {
            return;
        }
        // What the run before has left in its pipes goes before the new run's.
        for stream in [1, 2] {
            while let Piece::Data(count) = self.streams.read(stream, &mut self.buffer) {
                self.pass_on(stream, count);
            }
        }
        self.restarting = Restarting::Remaking(code);
        let argv = self.config.delete.clone();
        if self.run_for(Role::Delete, &argv).is_some() {
            self.give_up();
        }
    }

    /// The runtime has forgotten the run before.
    pub(super) fn deleted(&mut self) {
        if self.live.stop_requested {
            return self.give_up();
        }
        let mut create = self.config.create.clone();
        let made = if self.config.terminal {
            DescriptorListener::bind(&self.config.console_socket).map(|console| {
                replace_path(&mut create, &self.config.console_socket, &console);
                (Streams::terminal(console), ChildStdio::default())
            })
        } else {
            Streams::pipes(self.config.stdin)
        };
        let Ok((streams, stdio)) = made else {
            return self.give_up();
        };
        self.streams = streams;
        self.live.restart_count = self.live.restart_count.saturating_add(1);
        let environment = &self.config.environment;
        let spawned = self
            .children
            .spawn(Role::Create, &create, environment, stdio, CREATE_LIMIT);
        if spawned.is_err() {
            self.give_up();
        }
    }

    /// The runtime has made it again; a stop that came meanwhile ends it before it runs.
    pub(super) fn remade(&mut self) {
        if self.live.stop_requested {
            self.signal(9);
            return;
        }
        self.live.started_ns = now_ns();
        let argv = self.config.start.clone();
        let environment = &self.config.environment;
        let stdio = ChildStdio::default();
        let spawned =
            self.children
                .spawn(Role::Start(None), &argv, environment, stdio, OTHER_LIMIT);
        if spawned.is_err() {
            self.give_up();
        }
    }

    /// It runs again.
    pub(super) fn restarted(&mut self) {
        self.restarting = Restarting::No;
        self.tell("restart", None);
    }

    /// Whether a restart is being carried out by the runtime.
    pub(super) fn is_remaking(&self) -> bool {
        matches!(self.restarting, Restarting::Remaking(_))
    }

    /// There is no restart after all: the end before it is the end.
    pub(super) fn give_up(&mut self) {
        let (Restarting::Waiting(_, code) | Restarting::Remaking(code)) = self.restarting else {
            return;
        };
        self.restarting = Restarting::No;
        self.live.stage = Stage::Exited;
        self.publish();
        self.exited = Some(code);
    }

    /// Notes an event for the next engine that asks.
    pub(super) fn tell(&self, action: &str, attribute: Option<(&str, String)>) {
        let tiding = Tiding {
            time_ns: now_ns(),
            action: action.to_owned(),
            attribute: attribute.map(|(key, value)| (key.to_owned(), value)),
        };
        // On a full disk an event is lost; the container is not.
        let _full = tiding.append(&self.config.tidings);
    }
}
