//! `restart`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::select::Selection;
use crate::args::Globals;
use crate::{context, failure, output};

/// `restart`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    selection: Selection,
    /// Seconds until it is killed; the container's own when not said
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS")]
    time: Option<u32>,
}

pub(crate) fn run(globals: &Globals, args: &RestartArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let names = args.selection.names(&engine, |_| true)?;
    let timeout = args.time.map(|seconds| Duration::from_secs(seconds.into()));
    let restart = |name: String| {
        engine.container(&name)?.restart(timeout)?;
        output::line(&name)
    };
    Ok(failure::for_each(names, restart, failure::code))
}
