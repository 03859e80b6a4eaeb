//! `kill`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::types::Signal;

use super::select::Selection;
use crate::args::Globals;
use crate::{context, failure, output};

/// `kill`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    #[command(flatten)]
    selection: Selection,
    /// The signal, by name or number
    #[arg(short, long, default_value = "KILL")]
    signal: Signal,
}

pub(crate) fn run(globals: &Globals, args: &KillArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let names = args
        .selection
        .names(&engine, ctr_core::ContainerSummary::is_up)?;
    let kill = |name: String| {
        engine.container(&name)?.kill(args.signal)?;
        output::line(&name)
    };
    Ok(failure::for_each(names, kill, failure::code))
}
