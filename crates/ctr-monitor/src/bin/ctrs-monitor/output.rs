//! The container's standard streams: pipes or a terminal.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::SysError;
use ctr_sys::error::Context as _;
use ctr_sys::socket::DescriptorListener;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use crate::children::ChildStdio;

/// The monitor's ends.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Standard output, or the terminal.
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    pub(crate) stdin: Option<OwnedFd>,
    /// Where the runtime sends the terminal.
    pub(crate) console: Option<DescriptorListener>,
    /// The streams are one terminal.
    pub(crate) terminal: bool,
    /// Input that the container has had no room for.
    pub(crate) unwritten: Vec<u8>,
    /// The end of input has been said.
    ended: bool,
}

/// What a read gave.
pub(crate) enum Piece {
    /// So many bytes.
    Data(usize),
    /// Nothing now.
    Empty,
    /// Nothing any more.
    End,
}

fn pipe() -> Result<(OwnedFd, OwnedFd), SysError> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context("make", || "pipe")
}

fn nonblocking(fd: &OwnedFd) -> Result<(), SysError> {
    rustix::io::ioctl_fionbio(fd, true).context("set non-blocking", || "pipe")
}

impl Streams {
    /// Pipes, and the ends the container gets.
    pub(crate) fn pipes(keep_stdin: bool) -> Result<(Self, ChildStdio), SysError> {
        let (stdout, container_stdout) = pipe()?;
        let (stderr, container_stderr) = pipe()?;
        nonblocking(&stdout)?;
        nonblocking(&stderr)?;
        let (container_stdin, stdin) = if keep_stdin {
            let (container_stdin, stdin) = pipe()?;
            nonblocking(&stdin)?;
            (container_stdin, Some(stdin))
        } else {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let null = rustix::fs::open("/dev/null", flags, Mode::empty());
            (null.context("open", || "/dev/null")?, None)
        };
        let streams = Self {
            stdout: Some(stdout),
            stderr: Some(stderr),
            stdin,
            ..Self::default()
        };
        Ok((
            streams,
            ChildStdio(Some([container_stdin, container_stdout, container_stderr])),
        ))
    }

    /// A terminal, which will come by the console socket.
    pub(crate) fn terminal(console: DescriptorListener) -> Self {
        Self {
            console: Some(console),
            terminal: true,
            ..Self::default()
        }
    }

    /// Takes the terminal when it has come.
    pub(crate) fn accept_terminal(&mut self) {
        let Some(console) = &self.console else { return };
        if let Ok(Some(master)) = console.accept() {
            if nonblocking(&master).is_ok() {
                self.stdin = master.try_clone().ok();
                self.stdout = Some(master);
            }
            self.console = None;
        }
    }

    /// The terminal itself.
    pub(crate) fn master(&self) -> Option<&OwnedFd> {
        self.stdout.as_ref().filter(|_| self.terminal)
    }

    /// The output streams that are open.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = (u8, BorrowedFd<'_>)> {
        [(1, &self.stdout), (2, &self.stderr)]
            .into_iter()
            .filter_map(|(number, fd)| fd.as_ref().map(|fd| (number, fd.as_fd())))
    }

    /// Reads output of stream 1 or 2 without waiting. At its end the stream is closed.
    pub(crate) fn read(&mut self, stream: u8, buffer: &mut [u8]) -> Piece {
        let slot = if stream == 2 {
            &mut self.stderr
        } else {
            &mut self.stdout
        };
        let Some(fd) = slot else { return Piece::End };
        loop {
            match rustix::io::read(&*fd, &mut *buffer) {
                Ok(0) => break,
                Ok(count) => return Piece::Data(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Piece::Empty,
                // A terminal whose other side is closed says EIO (tty_ioctl(4) and its kin).
                Err(_) => break,
            }
        }
        *slot = None;
        Piece::End
    }

    /// Takes input for the container.
    pub(crate) fn input(&mut self, data: &[u8]) {
        if self.stdin.is_some() && !self.ended {
            self.unwritten.extend_from_slice(data);
            self.write_input();
        }
    }

    /// Notes the end of input: what has come is written, then the pipe is closed. A terminal has no such end.
    pub(crate) fn end_input(&mut self) {
        if !self.terminal {
            self.ended = true;
            self.write_input();
        }
    }

    /// Writes what the container takes now.
    pub(crate) fn write_input(&mut self) {
        while let Some(stdin) = self.stdin.as_ref().filter(|_| !self.unwritten.is_empty()) {
            match rustix::io::write(stdin, &self.unwritten) {
                Ok(count) => {
                    self.unwritten.drain(..count);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // It has closed its input: nobody will read this.
                Err(_) => {
                    self.unwritten.clear();
                    self.stdin = None;
                }
            }
        }
        if self.unwritten.capacity() > 0 && self.unwritten.is_empty() {
            self.unwritten = Vec::new();
        }
        if self.ended && self.unwritten.is_empty() {
            self.stdin = None;
        }
    }
}
