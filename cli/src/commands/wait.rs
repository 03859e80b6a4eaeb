//! `wait`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::{ErrorKind, PhaseName};

use crate::args::Globals;
use crate::{context, failure, output};

/// `wait`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Names, ids or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
    /// Wait for a state instead of the end: created, initialized, running, paused, stopping, stopped, exited or removing
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    condition: Vec<PhaseName>,
    /// Pass over containers that are not there
    #[arg(long)]
    ignore: bool,
    /// Accepted for scripts; the end is told by the monitor, nothing is polled
    #[arg(short, long, hide = true)]
    interval: Option<String>,
}

pub(crate) fn run(globals: &Globals, args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let mut phases = args.condition.clone();
    // As podman: one that has stopped is about to have exited; either is the end.
    if phases.contains(&PhaseName::Stopped) {
        phases.push(PhaseName::Exited);
    }
    let wait = |name: &String| {
        let waited = engine.container(name).and_then(|container| {
            if phases.is_empty() {
                container.wait()
            } else {
                container.wait_for(&phases)
            }
        });
        let code = match waited {
            Err(error) if args.ignore && error.kind() == ErrorKind::NotFound => -1,
            other => other?,
        };
        output::line(&code.to_string())
    };
    Ok(failure::for_each(&args.containers, wait, failure::code))
}
