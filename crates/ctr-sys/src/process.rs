//! Processes that are still the ones we mean: pidfds and start times (reliability.md F26).
#![expect(unsafe_code, reason = "close_range and real-time signal numbers")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::error::{Context as _, SysError};

/// A process as it can be written down: a pid alone is reused, pid and start time together are not within a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessId {
    /// The process id.
    pub pid: i32,
    /// Start time in clock ticks since boot: field 22 of `/proc/PID/stat` (proc_pid_stat(5)).
    pub start: u64,
}

impl ProcessId {
    /// Looks up the process that has `pid` now.
    ///
    /// # Errors
    /// `ESRCH`/`ENOENT` when there is none.
    pub fn of(pid: i32) -> Result<Self, SysError> {
        let path = format!("/proc/{pid}/stat");
        let content = crate::fs::read_limited(Path::new(&path), 8192)?;
        let text = String::from_utf8_lossy(&content);
        let start = parse_start_time(&text).ok_or_else(|| {
            SysError::new("parse", path, io::Error::from(io::ErrorKind::InvalidData))
        })?;
        Ok(Self { pid, start })
    }

    /// This process.
    pub fn current() -> Result<Self, SysError> {
        Self::of(rustix::process::getpid().as_raw_pid())
    }

    /// Opens the process if it is still there; `None` when it is gone or its pid belongs to another by now.
    pub fn open(self) -> Result<Option<PidFd>, SysError> {
        let Some(pidfd) = PidFd::open(self.pid)? else {
            return Ok(None);
        };
        // The descriptor is held, so the pid cannot be reused between this look and the answer.
        match Self::of(self.pid) {
            Ok(now) if now == self => Ok(Some(pidfd)),
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() || error.errno() == Some(Errno::SRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the process is there and has not exited (a zombie has).
    pub fn is_alive(self) -> Result<bool, SysError> {
        match self.open()? {
            Some(pidfd) => Ok(!pidfd.wait(Some(Duration::ZERO))?),
            None => Ok(false),
        }
    }
}

/// The start time out of `/proc/PID/stat`. The command name may hold spaces and parentheses, so counting starts
/// after the last `)`.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// An open process (pidfd_open(2)): cannot turn into another one.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has `pid` now; `None` when there is none.
    pub fn open(pid: i32) -> Result<Option<Self>, SysError> {
        let Some(raw) = (if pid > 0 { Pid::from_raw(pid) } else { None }) else {
            return Ok(None);
        };
        match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self(fd))),
            // EINVAL: it was reaped in the middle of the call (kernel/pid.c, pidfd_create).
            Err(Errno::SRCH | Errno::INVAL) => Ok(None),
            Err(error) => Err(SysError::new("pidfd_open", pid.to_string(), error)),
        }
    }

    /// Sends a signal; `false` when the process is gone.
    pub fn signal(&self, number: i32) -> Result<bool, SysError> {
        let object = || format!("signal {number}");
        let signal = signal_from_number(number)
            .ok_or_else(|| SysError::new("pidfd_send_signal", object(), Errno::INVAL))?;
        match rustix::process::pidfd_send_signal(&self.0, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(error) => Err(SysError::new("pidfd_send_signal", object(), error)),
        }
    }

    /// Waits until the process has exited; `false` when `patience` ran out first. `None` waits for ever.
    pub fn wait(&self, patience: Option<Duration>) -> Result<bool, SysError> {
        let deadline = patience.map(|p| std::time::Instant::now() + p);
        loop {
            let left = deadline.map(|d| d.saturating_duration_since(std::time::Instant::now()));
            let timeout = left.and_then(|l| Timespec::try_from(l).ok());
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(SysError::new("poll", "pidfd", error)),
            }
        }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Turns a number from 1 to 64 into the type of rustix, real-time signals included.
pub fn signal_from_number(number: i32) -> Option<Signal> {
    if !(1..=64).contains(&number) {
        return None;
    }
    Signal::from_named_raw(number).or_else(|| {
        if number < 32 {
            return None;
        }
        // SAFETY: rustix asks that the number be one the C library does not keep for itself. It is used only
        // to send a signal to another process, where 32 and 33 have no meaning to our own C library.
        Some(unsafe { Signal::from_raw_unchecked(number) })
    })
}

/// This boot's id (random(4)).
pub fn boot_id() -> Result<String, SysError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let content = crate::fs::read_limited(path, 128)?;
    String::from_utf8(content)
        .map(|text| text.trim_end().to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        .context("parse", || path.display().to_string())
}

/// Makes orphaned descendants children of this process (prctl(2), `PR_SET_CHILD_SUBREAPER`).
pub fn become_subreaper() -> Result<(), SysError> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("prctl", || "PR_SET_CHILD_SUBREAPER")
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2)), those inherited without it included.
pub fn close_on_exec_from(first: u32) -> Result<(), SysError> {
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC only sets a flag on descriptors of this process; no
    // descriptor is closed, so no owner of one is affected. The numbers are plain integers.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if outcome == 0 {
        Ok(())
    } else {
        Err(SysError::new(
            "close_range",
            first.to_string(),
            io::Error::last_os_error(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b23_start_time_is_found_behind_odd_names() {
        let rest = "S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 777 1 1";
        for name in ["cat", "a b", "x) S 1 (y", ")"] {
            assert_eq!(
                parse_start_time(&format!("12 ({name}) {rest}")),
                Some(777),
                "{name}"
            );
        }
        assert_eq!(parse_start_time(""), None);
        assert_eq!(parse_start_time("1 (x) S 1"), None);
    }

    #[test]
    fn b23_this_process_is_alive_and_another_start_time_is_another_process() {
        let me = ProcessId::current().unwrap();
        assert!(me.is_alive().unwrap());
        assert!(
            !ProcessId {
                start: me.start + 1,
                ..me
            }
            .is_alive()
            .unwrap()
        );
        assert!(!ProcessId { pid: 0, start: 0 }.is_alive().unwrap());
    }

    #[test]
    fn real_time_signals_have_a_number() {
        for number in (1..=31).chain(34..=64) {
            assert!(signal_from_number(number).is_some(), "{number}");
        }
        assert!(signal_from_number(0).is_none());
        assert!(signal_from_number(65).is_none());
    }

    #[test]
    fn boot_id_is_there() {
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
