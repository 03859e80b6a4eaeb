//! `start`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::{Denied, DetachKeys, EngineError, PhaseName};

use super::run::{stay, tell_degraded};
use crate::args::Globals;
use crate::streams::Foreground;
use crate::{context, failure, output};

/// `start`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Attach to the container's output
    #[arg(short = 'a', long)]
    attach: bool,
    /// Attach to the container's input too
    #[arg(short, long)]
    interactive: bool,
    /// Pass signals on to the container
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,
    /// Keys that detach
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: DetachKeys,
    #[command(flatten)]
    selection: StartSelection,
}

/// As the others select; `-a` means something else here.
#[derive(Debug, Args)]
struct StartSelection {
    /// Names, ids or beginnings of ids
    #[arg(value_name = "CONTAINER", required_unless_present = "all")]
    containers: Vec<String>,
    /// All containers that do not run
    #[arg(long, conflicts_with = "containers")]
    all: bool,
}

pub(crate) fn run(globals: &Globals, args: &StartArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    if args.attach || args.interactive {
        let [name] = args.selection.containers.as_slice() else {
            anyhow::bail!("only one container can be attached to: name one");
        };
        let container = engine.container(name)?;
        let config = container.peek()?.config;
        let foreground = Foreground {
            stdin: args.interactive && config.process.stdin,
            terminal: config.process.terminal,
            sig_proxy: args.sig_proxy && !config.process.terminal,
            detach_keys: args.detach_keys.clone(),
        };
        return stay(globals, &container, foreground);
    }
    let names = if args.selection.all {
        let (containers, _damaged) = engine.containers()?;
        containers
            .iter()
            .filter(|c| !c.is_up())
            .map(|c| c.id.to_string())
            .collect()
    } else {
        args.selection.containers.clone()
    };
    let start = |name: String| {
        let started = engine.container(&name)?.start();
        match started {
            Ok(started) => tell_degraded(globals, &started.degraded),
            // As podman: it runs, which is what was asked for.
            Err(EngineError::Denied {
                source: Denied::AlreadyThere(PhaseName::Running),
                ..
            }) => {}
            Err(error) => return Err(error.into()),
        }
        output::line(&name)
    };
    Ok(failure::for_each(names, start, failure::code))
}
