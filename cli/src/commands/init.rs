//! `init`.

use std::process::ExitCode;

use clap::Args;

use super::run::tell_degraded;
use super::select::Selection;
use crate::args::Globals;
use crate::{context, failure, output};

/// `init`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    selection: Selection,
}

pub(crate) fn run(globals: &Globals, args: &InitArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let names = args.selection.names(&engine, |_| true)?;
    let init = |name: String| {
        let container = engine.container(&name)?;
        container.start_dependencies()?;
        let started = container.lock()?.init()?;
        tell_degraded(globals, &started.degraded);
        output::line(&name)
    };
    Ok(failure::for_each(names, init, failure::code))
}
