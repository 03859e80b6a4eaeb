//! `attach`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::{AttachEnd, DetachKeys};

use super::run::exit_code;
use crate::args::Globals;
use crate::context;
use crate::streams::Foreground;

/// `attach`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Do not attach to the container's input
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the container
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,
    /// Keys that detach
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: DetachKeys,
    /// The container
    container: String,
}

pub(crate) fn run(globals: &Globals, args: AttachArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let container = engine.container(&args.container)?;
    let process = container.peek()?.config.process;
    let foreground = Foreground {
        stdin: process.stdin && !args.no_stdin,
        terminal: process.terminal,
        sig_proxy: args.sig_proxy && !process.terminal,
        detach_keys: args.detach_keys,
    };
    let signals = foreground.catch()?;
    let attachment = container.attach()?;
    match foreground.pump(&signals, |options| attachment.pump(options))? {
        AttachEnd::Exited(code) => Ok(exit_code(code)),
        AttachEnd::Detached => Ok(ExitCode::SUCCESS),
    }
}
