//! The monitor with a real runtime (runc) and a busybox root file system. All need root.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

#[path = "all/fixture.rs"]
mod fixture;
#[path = "all/monitor.rs"]
mod monitor;
