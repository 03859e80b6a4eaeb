//! The end: how it is written down, told and handed over.

use ctr_monitor::exit_record::ExitRecord;
use ctr_monitor::live::Stage;
use ctr_monitor::log::LogWriter;
use ctr_monitor::protocol::Reply;
use ctr_sys::child::Detached;
use ctr_sys::fs::Durability;

use super::restart::Restarting;
use super::{Exit, Session, now_ns};
use crate::output::Piece;
use crate::{cgroup, children};

impl Session {
    /// Writes down how the first process ended, before anything else happens.
    pub(super) fn exit(&mut self) {
        let Some(Exit { code, signalled }) = self.status else {
            return;
        };
        let record = ExitRecord {
            boot_id: self.config.boot_id.clone(),
            exit_code: code,
            signalled,
            oom_killed: cgroup::oom_killed(&self.live.cgroup),
            stop_requested: self.live.stop_requested,
            started_ns: self.live.started_ns,
            finished_ns: now_ns(),
        };
        let durability = if self.config.durable {
            Durability::PowerLoss
        } else {
            Durability::ProcessDeath
        };
        // On a full disk the live file, on another file system, still tells that it has ended.
        let _full = record.write(&self.config.exit_record, durability);
        if !self.config.own_pid_namespace {
            let _gone = self.runner(&self.config.kill_all).run();
        }
        if self.restart_follows(Exit { code, signalled }) {
            return;
        }
        self.restarting = Restarting::No;
        self.live.stage = Stage::Exited;
        self.live.log_dropped = self.log.as_ref().map_or(0, LogWriter::dropped);
        self.publish();
        self.stop_deadline = None;
        self.run_deadline = None;
        self.exited = Some(code);
    }

    /// After the exit: reads what is left in the pipes. Processes that outlive the container may hold them open, so their end
    /// is not waited for.
    pub(super) fn drain(&mut self) {
        for stream in [1, 2] {
            loop {
                if self.clients.is_behind() {
                    return;
                }
                match self.streams.read(stream, &mut self.buffer) {
                    Piece::Data(count) => self.pass_on(stream, count),
                    Piece::Empty | Piece::End => break,
                }
            }
        }
        if self.clients.is_behind() {
            return;
        }
        let code = self.exited.unwrap_or_default();
        self.clients.broadcast(&Reply::Exited { code });
        self.told = true;
    }

    /// Undoes what was done for an engine that is gone, or after a failure.
    pub(super) fn abort(&mut self) {
        self.children.kill_all();
        children::kill(self.live.process);
        let _deleted = self.runner(&self.config.delete).run();
        for path in [
            &self.config.live,
            &self.config.socket,
            &self.config.pid_file,
        ] {
            let _gone = ctr_sys::fs::ensure_file_absent(path);
        }
    }

    /// Hands over to the engine's clean-up, which outlives this process.
    pub(super) fn run_cleanup(&self) {
        let argv = &self.config.cleanup;
        let Some(program) = argv.first() else { return };
        let mut cleanup = Detached::new(program.as_ref());
        for argument in argv.iter().skip(1) {
            cleanup = cleanup.arg(argument);
        }
        for (name, value) in children::variables(&self.config.environment) {
            cleanup = cleanup.env(name, value);
        }
        // The next ordinary command cleans up if this one cannot be run.
        let _refused = cleanup.spawn();
    }
}
