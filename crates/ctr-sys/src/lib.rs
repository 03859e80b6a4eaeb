//! The kernel, wrapped once: every `unsafe` block of the project lives in this crate.
//!
//! | module | what |
//! |---|---|
//! | [`error`] | a failed call with what was attempted on what |
//! | [`fs`] | atomic writes in two grades, bounded reads |
//! | [`lock`] | open-file-description locks that die with their process |
//! | [`process`] | pidfds, process identity that survives pid reuse |
//! | [`child`] | children with a deadline, an output cap and no inherited descriptors |
//! | [`socket`] | `SOCK_SEQPACKET` messages and descriptor passing |
//! | [`netns`] | network namespaces, made and visited on own threads |
//! | [`mount`] | the new mount API and unmounting |
//!
//! Invariants: descriptors are `OwnedFd`/`BorrowedFd` and always close-on-exec; nothing prints, exits,
//! reads the environment or changes the current directory.

pub mod child;
pub mod error;
pub mod fs;
pub mod lock;
pub mod mount;
pub mod netns;
pub mod process;
pub mod socket;
mod thread;

pub use error::SysError;
