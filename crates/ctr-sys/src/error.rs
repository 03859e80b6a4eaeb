//! One failed system call: what was attempted, on what, and the kernel's answer.

use std::fmt;
use std::io;

/// A failed system call.
///
/// Prints as `open /var/lib/ctrs/state.db`; the kernel's words are the [`source`](std::error::Error::source).
#[derive(Debug)]
pub struct SysError {
    action: &'static str,
    object: String,
    source: io::Error,
}

impl SysError {
    /// `action` (a verb or call name) failed on `object` with `source`.
    pub fn new(
        action: &'static str,
        object: impl Into<String>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self {
            action,
            object: object.into(),
            source: source.into(),
        }
    }

    /// The kernel's error number, if it was one.
    pub fn errno(&self) -> Option<rustix::io::Errno> {
        self.source
            .raw_os_error()
            .map(rustix::io::Errno::from_raw_os_error)
    }

    /// Whether the object was not there (`ENOENT`).
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.object)
    }
}

impl std::error::Error for SysError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Adds what was attempted on what to an error of the kernel.
pub trait Context<T> {
    /// Names the call and its object; `object` is only asked for on failure.
    fn context<S: Into<String>>(
        self,
        action: &'static str,
        object: impl FnOnce() -> S,
    ) -> Result<T, SysError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context<S: Into<String>>(
        self,
        action: &'static str,
        object: impl FnOnce() -> S,
    ) -> Result<T, SysError> {
        self.map_err(|source| SysError::new(action, object(), source))
    }
}
/// An error with its causes, in one line. A cause that says again what has been said is left out.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}
