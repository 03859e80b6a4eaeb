//! Work in another namespace: on a thread made for it, which ends with the work, so that no other code ever runs there.

use std::io;

use crate::error::{Context as _, SysError};

pub(crate) fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SysError> + Send + 'static,
) -> Result<T, SysError> {
    let thread = std::thread::Builder::new()
        .name("namespace".into())
        .spawn(work)
        .context("start thread", || "namespace")?;
    thread.join().unwrap_or_else(|_| {
        Err(SysError::new(
            "run thread",
            "namespace",
            io::Error::other("the thread panicked"),
        ))
    })
}
