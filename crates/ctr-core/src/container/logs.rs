//! Reading the log, and following it.

use std::os::fd::{AsFd, BorrowedFd};

use ctr_monitor::log::{LogEntry, LogReader};
use ctr_types::Timestamp;
use ctr_types::config::LogDriver;

use super::Container;
use crate::EngineError;
use crate::watch::Watch;

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
        let durable = self.engine.roots.container(&self.id);
        let watch = options.follow.then(|| Watch::directories([&*durable]));
        let watch = watch.transpose()?;
        // Without a monitor the container has ended, or nobody would tell; the log's own changes still wake.
        let monitor = self.monitor().ok().filter(|_| options.follow);
        let others: Vec<BorrowedFd<'_>> = monitor.iter().map(AsFd::as_fd).collect();
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
                Some(watch) if !ended => watch.wait(&others, None)?,
                Some(_) | None => return Ok(()),
            }
        }
    }
}
