//! One run: commands, monitors and the environment take turns at random; then everybody comes to rest, and everything is
//! taken away.

use ctr_state::{DurablePhase, PhaseName};

use super::actor::{Actor, AutoRemove, Command, Move, Progress};
use super::rules::Rules;
use super::world::{BOOTS, Failure, World};

/// More moves than any run needs that comes to rest.
const PATIENCE: usize = 20_000;

/// Splitmix64 (Steele, Lea, Flood 2014): one run is one seed.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// True `per_mille` times of a thousand.
    fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }
}

/// How many of the things that matter have happened, so that a test can say that they did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) moves: u64,
    pub(super) crashes: u64,
    pub(super) reboots: u64,
    pub(super) monitors_killed: u64,
    pub(super) exits: u64,
    pub(super) faults: u64,
    pub(super) ran: u64,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Self) {
        self.moves += other.moves;
        self.crashes += other.crashes;
        self.reboots += other.reboots;
        self.monitors_killed += other.monitors_killed;
        self.exits += other.exits;
        self.faults += other.faults;
        self.ran += other.ran;
    }

    /// Whether everything has happened.
    pub(super) fn is_eventful(&self) -> bool {
        [
            self.crashes,
            self.reboots,
            self.monitors_killed,
            self.exits,
            self.faults,
            self.ran,
        ]
        .iter()
        .all(|count| *count > 100)
    }
}

pub(super) struct Run<'a> {
    rules: &'a Rules,
    random: Random,
    world: World,
    actors: Vec<Actor>,
    pub(super) seen: Seen,
    /// What happened, when it is to be told.
    pub(super) trace: Option<Vec<String>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(rules: &'a Rules, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut actors = Vec::new();
        for id in 0..3 {
            let mut commands = Vec::new();
            if id == 0 {
                commands.push(begin(&mut random));
            }
            for _ in 0..=random.below(3) {
                commands.push(command(&mut random));
            }
            actors.push(Actor::new(id, commands));
        }
        Self {
            rules,
            random,
            world: World::default(),
            actors,
            seen: Seen::default(),
            trace: None,
        }
    }

    /// Plays the run to its end; the first broken invariant.
    pub(super) fn play(&mut self) -> Option<String> {
        let moves = 40 + self.random.below(200);
        for _ in 0..moves {
            self.turn();
            if self.world.violation.is_some() {
                return self.world.violation.take();
            }
        }
        self.come_to_rest();
        for last in [
            vec![Command::Recover],
            vec![Command::RemoveForce(0), Command::RemoveForce(1)],
        ] {
            let removes = last.len() > 1;
            self.tell(|| format!("last: {last:?}"));
            let id = self.actors.len();
            self.actors.push(Actor::new(id, last));
            self.come_to_rest();
            if removes {
                self.check_nothing_left();
            } else {
                self.check_rest();
            }
        }
        self.world.violation.take()
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    /// One move of somebody.
    fn turn(&mut self) {
        self.seen.moves += 1;
        let which = self.random.below(1000);
        match which {
            0..=1 => self.reboot(),
            2..=9 => self.kill_monitor(),
            10..=299 => self.environment(),
            _ => {
                let count = self.actors.len();
                let actor = self.random.below(count);
                self.act(actor);
            }
        }
        self.check_always();
    }

    fn act(&mut self, id: usize) -> Progress {
        if !self.actors[id].alive {
            return Progress::Idle;
        }
        if self.random.chance(8) && self.actors[id].next().is_some() {
            self.tell(|| format!("{id}: kill -9"));
            self.seen.crashes += 1;
            self.actors[id].die(&mut self.world);
            return Progress::Moved;
        }
        if self.actors[id].fault_point().is_some() && self.random.chance(10) {
            self.tell(|| format!("{id}: fault"));
            self.seen.faults += 1;
            self.actors[id].fail(&mut self.world, Failure::Ordinary);
            return Progress::Moved;
        }
        self.step(id)
    }

    fn step(&mut self, id: usize) -> Progress {
        let next = self.actors[id].next().cloned();
        let progress = self.actors[id].step(&mut self.world, self.rules);
        if progress == Progress::Moved {
            if matches!(next, Some(Move::Start(..))) {
                self.seen.ran += 1;
            }
            self.tell(|| format!("{id}: {next:?}"));
        }
        progress
    }

    fn reboot(&mut self) {
        if self.world.boot + 1 >= BOOTS.len() {
            return;
        }
        self.tell(|| "reboot".into());
        self.seen.reboots += 1;
        for actor in &mut self.actors {
            // What has not been typed yet is typed after the reboot.
            let commands = std::mem::take(&mut actor.commands);
            actor.die(&mut self.world);
            actor.alive = true;
            actor.commands = commands;
        }
        self.world.reboot();
    }

    fn kill_monitor(&mut self) {
        for c in 0..self.world.things.len() {
            if let Some(monitor) = self.world.things[c].monitors.first().copied() {
                self.tell(|| format!("monitor {} of {c} killed", monitor.number));
                self.seen.monitors_killed += 1;
                self.world.monitor_gone(c, monitor.number);
                return;
            }
        }
    }

    /// A program ends, or a monitor moves.
    fn environment(&mut self) {
        let count = self.world.things.len();
        if count == 0 {
            return;
        }
        let c = self.random.below(count);
        if self.random.chance(120) {
            self.exit(c);
        } else if self.random.chance(50) {
            self.runtime_fails(c);
        } else {
            self.monitors_move(c);
        }
    }

    fn exit(&mut self, c: usize) {
        let thing = &mut self.world.things[c];
        if thing
            .process
            .is_some_and(|process| process.started && !process.frozen)
        {
            thing.process = None;
            self.seen.exits += 1;
            self.tell(|| format!("the program of {c} ends"));
        }
    }

    fn runtime_fails(&mut self, c: usize) {
        if let Some(monitor) = self.world.things[c].monitors.first_mut()
            && matches!(monitor.at, super::world::At::Making(_))
        {
            monitor.at = super::world::At::Aborting;
            self.tell(|| format!("the runtime cannot make {c}"));
        }
    }

    fn monitors_move(&mut self, c: usize) -> bool {
        for index in 0..self.world.things[c].monitors.len() {
            let before = self.world.things[c].monitors[index];
            let mut spawn = false;
            if self.world.monitor_moves(c, index, &mut spawn) {
                self.tell(|| format!("monitor {} of {c}: {:?}", before.number, before.at));
                if spawn {
                    let id = self.actors.len();
                    self.actors
                        .push(Actor::new(id, vec![Command::CleanUpId(c)]));
                }
                return true;
            }
        }
        // A stop's time is up.
        let thing = &mut self.world.things[c];
        let stops = thing.run.and_then(|run| run.live).map(|live| live.stage)
            == Some(ctr_state::Stage::Stopping);
        if stops && !thing.monitors.is_empty() && thing.process.take().is_some() {
            self.tell(|| format!("the monitor of {c} kills"));
            return true;
        }
        false
    }

    /// Without further faults everybody comes to an end.
    fn come_to_rest(&mut self) {
        for _ in 0..PATIENCE {
            if self.world.violation.is_some() {
                return;
            }
            let mut moved = false;
            let mut waits = None;
            let mut locked = None;
            let count = self.actors.len();
            let offset = self.random.below(count);
            for index in 0..count {
                let id = (index + offset) % count;
                if !self.actors[id].alive {
                    continue;
                }
                match self.step(id) {
                    Progress::Moved => {
                        moved = true;
                        break;
                    }
                    Progress::WaitsForLock => locked = Some(id),
                    Progress::WaitsForEnd => waits = Some(id),
                    Progress::Idle => {}
                }
            }
            let things = self.world.things.len();
            if !moved || self.random.chance(300) {
                for c in 0..things {
                    moved |= self.monitors_move(c);
                }
            }
            self.check_always();
            if moved {
                continue;
            }
            match (waits, locked) {
                (Some(id), _) => {
                    self.tell(|| format!("{id}: its time is up"));
                    self.actors[id].fail(&mut self.world, Failure::Ordinary);
                }
                (None, Some(id)) => {
                    let next = format!("{:?}", self.actors[id].next());
                    self.world.violate(format!("{id} waits for ever: {next}"));
                }
                (None, None) => return,
            }
        }
        self.world.violate("somebody never comes to an end");
    }

    /// What holds after every move.
    fn check_always(&mut self) {
        for c in 0..self.world.things.len() {
            let thing = &self.world.things[c];
            let Some(row) = &thing.row else { continue };
            let same_name = |other: &&super::world::Thing| {
                other
                    .row
                    .as_ref()
                    .is_some_and(|known| known.name == row.name)
            };
            if self.world.things.iter().filter(same_name).count() > 1 {
                self.world
                    .violate(format!("two containers have the name {}", row.name));
                return;
            }
            if row.durable != DurablePhase::Removing
                && let Some(code) = thing.promised
            {
                let kept = match &row.durable {
                    DurablePhase::Exited(ended) => ended.exit_code == code,
                    DurablePhase::Up { before, .. } => {
                        before.as_ref().is_some_and(|ended| ended.exit_code == code)
                            || thing.exit.is_some_and(|(_, known)| known == code)
                    }
                    DurablePhase::Configured | DurablePhase::Removing => {
                        thing.exit.is_some_and(|(_, known)| known == code)
                    }
                };
                if !kept {
                    let durable = format!("{:?}", row.durable);
                    self.world
                        .violate(format!("exit code {code} of {c} is lost: {durable}"));
                    return;
                }
            }
            let locked = self.world.things[c]
                .lock
                .is_some_and(|lock| lock.holder.is_some());
            let in_journal = self.world.journal.iter().any(|op| op.container == c);
            if !locked && !in_journal && self.world.is_settled(c) {
                self.check_phase(c);
            }
        }
    }

    /// A phase nobody is changing tells the truth.
    fn check_phase(&mut self, c: usize) {
        let Some(phase) = self.world.derive(c) else {
            return;
        };
        let process = self.world.things[c].process;
        let told = match phase.name() {
            PhaseName::Created => process.is_some_and(|process| !process.started),
            PhaseName::Running => process.is_some_and(|process| process.started),
            PhaseName::Paused => process.is_some_and(|process| process.frozen),
            PhaseName::Stopping => process.is_some(),
            PhaseName::Configured | PhaseName::Stopped | PhaseName::Exited => process.is_none(),
            // A removal whose entry is gone belongs to an earlier boot.
            PhaseName::Removing => true,
        };
        if !told {
            let name = phase.name();
            self.world.violate(format!(
                "{c} is said to be {name} with the process {process:?}"
            ));
        }
    }

    /// What holds when nobody is at work and one command has recovered.
    fn check_rest(&mut self) {
        self.check_globals();
        for c in 0..self.world.things.len() {
            let name = self.world.derive(c).map(|phase| phase.name());
            match name {
                None => self.check_gone(c),
                Some(PhaseName::Configured | PhaseName::Exited) => self.check_down(c),
                Some(PhaseName::Removing) => {
                    self.world.violate(format!("nobody goes on removing {c}"));
                }
                Some(
                    PhaseName::Created
                    | PhaseName::Running
                    | PhaseName::Paused
                    | PhaseName::Stopping
                    | PhaseName::Stopped,
                ) => {}
            }
        }
    }

    fn check_globals(&mut self) {
        let world = &self.world;
        if !world.journal.is_empty() || !world.op_locks.is_empty() {
            let left = format!(
                "left in the journal: {:?}, {:?}",
                world.journal, world.op_locks
            );
            self.world.violate(left);
        }
    }

    fn check_down(&mut self, c: usize) {
        let thing = &self.world.things[c];
        let left = [
            ("a mount", thing.mount),
            ("a network namespace", thing.netns),
            ("a cgroup", thing.cgroup),
            ("a process", thing.process.is_some()),
            ("a run directory", thing.run.is_some()),
            ("a monitor", !thing.monitors.is_empty()),
        ];
        for (what, is_left) in left {
            if is_left {
                self.world.violate(format!("{what} of {c} is left"));
            }
        }
    }

    fn check_gone(&mut self, c: usize) {
        self.check_down(c);
        let thing = &self.world.things[c];
        let left = [
            ("the directory", thing.directory),
            ("trash", !thing.trash.is_empty()),
        ];
        for (what, is_left) in left {
            if is_left {
                self.world
                    .violate(format!("{what} of {c}, which is gone, is left"));
            }
        }
    }

    fn check_nothing_left(&mut self) {
        self.check_globals();
        for c in 0..self.world.things.len() {
            if self.world.things[c].row.is_some() {
                self.world
                    .violate(format!("{c} could not be removed by force"));
            }
            self.check_gone(c);
        }
    }
}

fn begin(random: &mut Random) -> Command {
    match random.below(4) {
        0 => Command::Run(0),
        1 => Command::Create(0, AutoRemove::Yes),
        _ => Command::Create(0, AutoRemove::No),
    }
}

fn command(random: &mut Random) -> Command {
    // Nearly all of it happens to one container: that is where they get in each other's way.
    let name = u8::from(random.chance(100));
    match random.below(17) {
        0 => Command::Create(name, AutoRemove::No),
        1 => Command::Run(name),
        2..=4 => Command::Start(name),
        5 => Command::Init(name),
        6..=7 => Command::Stop(name),
        8 => Command::Kill(name),
        9 => Command::Pause(name),
        10 => Command::Unpause(name),
        11 => Command::Restart(name),
        12 => Command::Cleanup(name),
        13 => Command::Remove(name),
        14 => Command::Recover,
        _ => Command::RemoveForce(name),
    }
}
