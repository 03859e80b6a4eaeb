//! The transition table: pure and total. May this operation begin here, and where does this fact lead?
//!
//! What each cell says follows libpod's `ensureState` sites (libpod/container_api.go and container_internal.go) as
//! listed in the project's semantics, section 4; a refusal has one of two kinds: there is nothing left to do
//! ([`Denied::AlreadyThere`], which a command line shows as success), or the phase is wrong.

use std::fmt;

use crate::phase::{Ended, Live, Phase, PhaseName};

/// Something a user or the engine may want to do with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the command or method of that name")]
pub enum Op {
    Init,
    Start,
    /// Attach without starting.
    Attach,
    Resize,
    Stop,
    Kill,
    Restart,
    Pause,
    Unpause,
    Exec,
    Mount,
    Unmount,
    Export,
    Copy,
    Commit,
    Wait,
    Cleanup,
    Remove,
    /// Remove, ending it first when needed.
    RemoveForce,
    Rename,
    Update,
    NetworkConnect,
    NetworkReload,
    Top,
    Stats,
    Healthcheck,
    Checkpoint,
    Restore,
    Inspect,
    Logs,
}

impl Op {
    /// Every operation.
    pub const ALL: [Self; 30] = [
        Self::Init,
        Self::Start,
        Self::Attach,
        Self::Resize,
        Self::Stop,
        Self::Kill,
        Self::Restart,
        Self::Pause,
        Self::Unpause,
        Self::Exec,
        Self::Mount,
        Self::Unmount,
        Self::Export,
        Self::Copy,
        Self::Commit,
        Self::Wait,
        Self::Cleanup,
        Self::Remove,
        Self::RemoveForce,
        Self::Rename,
        Self::Update,
        Self::NetworkConnect,
        Self::NetworkReload,
        Self::Top,
        Self::Stats,
        Self::Healthcheck,
        Self::Checkpoint,
        Self::Restore,
        Self::Inspect,
        Self::Logs,
    ];

    /// The verb, for messages.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Init => "initialize",
            Self::Start => "start",
            Self::Attach => "attach to",
            Self::Resize => "resize the terminal of",
            Self::Stop => "stop",
            Self::Kill => "send a signal to",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Exec => "execute a command in",
            Self::Mount => "mount",
            Self::Unmount => "unmount",
            Self::Export => "export",
            Self::Copy => "copy to or from",
            Self::Commit => "commit",
            Self::Wait => "wait for",
            Self::Cleanup => "clean up",
            Self::Remove | Self::RemoveForce => "remove",
            Self::Rename => "rename",
            Self::Update => "update",
            Self::NetworkConnect => "change the networks of",
            Self::NetworkReload => "reload the networks of",
            Self::Top => "list the processes of",
            Self::Stats => "measure",
            Self::Healthcheck => "check the health of",
            Self::Checkpoint => "checkpoint",
            Self::Restore => "restore",
            Self::Inspect => "inspect",
            Self::Logs => "read the logs of",
        }
    }
}

/// Why an operation may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// What is asked for is already so; nothing needs doing.
    #[error("it is already {0}")]
    AlreadyThere(PhaseName),
    /// It makes no sense in this phase.
    #[error("cannot {} a container that is {phase}", op.verb())]
    WrongPhase {
        /// What was asked.
        op: Op,
        /// Where the container is.
        phase: PhaseName,
    },
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The runtime has made it.
    Created(Live),
    /// Its program has been started.
    Started(Live),
    /// Its processes are frozen.
    Paused,
    /// They run again.
    Resumed,
    /// Somebody asked for its end.
    StopRequested,
    /// Its first process has ended.
    Ended(Ended),
    /// Its resources of this boot have been given back.
    CleanedUp,
    /// Its removal has begun.
    RemovalBegan,
    /// The host has been booted anew; the end of a run that was going on is given.
    HostRestarted(Ended),
}

/// A fact that cannot have happened in a phase: a defect of the engine, never of the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fact} cannot follow the phase {phase}")]
pub struct Contradiction {
    /// Where the container was.
    pub phase: PhaseName,
    /// What is said to have happened.
    pub fact: FactName,
}

/// A fact without what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactName(&'static str);

impl fmt::Display for FactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Fact {
    const fn name(&self) -> FactName {
        FactName(match self {
            Self::Created(_) => "creation",
            Self::Started(_) => "start",
            Self::Paused => "pause",
            Self::Resumed => "resumption",
            Self::StopRequested => "stop request",
            Self::Ended(_) => "end",
            Self::CleanedUp => "clean-up",
            Self::RemovalBegan => "removal",
            Self::HostRestarted(_) => "host restart",
        })
    }
}

impl PhaseName {
    /// Whether `op` may begin in this phase.
    ///
    /// # Errors
    /// Why not.
    pub const fn admit(self, op: Op) -> Result<(), Denied> {
        use PhaseName::{
            Configured, Created, Exited, Paused, Removing, Running, Stopped, Stopping,
        };
        const YES: Result<(), Denied> = Ok(());
        let there = Err(Denied::AlreadyThere(self));
        let wrong = Err(Denied::WrongPhase { op, phase: self });
        match op {
            Op::Init => match self {
                Configured | Stopped | Exited => YES,
                Created | Running | Paused | Stopping | Removing => wrong,
            },
            Op::Start => match self {
                Configured | Created | Stopped | Exited => YES,
                Running => there,
                Paused | Stopping | Removing => wrong,
            },
            Op::Restart => match self {
                Configured | Created | Running | Stopped | Exited => YES,
                Paused | Stopping | Removing => wrong,
            },
            // A paused container cannot act on a signal: it must be resumed or killed.
            Op::Stop => match self {
                Created | Running | Stopping => YES,
                Stopped | Exited => there,
                Configured | Paused | Removing => wrong,
            },
            Op::Kill => match self {
                Running | Stopping | Paused => YES,
                Configured | Created | Stopped | Exited | Removing => wrong,
            },
            Op::Pause => match self {
                Running => YES,
                Configured | Created | Paused | Stopping | Stopped | Exited | Removing => wrong,
            },
            Op::Unpause => match self {
                Paused => YES,
                Configured | Created | Running | Stopping | Stopped | Exited | Removing => wrong,
            },
            Op::Attach | Op::Exec | Op::Top | Op::Healthcheck | Op::Checkpoint => match self {
                Running => YES,
                Configured | Created | Paused | Stopping | Stopped | Exited | Removing => wrong,
            },
            Op::Resize | Op::NetworkReload => match self {
                Created | Running => YES,
                Configured | Paused | Stopping | Stopped | Exited | Removing => wrong,
            },
            Op::Stats => match self {
                Running | Paused => YES,
                Configured | Created | Stopping | Stopped | Exited | Removing => wrong,
            },
            Op::Restore => match self {
                Configured | Exited => YES,
                Created | Running | Paused | Stopping | Stopped | Removing => wrong,
            },
            Op::Cleanup => match self {
                Created | Stopped | Stopping => YES,
                Configured | Exited => there,
                Running | Paused | Removing => wrong,
            },
            Op::Remove => match self {
                Configured | Created | Stopped | Exited | Removing => YES,
                Running | Paused | Stopping => wrong,
            },
            // Commit needs the file system mounted, which removal takes away.
            Op::Mount | Op::Unmount | Op::Export | Op::Copy | Op::Commit | Op::Update => match self
            {
                Configured | Created | Running | Paused | Stopping | Stopped | Exited => YES,
                Removing => wrong,
            },
            Op::RemoveForce
            | Op::Wait
            | Op::Inspect
            | Op::Logs
            | Op::Rename
            | Op::NetworkConnect => match self {
                Configured | Created | Running | Paused | Stopping | Stopped | Exited
                | Removing => YES,
            },
        }
    }
}

impl Phase {
    /// Whether `op` may begin in this phase.
    ///
    /// # Errors
    /// Why not.
    pub const fn admit(&self, op: Op) -> Result<(), Denied> {
        self.name().admit(op)
    }

    /// Where the container is after `fact`.
    ///
    /// # Errors
    /// [`Contradiction`] when the fact cannot have happened here.
    pub fn after(self, fact: Fact) -> Result<Self, Contradiction> {
        let contradiction = Contradiction {
            phase: self.name(),
            fact: fact.name(),
        };
        match (self, fact) {
            // Removal is final; a second removal takes over the first.
            (_, Fact::RemovalBegan) => Ok(Self::Removing),
            (Self::Removing, Fact::HostRestarted(_)) => Ok(Self::Removing),
            (Self::Removing, _) => Err(contradiction),

            (Self::Configured | Self::Created(_), Fact::HostRestarted(_)) => Ok(Self::Configured),
            (
                Self::Running(_) | Self::Paused(_) | Self::Stopping(_),
                Fact::HostRestarted(ended),
            ) => Ok(Self::Exited(ended)),
            (Self::Stopped(ended) | Self::Exited(ended), Fact::HostRestarted(_)) => {
                Ok(Self::Exited(ended))
            }

            (Self::Configured | Self::Stopped(_) | Self::Exited(_), Fact::Created(live)) => {
                Ok(Self::Created(live))
            }
            (Self::Created(_), Fact::Started(live)) => Ok(Self::Running(live)),
            (Self::Running(live), Fact::Paused) => Ok(Self::Paused(live)),
            (Self::Paused(live), Fact::Resumed) => Ok(Self::Running(live)),
            (
                Self::Created(live)
                | Self::Running(live)
                | Self::Paused(live)
                | Self::Stopping(live),
                Fact::StopRequested,
            ) => Ok(Self::Stopping(live)),
            (
                Self::Created(_) | Self::Running(_) | Self::Paused(_) | Self::Stopping(_),
                Fact::Ended(ended),
            ) => Ok(Self::Stopped(ended)),
            (Self::Created(_), Fact::CleanedUp) => Ok(Self::Configured),
            (Self::Stopped(ended), Fact::CleanedUp) => Ok(Self::Exited(ended)),

            (
                Self::Created(_) | Self::Running(_) | Self::Paused(_) | Self::Stopping(_),
                Fact::Created(_),
            )
            | (
                Self::Configured
                | Self::Running(_)
                | Self::Paused(_)
                | Self::Stopping(_)
                | Self::Stopped(_)
                | Self::Exited(_),
                Fact::Started(_),
            )
            | (
                Self::Configured
                | Self::Created(_)
                | Self::Paused(_)
                | Self::Stopping(_)
                | Self::Stopped(_)
                | Self::Exited(_),
                Fact::Paused,
            )
            | (
                Self::Configured
                | Self::Created(_)
                | Self::Running(_)
                | Self::Stopping(_)
                | Self::Stopped(_)
                | Self::Exited(_),
                Fact::Resumed,
            )
            | (
                Self::Configured | Self::Stopped(_) | Self::Exited(_),
                Fact::StopRequested | Fact::Ended(_),
            )
            | (
                Self::Configured
                | Self::Running(_)
                | Self::Paused(_)
                | Self::Stopping(_)
                | Self::Exited(_),
                Fact::CleanedUp,
            ) => Err(contradiction),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::phase::EndReason;

    fn live() -> Live {
        Live {
            pid: 7,
            start: 9,
            monitored: true,
            started_at: None,
        }
    }

    fn ended() -> Ended {
        Ended::unseen(EndReason::Exited, None)
    }

    fn phases() -> [Phase; 8] {
        [
            Phase::Configured,
            Phase::Created(live()),
            Phase::Running(live()),
            Phase::Paused(live()),
            Phase::Stopping(live()),
            Phase::Stopped(ended()),
            Phase::Exited(ended()),
            Phase::Removing,
        ]
    }

    fn facts() -> [Fact; 9] {
        [
            Fact::Created(live()),
            Fact::Started(live()),
            Fact::Paused,
            Fact::Resumed,
            Fact::StopRequested,
            Fact::Ended(ended()),
            Fact::CleanedUp,
            Fact::RemovalBegan,
            Fact::HostRestarted(ended()),
        ]
    }

    #[test]
    fn b17_t05_every_operation_in_every_phase_is_decided() {
        let mut table = String::from("                ");
        for name in PhaseName::ALL {
            write!(table, "{:<12}", format!("{name:?}")).unwrap();
        }
        for op in Op::ALL {
            write!(table, "\n{:<16}", format!("{op:?}")).unwrap();
            for name in PhaseName::ALL {
                let cell = match name.admit(op) {
                    Ok(()) => "yes",
                    Err(Denied::AlreadyThere(_)) => "already",
                    Err(Denied::WrongPhase { .. }) => "-",
                };
                write!(table, "{cell:<12}").unwrap();
            }
        }
        let trimmed: Vec<&str> = table.lines().map(str::trim_end).collect();
        insta::assert_snapshot!("operations", trimmed.join("\n"));
    }

    #[test]
    fn every_fact_in_every_phase_is_decided() {
        let mut table = String::new();
        for fact in facts() {
            write!(table, "{:<14}", fact.name().0).unwrap();
            for phase in phases() {
                let cell = phase
                    .after(fact.clone())
                    .map_or_else(|_| "-".to_owned(), |next| format!("{:?}", next.name()));
                write!(table, "{cell:<12}").unwrap();
            }
            table.push('\n');
        }
        let trimmed: Vec<&str> = table.lines().map(str::trim_end).collect();
        insta::assert_snapshot!("facts", trimmed.join("\n"));
    }

    #[test]
    fn the_list_of_operations_is_complete() {
        let distinct: std::collections::HashSet<_> = Op::ALL.into_iter().collect();
        assert_eq!(distinct.len(), Op::ALL.len());
    }

    #[test]
    fn every_phase_can_be_removed_by_force_and_removal_can_begin_anywhere() {
        for phase in phases() {
            assert_eq!(phase.admit(Op::RemoveForce), Ok(()));
            assert_eq!(phase.after(Fact::RemovalBegan), Ok(Phase::Removing));
        }
    }

    proptest! {
        #[test]
        fn random_histories_keep_the_invariants(steps in prop::collection::vec(0_usize..9, 0..60)) {
            let mut phase = Phase::Configured;
            for step in steps {
                let fact = facts()[step].clone();
                let before = phase.clone();
                let Ok(after) = phase.clone().after(fact.clone()) else { continue };
                prop_assert!(before != Phase::Removing || after == Phase::Removing, "removal is final");
                if matches!(after, Phase::Running(_)) && !matches!(before, Phase::Running(_)) {
                    prop_assert!(matches!(before, Phase::Created(_) | Phase::Paused(_)));
                }
                if matches!(after, Phase::Created(_)) {
                    prop_assert!(before.live().is_none(), "no second process beside a first");
                }
                if matches!(after, Phase::Exited(_)) {
                    prop_assert!(
                        matches!(before, Phase::Stopped(_) | Phase::Exited(_))
                            || matches!(fact, Fact::HostRestarted(_))
                    );
                }
                phase = after;
            }
            // Liveness: from wherever that led, removal is three facts away at most.
            prop_assert_eq!(phase.after(Fact::RemovalBegan), Ok(Phase::Removing));
        }
    }
}
