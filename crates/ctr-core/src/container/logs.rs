//! Reading the log, and following it.

use ctr_monitor::client::MonitorClient;
use ctr_monitor::log::{LogEntry, LogReader};
use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use ctr_types::Timestamp;
use ctr_types::config::LogDriver;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify;
use rustix::io::Errno;

use super::Container;
use crate::EngineError;

/// Which part of a log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOptions {
    /// Only so many lines at the end.
    pub tail: Option<u64>,
    /// Only what was written at or after this time.
    pub since: Option<Timestamp>,
    /// Only what was written before this time.
    pub until: Option<Timestamp>,
    /// Goes on with what is written from now on, until the container ends.
    pub follow: bool,
}

impl Container<'_> {
    /// Gives the entries of the log to `sink`, which ends the reading by returning `false`.
    ///
    /// # Errors
    /// When the container keeps no log, or it cannot be read.
    pub fn logs(
        &self,
        options: &LogOptions,
        mut sink: impl FnMut(LogEntry) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        let config = self.peek()?.config;
        if config.log.driver == LogDriver::None {
            let name = &config.name;
            return Err(EngineError::Invalid(format!(
                "container {name} was created with --log-driver none and keeps no log"
            )));
        }
        let path = self.engine.roots.container(&self.id).join("ctr.log");
        // Watched and connected before reading, so that nothing falls between the last read and the first wait.
        let watch = if options.follow {
            Some(Watch::new(self)?)
        } else {
            None
        };
        let mut reader = None;
        loop {
            let ended =
                watch.is_none() || self.peek().map_or(true, |now| now.phase.live().is_none());
            if reader.is_none() {
                reader = match options.tail {
                    Some(lines) => LogReader::open_tail(&path, lines)?,
                    None => LogReader::open(&path)?,
                };
            }
            while let Some(entry) = reader.as_mut().map_or(Ok(None), LogReader::next_entry)? {
                let time: Option<Timestamp> = entry.time.parse().ok();
                if options
                    .since
                    .is_some_and(|since| time.is_some_and(|time| time < since))
                {
                    continue;
                }
                if options
                    .until
                    .is_some_and(|until| time.is_some_and(|time| time >= until))
                {
                    return Ok(());
                }
                if !sink(entry)? {
                    return Ok(());
                }
            }
            match &watch {
                // Looked at the phase before the last read: what it wrote before it ended has been read.
                Some(watch) if !ended => watch.wait()?,
                Some(_) | None => return Ok(()),
            }
        }
    }
}

/// Wakes when the log grows or the container ends.
struct Watch {
    inotify: std::os::fd::OwnedFd,
    monitor: Option<MonitorClient>,
}

impl Watch {
    fn new(container: &Container<'_>) -> Result<Self, EngineError> {
        let shown = || container.id.to_string();
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).context("inotify_init for", shown)?;
        let directory = container.engine.roots.container(&container.id);
        let events = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&inotify, &directory, events).context("inotify_add_watch for", shown)?;
        // Without a monitor the container has ended, or nobody would tell; the log's own changes still wake.
        let monitor = container.monitor().ok();
        Ok(Self { inotify, monitor })
    }

    fn wait(&self) -> Result<(), EngineError> {
        let mut fds = vec![PollFd::new(&self.inotify, PollFlags::IN)];
        fds.extend(
            self.monitor
                .as_ref()
                .map(|monitor| PollFd::new(monitor, PollFlags::IN)),
        );
        // Looks again after a second whatever happens: a container without a monitor tells nobody that it has ended.
        let second = rustix::event::Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        match rustix::event::poll(&mut fds, Some(&second)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(SysError::new("poll", "log", error).into()),
        }
        let mut buffer = [0_u8; 4096];
        while rustix::io::read(&self.inotify, &mut buffer).is_ok_and(|count| count > 0) {}
        Ok(())
    }
}
