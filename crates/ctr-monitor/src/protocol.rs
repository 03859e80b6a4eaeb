//! The messages between a monitor and its clients: one `SOCK_SEQPACKET` message each, a byte of type first.
//!
//! Whoever reaches the socket (mode 0600 in a directory of mode 0700) may do everything.

use std::ffi::OsString;
use std::path::PathBuf;

use ctr_sys::process::ProcessId;

use crate::codec::{DecodeError, Decoder, Encoder};

/// Most bytes of output or input in one message.
pub const CHUNK: usize = 32 << 10;
/// Longest message.
pub const MESSAGE: usize = 128 << 10;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The engine has written down that the container exists: it may live on without the engine. Handshake only.
    Commit,
    /// Start the program.
    Start,
    /// Send a signal to the first process.
    Signal(i32),
    /// Send a signal, and SIGKILL when it has not ended after the time.
    Stop {
        /// The first signal.
        signal: i32,
        /// Milliseconds until SIGKILL; 0 means SIGKILL at once.
        timeout_ms: u64,
    },
    /// Freeze.
    Pause,
    /// Tell me of the processes of execs.
    Sessions,
    /// Forget one that has ended.
    ForgetSession(String),
    /// Check the container's health now, and tell me the code.
    CheckHealth,
    /// Freeze for as long as I am connected.
    Freeze,
    /// Go on.
    Resume,
    /// The terminal's size.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Send me the output from now on.
    Attach {
        /// Rather let the container wait than lose output.
        lossless: bool,
    },
    /// Input.
    Stdin(Vec<u8>),
    /// The end of input.
    StdinEnd,
    /// Run one more process: with the message come its standard input, output and error, or nothing when it has a
    /// terminal.
    Exec {
        /// The session's id.
        id: String,
        /// `runtime exec --detach …`.
        argv: Vec<OsString>,
        /// Where the runtime writes its pid.
        pid_file: PathBuf,
        /// Where the runtime sends its terminal; none when it has none.
        console_socket: Option<PathBuf>,
    },
    /// I clean up when it has ended.
    Foreground,
    /// I have cleaned up.
    CleanedUp,
}

/// A process of an exec, as the monitor knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Its process, in the host's numbers.
    pub process: ProcessId,
    /// Its exit code, once it has ended.
    pub code: Option<i32>,
}

/// What a monitor answers or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Ok,
    /// Not done, and why.
    Error(String),
    /// The runtime has made the container.
    Created {
        /// Its first process.
        pid: i32,
    },
    /// Output.
    Output {
        /// 1 or 2.
        stream: u8,
        /// The bytes.
        data: Vec<u8>,
    },
    /// The container has ended, and all its output has been sent.
    Exited {
        /// Exit code.
        code: i32,
    },
    /// The container has ended, and will be started again.
    Restarting {
        /// Exit code of the run that is over.
        code: i32,
    },
    /// The processes of execs: those that run, and the last ones that have ended.
    Sessions(Vec<Session>),
    /// The process of an exec runs; its terminal comes with the message if it has one.
    ExecStarted {
        /// Its pid.
        pid: i32,
    },
    /// The process of an exec has ended.
    ExecExited {
        /// Exit code.
        code: i32,
    },
}

impl Request {
    /// As a message.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::default();
        match self {
            Self::Commit => to.byte(1),
            Self::Start => to.byte(2),
            Self::Signal(number) => {
                to.byte(3);
                to.signed(*number);
            }
            Self::Stop { signal, timeout_ms } => {
                to.byte(4);
                to.signed(*signal);
                to.number(*timeout_ms);
            }
            Self::Pause => to.byte(5),
            Self::Resume => to.byte(6),
            Self::Resize { rows, columns } => {
                to.byte(7);
                to.number((*rows).into());
                to.number((*columns).into());
            }
            Self::Attach { lossless } => {
                to.byte(8);
                to.flag(*lossless);
            }
            Self::Stdin(data) => {
                to.byte(9);
                to.0.extend_from_slice(data);
            }
            Self::StdinEnd => to.byte(10),
            Self::Exec {
                id,
                argv,
                pid_file,
                console_socket,
            } => {
                to.byte(11);
                to.bytes(id.as_bytes());
                to.list(argv);
                to.path(pid_file);
                to.flag(console_socket.is_some());
                to.path(console_socket.as_deref().unwrap_or("".as_ref()));
            }
            Self::Foreground => to.byte(12),
            Self::CleanedUp => to.byte(13),
            Self::Freeze => to.byte(14),
            Self::CheckHealth => to.byte(15),
            Self::Sessions => to.byte(16),
            Self::ForgetSession(id) => {
                to.byte(17);
                to.bytes(id.as_bytes());
            }
        }
        to.0
    }

    /// From a message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Decoder(message);
        let size = |number: u64| u16::try_from(number).or(Err(DecodeError("a size is absurd")));
        let request = match from.byte()? {
            1 => Self::Commit,
            2 => Self::Start,
            3 => Self::Signal(from.signed()?),
            4 => Self::Stop {
                signal: from.signed()?,
                timeout_ms: from.number()?,
            },
            5 => Self::Pause,
            6 => Self::Resume,
            7 => Self::Resize {
                rows: size(from.number()?)?,
                columns: size(from.number()?)?,
            },
            8 => Self::Attach {
                lossless: from.flag()?,
            },
            9 => Self::Stdin(from.rest().to_vec()),
            10 => Self::StdinEnd,
            11 => {
                let id = from.string()?;
                let (argv, pid_file) = (from.list()?, from.path()?);
                let terminal = from.flag()?;
                let console_socket = Some(from.path()?).filter(|_| terminal);
                Self::Exec {
                    id,
                    argv,
                    pid_file,
                    console_socket,
                }
            }
            12 => Self::Foreground,
            13 => Self::CleanedUp,
            14 => Self::Freeze,
            15 => Self::CheckHealth,
            16 => Self::Sessions,
            17 => Self::ForgetSession(from.string()?),
            _ => return Err(DecodeError("its type is unknown")),
        };
        from.end()?;
        Ok(request)
    }
}

impl Reply {
    /// As a message.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::default();
        match self {
            Self::Ok => to.byte(128),
            Self::Error(text) => {
                to.byte(129);
                to.0.extend_from_slice(text.as_bytes());
            }
            Self::Created { pid } => {
                to.byte(130);
                to.signed(*pid);
            }
            Self::Output { stream, data } => {
                to.byte(131);
                to.byte(*stream);
                to.0.extend_from_slice(data);
            }
            Self::Exited { code } => {
                to.byte(132);
                to.signed(*code);
            }
            Self::Sessions(sessions) => {
                to.byte(136);
                to.number(u64::try_from(sessions.len()).unwrap_or(0));
                for session in sessions {
                    to.bytes(session.id.as_bytes());
                    to.signed(session.process.pid);
                    to.number(session.process.start);
                    to.flag(session.code.is_some());
                    to.signed(session.code.unwrap_or_default());
                }
            }
            Self::Restarting { code } => {
                to.byte(135);
                to.signed(*code);
            }
            Self::ExecStarted { pid } => {
                to.byte(133);
                to.signed(*pid);
            }
            Self::ExecExited { code } => {
                to.byte(134);
                to.signed(*code);
            }
        }
        to.0
    }

    /// From a message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Decoder(message);
        let reply = match from.byte()? {
            128 => Self::Ok,
            129 => Self::Error(String::from_utf8_lossy(from.rest()).into_owned()),
            130 => Self::Created {
                pid: from.signed()?,
            },
            131 => Self::Output {
                stream: from.byte()?,
                data: from.rest().to_vec(),
            },
            132 => Self::Exited {
                code: from.signed()?,
            },
            136 => {
                let count = from.number()?;
                let mut sessions = Vec::new();
                for _ in 0..count {
                    let id = from.string()?;
                    let process = ProcessId {
                        pid: from.signed()?,
                        start: from.number()?,
                    };
                    let has_ended = from.flag()?;
                    let code = Some(from.signed()?).filter(|_| has_ended);
                    sessions.push(Session { id, process, code });
                }
                Self::Sessions(sessions)
            }
            135 => Self::Restarting {
                code: from.signed()?,
            },
            133 => Self::ExecStarted {
                pid: from.signed()?,
            },
            134 => Self::ExecExited {
                code: from.signed()?,
            },
            _ => return Err(DecodeError("its type is unknown")),
        };
        from.end()?;
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_come_back_as_they_went() {
        let exec = |console_socket| Request::Exec {
            id: "e".into(),
            argv: vec!["runc".into(), "exec".into()],
            pid_file: "/p".into(),
            console_socket,
        };
        for request in [
            Request::Commit,
            Request::Start,
            Request::Signal(-1),
            Request::Stop {
                signal: 15,
                timeout_ms: 10_000,
            },
            Request::Pause,
            Request::Resume,
            Request::Resize {
                rows: 24,
                columns: 80,
            },
            Request::Attach { lossless: true },
            Request::Stdin(b"x\0y".to_vec()),
            Request::StdinEnd,
            exec(None),
            exec(Some("/c".into())),
            Request::Foreground,
            Request::CleanedUp,
            Request::Freeze,
            Request::CheckHealth,
            Request::Sessions,
            Request::ForgetSession("e".into()),
        ] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        for reply in [
            Reply::Ok,
            Reply::Error("no".into()),
            Reply::Created { pid: 7 },
            Reply::Output {
                stream: 2,
                data: vec![0, 1],
            },
            Reply::Exited { code: 137 },
            Reply::Restarting { code: 3 },
            Reply::Sessions(vec![Session {
                id: "e".into(),
                process: ProcessId { pid: 5, start: 6 },
                code: Some(7),
            }]),
            Reply::ExecStarted { pid: 8 },
            Reply::ExecExited { code: 1 },
        ] {
            assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _request = Request::decode(&bytes);
            let _reply = Reply::decode(&bytes);
        }
    }
}
