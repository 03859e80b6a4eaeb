//! `create`.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use ctr_core::{Container, Engine};

use crate::args::Globals;
use crate::options::ContainerOptions;
use crate::{context, output};

/// `create`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    options: ContainerOptions,
}

pub(crate) fn run(globals: &Globals, args: CreateArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let container = create(&engine, args.options)?;
    output::line(&container.id().to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// Creates a container as the options say, and its cidfile.
pub(crate) fn create(engine: &Engine, options: ContainerOptions) -> anyhow::Result<Container<'_>> {
    let cidfile = options.cidfile.clone();
    // Before anything is made: a file that is there belongs to another container.
    let file = cidfile.as_deref().map(create_cidfile).transpose()?;
    let created = options
        .request(engine)
        .and_then(|request| Ok(engine.create(&request)?));
    match (created, file, cidfile) {
        (Ok(container), Some(mut file), Some(path)) => {
            write!(file, "{}", container.id())
                .with_context(|| format!("write {}", path.display()))?;
            Ok(container)
        }
        (Err(error), Some(_), Some(path)) => {
            // Nothing is left of a failure.
            let _gone = std::fs::remove_file(path);
            Err(error)
        }
        (created, _, _) => created,
    }
}

fn create_cidfile(path: &Path) -> anyhow::Result<File> {
    File::create_new(path).with_context(|| {
        format!(
            "create the container id file {}: remove it, or name another one with --cidfile",
            path.display()
        )
    })
}
