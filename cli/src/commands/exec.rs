//! `exec`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ctr_core::{AttachEnd, DetachKeys, ExecRequest};

use super::run::exit_code;
use crate::args::Globals;
use crate::options::environment;
use crate::streams::{Foreground, terminal_size, warn_without_terminal};
use crate::{context, output};

/// `exec`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Do not stay with it
    #[arg(short, long)]
    detach: bool,
    /// Keep standard input open
    #[arg(short, long)]
    interactive: bool,
    /// Allocate a terminal
    #[arg(short, long)]
    tty: bool,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User and group
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// All capabilities
    #[arg(long)]
    privileged: bool,
    /// Keys that detach
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: DetachKeys,
    /// The container
    container: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(crate) fn run(globals: &Globals, args: ExecArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let request = ExecRequest {
        command: args.command,
        env: environment(&args.env_file, &args.env)?,
        workdir: args.workdir,
        user: args.user,
        terminal: args.tty,
        console_size: terminal_size(),
        stdin: args.interactive,
        privileged: args.privileged,
        detach: args.detach,
    };
    let container = engine.container(&args.container)?;
    if args.detach {
        let session = container.exec(&request)?;
        output::line(session.id.as_str())?;
        return Ok(ExitCode::SUCCESS);
    }
    let foreground = Foreground {
        stdin: args.interactive,
        terminal: args.tty,
        // As docker and podman: signals end this side only.
        sig_proxy: false,
        detach_keys: args.detach_keys,
    };
    warn_without_terminal(args.tty);
    let signals = foreground.catch()?;
    let session = container.exec(&request)?;
    match foreground.pump(&signals, |options| session.pump(options))? {
        AttachEnd::Exited(code) => Ok(exit_code(code)),
        AttachEnd::Detached => Ok(ExitCode::SUCCESS),
    }
}
