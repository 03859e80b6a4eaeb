//! Network namespaces: made and visited only on threads of their own (network_namespaces(7)).
//!
//! A namespace stays alive as a bind mount of its `nsfs` file. A thread that has changed its namespace ends with
//! its work, so no other code ever runs in the wrong one.
#![expect(unsafe_code, reason = "ioctl on an ifreq")]

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::sched::CloneFlags;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::error::{Context as _, SysError};
use crate::thread::on_own_thread;

/// Makes a new network namespace, held by a mount at `path` (a file made for it). Loopback is up.
///
/// # Errors
/// The failed call; nothing is left mounted then.
pub fn create(path: &Path) -> Result<(), SysError> {
    let shown = || path.display().to_string();
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    drop(
        rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o400))
            .context("create", shown)?,
    );
    let target = path.to_owned();
    let made = on_own_thread(move || {
        nix::sched::unshare(CloneFlags::CLONE_NEWNET).context("unshare", || "CLONE_NEWNET")?;
        set_loopback_up()?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", &target)
            .context("mount network namespace at", || {
                target.display().to_string()
            })
    });
    if made.is_err() {
        // Best effort: the caller's own undo does the same.
        let _kept = ensure_absent(path);
    }
    made
}

/// Lets go of the namespace at `path`; one that is not there is as good as gone.
pub fn ensure_absent(path: &Path) -> Result<(), SysError> {
    loop {
        // More than one mount may lie on top of another after a crash.
        match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => break,
            Err(error) => {
                return Err(SysError::new("unmount", path.display().to_string(), error));
            }
        }
    }
    crate::fs::ensure_file_absent(path)
}

/// Runs `work` inside the namespace at `path`, on a thread that ends with it.
pub fn visit<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SysError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .context("open", || path.display().to_string())?;
    on_own_thread(move || {
        nix::sched::setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)
            .context("setns", || "CLONE_NEWNET")?;
        Ok(work())
    })
}

/// Sets the loopback device of the calling thread's namespace up (netdevice(7), `SIOCSIFFLAGS`).
fn set_loopback_up() -> Result<(), SysError> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .context("socket", || "AF_INET")?;
    // SAFETY: ifreq is a C structure of integers, arrays and pointers, for which all zero bytes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    // Assigning a field of a union of plain old data needs no unsafe; reading one would.
    // IFF_UP and IFF_RUNNING are small constants.
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    let raw = std::os::fd::AsRawFd::as_raw_fd(&socket);
    // SAFETY: SIOCSIFFLAGS reads an ifreq through the pointer; `request` is one, initialised, and outlives the
    // call; `raw` is open because `socket` is alive.
    let outcome = unsafe { libc::ioctl(raw, libc::SIOCSIFFLAGS, &raw const request) };
    if outcome == 0 {
        Ok(())
    } else {
        Err(SysError::new(
            "ioctl SIOCSIFFLAGS",
            "lo",
            io::Error::last_os_error(),
        ))
    }
}
