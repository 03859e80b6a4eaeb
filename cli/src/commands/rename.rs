//! `rename`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::types::ContainerName;

use crate::args::Globals;
use crate::context;

/// `rename`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// The container
    container: String,
    /// Its new name
    name: ContainerName,
}

pub(crate) fn run(globals: &Globals, args: &RenameArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    engine.container(&args.container)?.rename(&args.name)?;
    Ok(ExitCode::SUCCESS)
}
