//! The terminal and signals while a program is in the foreground.

use std::io::{IsTerminal as _, stderr, stdin, stdout};
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use ctr_core::{AttachEnd, AttachOptions, DetachKeys, NixSignal, SfdFlags, SigSet, SignalFd};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::output;

/// Signals that go to the container instead of this program.
const PROXIED: [NixSignal; 8] = [
    NixSignal::SIGHUP,
    NixSignal::SIGINT,
    NixSignal::SIGQUIT,
    NixSignal::SIGUSR1,
    NixSignal::SIGUSR2,
    NixSignal::SIGALRM,
    NixSignal::SIGTERM,
    NixSignal::SIGCONT,
];

/// How a program is in the foreground.
#[derive(Debug)]
pub(crate) struct Foreground {
    pub(crate) stdin: bool,
    pub(crate) terminal: bool,
    pub(crate) sig_proxy: bool,
    pub(crate) detach_keys: DetachKeys,
}

/// Signals that wait to be read.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

impl Foreground {
    /// Catches signals from here on, so that none falls between the start of the program and the first look.
    pub(crate) fn catch(&self) -> anyhow::Result<Signals> {
        let mut signals = SigSet::empty();
        signals.add(NixSignal::SIGWINCH);
        if self.sig_proxy {
            for signal in PROXIED {
                signals.add(signal);
            }
        }
        signals.thread_block().context("block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals(
            SignalFd::with_flags(&signals, flags).context("open a signalfd")?,
        ))
    }

    /// Passes everything on, both ways, by `pump`.
    pub(crate) fn pump(
        self,
        signals: &Signals,
        pump: impl FnOnce(&AttachOptions<'_>) -> Result<AttachEnd, ctr_core::EngineError>,
    ) -> anyhow::Result<AttachEnd> {
        let (input, out, err) = (stdin(), stdout(), stderr());
        let raw = if self.terminal && self.stdin && input.is_terminal() {
            Some(RawTerminal::enter()?)
        } else {
            None
        };
        let options = AttachOptions {
            stdin: self.stdin.then(|| input.as_fd()),
            stdout: Some(out.as_fd()),
            stderr: Some(err.as_fd()),
            detach_keys: self.detach_keys,
            signals: Some(&signals.0),
            sig_proxy: self.sig_proxy,
        };
        let end = pump(&options);
        drop(raw);
        Ok(end?)
    }
}

/// Rows and columns of the terminal on this side, if there is one.
pub(crate) fn terminal_size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdin())
        .or_else(|_no_terminal| tcgetwinsize(stdout()))
        .ok()?;
    Some((size.ws_row, size.ws_col))
}

/// Says so when a terminal was asked for and there is none on this side.
pub(crate) fn warn_without_terminal(wanted: bool) {
    if wanted && !stdin().is_terminal() {
        output::note(
            "Warning: the input device is not a terminal; one is made in the container all the same",
        );
    }
}

/// The terminal in raw mode, restored when this is dropped.
struct RawTerminal(Termios);

impl RawTerminal {
    fn enter() -> anyhow::Result<Self> {
        let before = tcgetattr(stdin()).context("read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).context("make the terminal raw")?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
