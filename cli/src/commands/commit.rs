//! `commit`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use ctr_core::CommitRequest;
use ctr_core::image::ImageReference;

use crate::args::Globals;
use crate::{context, output};

/// `commit`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    /// Who has made it
    #[arg(short, long, default_value = "", hide_default_value = true)]
    author: String,
    /// Change the configuration, such as `CMD sh` or `ENV A=b`
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// The form of the manifest: oci is what every image here has
    #[arg(short, long, value_name = "FORMAT", value_parser = ["oci", "docker"], hide = true)]
    format: Option<String>,
    /// Write the image's id to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// The container's volumes become the image's
    #[arg(long)]
    include_volumes: bool,
    /// A note for the image's history
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Freeze the container meanwhile
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", action = clap::ArgAction::Set)]
    pause: bool,
    /// Print the id only
    #[arg(short, long, hide = true)]
    quiet: bool,
    /// Make all layers one
    #[arg(short, long)]
    squash: bool,
    /// The container
    container: String,
    /// The image's name
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<ImageReference>,
}

pub(crate) fn run(globals: &Globals, args: CommitArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let id = engine.container(&args.container)?.commit(&CommitRequest {
        name: args.name,
        changes: args.change,
        author: args.author,
        message: args.message,
        pause: args.pause,
        squash: args.squash,
        include_volumes: args.include_volumes,
    })?;
    if let Some(path) = args.iidfile {
        let text = id.as_str().to_owned();
        output::file(&path, &text).with_context(|| format!("write {}", path.display()))?;
    }
    output::line(id.hex())?;
    Ok(ExitCode::SUCCESS)
}
