//! The program as its users see it. Every test has an engine of its own and leaves nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod configuration;
mod files;
mod images;
mod lifecycle;
mod looking;
mod policies;
mod rows;
mod run;
mod sharing;
mod streams;

use test_utils::Sandbox;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ctrs");

fn sandbox() -> Sandbox {
    Sandbox::new(PROGRAM)
}
