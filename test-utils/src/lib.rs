//! What the tests of ctrs share: the demand for root, waiting, images, sandboxes, and counters of what leaks.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "helpers of tests fail the test"
)]

mod image;
mod leaks;
mod sandbox;

use std::time::{Duration, Instant};

pub use image::busybox_tar;
pub use sandbox::{Outcome, Sandbox};

/// Fails the test unless it runs as root: a privileged test must never pass by skipping.
///
/// # Panics
/// When the effective user is not root.
pub fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: run `sudo ./test`"
    );
}

/// Looks again and again until `look` gives something, for at most 20 s.
///
/// # Panics
/// When it never does; the message is the last reason.
pub fn eventually<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) if Instant::now() > deadline => panic!("it did not come true in 20 s: {why}"),
            Err(_) => {
                // A pause between two looks at a condition, not a guess at how long something takes.
                let pause = rustix::event::Timespec {
                    tv_sec: 0,
                    tv_nsec: 5_000_000,
                };
                let _nothing = rustix::event::poll(&mut [], Some(&pause));
            }
        }
    }
}
