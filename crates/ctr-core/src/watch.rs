//! Waiting for somebody else to change something: a file of the store, a container's live file, its log.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify;
use rustix::io::Errno;

/// The kernel tells of every change of a file, but nobody tells of the death of a monitor whose process lives on: so
/// waiters look again at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Wakes when something below one of its directories changes.
#[derive(Debug)]
pub(crate) struct Watch(OwnedFd);

impl Watch {
    /// Watches directories; those that are not there are passed over.
    pub(crate) fn directories<'p>(
        directories: impl IntoIterator<Item = &'p Path>,
    ) -> Result<Self, SysError> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).context("make", || "inotify instance")?;
        let events = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE_SELF;
        for directory in directories {
            match inotify::add_watch(&inotify, directory, events) {
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => {
                    let shown = directory.display().to_string();
                    return Err(SysError::new("watch", shown, error));
                }
            }
        }
        Ok(Self(inotify))
    }

    /// Waits for a change, for one of `others` to become readable, or for `deadline`; never for more than a second.
    pub(crate) fn wait(
        &self,
        others: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), SysError> {
        let mut fds = vec![PollFd::new(&self.0, PollFlags::IN)];
        fds.extend(
            others
                .iter()
                .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)),
        );
        let left = deadline.map_or(LOOK_AGAIN, |deadline| {
            deadline
                .saturating_duration_since(Instant::now())
                .min(LOOK_AGAIN)
        });
        let timeout = Timespec::try_from(left).ok();
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(SysError::new("poll", "changes", error)),
        }
        let mut buffer = [0_u8; 4096];
        while rustix::io::read(&self.0, &mut buffer).is_ok_and(|count| count > 0) {}
        Ok(())
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
