//! What the engine tells the monitor: one message, before anything else.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::policy::Restart;

/// The version of the message; both programs are of one build, so any other is refused.
const VERSION: u64 = 1;

/// What is done to a container that has become unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnhealthy {
    /// Nothing.
    #[default]
    Nothing,
    /// SIGKILL.
    Kill,
    /// Its stop signal, and then it is started again whatever its policy.
    Restart,
    /// Its stop signal, for good.
    Stop,
}

impl OnUnhealthy {
    const ALL: [Self; 4] = [Self::Nothing, Self::Kill, Self::Restart, Self::Stop];
}

/// How the container's health is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthConfig {
    /// `runtime exec --detach …`.
    pub exec: Vec<OsString>,
    /// Where the runtime writes the check's pid.
    pub pid_file: PathBuf,
    /// Where the health is kept.
    pub file: PathBuf,
    /// Between two checks; zero means that none is made but when asked for.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// How long failures do not count.
    pub start_period: Duration,
    /// How many failures in a row are one too many.
    pub retries: u32,
    /// What is done then.
    pub on_unhealthy: OnUnhealthy,
}

/// Everything a monitor has to know. Programs are whole argument vectors: it knows no runtime by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonitorConfig {
    /// The container's id.
    pub id: String,
    /// The boot's id, for the exit record.
    pub boot_id: String,
    /// The lock held for the monitor's life.
    pub lock: PathBuf,
    /// The live file.
    pub live: PathBuf,
    /// Its socket.
    pub socket: PathBuf,
    /// The exit record.
    pub exit_record: PathBuf,
    /// The exit record must survive power loss.
    pub durable: bool,
    /// The log file; none means no log is kept.
    pub log: Option<PathBuf>,
    /// Bytes after which the log is rotated; 0 means never.
    pub log_max_size: u64,
    /// How many log files are kept, the current one included.
    pub log_max_files: u32,
    /// The container has a terminal.
    pub terminal: bool,
    /// Its standard input stays open.
    pub stdin: bool,
    /// It has an own pid namespace, so that all of it ends with its first process.
    pub own_pid_namespace: bool,
    /// Where the runtime sends the terminal.
    pub console_socket: PathBuf,
    /// Where the runtime writes the first process' pid.
    pub pid_file: PathBuf,
    /// `runtime create …`.
    pub create: Vec<OsString>,
    /// `runtime start …`.
    pub start: Vec<OsString>,
    /// `runtime delete --force …`.
    pub delete: Vec<OsString>,
    /// `runtime pause …`.
    pub pause: Vec<OsString>,
    /// `runtime resume …`.
    pub resume: Vec<OsString>,
    /// `runtime kill --all … KILL`.
    pub kill_all: Vec<OsString>,
    /// Run when the container has ended and nobody in the foreground cleans up.
    pub cleanup: Vec<OsString>,
    /// Environment of all of these, `NAME=value`.
    pub environment: Vec<OsString>,
    /// Which ends it is started again after.
    pub restart: Restart,
    /// Longest run; zero means any.
    pub timeout: Duration,
    /// The signal that asks it to end.
    pub stop_signal: i32,
    /// How long it has then.
    pub stop_timeout: Duration,
    /// Where what happens is noted.
    pub tidings: PathBuf,
    /// How its health is checked, if it is.
    pub health: Option<HealthConfig>,
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl MonitorConfig {
    /// As a message.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::default();
        to.number(VERSION);
        to.bytes(self.id.as_bytes());
        to.bytes(self.boot_id.as_bytes());
        for path in [&self.lock, &self.live, &self.socket, &self.exit_record] {
            to.path(path);
        }
        to.flag(self.durable);
        to.flag(self.log.is_some());
        to.path(self.log.as_deref().unwrap_or("".as_ref()));
        to.number(self.log_max_size);
        to.number(self.log_max_files.into());
        for flag in [self.terminal, self.stdin, self.own_pid_namespace] {
            to.flag(flag);
        }
        to.path(&self.console_socket);
        to.path(&self.pid_file);
        let lists = [
            &self.create,
            &self.start,
            &self.delete,
            &self.pause,
            &self.resume,
            &self.kill_all,
            &self.cleanup,
            &self.environment,
        ];
        for list in lists {
            to.list(list);
        }
        let (kind, most) = self.restart.to_numbers();
        to.number(kind);
        to.number(most);
        to.number(milliseconds(self.timeout));
        to.signed(self.stop_signal);
        to.number(milliseconds(self.stop_timeout));
        to.path(&self.tidings);
        to.flag(self.health.is_some());
        if let Some(health) = &self.health {
            to.list(&health.exec);
            to.path(&health.pid_file);
            to.path(&health.file);
            for time in [health.interval, health.timeout, health.start_period] {
                to.number(milliseconds(time));
            }
            to.number(health.retries.into());
            let action = OnUnhealthy::ALL
                .iter()
                .position(|one| *one == health.on_unhealthy);
            to.number(u64::try_from(action.unwrap_or(0)).unwrap_or(0));
        }
        to.0
    }

    /// From a message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Decoder(message);
        if from.number()? != VERSION {
            return Err(DecodeError("engine and monitor are of different versions"));
        }
        let config = Self {
            id: from.string()?,
            boot_id: from.string()?,
            lock: from.path()?,
            live: from.path()?,
            socket: from.path()?,
            exit_record: from.path()?,
            durable: from.flag()?,
            log: {
                let kept = from.flag()?;
                Some(from.path()?).filter(|_| kept)
            },
            log_max_size: from.number()?,
            log_max_files: u32::try_from(from.number()?).unwrap_or(u32::MAX),
            terminal: from.flag()?,
            stdin: from.flag()?,
            own_pid_namespace: from.flag()?,
            console_socket: from.path()?,
            pid_file: from.path()?,
            create: from.list()?,
            start: from.list()?,
            delete: from.list()?,
            pause: from.list()?,
            resume: from.list()?,
            kill_all: from.list()?,
            cleanup: from.list()?,
            environment: from.list()?,
            restart: Restart::from_numbers(from.number()?, from.number()?)
                .ok_or(DecodeError("a restart policy is unknown"))?,
            timeout: Duration::from_millis(from.number()?),
            stop_signal: from.signed()?,
            stop_timeout: Duration::from_millis(from.number()?),
            tidings: from.path()?,
            health: if from.flag()? {
                Some(HealthConfig::decode(&mut from)?)
            } else {
                None
            },
        };
        from.end()?;
        Ok(config)
    }
}

impl HealthConfig {
    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let health = Self {
            exec: from.list()?,
            pid_file: from.path()?,
            file: from.path()?,
            interval: Duration::from_millis(from.number()?),
            timeout: Duration::from_millis(from.number()?),
            start_period: Duration::from_millis(from.number()?),
            retries: u32::try_from(from.number()?).unwrap_or(u32::MAX),
            on_unhealthy: usize::try_from(from.number()?)
                .ok()
                .and_then(|number| OnUnhealthy::ALL.get(number).copied())
                .ok_or(DecodeError("an action is unknown"))?,
        };
        Ok(health)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> MonitorConfig {
        MonitorConfig {
            id: "i".into(),
            boot_id: "b".into(),
            lock: "/l".into(),
            log: Some("/log".into()),
            log_max_size: 5,
            durable: true,
            create: vec!["runc".into(), "create".into(), "".into()],
            environment: vec!["PATH=/bin".into()],
            restart: Restart::OnFailure(3),
            timeout: Duration::from_secs(5),
            stop_signal: 15,
            health: Some(HealthConfig {
                exec: vec!["runc".into()],
                interval: Duration::from_secs(30),
                retries: 3,
                on_unhealthy: OnUnhealthy::Stop,
                ..HealthConfig::default()
            }),
            ..MonitorConfig::default()
        }
    }

    #[test]
    fn it_comes_back_as_it_went() {
        assert_eq!(MonitorConfig::decode(&sample().encode()), Ok(sample()));
        let without_log = MonitorConfig {
            log: None,
            ..sample()
        };
        assert_eq!(
            MonitorConfig::decode(&without_log.encode()),
            Ok(without_log)
        );
    }

    proptest! {
        #[test]
        fn damaged_messages_are_refused_without_a_panic(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
            let mut message = sample().encode();
            if let Some(target) = message.get_mut(at) {
                *target = byte;
            }
            message.truncate(message.len().saturating_sub(cut));
            let _any = MonitorConfig::decode(&message);
        }
    }
}
