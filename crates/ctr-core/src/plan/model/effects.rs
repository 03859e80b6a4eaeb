//! What each step does to the world.

use ctr_state::record::OpKind;
use ctr_state::{DurablePhase, Stage};

use super::world::{
    ActorId, At, BOOTS, Failure, LiveFile, Monitor, MonitorLock, OpNumber, OpRow, Process, Row,
    RunDirectory, World,
};
use crate::plan::{DownStep, is_leaving, is_making};
use crate::steps::{CreateStep, InitStep};

impl World {
    pub(super) fn create(
        &mut self,
        step: CreateStep,
        c: usize,
        op: OpNumber,
        row: &Row,
    ) -> Result<(), Failure> {
        match step {
            CreateStep::Claim => {
                let taken = self.things.iter().any(|thing| {
                    thing
                        .row
                        .as_ref()
                        .is_some_and(|known| known.name == row.name)
                });
                if taken {
                    return Err(Failure::Ordinary);
                }
                self.things[c].row = Some(row.clone());
                self.begin_op(OpKind::Create, c, op);
            }
            CreateStep::MakeDirectories => self.things[c].directory = true,
            CreateStep::WriteRecord => {}
            CreateStep::Finish => self.finish_op(op),
        }
        Ok(())
    }

    pub(super) fn begin_op(&mut self, kind: OpKind, container: usize, op: OpNumber) {
        let boot = self.boot;
        self.journal.push(OpRow {
            op,
            kind,
            container,
            boot,
        });
    }

    /// The steps of an init that need no answer.
    pub(super) fn init(
        &mut self,
        step: InitStep,
        c: usize,
        op: OpNumber,
        actor: ActorId,
    ) -> Result<(), Failure> {
        match step {
            InitStep::Claim => {
                let before = match self.things[c].row.as_ref().map(|row| &row.durable) {
                    Some(DurablePhase::Exited(ended)) => Some(ended.clone()),
                    Some(
                        DurablePhase::Configured | DurablePhase::Up { .. } | DurablePhase::Removing,
                    )
                    | None => None,
                };
                let up = DurablePhase::Up {
                    boot: BOOTS[self.boot].clone(),
                    started_at: None,
                    before,
                };
                self.set_phase(c, &up)?;
                self.things[c].promised = None;
                self.begin_op(OpKind::Start, c, op);
            }
            InitStep::MakeRunDirectory => {
                self.things[c].exit = None;
                self.things[c].run.get_or_insert_with(RunDirectory::default);
            }
            InitStep::Mount => self.things[c].mount = true,
            InitStep::Network => self.things[c].netns = true,
            InitStep::WriteEtc | InitStep::WriteBundle => {
                if self.things[c].run.is_none() {
                    return Err(Failure::Ordinary);
                }
            }
            InitStep::SpawnMonitor => {
                let number = self.number();
                self.things[c].monitors.push(Monitor {
                    number,
                    at: At::Spawned,
                    engine: Some(actor),
                    committed: false,
                    foreground: false,
                    cleaned_up: false,
                });
            }
            InitStep::Commit => {
                let ours = |monitor: &&mut Monitor| monitor.engine == Some(actor);
                let Some(monitor) = self.things[c].monitors.iter_mut().find(ours) else {
                    return Err(Failure::Ordinary);
                };
                monitor.committed = true;
            }
            InitStep::Finish => self.finish_op(op),
        }
        Ok(())
    }

    /// A part of taking a container down. `spares` leaves a monitor alone that is about to leave by itself.
    pub(super) fn down(&mut self, step: DownStep, c: usize, spares: bool) -> Result<(), Failure> {
        match step {
            DownStep::KillProcesses => self.kill_processes(c, spares),
            DownStep::DeleteRuntime => {
                if let Some(run) = &mut self.things[c].run
                    && run.runtime_state
                {
                    run.runtime_state = false;
                    self.things[c].process = None;
                }
            }
            DownStep::RemoveCgroup => {
                if self.things[c].process.is_some() {
                    return Err(Failure::Busy("a cgroup with a process"));
                }
                self.things[c].cgroup = false;
            }
            DownStep::RemoveNetwork => self.things[c].netns = false,
            DownStep::Unmount => {
                if self.things[c].process.is_some() {
                    return Err(Failure::Busy("a mount with a process"));
                }
                self.things[c].mount = false;
            }
            DownStep::RemoveRunDirectory => {
                if self.things[c].netns {
                    return Err(Failure::Busy("a run directory with a network namespace"));
                }
                self.things[c].run = None;
            }
        }
        Ok(())
    }

    fn kill_processes(&mut self, c: usize, spares: bool) {
        let run = self.things[c].run;
        let live = run.and_then(|run| run.live);
        let spared = spares && is_leaving(live.map(|live| live.stage));
        if !spared
            && let Some(RunDirectory {
                lock: Some(MonitorLock::Monitor(number)),
                live: Some(live),
                ..
            }) = run
            && live.monitor == number
        {
            self.monitor_gone(c, number);
        }
        let known = live.map(|live| live.process);
        let thing = &mut self.things[c];
        if let Some(process) = thing.process
            && (thing.cgroup || known == Some(process.number))
        {
            thing.process = None;
        }
    }

    pub(super) fn trash(&mut self, c: usize, op: OpNumber) {
        let thing = &mut self.things[c];
        if std::mem::take(&mut thing.directory) {
            thing.exit = None;
            thing.trash.push(op);
        }
    }

    pub(super) fn empty_trash(&mut self, op: OpNumber) -> Result<(), Failure> {
        for thing in &mut self.things {
            if thing.trash.contains(&op) {
                if thing.mount {
                    return Err(Failure::Busy("a directory with a mount"));
                }
                thing.trash.retain(|known| *known != op);
            }
        }
        Ok(())
    }

    /// The monitor that would answer at the container's socket.
    fn answering(&mut self, c: usize) -> Option<&mut Monitor> {
        let number = match self.things[c].run?.lock? {
            MonitorLock::Monitor(number) => number,
            MonitorLock::Actor(_) => return None,
        };
        let monitors = &mut self.things[c].monitors;
        monitors.iter_mut().find(|monitor| {
            monitor.number == number && monitor.at == At::Minding && monitor.committed
        })
    }

    /// Asks the monitor for something that leads from one stage to another, with a living process.
    pub(super) fn ask(&mut self, c: usize, from: Stage, to: Stage) -> Result<(), Failure> {
        let is_stop = to == Stage::Stopping;
        let has_process = self.things[c].process.is_some();
        if self.answering(c).is_none() || !has_process {
            return Err(Failure::Ordinary);
        }
        let thing = &mut self.things[c];
        let (Some(run), Some(process)) = (&mut thing.run, &mut thing.process) else {
            return Err(Failure::Ordinary);
        };
        let Some(live) = run
            .live
            .as_mut()
            .filter(|live| is_stop || live.stage == from)
        else {
            return Err(Failure::Ordinary);
        };
        live.stage = to;
        match to {
            Stage::Running => {
                process.started = true;
                process.frozen = false;
            }
            Stage::Paused => process.frozen = true,
            Stage::Creating | Stage::Created | Stage::Stopping | Stage::Waiting | Stage::Exited => {
            }
        }
        Ok(())
    }

    /// The caller minds the end of the run, or has done so.
    pub(super) fn stay(&mut self, c: usize, actor: ActorId, is_over: bool) {
        for monitor in &mut self.things[c].monitors {
            if monitor.engine == Some(actor) {
                monitor.foreground = true;
                monitor.cleaned_up |= is_over;
            }
        }
    }

    /// One move of a monitor; `false` when it waits for something.
    pub(super) fn monitor_moves(&mut self, c: usize, index: usize, spawn: &mut bool) -> bool {
        let monitor = self.things[c].monitors[index];
        let number = monitor.number;
        let orphaned = !monitor.committed && monitor.engine.is_none();
        match monitor.at {
            At::Spawned => self.monitor_begins(c, index),
            At::Making(_) | At::Minding if orphaned => self.set(c, index, At::Aborting),
            At::Making(done) => return self.make(c, index, done),
            At::Minding => {
                if self.things[c].process.is_some() {
                    return false;
                }
                let code = i32::try_from(number % 100).unwrap();
                let boot = self.boot;
                let thing = &mut self.things[c];
                if thing.directory {
                    thing.exit = Some((boot, code));
                    thing.promised = Some(code);
                }
                self.set(c, index, At::Recorded);
            }
            At::Recorded => {
                self.publish(c, number, Stage::Exited);
                self.set(c, index, At::Told);
            }
            At::Told => {
                if monitor.foreground && monitor.engine.is_some() && !monitor.cleaned_up {
                    return false;
                }
                *spawn = !monitor.cleaned_up;
                self.monitor_gone(c, number);
            }
            At::Aborting => {
                let thing = &mut self.things[c];
                thing.process = None;
                if let Some(run) = &mut thing.run {
                    run.live = None;
                    if std::mem::take(&mut run.runtime_state) {
                        thing.cgroup = false;
                    }
                }
                self.monitor_gone(c, number);
            }
        }
        true
    }

    fn set(&mut self, c: usize, index: usize, at: At) {
        self.things[c].monitors[index].at = at;
    }

    fn publish(&mut self, c: usize, number: u32, stage: Stage) {
        let process = self.things[c].process.map_or(0, |process| process.number);
        if let Some(run) = &mut self.things[c].run
            && run.lock == Some(MonitorLock::Monitor(number))
        {
            let known = run.live.map_or(0, |live| live.process);
            let process = if process == 0 { known } else { process };
            run.live = Some(LiveFile {
                stage,
                monitor: number,
                process,
            });
        }
    }

    fn monitor_begins(&mut self, c: usize, index: usize) {
        let number = self.things[c].monitors[index].number;
        match &mut self.things[c].run {
            Some(run) if run.lock.is_none() => {
                run.lock = Some(MonitorLock::Monitor(number));
                self.publish(c, number, Stage::Creating);
                self.set(c, index, At::Making(0));
            }
            Some(_) | None => self.monitor_gone(c, number),
        }
    }

    /// One move of the runtime that makes the container.
    fn make(&mut self, c: usize, index: usize, done: u8) -> bool {
        let monitor = self.things[c].monitors[index].number;
        let Some(run) = &mut self.things[c].run else {
            // Its directory went away: the runtime fails.
            self.set(c, index, At::Aborting);
            return true;
        };
        match done {
            0 if run.runtime_state => {
                // "container with given ID already exists"
                self.set(c, index, At::Aborting);
                return true;
            }
            0 => run.runtime_state = true,
            1 => self.things[c].cgroup = true,
            2 => {
                if self.things[c].process.is_some() {
                    self.violate(format!("a second process in {c}"));
                }
                let number = self.number();
                self.things[c].process = Some(Process {
                    number,
                    started: false,
                    frozen: false,
                });
            }
            _ => {
                self.publish(c, monitor, Stage::Created);
                self.set(c, index, At::Minding);
                return true;
            }
        }
        self.set(c, index, At::Making(done + 1));
        true
    }

    /// Whether a monitor of the container has something to do.
    pub(super) fn is_settled(&self, c: usize) -> bool {
        let thing = &self.things[c];
        thing.monitors.iter().all(|monitor| match monitor.at {
            At::Minding => {
                thing.process.is_some() && (monitor.committed || monitor.engine.is_some())
            }
            At::Spawned | At::Making(_) | At::Recorded | At::Told | At::Aborting => false,
        })
    }

    /// Whether recovery has to give a monitor time: somebody has its lock and is still making the container.
    pub(super) fn await_monitor(&mut self, c: usize, actor: ActorId, keeps_out: bool) -> bool {
        let Some(run) = &mut self.things[c].run else {
            return true;
        };
        if !is_making(run.live.map(|live| live.stage)) {
            return true;
        }
        match run.lock {
            Some(MonitorLock::Monitor(_)) => false,
            Some(MonitorLock::Actor(_)) | None => {
                if keeps_out {
                    run.lock = Some(MonitorLock::Actor(actor));
                }
                true
            }
        }
    }
}
