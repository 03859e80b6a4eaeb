//! `load`.

use std::io;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ctr_core::image::LoadSource;

use crate::args::Globals;
use crate::{context, output};

/// `load`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// An archive of docker or OCI, plain or compressed, or a directory with an OCI layout; standard input when not said
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Accepted for scripts
    #[arg(short, long, hide = true)]
    quiet: bool,
}

pub(crate) fn run(globals: &Globals, args: LoadArgs) -> anyhow::Result<ExitCode> {
    let source = match args.input {
        Some(path) => LoadSource::Path(path),
        None if io::stdin().is_terminal() => {
            anyhow::bail!("name an archive with --input, or give one on standard input")
        }
        None => LoadSource::Stream(Box::new(io::stdin().lock())),
    };
    for image in context::open(globals)?.load(source)? {
        if image.names.is_empty() {
            output::line(&format!("Loaded image: {}", image.id))?;
        }
        for name in image.names {
            output::line(&format!("Loaded image: {name}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
