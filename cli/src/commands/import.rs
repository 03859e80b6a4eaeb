//! `import`.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use ctr_core::image::{ImageReference, ImportRequest};

use crate::args::Globals;
use crate::{context, output};

/// `import`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Change the configuration, such as `CMD sh` or `ENV A=b`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A note for the image's history
    #[arg(short, long)]
    message: Option<String>,
    /// Print the id only
    #[arg(short, long, hide = true)]
    quiet: bool,
    /// A tar of a root file system, plain or compressed with gzip or zstd; - for standard input
    path: PathBuf,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<ImageReference>,
}

pub(crate) fn run(globals: &Globals, args: ImportArgs) -> anyhow::Result<ExitCode> {
    let source = args.path.display().to_string();
    let input: Box<dyn Read> = if source == "-" {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(&args.path).with_context(|| format!("import {source}"))?;
        if file.metadata()?.is_dir() {
            anyhow::bail!(
                "import {source}: it is a directory; make a tar of it: tar -C {source} -c . | ctrs import - NAME"
            );
        }
        Box::new(file)
    };
    let engine = context::open(globals)?;
    let id = engine.import(ImportRequest {
        input,
        source,
        name: args.name,
        changes: args.change,
        message: args.message,
    })?;
    output::line(id.as_str())?;
    Ok(ExitCode::SUCCESS)
}
