//! The tests of ctr-storage, by subject. Those named `root_` need root: they make devices, owners and mounts.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "all/copy.rs"]
mod copy;
#[path = "all/export.rs"]
mod export;
#[path = "all/hostile.rs"]
mod hostile;
#[path = "all/overlay.rs"]
mod overlay;
#[path = "all/tarball.rs"]
mod tarball;
#[path = "all/unpack.rs"]
mod unpack;
