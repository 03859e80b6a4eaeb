//! What is true now: durable facts, the monitor's live facts and the kernel's answers make a phase. Pure.
//!
//! A stored phase is never believed when the kernel can be asked: a dead monitor, a reboot or a vanished process show
//! here, at the moment somebody looks.

use ctr_types::{BootId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::phase::{EndReason, Ended, Live, Phase};

/// What the store knows of a container's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "phase")]
pub enum DurablePhase {
    /// It never ran, or never got beyond being made.
    Configured,
    /// It was brought up in the boot named, and no end has been recorded.
    Up {
        /// That boot.
        boot: BootId,
        /// When the run was started, as far as was written down; a reboot takes every other record of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<Timestamp>,
        /// How the run before ended: what is true again when this one does not come about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Ended>,
    },
    /// Its last run ended and was cleaned up.
    Exited(Ended),
    /// Its removal has begun.
    Removing,
}

impl DurablePhase {
    /// What was true before the container was brought up; what it is itself when it has not been.
    #[must_use]
    pub fn without_run(&self) -> Self {
        match self {
            Self::Up { before, .. } => before.clone().map_or(Self::Configured, Self::Exited),
            Self::Configured | Self::Exited(_) | Self::Removing => self.clone(),
        }
    }
}

/// How far the monitor says the container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the phase of that name; creating comes before created, waiting for a restart is stopped"
)]
pub enum Stage {
    Creating,
    Created,
    Running,
    Paused,
    Stopping,
    Waiting,
    Exited,
}

/// The monitor's live file, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveView {
    /// How far.
    pub stage: Stage,
    /// Pid of the first process; 0 before there is one.
    pub pid: i32,
    /// Its start time.
    pub start: u64,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// Whether the monitor holds its lock.
    pub monitor_alive: bool,
    /// Whether the first process is there, by pid and start time.
    pub process_alive: bool,
}

/// Everything a phase is derived from.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The store's word.
    pub durable: &'a DurablePhase,
    /// The monitor's word, if there is a live file of this boot.
    pub live: Option<&'a LiveView>,
    /// The exit record of the last run, if there is one that belongs to it.
    pub exit: Option<&'a Ended>,
    /// A command that lives is bringing it up.
    pub starting: bool,
    /// The boot we are in.
    pub this_boot: &'a BootId,
}

impl Evidence<'_> {
    /// The phase the evidence adds up to.
    pub fn phase(&self) -> Phase {
        if *self.durable == DurablePhase::Removing {
            return Phase::Removing;
        }
        match self.live {
            Some(view) => self.with_live(view),
            None => self.without_live(),
        }
    }

    fn with_live(&self, view: &LiveView) -> Phase {
        let live = Live {
            pid: view.pid,
            start: view.start,
            monitored: view.monitor_alive,
            started_at: view.started_at,
        };
        if view.monitor_alive {
            return match view.stage {
                // Not yet ours to speak of: until the engine commits, it may be undone.
                Stage::Creating => self.before_the_run(),
                Stage::Created => Phase::Created(live),
                Stage::Running => Phase::Running(live),
                Stage::Paused => Phase::Paused(live),
                Stage::Stopping => Phase::Stopping(live),
                Stage::Waiting | Stage::Exited => Phase::Stopped(self.end(view.started_at)),
            };
        }
        if view.process_alive {
            return match view.stage {
                Stage::Creating | Stage::Created => Phase::Created(live),
                Stage::Paused => Phase::Paused(live),
                // It was to be stopped before it was ever started.
                Stage::Stopping if view.started_at.is_none() => Phase::Created(live),
                // Nobody is left to carry a stop through, so it counts as running again.
                Stage::Running | Stage::Stopping | Stage::Waiting | Stage::Exited => {
                    Phase::Running(live)
                }
            };
        }
        match view.stage {
            Stage::Creating => self.before_the_run(),
            Stage::Created
            | Stage::Running
            | Stage::Paused
            | Stage::Stopping
            | Stage::Waiting
            | Stage::Exited => Phase::Stopped(self.end(view.started_at)),
        }
    }

    fn without_live(&self) -> Phase {
        match self.durable {
            DurablePhase::Configured => Phase::Configured,
            DurablePhase::Exited(ended) => Phase::Exited(ended.clone()),
            DurablePhase::Removing => Phase::Removing,
            // There is no monitor yet, and nothing to be seen of the run.
            DurablePhase::Up { boot, .. } if boot == self.this_boot && self.starting => {
                self.before_the_run()
            }
            DurablePhase::Up {
                boot, started_at, ..
            } if boot == self.this_boot => Phase::Stopped(self.end(*started_at)),
            DurablePhase::Up { started_at, .. } => Phase::Exited(
                self.exit
                    .cloned()
                    .unwrap_or_else(|| Ended::unseen(EndReason::HostRebooted, *started_at)),
            ),
        }
    }

    /// As if the run that is being prepared had not been begun.
    fn before_the_run(&self) -> Phase {
        match self.durable.without_run() {
            DurablePhase::Exited(ended) => Phase::Exited(ended),
            DurablePhase::Removing => Phase::Removing,
            DurablePhase::Configured | DurablePhase::Up { .. } => Phase::Configured,
        }
    }

    fn end(&self, started_at: Option<Timestamp>) -> Ended {
        self.exit
            .cloned()
            .unwrap_or_else(|| Ended::unseen(EndReason::Unknown, started_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phase::PhaseName;

    fn boot(text: &str) -> BootId {
        text.parse().unwrap()
    }

    fn up(text: &str) -> DurablePhase {
        DurablePhase::Up {
            boot: boot(text),
            started_at: Some(Timestamp::UNIX_EPOCH),
            before: None,
        }
    }

    fn view(stage: Stage, monitor_alive: bool, process_alive: bool) -> LiveView {
        LiveView {
            stage,
            pid: 5,
            start: 6,
            started_at: match stage {
                Stage::Creating | Stage::Created => None,
                Stage::Running
                | Stage::Paused
                | Stage::Stopping
                | Stage::Waiting
                | Stage::Exited => Some(Timestamp::UNIX_EPOCH),
            },
            monitor_alive,
            process_alive,
        }
    }

    fn name(durable: &DurablePhase, live: Option<&LiveView>, exit: Option<&Ended>) -> PhaseName {
        let this_boot = boot("b");
        Evidence {
            durable,
            live,
            exit,
            starting: false,
            this_boot: &this_boot,
        }
        .phase()
        .name()
    }

    #[test]
    fn m08_a_living_monitor_is_believed() {
        let up = up("b");
        for (stage, expected) in [
            (Stage::Creating, PhaseName::Configured),
            (Stage::Created, PhaseName::Created),
            (Stage::Running, PhaseName::Running),
            (Stage::Paused, PhaseName::Paused),
            (Stage::Stopping, PhaseName::Stopping),
            (Stage::Waiting, PhaseName::Stopped),
            (Stage::Exited, PhaseName::Stopped),
        ] {
            assert_eq!(
                name(&up, Some(&view(stage, true, true)), None),
                expected,
                "{stage:?}"
            );
        }
    }

    #[test]
    fn b24_a_dead_monitor_with_a_live_process_is_running_unmonitored() {
        let (durable, this_boot) = (up("b"), boot("b"));
        let live = view(Stage::Stopping, false, true);
        let evidence = Evidence {
            durable: &durable,
            live: Some(&live),
            exit: None,
            starting: false,
            this_boot: &this_boot,
        };
        let phase = evidence.phase();
        assert_eq!(phase.name(), PhaseName::Running);
        assert!(!phase.live().unwrap().monitored);
    }

    #[test]
    fn both_dead_is_stopped_with_the_exit_record_or_unknown() {
        let (durable, this_boot) = (up("b"), boot("b"));
        let live = view(Stage::Running, false, false);
        let seen = Ended {
            exit_code: 3,
            ..Ended::unseen(EndReason::Exited, None)
        };
        for (exit, code) in [(Some(&seen), 3), (None, 255)] {
            let evidence = Evidence {
                durable: &durable,
                live: Some(&live),
                exit,
                starting: false,
                this_boot: &this_boot,
            };
            assert_eq!(evidence.phase().ended().unwrap().exit_code, code);
        }
    }

    #[test]
    fn f24_another_boot_means_exited_and_why() {
        let (durable, this_boot) = (up("a"), boot("b"));
        let evidence = Evidence {
            durable: &durable,
            live: None,
            exit: None,
            starting: false,
            this_boot: &this_boot,
        };
        let Phase::Exited(ended) = evidence.phase() else {
            unreachable!()
        };
        assert_eq!(
            (ended.reason, ended.exit_code, ended.started_at),
            (EndReason::HostRebooted, 255, Some(Timestamp::UNIX_EPOCH))
        );
        let seen = Ended::unseen(EndReason::Signalled, None);
        let recorded = Evidence {
            exit: Some(&seen),
            ..evidence
        };
        assert_eq!(
            recorded.phase(),
            Phase::Exited(seen.clone()),
            "an exit record outlives the boot"
        );
    }

    #[test]
    fn without_live_facts_the_store_speaks_and_removing_always_wins() {
        assert_eq!(
            name(&DurablePhase::Configured, None, None),
            PhaseName::Configured
        );
        let ended = Ended::unseen(EndReason::Exited, None);
        assert_eq!(
            name(&DurablePhase::Exited(ended), None, None),
            PhaseName::Exited
        );
        let up = up("b");
        assert_eq!(
            name(&up, None, None),
            PhaseName::Stopped,
            "the run root was deleted"
        );
        let running = view(Stage::Running, true, true);
        assert_eq!(
            name(&DurablePhase::Removing, Some(&running), None),
            PhaseName::Removing
        );
    }

    /// Every stage, with a dead monitor: the process decides, then the exit record.
    #[test]
    fn b11_m08_a_dead_monitor_leaves_the_answer_to_the_kernel() {
        let seen = Ended::unseen(EndReason::Exited, None);
        for (stage, process_alive, exit, expected) in [
            (Stage::Creating, true, None, PhaseName::Created),
            (Stage::Created, true, None, PhaseName::Created),
            (Stage::Running, true, None, PhaseName::Running),
            (Stage::Paused, true, None, PhaseName::Paused),
            (Stage::Stopping, true, None, PhaseName::Running),
            (Stage::Exited, true, None, PhaseName::Running),
            (Stage::Creating, false, None, PhaseName::Configured),
            (Stage::Created, false, None, PhaseName::Stopped),
            (Stage::Running, false, None, PhaseName::Stopped),
            (Stage::Paused, false, Some(&seen), PhaseName::Stopped),
            (Stage::Stopping, false, Some(&seen), PhaseName::Stopped),
            (Stage::Exited, false, Some(&seen), PhaseName::Stopped),
        ] {
            let view = view(stage, false, process_alive);
            assert_eq!(
                name(&up("b"), Some(&view), exit),
                expected,
                "{stage:?}, process alive: {process_alive}"
            );
        }
    }

    #[test]
    fn b24_what_was_to_be_stopped_before_it_started_does_not_run() {
        let view = LiveView {
            started_at: None,
            ..view(Stage::Stopping, false, true)
        };
        assert_eq!(name(&up("b"), Some(&view), None), PhaseName::Created);
    }

    #[test]
    fn m06_one_that_is_being_brought_up_is_still_what_it_was() {
        let this_boot = boot("b");
        let last = Ended {
            exit_code: 3,
            ..Ended::unseen(EndReason::Exited, None)
        };
        for (before, expected) in [
            (None, Phase::Configured),
            (Some(last.clone()), Phase::Exited(last)),
        ] {
            let durable = DurablePhase::Up {
                boot: this_boot.clone(),
                started_at: None,
                before,
            };
            let creating = view(Stage::Creating, true, false);
            for (live, starting) in [
                (None, true),
                (Some(&creating), true),
                (Some(&creating), false),
            ] {
                let evidence = Evidence {
                    durable: &durable,
                    live,
                    exit: None,
                    starting,
                    this_boot: &this_boot,
                };
                assert_eq!(evidence.phase(), expected);
            }
        }
    }

    #[test]
    fn a_store_written_before_started_at_reads_on() {
        let old: DurablePhase = serde_json::from_str(r#"{"phase":"up","boot":"b"}"#).unwrap();
        assert!(matches!(
            old,
            DurablePhase::Up {
                started_at: None,
                ..
            }
        ));
    }
}
