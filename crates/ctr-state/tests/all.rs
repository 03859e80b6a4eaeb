//! The store's tests, by subject.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "all/fixture.rs"]
mod fixture;
#[path = "all/kill.rs"]
mod kill;
#[path = "all/store.rs"]
mod store;
