//! `ctrs-monitor ID`: stays with one container. Started by the engine with a message socket as standard input; not for
//! people.
//!
//! ```text
//! configuration ─► lock ─► live (creating) ─► listen ─► runtime create ─► live (created) ─► "created" to the engine
//!                                                                │
//!     engine dies before "commit": kill, delete, leave ◄─────────┤
//!                                                                ▼
//!            output, log, attach, exec, signals, stop timer, pause … until the first process ends
//!                                                                │
//!     exit record ─► live (exited) ─► drain output ─► tell clients ─► the foreground cleans up, or `cleanup` is run
//! ```
#![forbid(unsafe_code)]

mod cgroup;
mod children;
mod clients;
mod output;
mod session;

use std::process::ExitCode;
use std::time::Duration;

use ctr_monitor::config::MonitorConfig;
use ctr_monitor::protocol::{MESSAGE, Reply};
use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use ctr_sys::lock::FileLock;
use ctr_sys::socket::MessageSocket;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::fs::{Mode, OFlags};

fn main() -> ExitCode {
    let Ok(engine) = take_socket() else {
        return ExitCode::FAILURE;
    };
    match begin(&engine) {
        Ok(session) => session.run(engine),
        Err(error) => {
            let text = ctr_sys::error::error_chain(&error);
            // The engine may be gone; then nobody needs the reason.
            let _unheard = engine.send(&Reply::Error(text).encode(), &[]);
            ExitCode::FAILURE
        }
    }
}

/// Moves the engine's socket away from descriptor 0, where a child would inherit it, and puts `/dev/null` there.
fn take_socket() -> Result<MessageSocket, SysError> {
    ctr_sys::process::close_on_exec_from(3)?;
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
        .context("duplicate", || "standard input")?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context("open", || "/dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("replace", || "standard input")?;
    Ok(MessageSocket::from_fd(socket))
}

fn begin(engine: &MessageSocket) -> Result<session::Session, SysError> {
    let invalid =
        |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let arrived = engine.wait_readable(Duration::from_secs(10));
    if !arrived.context("wait for", || "the configuration")? {
        return Err(SysError::new(
            "wait for",
            "the configuration",
            invalid("none came"),
        ));
    }
    let mut buffer = vec![0; MESSAGE];
    let received = engine
        .receive(&mut buffer)
        .context("receive", || "the configuration")?;
    let config = MonitorConfig::decode(buffer.get(..received.length).unwrap_or_default())
        .map_err(|error| SysError::new("read", "the configuration", invalid(&error.to_string())))?;
    drop(buffer);
    ctr_sys::process::become_subreaper()?;
    // SIGCHLD is read from a descriptor. The others are for the container's processes, and reach them by the engine.
    let mut blocked = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGPIPE,
    ] {
        blocked.add(signal);
    }
    blocked.thread_block().context("block", || "signals")?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&children, flags).context("make", || "signal descriptor")?;
    let lock = FileLock::try_acquire(&config.lock)?.ok_or_else(|| {
        SysError::new(
            "lock",
            config.lock.display().to_string(),
            invalid("another monitor has it"),
        )
    })?;
    session::Session::new(config, lock, signals)
}
