//! `run`.

use std::os::fd::AsFd as _;
use std::process::ExitCode;

use clap::Args;
use ctr_core::{AttachEnd, Container, Degraded, DetachKeys};

use super::create::create;
use crate::args::{Globals, LogLevel};
use crate::options::ContainerOptions;
use crate::streams::{Foreground, warn_without_terminal};
use crate::{context, failure, output};

/// `run`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Run in the background and print the container's id
    #[arg(short, long)]
    detach: bool,
    /// Pass signals on to the container
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,
    /// Keys that detach
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: DetachKeys,
    #[command(flatten)]
    options: ContainerOptions,
}

pub(crate) fn run(globals: &Globals, args: RunArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let foreground = Foreground {
        stdin: args.options.interactive,
        terminal: args.options.tty,
        sig_proxy: args.sig_proxy && !args.options.tty,
        detach_keys: args.detach_keys,
    };
    let auto_remove = args.options.rm;
    let container = create(&engine, args.options)?;
    let outcome = if args.detach {
        start(globals, &container)
    } else {
        stay(globals, &container, foreground)
    };
    if auto_remove && let Err(error) = &outcome {
        // Its reader is gone, or it never started: nobody else would end and remove it.
        if failure::is_broken_pipe(error)
            || container.peek().is_ok_and(|now| now.phase.live().is_none())
        {
            let _gone = container.remove(true);
        }
    }
    outcome
}

fn start(globals: &Globals, container: &Container<'_>) -> anyhow::Result<ExitCode> {
    let started = container.start()?;
    tell_degraded(globals, &started.degraded);
    output::line(&container.id().to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Starts a container and stays with it until it has ended.
pub(crate) fn stay(
    globals: &Globals,
    container: &Container<'_>,
    foreground: Foreground,
) -> anyhow::Result<ExitCode> {
    warn_without_terminal(foreground.terminal);
    let signals = foreground.catch()?;
    container.start_dependencies()?;
    let mut locked = container.lock()?;
    let mut started = locked.prepare_start()?;
    tell_degraded(globals, &started.degraded);
    started.stay()?;
    // Before it starts, so that nothing it writes is lost.
    let attachment = container.connect(true)?;
    let (input, out) = (std::io::stdin(), std::io::stdout());
    let _no_terminal = attachment.copy_size(input.as_fd()) || attachment.copy_size(out.as_fd());
    locked.start_prepared(&mut started)?;
    drop(locked);
    match foreground.pump(&signals, |options| attachment.pump(options))? {
        AttachEnd::Exited(code) => {
            container.cleanup()?;
            started.leave();
            Ok(exit_code(code))
        }
        AttachEnd::Detached => Ok(ExitCode::SUCCESS),
    }
}

/// The exit code of a program; one that no shell could show is 255.
pub(crate) fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Tells what this host could not do.
pub(crate) fn tell_degraded(globals: &Globals, degraded: &[Degraded]) {
    if globals.log_level <= LogLevel::Info {
        for what in degraded {
            output::note(&format!("info: {what}"));
        }
    }
}
