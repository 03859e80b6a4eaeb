//! `stop`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ctr_core::{Container, Denied, EngineError, ErrorKind, PhaseName};

use super::select::Selection;
use crate::args::Globals;
use crate::{context, failure, output};

/// `stop`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    selection: Selection,
    /// Seconds until it is killed; the container's own when not said
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS")]
    time: Option<u32>,
    /// Pass over containers that are not there
    #[arg(short, long)]
    ignore: bool,
}

pub(crate) fn run(globals: &Globals, args: &StopArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let names = args
        .selection
        .names(&engine, ctr_core::ContainerSummary::is_up)?;
    let timeout = args.time.map(|seconds| Duration::from_secs(seconds.into()));
    let stop = |name: String| {
        let stopped = engine
            .container(&name)
            .and_then(|container| stop(&container, timeout));
        match stopped {
            Err(error) if args.ignore && error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        output::line(&name)
    };
    Ok(failure::for_each(names, stop, failure::code))
}

/// Ends a container; one that does not run is as wanted.
fn stop(container: &Container<'_>, timeout: Option<Duration>) -> Result<(), EngineError> {
    match container.stop(timeout) {
        Err(EngineError::Denied {
            source:
                Denied::AlreadyThere(_)
                | Denied::WrongPhase {
                    phase: PhaseName::Configured,
                    ..
                },
            ..
        }) => Ok(()),
        other => other,
    }
}
