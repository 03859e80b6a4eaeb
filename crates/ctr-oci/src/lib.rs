//! OCI runtime specs and runtimes.
#![forbid(unsafe_code)]
