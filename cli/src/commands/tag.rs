//! `tag`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::image::ImageReference;

use crate::args::Globals;
use crate::context;

/// `tag`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// The image
    image: String,
    /// Names it gets
    #[arg(value_name = "NAME[:TAG]", required = true)]
    names: Vec<ImageReference>,
}

pub(crate) fn run(globals: &Globals, args: &TagArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    for name in &args.names {
        engine.tag(&args.image, name)?;
    }
    Ok(ExitCode::SUCCESS)
}
