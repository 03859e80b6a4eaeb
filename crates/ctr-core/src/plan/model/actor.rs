//! Commands as stacks of single moves. What to do is asked of the plans; the order in which locks are taken and things are
//! looked at is the engine's.

use ctr_state::Op;
use ctr_state::record::OpKind;
use ctr_state::{DurablePhase, Ended, PhaseName, Stage};

use super::rules::Rules;
use super::world::{ActorId, BOOTS, Failure, LockFile, OpNumber, OpRow, Row, Thing, World};
use crate::plan::{
    self, Cleanup, DeadOp, DeadOpContainer, DownStep, GoneStep, OwnerFacts, RecoveryStep,
};
use crate::steps::{CleanupStep, CreateStep, InitStep, RemoveStep, StartStep, Step as _};

/// What a user may ask for; the number is the container's name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    Create(u8, AutoRemove),
    /// `run --rm` in the foreground.
    Run(u8),
    Init(u8),
    Start(u8),
    Stop(u8),
    Kill(u8),
    Pause(u8),
    Unpause(u8),
    Restart(u8),
    Cleanup(u8),
    Remove(u8),
    RemoveForce(u8),
    /// What a monitor calls at the end, by id.
    CleanUpId(usize),
    /// Only what every command does first.
    Recover,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AutoRemove {
    Yes,
    No,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Handler {
    /// It is left for a later command, and what was locked for it is let go.
    Ignore,
    /// As `Ignore`, but the container stays locked.
    IgnoreLocked,
    UndoCreate(usize, OpNumber),
    UndoInit(usize, OpNumber),
    UndoStart(usize),
}

/// One move of a command: what happens between two points at which others may come in, or it may die.
#[derive(Clone, Debug)]
pub(super) enum Move {
    Scan,
    TryRecover(OpRow),
    TakeOver(OpRow),
    LookInJournal(OpRow),
    Decide(OpRow),
    Recovery(RecoveryStep, usize, OpNumber),
    LetMonitorsIn(usize),
    Down(DownStep, usize),
    Gone(GoneStep, usize, OpNumber),
    EmptyTrash(OpNumber),
    FinishOp(OpNumber),
    RemoveOpLock(OpNumber),
    ForgetUnwritten,
    OwnUnwritten(OpNumber),
    ForgetIfUnwritten(OpNumber),
    EarlierBoots,
    TryRemove(usize),
    Refreshed,
    Begin(Command),
    Resolve(u8, Command),
    Lock(usize, Op),
    RecoverLocked(usize),
    Admit(usize, Op),
    Unlock(usize),
    RemoveLock(usize),
    RemoveLockIfGone(usize),
    Catch(Handler),
    Fail,
    Create(CreateStep, usize, OpNumber, Row),
    BeginInit(usize),
    Init(InitStep, usize, OpNumber),
    AwaitCreated(usize),
    StartFrom(usize),
    StartPrepared(usize),
    Start(StartStep, usize),
    RollStartBack(usize),
    BeginRollback(usize, OpNumber),
    RequestStop(usize),
    Signal(usize),
    Ask(usize, Stage, Stage),
    AwaitEnd(usize),
    CleanUp(usize),
    DecideCleanup(usize),
    BeginCleanup(usize),
    Cleanup(CleanupStep, usize, OpNumber, DurablePhase),
    BeginRemove(usize, Option<Ended>),
    Remove(RemoveStep, usize, OpNumber, bool),
    Stay(usize, bool),
}

/// What came of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Moved,
    /// Somebody has a lock it waits for.
    WaitsForLock,
    /// It waits for something that may not come, with a deadline.
    WaitsForEnd,
    /// There is nothing left to do.
    Idle,
}

#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) id: ActorId,
    pub(super) alive: bool,
    pub(super) commands: Vec<Command>,
    stack: Vec<Move>,
}

type Done = Result<Progress, Failure>;
const MOVED: Done = Ok(Progress::Moved);

impl Actor {
    pub(super) fn new(id: ActorId, mut commands: Vec<Command>) -> Self {
        commands.reverse();
        Self {
            id,
            alive: true,
            commands,
            stack: Vec::new(),
        }
    }

    pub(super) fn next(&self) -> Option<&Move> {
        self.stack.last()
    }

    /// `kill -9`.
    pub(super) fn die(&mut self, world: &mut World) {
        self.alive = false;
        self.stack.clear();
        self.commands.clear();
        world.let_go(self.id);
    }

    /// The next move fails without having done anything.
    pub(super) fn fail(&mut self, world: &mut World, failure: Failure) {
        if let Failure::Busy(what) = failure {
            world.violate(format!("{what} was to be given back"));
        }
        while let Some(next) = self.stack.pop() {
            if let Move::Catch(handler) = next {
                self.handle(handler, world);
                return;
            }
        }
        world.let_go(self.id);
    }

    fn handle(&mut self, handler: Handler, world: &mut World) {
        match handler {
            Handler::Ignore => {
                world.free_containers(self.id);
                world.free_ops(self.id);
            }
            Handler::IgnoreLocked => world.free_ops(self.id),
            Handler::UndoCreate(c, op) => {
                self.push([
                    Move::FinishOp(op),
                    Move::RemoveOpLock(op),
                    Move::RemoveLock(c),
                    Move::Fail,
                ]);
                self.recover(&plan::create_rollback(), c, op);
            }
            Handler::UndoInit(c, op) => {
                // The engine's end of the socket is closed.
                world.disconnect(self.id);
                self.push([Move::FinishOp(op), Move::RemoveOpLock(op), Move::Fail]);
                self.recover(&plan::init_rollback(), c, op);
            }
            Handler::UndoStart(c) => self.push([Move::RollStartBack(c), Move::Fail]),
        }
    }

    /// Puts moves on top of the stack; the first is the next.
    fn push(&mut self, moves: impl IntoIterator<Item = Move, IntoIter: DoubleEndedIterator>) {
        self.stack.extend(moves.into_iter().rev());
    }

    fn recover(&mut self, steps: &[RecoveryStep], c: usize, op: OpNumber) {
        if steps.contains(&RecoveryStep::AwaitMonitor) {
            self.push([Move::LetMonitorsIn(c)]);
        }
        let moves = steps.iter().map(|step| Move::Recovery(step.clone(), c, op));
        self.stack.extend(moves.rev());
    }

    /// Makes one move.
    pub(super) fn step(&mut self, world: &mut World, rules: &Rules) -> Progress {
        let Some(next) = self.stack.pop() else {
            let Some(command) = self.commands.pop() else {
                return Progress::Idle;
            };
            world.let_go(self.id);
            self.push([Move::Scan, Move::Begin(command)]);
            return Progress::Moved;
        };
        match self.perform(next.clone(), world, rules) {
            Ok(Progress::Moved) => {
                if self.stack.is_empty() {
                    world.let_go(self.id);
                }
                Progress::Moved
            }
            Ok(waits) => {
                self.stack.push(next);
                waits
            }
            Err(failure) => {
                self.fail(world, failure);
                Progress::Moved
            }
        }
    }

    fn perform(&mut self, next: Move, world: &mut World, rules: &Rules) -> Done {
        match next {
            Move::Scan
            | Move::TryRecover(_)
            | Move::TakeOver(_)
            | Move::LookInJournal(_)
            | Move::Decide(_)
            | Move::ForgetUnwritten
            | Move::OwnUnwritten(_)
            | Move::ForgetIfUnwritten(_)
            | Move::EarlierBoots
            | Move::TryRemove(_)
            | Move::RecoverLocked(_)
            | Move::Refreshed => self.look_for_dead(next, world, rules),
            Move::Recovery(step, c, op) => self.recovery(step, c, op, world, rules),
            Move::LetMonitorsIn(c) => {
                world.let_monitors_in(c, self.id);
                MOVED
            }
            Move::Down(step, c) => world.down(step, c, false).and(MOVED),
            Move::Gone(step, c, op) => self.gone(step, c, op, world, rules),
            Move::EmptyTrash(op) => world.empty_trash(op).and(MOVED),
            Move::FinishOp(op) => {
                world.finish_op(op);
                MOVED
            }
            Move::RemoveOpLock(op) => {
                world.remove_op_lock(op);
                MOVED
            }
            Move::Begin(command) => self.begin(command, world, rules),
            Move::Resolve(name, command) => self.resolve(name, command, world),
            Move::Lock(..)
            | Move::Admit(..)
            | Move::Unlock(_)
            | Move::RemoveLock(_)
            | Move::RemoveLockIfGone(_) => self.lock(&next, world, rules),
            Move::Catch(_) => MOVED,
            Move::Fail => Err(Failure::Ordinary),
            Move::Create(step, c, op, row) => world.create(step, c, op, &row).and(MOVED),
            Move::BeginInit(_)
            | Move::Init(..)
            | Move::AwaitCreated(_)
            | Move::StartFrom(_)
            | Move::StartPrepared(_)
            | Move::Start(..)
            | Move::RollStartBack(_)
            | Move::BeginRollback(..) => self.bring_up(next, world, rules),
            Move::RequestStop(_)
            | Move::Signal(_)
            | Move::Ask(..)
            | Move::AwaitEnd(_)
            | Move::Stay(..) => self.influence(&next, world),
            Move::CleanUp(_) | Move::DecideCleanup(_) | Move::BeginCleanup(_) => {
                self.clean_up(&next, world, rules)
            }
            Move::Cleanup(step, c, op, after) => cleanup_step(step, c, op, &after, world),
            Move::BeginRemove(c, ended) => self.begin_remove(c, ended.is_some(), world, rules),
            Move::Remove(step, c, op, spares) => remove_step(step, c, op, spares, world),
        }
    }

    fn look_for_dead(&mut self, next: Move, world: &mut World, rules: &Rules) -> Done {
        match next {
            Move::Scan => {
                self.push([Move::ForgetUnwritten, Move::EarlierBoots]);
                for row in world.journal.iter().rev() {
                    self.push([Move::TryRecover(*row), Move::Catch(Handler::Ignore)]);
                }
            }
            Move::TryRecover(row) => {
                let c = row.container;
                if plan::may_be_dead(owner(world, row)) && try_lock(world, c, self.id) {
                    self.push([
                        Move::TakeOver(row),
                        Move::RemoveLockIfGone(c),
                        Move::Unlock(c),
                    ]);
                }
            }
            Move::TakeOver(row) => {
                if plan::may_be_dead(owner(world, row)) && world.own_op(row.op, self.id) {
                    self.push([Move::LookInJournal(row)]);
                }
            }
            Move::LookInJournal(row) => {
                if (rules.is_recoverable)(world.in_journal(row.op)) {
                    self.push([
                        Move::Decide(row),
                        Move::EmptyTrash(row.op),
                        Move::FinishOp(row.op),
                        Move::RemoveOpLock(row.op),
                    ]);
                } else {
                    world.remove_op_lock(row.op);
                }
            }
            Move::Decide(row) => self.decide(row, world, rules),
            Move::ForgetUnwritten => {
                let free = world
                    .op_locks
                    .iter()
                    .filter(|(op, lock)| lock.holder.is_none() && !world.in_journal(*op));
                let moves: Vec<Move> = free.map(|(op, _)| Move::OwnUnwritten(*op)).collect();
                self.push(moves);
            }
            Move::OwnUnwritten(op) => {
                if !world.in_journal(op) && world.own_op(op, self.id) {
                    self.push([Move::ForgetIfUnwritten(op)]);
                }
            }
            Move::ForgetIfUnwritten(op) => {
                if world.in_journal(op) {
                    for (known, lock) in &mut world.op_locks {
                        if *known == op {
                            lock.holder = None;
                        }
                    }
                } else {
                    world.remove_op_lock(op);
                }
            }
            Move::EarlierBoots => {
                if !world.refreshed {
                    self.push([Move::Refreshed]);
                    let moves: Vec<Move> = (0..world.things.len()).map(Move::TryRemove).collect();
                    self.push(moves);
                }
            }
            Move::TryRemove(c) => {
                let goes = world.things[c].row.as_ref().is_some_and(|row| {
                    plan::goes_with_boot(&row.durable, row.auto_remove, &BOOTS[world.boot])
                });
                if goes && try_lock(world, c, self.id) {
                    self.push([Move::BeginRemove(c, None), Move::RemoveLock(c)]);
                }
            }
            Move::RecoverLocked(c) => {
                let ours = world.journal.iter().filter(|row| row.container == c);
                for row in ours.rev() {
                    self.push([Move::TakeOver(*row), Move::Catch(Handler::IgnoreLocked)]);
                }
            }
            Move::Refreshed => world.refreshed = true,
            _ => unreachable!("{next:?} is no look for dead operations"),
        }
        MOVED
    }

    fn decide(&mut self, row: OpRow, world: &World, rules: &Rules) {
        let c = row.container;
        let phase = world.derive(c);
        let record = world.things[c].row.as_ref();
        let container = record
            .zip(phase.as_ref())
            .map(|(row, phase)| DeadOpContainer {
                durable: &row.durable,
                phase,
                auto_remove: row.auto_remove,
            });
        let view = world.live_view(c);
        let steps = (rules.recovery)(&DeadOp {
            kind: row.kind,
            container,
            live: view.as_ref(),
        });
        self.recover(&steps, c, row.op);
    }

    fn recovery(
        &mut self,
        step: RecoveryStep,
        c: usize,
        op: OpNumber,
        world: &mut World,
        rules: &Rules,
    ) -> Done {
        self.must_hold(c, world);
        match step {
            RecoveryStep::AwaitMonitor => {
                if !world.await_monitor(c, self.id, rules.keeps_monitors_out) {
                    return Ok(Progress::WaitsForEnd);
                }
            }
            RecoveryStep::Down => self.push(rules.down.iter().map(|step| Move::Down(*step, c))),
            RecoveryStep::Gone => {
                self.push(rules.gone.iter().map(|step| Move::Gone(*step, c, op)));
            }
            RecoveryStep::Record(phase) => world.set_phase(c, &phase)?,
            RecoveryStep::Revert => {
                if let Some(row) = &world.things[c].row {
                    let before = row.durable.without_run();
                    world.set_phase(c, &before)?;
                }
            }
            // Of operations that the model does not have.
            RecoveryStep::Settle | RecoveryStep::Release => {}
            RecoveryStep::Remove => self.push([Move::BeginRemove(c, None)]),
        }
        MOVED
    }

    fn gone(
        &mut self,
        step: GoneStep,
        c: usize,
        op: OpNumber,
        world: &mut World,
        rules: &Rules,
    ) -> Done {
        match step {
            GoneStep::Down => self.push(rules.down.iter().map(|step| Move::Down(*step, c))),
            GoneStep::Unmount => world.down(DownStep::Unmount, c, false)?,
            GoneStep::RemoveRunDirectory => world.down(DownStep::RemoveRunDirectory, c, false)?,
            GoneStep::Trash => world.trash(c, op),
            GoneStep::DeleteRow => delete_row(c, world),
            GoneStep::EmptyTrash => world.empty_trash(op)?,
        }
        MOVED
    }

    fn begin(&mut self, command: Command, world: &mut World, rules: &Rules) -> Done {
        let name = match command {
            Command::Create(name, auto_remove) => {
                self.create(name, auto_remove, world, rules);
                return MOVED;
            }
            Command::Run(name) => {
                let c = world.things.len();
                self.push([
                    Move::Lock(c, Op::Start),
                    Move::StartFrom(c),
                    Move::Stay(c, false),
                    Move::Unlock(c),
                    Move::AwaitEnd(c),
                    Move::CleanUp(c),
                    Move::Stay(c, true),
                ]);
                self.create(name, AutoRemove::Yes, world, rules);
                return MOVED;
            }
            Command::CleanUpId(c) => {
                self.push([Move::CleanUp(c)]);
                return MOVED;
            }
            Command::Recover => return MOVED,
            Command::Init(name)
            | Command::Start(name)
            | Command::Stop(name)
            | Command::Kill(name)
            | Command::Pause(name)
            | Command::Unpause(name)
            | Command::Restart(name)
            | Command::Cleanup(name)
            | Command::Remove(name)
            | Command::RemoveForce(name) => name,
        };
        self.push([Move::Resolve(name, command)]);
        MOVED
    }

    fn create(&mut self, name: u8, auto_remove: AutoRemove, world: &mut World, rules: &Rules) {
        let (c, actor) = (world.things.len(), Some(self.id));
        world.things.push(Thing {
            lock: Some(LockFile { holder: actor }),
            ..Thing::default()
        });
        let op = self.new_op(world);
        let row = Row {
            name,
            durable: DurablePhase::Configured,
            auto_remove: auto_remove == AutoRemove::Yes,
        };
        self.push([Move::RemoveOpLock(op), Move::Unlock(c)]);
        self.push([Move::Catch(Handler::UndoCreate(c, op))]);
        self.push(
            rules
                .create
                .iter()
                .map(|step| Move::Create(*step, c, op, row.clone())),
        );
    }

    fn new_op(&self, world: &mut World) -> OpNumber {
        world.next_op += 1;
        let op = world.next_op;
        world.own_op(op, self.id);
        op
    }

    fn resolve(&mut self, name: u8, command: Command, world: &World) -> Done {
        let named = |thing: &Thing| thing.row.as_ref().is_some_and(|row| row.name == name);
        let Some(c) = world.things.iter().position(named) else {
            return Err(Failure::Ordinary);
        };
        match command {
            Command::Init(_) => {
                self.push([Move::Lock(c, Op::Init), Move::BeginInit(c), Move::Unlock(c)]);
            }
            Command::Start(_) => {
                self.push([
                    Move::Lock(c, Op::Start),
                    Move::StartFrom(c),
                    Move::Unlock(c),
                ]);
            }
            Command::Stop(_) => self.stop(c),
            Command::Restart(_) => {
                self.push([
                    Move::Lock(c, Op::Start),
                    Move::StartFrom(c),
                    Move::Unlock(c),
                ]);
                self.push([Move::Catch(Handler::Ignore)]);
                self.stop(c);
                self.push([Move::Lock(c, Op::Restart), Move::Unlock(c)]);
            }
            Command::Kill(_) => self.push([
                Move::Lock(c, Op::Kill),
                Move::Signal(c),
                Move::Unlock(c),
                Move::AwaitEnd(c),
                Move::CleanUp(c),
            ]),
            Command::Pause(_) => self.push([
                Move::Lock(c, Op::Pause),
                Move::Ask(c, Stage::Running, Stage::Paused),
                Move::Unlock(c),
            ]),
            Command::Unpause(_) => self.push([
                Move::Lock(c, Op::Unpause),
                Move::Ask(c, Stage::Paused, Stage::Running),
                Move::Unlock(c),
            ]),
            Command::Cleanup(_) => self.push([Move::CleanUp(c)]),
            Command::Remove(_) => self.remove(c, Op::Remove),
            Command::RemoveForce(_) => self.remove(c, Op::RemoveForce),
            Command::Create(..) | Command::Run(_) | Command::CleanUpId(_) | Command::Recover => {}
        }
        MOVED
    }

    fn stop(&mut self, c: usize) {
        self.push([
            Move::Lock(c, Op::Stop),
            Move::RequestStop(c),
            Move::Unlock(c),
            Move::AwaitEnd(c),
            Move::CleanUp(c),
        ]);
    }

    fn remove(&mut self, c: usize, op: Op) {
        self.push([
            Move::Lock(c, op),
            Move::BeginRemove(c, None),
            Move::RemoveLock(c),
        ]);
    }

    fn lock(&mut self, next: &Move, world: &mut World, rules: &Rules) -> Done {
        match *next {
            Move::Lock(c, op) => {
                if !try_lock(world, c, self.id) {
                    return Ok(Progress::WaitsForLock);
                }
                self.push([Move::Admit(c, op)]);
                if rules.recovers_when_locked {
                    self.push([Move::RecoverLocked(c)]);
                }
            }
            Move::Admit(c, op) => {
                let Some(phase) = world.derive(c) else {
                    world.things[c].lock = None;
                    return Err(Failure::Ordinary);
                };
                // A clean-up decides by itself.
                if op != Op::Cleanup && phase.admit(op).is_err() {
                    return Err(Failure::Ordinary);
                }
            }
            Move::Unlock(c) => {
                if let Some(lock) = &mut world.things[c].lock
                    && lock.holder == Some(self.id)
                {
                    lock.holder = None;
                }
            }
            Move::RemoveLock(c) => {
                self.must_hold(c, world);
                world.things[c].lock = None;
            }
            Move::RemoveLockIfGone(c) => {
                if world.things[c].row.is_none() {
                    world.things[c].lock = None;
                }
            }
            _ => unreachable!("{next:?} is no move of a lock"),
        }
        MOVED
    }

    fn must_hold(&self, c: usize, world: &mut World) {
        let holder = world.things[c].lock.and_then(|lock| lock.holder);
        if holder != Some(self.id) {
            world.violate(format!(
                "{} changes {c}, which {holder:?} has locked",
                self.id
            ));
        }
    }

    fn bring_up(&mut self, next: Move, world: &mut World, rules: &Rules) -> Done {
        match next {
            Move::StartFrom(c) => {
                self.push([Move::StartPrepared(c)]);
                if world.derive(c).map(|phase| phase.name()) != Some(PhaseName::Created) {
                    self.push([Move::BeginInit(c)]);
                } else if !world.live_view(c).is_some_and(|view| view.monitor_alive) {
                    return Err(Failure::Ordinary);
                }
            }
            Move::StartPrepared(c) => self.push([
                Move::Start(StartStep::Start, c),
                Move::Start(StartStep::Record, c),
                Move::Catch(Handler::UndoStart(c)),
            ]),
            Move::BeginInit(c) => {
                let phase = world.derive(c).ok_or(Failure::Ordinary)?.name();
                if plan::cleans_up_before_init(phase) {
                    self.push([Move::BeginCleanup(c), Move::BeginInit(c)]);
                    return MOVED;
                }
                if phase.admit(Op::Init).is_err() {
                    return Err(Failure::Ordinary);
                }
                let op = self.new_op(world);
                self.push([
                    Move::Catch(Handler::UndoInit(c, op)),
                    Move::RemoveOpLock(op),
                ]);
                self.push(rules.init.iter().map(|step| Move::Init(*step, c, op)));
            }
            Move::Init(step, c, op) => {
                self.must_hold(c, world);
                world.init(step, c, op, self.id)?;
                if step == InitStep::SpawnMonitor {
                    self.push([Move::AwaitCreated(c)]);
                }
            }
            Move::AwaitCreated(c) => {
                let ours = |monitor: &&super::world::Monitor| monitor.engine == Some(self.id);
                match world.things[c]
                    .monitors
                    .iter()
                    .find(ours)
                    .map(|monitor| monitor.at)
                {
                    None | Some(super::world::At::Aborting) => return Err(Failure::Ordinary),
                    Some(super::world::At::Spawned | super::world::At::Making(_)) => {
                        return Ok(Progress::WaitsForEnd);
                    }
                    Some(_) => {}
                }
            }
            Move::Start(StartStep::Start, c) => {
                self.must_hold(c, world);
                world.ask(c, Stage::Created, Stage::Running)?;
            }
            Move::Start(StartStep::Record, _) => {}
            Move::RollStartBack(c) => {
                let steps = (rules.start_rollback)(world.things[c].exit.is_some());
                if !steps.is_empty() {
                    let op = self.new_op(world);
                    self.push([
                        Move::BeginRollback(c, op),
                        Move::FinishOp(op),
                        Move::RemoveOpLock(op),
                    ]);
                    let begin = self.stack.pop();
                    self.recover(&steps, c, op);
                    self.stack.extend(begin);
                }
            }
            Move::BeginRollback(c, op) => world.begin_op(OpKind::Start, c, op),
            _ => unreachable!("{next:?} brings nothing up"),
        }
        MOVED
    }

    fn influence(&mut self, next: &Move, world: &mut World) -> Done {
        match *next {
            Move::RequestStop(c) => {
                self.must_hold(c, world);
                if world.ask(c, Stage::Running, Stage::Stopping).is_err() {
                    world.down(DownStep::KillProcesses, c, false)?;
                }
            }
            Move::Signal(c) => {
                let live = world.derive(c).and_then(|phase| phase.live().cloned());
                let thing = &mut world.things[c];
                if let (Some(live), Some(process)) = (live, thing.process)
                    && i32::try_from(process.number) == Ok(live.pid)
                {
                    thing.process = None;
                }
            }
            Move::Ask(c, from, to) => world.ask(c, from, to)?,
            Move::AwaitEnd(c) => {
                if world.derive(c).is_some_and(|phase| phase.live().is_some()) {
                    return Ok(Progress::WaitsForEnd);
                }
            }
            Move::Stay(c, is_over) => world.stay(c, self.id, is_over),
            _ => unreachable!("{next:?} influences nothing"),
        }
        MOVED
    }

    fn clean_up(&mut self, next: &Move, world: &mut World, rules: &Rules) -> Done {
        match *next {
            // The container may be gone by then, which is as good.
            Move::CleanUp(c) => self.push([
                Move::Lock(c, Op::Cleanup),
                Move::DecideCleanup(c),
                Move::Unlock(c),
                Move::Catch(Handler::Ignore),
            ]),
            Move::DecideCleanup(c) => {
                let phase = world.derive(c).ok_or(Failure::Ordinary)?;
                let auto_remove = world.things[c]
                    .row
                    .as_ref()
                    .is_some_and(|row| row.auto_remove);
                match plan::cleanup(&phase, auto_remove) {
                    Cleanup::Nothing => {}
                    Cleanup::CleanUp => self.push([Move::BeginCleanup(c)]),
                    Cleanup::RemoveWithRun(ended) => {
                        self.push([Move::BeginRemove(c, Some(ended)), Move::RemoveLock(c)]);
                    }
                    Cleanup::GoOnRemoving => {
                        self.push([Move::BeginRemove(c, None), Move::RemoveLock(c)]);
                    }
                    Cleanup::Refuse => return Err(Failure::Ordinary),
                }
            }
            Move::BeginCleanup(c) => {
                let after = plan::phase_after(&world.derive(c).ok_or(Failure::Ordinary)?);
                let op = self.new_op(world);
                self.push([Move::RemoveOpLock(op)]);
                let step = |step: &CleanupStep| Move::Cleanup(*step, c, op, after.clone());
                self.push(rules.cleanup.iter().map(step));
            }
            _ => unreachable!("{next:?} cleans nothing up"),
        }
        MOVED
    }

    fn begin_remove(&mut self, c: usize, spares: bool, world: &mut World, rules: &Rules) -> Done {
        self.must_hold(c, world);
        if world.things[c].row.is_some() {
            let op = self.new_op(world);
            self.push([Move::RemoveOpLock(op)]);
            self.push(
                rules
                    .remove
                    .iter()
                    .map(|step| Move::Remove(*step, c, op, spares)),
            );
        }
        MOVED
    }

    /// The fault point of the next move, if it is one.
    pub(super) fn fault_point(&self) -> Option<&'static str> {
        match self.next()? {
            Move::Create(step, ..) => Some(step.name()),
            Move::Init(step, ..) => Some(step.name()),
            Move::Start(step, _) => Some(step.name()),
            Move::Cleanup(step, ..) => Some(step.name()),
            Move::Remove(step, ..) => Some(step.name()),
            _ => None,
        }
    }
}

fn owner(world: &World, row: OpRow) -> OwnerFacts {
    OwnerFacts {
        this_boot: row.boot == world.boot,
        is_owned: world.op_is_owned(row.op),
    }
}

fn try_lock(world: &mut World, c: usize, actor: ActorId) -> bool {
    let holder = Some(actor);
    let lock = world.things[c].lock.get_or_insert(LockFile { holder });
    if lock.holder.is_some_and(|other| other != actor) {
        return false;
    }
    lock.holder = holder;
    true
}

fn delete_row(c: usize, world: &mut World) {
    world.things[c].row = None;
    world.things[c].promised = None;
}

fn cleanup_step(
    step: CleanupStep,
    c: usize,
    op: OpNumber,
    after: &DurablePhase,
    world: &mut World,
) -> Done {
    match step {
        CleanupStep::Claim => world.begin_op(OpKind::Cleanup, c, op),
        CleanupStep::KillProcesses => world.down(DownStep::KillProcesses, c, true)?,
        CleanupStep::DeleteRuntime => world.down(DownStep::DeleteRuntime, c, true)?,
        CleanupStep::RemoveCgroup => world.down(DownStep::RemoveCgroup, c, true)?,
        CleanupStep::RemoveNetwork => world.down(DownStep::RemoveNetwork, c, true)?,
        CleanupStep::Unmount => world.down(DownStep::Unmount, c, true)?,
        CleanupStep::Record => {
            let seen = world.exit_of_this_boot(c);
            world.set_phase(c, &crate::plan::phase_recorded(after, seen.as_ref()))?;
        }
        CleanupStep::RemoveRunDirectory => world.down(DownStep::RemoveRunDirectory, c, true)?,
        CleanupStep::Finish => world.finish_op(op),
    }
    MOVED
}

fn remove_step(step: RemoveStep, c: usize, op: OpNumber, spares: bool, world: &mut World) -> Done {
    match step {
        RemoveStep::Claim => {
            world.set_phase(c, &DurablePhase::Removing)?;
            world.begin_op(OpKind::Remove, c, op);
        }
        RemoveStep::KillProcesses => world.down(DownStep::KillProcesses, c, spares)?,
        RemoveStep::DeleteRuntime => world.down(DownStep::DeleteRuntime, c, spares)?,
        RemoveStep::RemoveCgroup => world.down(DownStep::RemoveCgroup, c, spares)?,
        RemoveStep::RemoveNetwork => world.down(DownStep::RemoveNetwork, c, spares)?,
        RemoveStep::Unmount => world.down(DownStep::Unmount, c, spares)?,
        RemoveStep::RemoveRunDirectory => world.down(DownStep::RemoveRunDirectory, c, spares)?,
        RemoveStep::Trash => world.trash(c, op),
        RemoveStep::DeleteRow => delete_row(c, world),
        RemoveStep::EmptyTrash => world.empty_trash(op)?,
        RemoveStep::Finish => world.finish_op(op),
    }
    MOVED
}
