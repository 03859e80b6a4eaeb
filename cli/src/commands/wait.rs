//! `wait`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::ErrorKind;

use crate::args::Globals;
use crate::{context, failure, output};

/// `wait`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Names, ids or beginnings of ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
    /// Pass over containers that are not there
    #[arg(long)]
    ignore: bool,
    /// Accepted for scripts; the end is told by the monitor, nothing is polled
    #[arg(short, long, hide = true)]
    interval: Option<String>,
}

pub(crate) fn run(globals: &Globals, args: &WaitArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let wait = |name: &String| {
        let code = match engine
            .container(name)
            .and_then(|container| container.wait())
        {
            Err(error) if args.ignore && error.kind() == ErrorKind::NotFound => -1,
            other => other?,
        };
        output::line(&code.to_string())
    };
    Ok(failure::for_each(&args.containers, wait, failure::code))
}
