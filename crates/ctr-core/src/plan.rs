//! Every decision about a container's life, as pure total functions over plain data (reliability.md rule 20).
//!
//! The engine gathers facts, asks here what to do, and does it. Nothing here reads a clock, a file or a lock, so the model
//! (`plan/model`, in tests) can put the very same decisions through any interleaving and any crash.
//!
//! Operations are the lists of [`crate::steps`]; here is which of them is carried out when, and what undoes them.

use ctr_state::record::OpKind;
use ctr_state::{DurablePhase, EndReason, Ended, LiveView, Phase, PhaseName, Stage};
use ctr_types::BootId;

#[cfg(test)]
#[expect(
    clippy::wildcard_enum_match_arm,
    clippy::needless_pass_by_value,
    reason = "a model is told of its own moves only"
)]
mod model;

/// A part of "nothing of this boot is left". Each is idempotent and succeeds when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DownStep {
    /// Monitor and processes.
    KillProcesses,
    /// The runtime's state.
    DeleteRuntime,
    /// The cgroup.
    RemoveCgroup,
    /// The network namespace.
    RemoveNetwork,
    /// The overlay, as far as the run holds it.
    Unmount,
    /// The directory of this boot, unless somebody else holds the overlay.
    RemoveRunDirectory,
}

/// Takes a container down. The directory comes last: it is where the others find what is to be given back.
pub(crate) const DOWN: &[DownStep] = &[
    DownStep::KillProcesses,
    DownStep::DeleteRuntime,
    DownStep::RemoveCgroup,
    DownStep::RemoveNetwork,
    DownStep::Unmount,
    DownStep::RemoveRunDirectory,
];

impl DownStep {
    /// Whether the step is carried out although one before it has failed.
    pub(crate) const fn is_independent(self) -> bool {
        match self {
            Self::KillProcesses
            | Self::DeleteRuntime
            | Self::RemoveCgroup
            | Self::RemoveNetwork
            | Self::Unmount => true,
            Self::RemoveRunDirectory => false,
        }
    }
}

/// A part of "the container is gone", for an operation that has a journal entry already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GoneStep {
    /// All of [`DOWN`].
    Down,
    /// The overlay, whoever holds it.
    Unmount,
    /// The directory of this boot.
    RemoveRunDirectory,
    /// The durable directory goes to the operation's trash.
    Trash,
    /// Row and name.
    DeleteRow,
    /// What is in the trash.
    EmptyTrash,
}

/// Takes a container away. The row goes after everything that is found by it.
pub(crate) const GONE: &[GoneStep] = &[
    GoneStep::Down,
    GoneStep::Unmount,
    GoneStep::RemoveRunDirectory,
    GoneStep::Trash,
    GoneStep::DeleteRow,
    GoneStep::EmptyTrash,
];

/// What is done for an operation that died or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecoveryStep {
    /// A monitor without a commit gets the time to undo what it has done; none can begin until the recovery is over.
    AwaitMonitor,
    /// [`DOWN`].
    Down,
    /// [`GONE`].
    Gone,
    /// The phase is written down, and the end with it if it is news.
    Record(DurablePhase),
    /// What was true before the run is true again.
    Revert,
    /// Limits and copy on disk are brought in line with the configuration.
    Settle,
    /// The file system is let go that the operation held.
    Release,
    /// A removal of its own, with its own journal entry.
    Remove,
}

/// Facts about the owner of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnerFacts {
    /// The operation began in this boot.
    pub(crate) this_boot: bool,
    /// Somebody holds its lock.
    pub(crate) is_owned: bool,
}

/// Whether an operation in the journal may be without an owner: who thinks so takes its lock and
/// [looks again](is_recoverable).
pub(crate) const fn may_be_dead(owner: OwnerFacts) -> bool {
    !(owner.this_boot && owner.is_owned)
}

/// Whether an operation is to be recovered by whoever has its lock now. Its owner may have finished it between the look into
/// the journal and the lock; undoing it then would undo what was promised.
pub(crate) const fn is_recoverable(in_journal: bool) -> bool {
    in_journal
}

/// What is true of the container of a dead operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadOp<'a> {
    /// The operation.
    pub(crate) kind: OpKind,
    /// The container, unless its row is gone.
    pub(crate) container: Option<DeadOpContainer<'a>>,
    /// The monitor's word.
    pub(crate) live: Option<&'a LiveView>,
}

/// The container of a dead operation, as far as the store knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadOpContainer<'a> {
    /// The store's word.
    pub(crate) durable: &'a DurablePhase,
    /// What the evidence adds up to.
    pub(crate) phase: &'a Phase,
    /// It goes with its run.
    pub(crate) auto_remove: bool,
}

/// What finishes or undoes a dead operation.
pub(crate) fn recovery(op: &DeadOp<'_>) -> Vec<RecoveryStep> {
    match op.kind {
        // Half-made: the user was never told that it exists.
        OpKind::Create => vec![RecoveryStep::Gone],
        OpKind::Start => start_recovery(op),
        OpKind::Cleanup | OpKind::Stop => op.container.map(cleanup_recovery).unwrap_or_default(),
        OpKind::Remove => vec![RecoveryStep::Gone],
        OpKind::Replace => vec![RecoveryStep::Settle],
        OpKind::Read => vec![RecoveryStep::Release],
        OpKind::Import | OpKind::Load | OpKind::RemoveImage => Vec::new(),
    }
}

fn start_recovery(op: &DeadOp<'_>) -> Vec<RecoveryStep> {
    // The monitor answers for itself: with its commit it lives and the run goes on; without it, it has killed, or is killing,
    // what it made.
    if op.live.is_some_and(is_started) {
        return Vec::new();
    }
    let mut steps = vec![RecoveryStep::AwaitMonitor, RecoveryStep::Down];
    match op.container {
        Some(container) if container.auto_remove => steps.push(RecoveryStep::Gone),
        Some(container) if matches!(container.durable, DurablePhase::Up { .. }) => {
            steps.push(RecoveryStep::Revert);
        }
        Some(_) | None => {}
    }
    steps
}

/// Recovery of a clean-up or stop: goes on if the container has ended.
pub(crate) fn cleanup_recovery(container: DeadOpContainer<'_>) -> Vec<RecoveryStep> {
    match container.phase {
        Phase::Running(_) | Phase::Paused(_) | Phase::Stopping(_) | Phase::Removing => Vec::new(),
        Phase::Configured | Phase::Created(_) | Phase::Stopped(_) | Phase::Exited(_) => {
            let after = phase_after(container.phase);
            let mut steps = vec![RecoveryStep::Down, RecoveryStep::Record(after)];
            if container.auto_remove && container.phase.ended().is_some() {
                steps.push(RecoveryStep::Remove);
            }
            steps
        }
    }
}

/// Whether a program of the container has been started and a monitor, or the program itself, is still there.
fn is_started(live: &LiveView) -> bool {
    let begun = match live.stage {
        Stage::Creating | Stage::Created => false,
        Stage::Running | Stage::Paused | Stage::Stopping | Stage::Waiting | Stage::Exited => true,
    };
    begun && (live.monitor_alive || live.process_alive)
}

/// Whether a monitor that is at this stage, or has not said anything yet, is still having the runtime make the container.
pub(crate) fn is_making(stage: Option<Stage>) -> bool {
    stage.is_none_or(|stage| stage == Stage::Creating)
}

/// What undoes a creation that failed.
pub(crate) fn create_rollback() -> Vec<RecoveryStep> {
    vec![RecoveryStep::Gone]
}

/// What undoes an init that failed.
pub(crate) fn init_rollback() -> Vec<RecoveryStep> {
    vec![
        RecoveryStep::AwaitMonitor,
        RecoveryStep::Down,
        RecoveryStep::Revert,
    ]
}

/// What undoes a start that failed. One that has ended already has run, and is cleaned up as such.
pub(crate) fn start_rollback(has_ended: bool) -> Vec<RecoveryStep> {
    if has_ended {
        return Vec::new();
    }
    vec![RecoveryStep::Down, RecoveryStep::Revert]
}

/// Whether what is left of the last run is given back before the container is made again.
pub(crate) const fn cleans_up_before_init(phase: PhaseName) -> bool {
    match phase {
        PhaseName::Stopped => true,
        PhaseName::Configured
        | PhaseName::Created
        | PhaseName::Running
        | PhaseName::Paused
        | PhaseName::Stopping
        | PhaseName::Exited
        | PhaseName::Removing => false,
    }
}

/// What a clean-up has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cleanup {
    /// Nothing is left of a run.
    Nothing,
    /// Everything of this boot is given back.
    CleanUp,
    /// The container goes with the run that ended so. Removal gives everything back: a clean-up before it would do the same
    /// things twice.
    RemoveWithRun(Ended),
    /// Somebody has begun to remove it.
    GoOnRemoving,
    /// It runs.
    Refuse,
}

/// What a clean-up has to do in a phase.
pub(crate) fn cleanup(phase: &Phase, auto_remove: bool) -> Cleanup {
    match phase {
        Phase::Stopped(ended) | Phase::Exited(ended) if auto_remove => {
            Cleanup::RemoveWithRun(ended.clone())
        }
        Phase::Configured | Phase::Exited(_) => Cleanup::Nothing,
        Phase::Removing => Cleanup::GoOnRemoving,
        Phase::Created(_) | Phase::Stopped(_) | Phase::Stopping(_) => Cleanup::CleanUp,
        Phase::Running(_) | Phase::Paused(_) => Cleanup::Refuse,
    }
}

/// What is written down of a run that is over.
pub(crate) fn phase_after(phase: &Phase) -> DurablePhase {
    match phase {
        Phase::Stopped(ended) | Phase::Exited(ended) => DurablePhase::Exited(ended.clone()),
        Phase::Created(_) | Phase::Configured => DurablePhase::Configured,
        Phase::Running(live) | Phase::Paused(live) | Phase::Stopping(live) => {
            DurablePhase::Exited(Ended::unseen(EndReason::Unknown, live.started_at))
        }
        Phase::Removing => DurablePhase::Removing,
    }
}

/// What is written down of a run at the end of its clean-up, when it was decided to be `after` before it: a run that was still
/// ending then may have been seen to end since.
pub(crate) fn phase_recorded(after: &DurablePhase, exit: Option<&Ended>) -> DurablePhase {
    match (after, exit) {
        (DurablePhase::Exited(ended), Some(seen)) if ended.reason == EndReason::Unknown => {
            DurablePhase::Exited(seen.clone())
        }
        (
            DurablePhase::Exited(_)
            | DurablePhase::Configured
            | DurablePhase::Up { .. }
            | DurablePhase::Removing,
            _,
        ) => after.clone(),
    }
}

/// Whether a monitor at this stage is left alone by a clean-up: it waits for it, or is about to leave.
pub(crate) fn is_leaving(stage: Option<Stage>) -> bool {
    stage == Some(Stage::Exited)
}

/// Whether a container goes when a boot begins: half removed, or to go with a run that the reboot has ended.
pub(crate) fn goes_with_boot(
    durable: &DurablePhase,
    auto_remove: bool,
    this_boot: &BootId,
) -> bool {
    match durable {
        DurablePhase::Removing => true,
        DurablePhase::Up { boot, .. } => auto_remove && boot != this_boot,
        DurablePhase::Configured | DurablePhase::Exited(_) => false,
    }
}
