//! `pause` and `unpause`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::{Container, ContainerSummary, EngineError, PhaseName};

use super::select::Selection;
use crate::args::Globals;
use crate::{context, failure, output};

/// Arguments of both.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    selection: Selection,
}

fn each(
    globals: &Globals,
    args: &PauseArgs,
    wanted: PhaseName,
    work: impl Fn(&Container<'_>) -> Result<(), EngineError>,
) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let is_wanted = |container: &ContainerSummary| container.phase.name() == wanted;
    let names = args.selection.names(&engine, is_wanted)?;
    let one = |name: String| {
        work(&engine.container(&name)?)?;
        output::line(&name)
    };
    Ok(failure::for_each(names, one, failure::code))
}

pub(crate) fn pause(globals: &Globals, args: &PauseArgs) -> anyhow::Result<ExitCode> {
    each(globals, args, PhaseName::Running, |container| {
        container.pause()
    })
}

pub(crate) fn unpause(globals: &Globals, args: &PauseArgs) -> anyhow::Result<ExitCode> {
    each(globals, args, PhaseName::Paused, |container| {
        container.unpause()
    })
}
