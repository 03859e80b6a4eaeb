//! What steps touch: store, journal, locks, directories, kernel objects, monitors. Effects only; nothing here decides.

use std::sync::LazyLock;

use ctr_state::record::OpKind;
use ctr_state::{DurablePhase, EndReason, Ended, Evidence, LiveView, Phase, Stage};
use ctr_types::BootId;

pub(super) type ActorId = usize;
pub(super) type OpNumber = u32;

/// The boots of a run: one more than it may reboot.
pub(super) static BOOTS: LazyLock<Vec<BootId>> = LazyLock::new(|| {
    (0..4)
        .map(|n| format!("boot{n}").parse().unwrap())
        .collect()
});

/// Why a step or a command did not do what it was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// An answer a user may get: refused, not there, name in use, a monitor that is gone, a fault put in.
    Ordinary,
    /// Something could not be given back because another thing still needs it: a defect of a plan.
    Busy(&'static str),
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: u8,
    pub(super) durable: DurablePhase,
    pub(super) auto_remove: bool,
}

/// An entry of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpRow {
    pub(super) op: OpNumber,
    pub(super) kind: OpKind,
    pub(super) container: usize,
    pub(super) boot: usize,
}

/// A lock file; whoever dies lets go and leaves the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct LockFile {
    pub(super) holder: Option<ActorId>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct LiveFile {
    pub(super) stage: Stage,
    pub(super) monitor: u32,
    /// The process's number; 0 is none yet.
    pub(super) process: u32,
}

/// Who has `monitor.lock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MonitorLock {
    Monitor(u32),
    Actor(ActorId),
}

/// The directory of this boot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RunDirectory {
    pub(super) live: Option<LiveFile>,
    pub(super) lock: Option<MonitorLock>,
    pub(super) runtime_state: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) number: u32,
    pub(super) started: bool,
    pub(super) frozen: bool,
}

/// How far a monitor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// Spawned; has neither lock nor live file.
    Spawned,
    /// The runtime is making the container: state, cgroup, process.
    Making(u8),
    /// It minds the process.
    Minding,
    /// The exit record is written, the live file not yet.
    Recorded,
    /// It has told of the end.
    Told,
    /// It undoes what it has done.
    Aborting,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Monitor {
    pub(super) number: u32,
    pub(super) at: At,
    pub(super) engine: Option<ActorId>,
    pub(super) committed: bool,
    pub(super) foreground: bool,
    pub(super) cleaned_up: bool,
}

/// A container's id and everything named after it.
#[derive(Clone, Debug, Default)]
pub(super) struct Thing {
    pub(super) row: Option<Row>,
    pub(super) lock: Option<LockFile>,
    pub(super) directory: bool,
    /// The exit record: boot and code.
    pub(super) exit: Option<(usize, i32)>,
    pub(super) trash: Vec<OpNumber>,
    pub(super) run: Option<RunDirectory>,
    pub(super) mount: bool,
    pub(super) netns: bool,
    pub(super) cgroup: bool,
    pub(super) process: Option<Process>,
    pub(super) monitors: Vec<Monitor>,
    /// The code that was written down of the last run: must not be lost before the next run is claimed.
    pub(super) promised: Option<i32>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) boot: usize,
    pub(super) refreshed: bool,
    pub(super) things: Vec<Thing>,
    pub(super) journal: Vec<OpRow>,
    pub(super) op_locks: Vec<(OpNumber, LockFile)>,
    pub(super) next_op: OpNumber,
    pub(super) next_number: u32,
    /// The first broken invariant.
    pub(super) violation: Option<String>,
}

impl World {
    pub(super) fn violate(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert(what.into());
    }

    pub(super) fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn in_journal(&self, op: OpNumber) -> bool {
        self.journal.iter().any(|row| row.op == op)
    }

    pub(super) fn finish_op(&mut self, op: OpNumber) {
        self.journal.retain(|row| row.op != op);
    }

    pub(super) fn op_is_owned(&self, op: OpNumber) -> bool {
        self.op_locks
            .iter()
            .any(|(known, lock)| *known == op && lock.holder.is_some())
    }

    /// Takes the lock of an operation if it is free, making its file if need be.
    pub(super) fn own_op(&mut self, op: OpNumber, actor: ActorId) -> bool {
        let holder = Some(actor);
        match self.op_locks.iter_mut().find(|(known, _)| *known == op) {
            Some((_, lock)) if lock.holder.is_some() => false,
            Some((_, lock)) => {
                lock.holder = holder;
                true
            }
            None => {
                self.op_locks.push((op, LockFile { holder }));
                true
            }
        }
    }

    pub(super) fn remove_op_lock(&mut self, op: OpNumber) {
        self.op_locks.retain(|(known, _)| *known != op);
    }

    pub(super) fn set_phase(&mut self, c: usize, phase: &DurablePhase) -> Result<(), Failure> {
        let Some(row) = &mut self.things[c].row else {
            return Err(Failure::Ordinary);
        };
        let revived = row.durable == DurablePhase::Removing && *phase != DurablePhase::Removing;
        row.durable = phase.clone();
        if revived {
            self.violate(format!("removal of {c} was not final: {phase:?}"));
        }
        Ok(())
    }

    pub(super) fn live_view(&self, c: usize) -> Option<LiveView> {
        let thing = &self.things[c];
        let run = thing.run.as_ref()?;
        let live = run.live?;
        Some(LiveView {
            stage: live.stage,
            pid: i32::try_from(live.process).unwrap(),
            start: 1,
            started_at: thing
                .process
                .filter(|process| process.number == live.process && process.started)
                .map(|_| ctr_types::Timestamp::UNIX_EPOCH),
            monitor_alive: run.lock.is_some(),
            process_alive: thing
                .process
                .is_some_and(|process| process.number == live.process),
        })
    }

    /// Puts the evidence together as `Engine::derive` does.
    pub(super) fn derive(&self, c: usize) -> Option<Phase> {
        let thing = &self.things[c];
        let durable = &thing.row.as_ref()?.durable;
        let view = self.live_view(c);
        let of = match durable {
            DurablePhase::Up { boot, .. } => Some(boot),
            DurablePhase::Configured | DurablePhase::Exited(_) | DurablePhase::Removing => {
                view.as_ref().map(|_| &BOOTS[self.boot])
            }
        };
        let exit = thing
            .exit
            .filter(|(boot, _)| of == Some(&BOOTS[*boot]))
            .map(|(_, code)| ended(code));
        let evidence = Evidence {
            durable,
            live: view.as_ref(),
            exit: exit.as_ref(),
            starting: view.is_none() && self.is_being_started(c),
            this_boot: &BOOTS[self.boot],
        };
        Some(evidence.phase())
    }

    /// As `Engine::exit_record`.
    pub(super) fn exit_of_this_boot(&self, c: usize) -> Option<Ended> {
        let (boot, code) = self.things[c].exit?;
        (boot == self.boot).then(|| ended(code))
    }

    /// As `Engine::is_being_started`.
    fn is_being_started(&self, c: usize) -> bool {
        self.journal
            .iter()
            .any(|op| op.container == c && op.kind == OpKind::Start && self.op_is_owned(op.op))
    }

    /// An actor dies or ends: the kernel frees its locks and closes its connections.
    pub(super) fn let_go(&mut self, actor: ActorId) {
        self.free_ops(actor);
        self.free_containers(actor);
        self.disconnect(actor);
    }

    /// Frees the locks of operations, whose files stay.
    pub(super) fn free_ops(&mut self, actor: ActorId) {
        for (_, lock) in &mut self.op_locks {
            if lock.holder == Some(actor) {
                lock.holder = None;
            }
        }
        for c in 0..self.things.len() {
            self.let_monitors_in(c, actor);
        }
    }

    pub(super) fn free_containers(&mut self, actor: ActorId) {
        for thing in &mut self.things {
            if let Some(lock) = &mut thing.lock
                && lock.holder == Some(actor)
            {
                lock.holder = None;
            }
        }
    }

    /// Frees the monitor's lock that recovery held to keep monitors from beginning.
    pub(super) fn let_monitors_in(&mut self, c: usize, actor: ActorId) {
        if let Some(run) = &mut self.things[c].run
            && run.lock == Some(MonitorLock::Actor(actor))
        {
            run.lock = None;
        }
    }

    pub(super) fn disconnect(&mut self, actor: ActorId) {
        for thing in &mut self.things {
            for monitor in &mut thing.monitors {
                if monitor.engine == Some(actor) {
                    monitor.engine = None;
                }
            }
        }
    }

    /// A monitor is no more, and its lock is free. The runtime it was running dies with it.
    pub(super) fn monitor_gone(&mut self, c: usize, number: u32) {
        let thing = &mut self.things[c];
        thing.monitors.retain(|monitor| monitor.number != number);
        if let Some(run) = &mut thing.run
            && run.lock == Some(MonitorLock::Monitor(number))
        {
            run.lock = None;
        }
    }

    /// The host goes down and comes up: what is in memory is gone.
    pub(super) fn reboot(&mut self) {
        self.boot += 1;
        self.refreshed = false;
        self.op_locks.clear();
        for thing in &mut self.things {
            *thing = Thing {
                row: thing.row.take(),
                directory: thing.directory,
                exit: thing.exit,
                trash: std::mem::take(&mut thing.trash),
                promised: thing.promised,
                ..Thing::default()
            };
        }
    }
}

pub(super) fn ended(code: i32) -> Ended {
    Ended {
        exit_code: code,
        ..Ended::unseen(EndReason::Exited, None)
    }
}
