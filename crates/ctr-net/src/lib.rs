//! Networks of containers: namespaces now, bridges and CNI later.
#![forbid(unsafe_code)]
