//! OCI runtimes.
//!
//! | module | what |
//! |---|---|
//! | [`spec`] | a container's configuration and facts of the host → runtime spec (pure) |
//! | [`seccomp`] | docker's form of a profile → the runtime's |
//! | [`user`] | `user:group` by the root file system's own passwd and group |
//! | [`rootfs`] | checks of a root file system, by descriptors inside it |
//! | [`host`] | what this host can and may do |
//! | [`cgroup`] | cgroups of a container: processes, killing, removal, on v1, hybrid and v2 |
//! | [`runtime`] | runc, crun or youki: choosing, argument vectors, invocation |
#![forbid(unsafe_code)]

pub mod cgroup;
pub mod host;
pub mod rootfs;
pub mod runtime;
pub mod seccomp;
pub mod selinux;
pub mod spec;
pub mod user;

pub use oci_spec;
