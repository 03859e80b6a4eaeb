//! `cp`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use ctr_core::{CopyOptions, Endpoint, Engine, ErrorKind};

use crate::args::Globals;
use crate::context;

/// `cp`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct CpArgs {
    /// Files copied into a container belong to its user, those copied out to you; false keeps the owners
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    archive: bool,
    /// Accepted for scripts: a link named as the source is followed anyway
    #[arg(short = 'L', long, hide = true)]
    follow_link: bool,
    /// Let a directory and what is none take each other's place
    #[arg(long)]
    overwrite: bool,
    /// Accepted for scripts: nothing is told anyway
    #[arg(short, long, hide = true)]
    quiet: bool,
    /// CONTAINER:PATH, a path of the host, or - for a tar from standard input
    source: String,
    /// CONTAINER:PATH, a path of the host, or - for a tar to standard output
    destination: String,
}

/// A side as named: what has a colon is a container's, unless it is a path or there is no such container but such a file.
fn endpoint<'e>(engine: &'e Engine, text: &str) -> anyhow::Result<Endpoint<'e>> {
    let named = text
        .split_once(':')
        .filter(|(name, _)| !name.is_empty() && !name.contains('/') && !name.starts_with('.'));
    if let Some((name, path)) = named {
        match engine.container(name) {
            Ok(container) => return Ok(Endpoint::Container(container, path.to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let is_file = std::path::Path::new(text).exists();
                if !is_file {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    let is_contents = text.ends_with("/.") || text == ".";
    let is_directory = text.ends_with('/');
    let path = std::path::absolute(text).with_context(|| format!("make {text:?} absolute"))?;
    // `absolute` drops what cp goes by.
    let mut path = path.into_os_string();
    if is_contents {
        path.push("/.");
    } else if is_directory {
        path.push("/");
    }
    Ok(Endpoint::Host(path.into()))
}

pub(crate) fn run(globals: &Globals, args: &CpArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let options = CopyOptions {
        keep_owner: !args.archive,
        overwrite: args.overwrite,
    };
    match (args.source.as_str(), args.destination.as_str()) {
        ("-", "-") => bail!("one side must be a container: use CONTAINER:PATH"),
        ("-", destination) => {
            let Endpoint::Container(container, path) = endpoint(&engine, destination)? else {
                bail!("a tar can be unpacked into a container only: use CONTAINER:PATH");
            };
            if io::stdin().is_terminal() {
                bail!("an archive does not come from a terminal: send it by a pipe");
            }
            container.copy_in(&path, io::stdin().lock(), options)?;
        }
        (source, "-") => {
            let Endpoint::Container(container, path) = endpoint(&engine, source)? else {
                bail!("a tar can be made of a container's files only: use CONTAINER:PATH");
            };
            if io::stdout().is_terminal() {
                bail!("an archive is not for a terminal: send it into a pipe");
            }
            container.copy_out(&path, io::stdout().lock())?;
        }
        (source, destination) => {
            let (from, to) = (endpoint(&engine, source)?, endpoint(&engine, destination)?);
            if let (Endpoint::Host(_), Endpoint::Host(_)) = (&from, &to) {
                bail!("one side must be a container: use CONTAINER:PATH");
            }
            engine.copy(&from, &to, options)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
