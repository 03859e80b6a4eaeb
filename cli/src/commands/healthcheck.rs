//! `healthcheck run`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::CheckResult;

use crate::args::Globals;
use crate::{context, output};

/// `healthcheck run`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct HealthcheckArgs {
    /// The container
    container: String,
}

pub(crate) fn run(globals: &Globals, args: &HealthcheckArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    match engine.container(&args.container)?.check_health()? {
        CheckResult::Healthy => Ok(ExitCode::SUCCESS),
        CheckResult::Unhealthy(_) => {
            output::line("unhealthy")?;
            Ok(ExitCode::FAILURE)
        }
    }
}
