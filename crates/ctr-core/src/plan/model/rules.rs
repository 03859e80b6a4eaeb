//! The plans the model goes by: the engine's own, or with one mistake put in.

use crate::plan::{self, DOWN, DeadOp, DownStep, GONE, GoneStep, RecoveryStep};
use crate::steps::{CleanupStep, CreateStep, InitStep, RemoveStep};

/// Every decision, exchangeable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) create: &'static [CreateStep],
    pub(super) init: &'static [InitStep],
    pub(super) cleanup: &'static [CleanupStep],
    pub(super) remove: &'static [RemoveStep],
    pub(super) down: &'static [DownStep],
    pub(super) gone: &'static [GoneStep],
    pub(super) recovery: fn(&DeadOp<'_>) -> Vec<RecoveryStep>,
    pub(super) start_rollback: fn(bool) -> Vec<RecoveryStep>,
    pub(super) is_recoverable: fn(bool) -> bool,
    /// Who takes a container's lock recovers its dead operations.
    pub(super) recovers_when_locked: bool,
    /// The monitor's lock is held until the recovery is over.
    pub(super) keeps_monitors_out: bool,
}

/// The engine's.
pub(super) const ENGINE: Rules = Rules {
    create: CreateStep::ALL,
    init: InitStep::ALL,
    cleanup: CleanupStep::ALL,
    remove: RemoveStep::ALL,
    down: DOWN,
    gone: GONE,
    recovery: plan::recovery,
    start_rollback: plan::start_rollback,
    is_recoverable: plan::is_recoverable,
    recovers_when_locked: true,
    keeps_monitors_out: true,
};
