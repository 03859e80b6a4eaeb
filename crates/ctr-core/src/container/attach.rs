//! Attaching: the caller's standard streams and the container's become one, through the monitor.

use std::os::fd::{AsFd, BorrowedFd};
use std::str::FromStr;
use std::time::Duration;

use ctr_monitor::client::{ClientError, MonitorClient};
use ctr_monitor::protocol::{CHUNK, Reply, Request};
use ctr_state::Op;
use nix::sys::signalfd::SignalFd;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::Container;
use crate::EngineError;

const PATIENCE: Duration = Duration::from_secs(10);

/// A text that is no sequence of detach keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid detach keys {0:?}: use single characters and ctrl-a to ctrl-z, ctrl-@, ctrl-[, ctrl-\\, ctrl-], ctrl-^, ctrl-_, separated by commas"
)]
pub struct DetachKeysError(String);

/// The keys that detach; none of them means that nothing does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

impl Default for DetachKeys {
    fn default() -> Self {
        // ctrl-p,ctrl-q
        Self(vec![16, 17])
    }
}

impl FromStr for DetachKeys {
    type Err = DetachKeysError;
    fn from_str(text: &str) -> Result<Self, DetachKeysError> {
        let bad = || DetachKeysError(text.chars().take(40).collect());
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',')
            .map(|key| match (key.strip_prefix("ctrl-"), key.as_bytes()) {
                (Some(name), _) => match name.as_bytes() {
                    [letter] if letter.is_ascii_alphabetic() => {
                        Ok(letter.to_ascii_lowercase() - b'a' + 1)
                    }
                    [special] if b"@[\\]^_".contains(special) => Ok(special - b'@'),
                    _ => Err(bad()),
                },
                (None, [single]) => Ok(*single),
                (None, _) => Err(bad()),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Finds the detach keys in input that comes piece by piece.
#[derive(Debug)]
struct Detacher {
    keys: Vec<u8>,
    seen: usize,
}

impl Detacher {
    /// The input to pass on, and whether the keys have been pressed. Keys seen so far are held back.
    fn filter(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        if self.keys.is_empty() {
            return (input.to_vec(), false);
        }
        let mut out = Vec::with_capacity(input.len());
        for byte in input {
            if self.keys.get(self.seen) != Some(byte) {
                out.extend(self.keys.iter().take(self.seen));
                self.seen = 0;
            }
            if self.keys.get(self.seen) == Some(byte) {
                self.seen += 1;
                if self.seen == self.keys.len() {
                    return (out, true);
                }
            } else {
                out.push(*byte);
            }
        }
        (out, false)
    }
}

/// The caller's side of an attachment.
#[derive(Debug)]
pub struct AttachOptions<'a> {
    /// Input; none means the container gets none from here.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Where the container's output goes.
    pub stdout: Option<BorrowedFd<'a>>,
    /// Where its errors go.
    pub stderr: Option<BorrowedFd<'a>>,
    /// Keys that detach; only looked for with a terminal.
    pub detach_keys: DetachKeys,
    /// Signals to pass on (SIGWINCH becomes the terminal's size). They must be blocked.
    pub signals: Option<&'a SignalFd>,
    /// Signals other than SIGWINCH are passed on.
    pub sig_proxy: bool,
}

/// How an attachment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachEnd {
    /// The container, or the exec, ended with this code.
    Exited(i32),
    /// The detach keys were pressed.
    Detached,
}

/// A connection to a container's streams.
#[derive(Debug)]
pub struct Attachment {
    name: String,
    client: MonitorClient,
    terminal: bool,
}

impl Container<'_> {
    /// Attaches to the container, whether or not its program has been started.
    ///
    /// With `lossless`, the container waits when its output is not taken; otherwise a client that stalls it is dropped.
    pub fn connect(&self, lossless: bool) -> Result<Attachment, EngineError> {
        let config = self.peek()?.config;
        let name = config.name.to_string();
        let failed = |source| EngineError::Monitor {
            name: name.clone(),
            source,
        };
        let mut client = self.monitor().map_err(failed)?;
        client
            .call(&Request::Attach { lossless }, PATIENCE)
            .map_err(failed)?;
        Ok(Attachment {
            name,
            client,
            terminal: config.process.terminal,
        })
    }

    /// Attaches to a running container.
    ///
    /// # Errors
    /// When it does not run.
    pub fn attach(&self) -> Result<Attachment, EngineError> {
        let locked = self.lock()?;
        locked.admit(Op::Attach)?;
        self.connect(false)
    }
}

impl Attachment {
    /// Sets the size of the container's terminal to that of `fd`, if both are terminals. Done before the program starts, it
    /// never sees another size.
    pub fn copy_size(&self, fd: BorrowedFd<'_>) -> bool {
        let Some(size) = rustix::termios::tcgetwinsize(fd)
            .ok()
            .filter(|_| self.terminal)
        else {
            return false;
        };
        let request = Request::Resize {
            rows: size.ws_row,
            columns: size.ws_col,
        };
        // When the monitor's queue is full, the next change of size tries again.
        let _full = self.client.send(&request, &[]);
        true
    }

    fn send_size(&self, options: &AttachOptions<'_>) {
        let fds = [options.stdin, options.stdout];
        let _found = fds.into_iter().flatten().any(|fd| self.copy_size(fd));
    }

    /// Passes everything on, both ways, until the container ends or the detach keys are pressed.
    ///
    /// # Errors
    /// When the monitor goes away, or the caller's output cannot be written.
    pub fn pump(mut self, options: &AttachOptions<'_>) -> Result<AttachEnd, EngineError> {
        let failed = |name: &str, source| EngineError::Monitor {
            name: name.to_owned(),
            source,
        };
        let nonblocking = rustix::io::ioctl_fionbio(self.client.as_fd(), true);
        nonblocking
            .map_err(|error| ctr_sys::SysError::new("set non-blocking", "monitor", error))?;
        if self.terminal {
            self.send_size(options);
        }
        let keys = if self.terminal {
            options.detach_keys.0.clone()
        } else {
            Vec::new()
        };
        let mut detacher = Detacher { keys, seen: 0 };
        let mut stdin = options.stdin;
        // What the monitor had no room for. While there is some, no more input is read, but output is.
        let mut unsent: Option<Request> = None;
        let mut buffer = vec![0; CHUNK];
        loop {
            let mut flags = PollFlags::IN;
            if unsent.is_some() {
                flags |= PollFlags::OUT;
            }
            let mut fds = vec![PollFd::from_borrowed_fd(self.client.as_fd(), flags)];
            let input = stdin.filter(|_| unsent.is_none());
            fds.extend(input.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            fds.extend(options.signals.map(|fd| PollFd::new(fd, PollFlags::IN)));
            match rustix::event::poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(ctr_sys::SysError::new("poll", "streams", error).into()),
            }
            let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
            let from_monitor = ready.next().unwrap_or(false);
            let from_stdin = input.is_some() && ready.next().unwrap_or(false);
            let from_signals = options.signals.is_some() && ready.next().unwrap_or(false);
            drop(fds);
            if from_monitor {
                loop {
                    match self.client.receive(None) {
                        Ok((Reply::Output { stream, data }, _)) => {
                            let to = if stream == 2 && !self.terminal {
                                options.stderr
                            } else {
                                options.stdout
                            };
                            write_all(to, &data)?;
                        }
                        Ok((Reply::Exited { code }, _)) => return Ok(AttachEnd::Exited(code)),
                        // Answers to signals and the like.
                        Ok(_) => {}
                        Err(ClientError::Sys(error)) if error.errno() == Some(Errno::AGAIN) => {
                            break;
                        }
                        Err(source) => return Err(failed(&self.name, source)),
                    }
                }
                if let Some(request) = unsent.take() {
                    unsent = self.try_send(request)?;
                }
            }
            if from_stdin && let Some(fd) = stdin {
                match rustix::io::read(fd, &mut buffer) {
                    Ok(0) => {
                        stdin = None;
                        unsent = self.try_send(Request::StdinEnd)?;
                    }
                    Ok(count) => {
                        let (data, detached) =
                            detacher.filter(buffer.get(..count).unwrap_or_default());
                        if detached {
                            return Ok(AttachEnd::Detached);
                        }
                        if !data.is_empty() {
                            unsent = self.try_send(Request::Stdin(data))?;
                        }
                    }
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    // A terminal that has gone away, or a background process reading one: no more input.
                    Err(_) => stdin = None,
                }
            }
            if from_signals {
                self.pass_signals(options);
            }
        }
    }

    fn try_send(&self, request: Request) -> Result<Option<Request>, EngineError> {
        match self.client.send(&request, &[]) {
            Ok(()) => Ok(None),
            Err(ClientError::Sys(error)) if error.errno() == Some(Errno::AGAIN) => {
                Ok(Some(request))
            }
            // Its last words may still be there to be read.
            Err(ClientError::Gone) => Ok(None),
            Err(source) => Err(EngineError::Monitor {
                name: self.name.clone(),
                source,
            }),
        }
    }

    fn pass_signals(&self, options: &AttachOptions<'_>) {
        let Some(signals) = options.signals else {
            return;
        };
        while let Ok(Some(info)) = signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            if number == rustix::process::Signal::WINCH.as_raw() {
                if self.terminal {
                    self.send_size(options);
                }
            } else if options.sig_proxy {
                // A monitor whose queue is full is one whose container is ending.
                let _full = self.client.send(&Request::Signal(number), &[]);
            }
        }
    }
}

/// Writes all of it, waiting as long as it takes.
pub(super) fn write_all(fd: Option<BorrowedFd<'_>>, data: &[u8]) -> Result<(), EngineError> {
    let Some(fd) = fd else { return Ok(()) };
    let mut rest = data;
    while !rest.is_empty() {
        match rustix::io::write(fd, rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                let _woken = rustix::event::poll(&mut fds, None);
            }
            Err(error) => {
                return Err(ctr_sys::SysError::new("write to", "standard output", error).into());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m18_detach_keys_are_read_as_docker_writes_them() {
        assert_eq!("ctrl-p,ctrl-q".parse(), Ok(DetachKeys::default()));
        assert_eq!("a,ctrl-@,ctrl-_".parse(), Ok(DetachKeys(vec![b'a', 0, 31])));
        assert_eq!("".parse(), Ok(DetachKeys(vec![])));
        for bad in ["ctrl-", "ctrl-1", "ab", "a,,b", "ctrl-ab"] {
            assert!(bad.parse::<DetachKeys>().is_err(), "{bad}");
        }
    }

    #[test]
    fn detach_keys_are_found_across_pieces_and_nothing_else_is_lost() {
        let mut detacher = Detacher {
            keys: vec![16, 17],
            seen: 0,
        };
        assert_eq!(detacher.filter(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(detacher.filter(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(detacher.filter(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(detacher.filter(b"\x11x"), (vec![], true));
        let mut none = Detacher {
            keys: vec![],
            seen: 0,
        };
        assert_eq!(none.filter(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
