//! `rmi`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::ErrorKind;

use crate::args::Globals;
use crate::{context, failure, output};

/// `rmi`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct RmiArgs {
    /// Names or ids
    #[arg(value_name = "IMAGE", required_unless_present = "all")]
    images: Vec<String>,
    /// All images
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
    /// Take every name away, and remove containers made from it
    #[arg(short, long)]
    force: bool,
    /// Pass over images that are not there
    #[arg(short, long)]
    ignore: bool,
}

pub(crate) fn run(globals: &Globals, args: &RmiArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let images = if args.all {
        engine
            .images()?
            .into_iter()
            .map(|image| image.record.id.to_string())
            .collect()
    } else {
        args.images.clone()
    };
    let remove = |image: String| {
        // All of them means each with all its names; only containers need force.
        let removed = if args.all && !args.force {
            untag_all(&engine, &image).and_then(|()| engine.remove_image(&image, false))
        } else {
            engine.remove_image(&image, args.force)
        };
        let removed = match removed {
            Err(error) if (args.ignore || args.force) && error.kind() == ErrorKind::NotFound => {
                return Ok(());
            }
            other => other?,
        };
        for name in removed.untagged {
            output::line(&format!("Untagged: {name}"))?;
        }
        match removed.deleted {
            Some(id) => output::line(&format!("Deleted: {}", id.hex())),
            None => Ok(()),
        }
    };
    // podman-rmi(1): 1 for no such image, 2 for one that is used, 125 for the engine.
    let code = |error: &anyhow::Error| {
        failure::code_of(error, &[(ErrorKind::NotFound, 1), (ErrorKind::InUse, 2)])
    };
    Ok(failure::for_each(images, remove, code))
}

/// Takes all names but one away.
fn untag_all(engine: &ctr_core::Engine, image: &str) -> Result<(), ctr_core::EngineError> {
    let (record, _) = engine.image(image)?;
    for name in record.names.iter().skip(1) {
        engine.remove_image(name, false)?;
    }
    Ok(())
}
