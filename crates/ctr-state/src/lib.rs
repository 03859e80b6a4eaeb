//! The state of containers: a pure table of what may follow what, the facts it is derived from, and the store that
//! keeps them.
//!
//! The table stands by itself:
//!
//! ```
//! use ctr_state::{Denied, Fact, Op, Phase, PhaseName};
//! assert_eq!(Phase::Configured.admit(Op::Start), Ok(()));
//! assert_eq!(PhaseName::Exited.admit(Op::Stop), Err(Denied::AlreadyThere(PhaseName::Exited)));
//! assert_eq!(Phase::Configured.after(Fact::RemovalBegan), Ok(Phase::Removing));
//! ```
#![forbid(unsafe_code)]

mod derive;
mod locks;
mod phase;
pub mod record;
pub mod store;
mod transition;

pub use derive::{DurablePhase, Evidence, LiveView, Stage};
pub use locks::{ContainerLock, Locks, OpLock};
pub use phase::{EndReason, Ended, Live, Phase, PhaseName, PhaseNameError};
pub use store::{Grade, Store, StoreError, Txn};
pub use transition::{Contradiction, Denied, Fact, FactName, Op};
