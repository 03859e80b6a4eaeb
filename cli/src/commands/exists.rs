//! `container exists`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::ErrorKind;

use crate::args::Globals;
use crate::context;

/// `container exists`' arguments.
#[derive(Debug, Args)]
pub(crate) struct ExistsArgs {
    /// Accepted for scripts: every container is this engine's
    #[arg(short, long, hide = true)]
    external: bool,
    /// The container
    container: String,
}

pub(crate) fn run(globals: &Globals, args: &ExistsArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    match engine.container(&args.container) {
        Ok(_) => Ok(ExitCode::SUCCESS),
        // podman-container-exists(1): nothing is said.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(ExitCode::FAILURE),
        Err(error) => Err(error.into()),
    }
}
