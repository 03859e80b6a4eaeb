//! What the tests of ctrs share.
#![forbid(unsafe_code)]

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
