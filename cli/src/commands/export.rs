//! `export`.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::args::Globals;
use crate::context;

/// `export`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The container
    container: String,
}

pub(crate) fn run(globals: &Globals, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    if args.output.is_none() && io::stdout().is_terminal() {
        bail!("an archive is not for a terminal: use -o FILE, or send it into a pipe");
    }
    let engine = context::open(globals)?;
    let container = engine.container(&args.container)?;
    match &args.output {
        None => container.export(io::stdout().lock())?,
        Some(path) => {
            let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
            if let Err(error) = container.export(io::BufWriter::with_capacity(256 << 10, file)) {
                // Half an archive is none; what was no file before (a device, a pipe) is not ours to remove.
                if path.metadata().is_ok_and(|found| found.is_file()) {
                    let _gone = std::fs::remove_file(path);
                }
                return Err(error.into());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
