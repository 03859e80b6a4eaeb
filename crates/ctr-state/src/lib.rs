//! The state of containers: a pure table of what may follow what, and the facts it is derived from.
//!
//! ```
//! use ctr_state::{Denied, Fact, Op, Phase, PhaseName};
//! assert_eq!(Phase::Configured.admit(Op::Start), Ok(()));
//! assert_eq!(PhaseName::Exited.admit(Op::Stop), Err(Denied::AlreadyThere(PhaseName::Exited)));
//! assert_eq!(Phase::Configured.after(Fact::RemovalBegan), Ok(Phase::Removing));
//! ```
#![forbid(unsafe_code)]

mod derive;
mod phase;
mod transition;

pub use derive::{DurablePhase, Evidence, LiveView, Stage};
pub use phase::{EndReason, Ended, Live, Phase, PhaseName, PhaseNameError};
pub use transition::{Contradiction, Denied, Fact, FactName, Op};
