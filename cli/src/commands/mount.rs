//! `mount` and `umount`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::EngineError;
use serde_json::json;

use super::select::Selection;
use crate::args::Globals;
use crate::output::{Format, Table};
use crate::{context, failure, output};

/// `mount`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    /// All containers
    #[arg(short, long, conflicts_with = "containers")]
    all: bool,
    /// Show ids whole
    #[arg(long)]
    no_trunc: bool,
    /// json
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The containers; without any, those that are mounted are shown
    containers: Vec<String>,
}

/// `umount`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct UnmountArgs {
    #[command(flatten)]
    selection: Selection,
    /// Let go of every mount of a user, not of one
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn mount(globals: &Globals, args: &MountArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let (known, _damaged) = engine.containers()?;
    let names: Vec<String> = if args.all {
        known.iter().map(|one| one.id.to_string()).collect()
    } else {
        args.containers.clone()
    };
    if names.is_empty() {
        let mut table = Table::new(&[], false);
        let mut listed = Vec::new();
        for one in known {
            let (users, place) = engine.container(one.id.as_str())?.mounted()?;
            if users == 0 {
                continue;
            }
            let place = place.display().to_string();
            listed.push(json!({ "id": one.id, "Names": [one.name], "mountpoint": place }));
            let id = if args.no_trunc {
                one.id.to_string()
            } else {
                one.id.short().to_owned()
            };
            table.row(vec![id, place]);
        }
        match args.format {
            Some(Format::Json) => output::json(&listed.into())?,
            None if listed.is_empty() => {}
            None => output::line(&table.render())?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let is_one = names.len() == 1 && !args.all;
    let mount = |name: String| {
        let container = engine.container(&name)?;
        let place = container.mount()?.display().to_string();
        if is_one {
            return output::line(&place);
        }
        output::line(&format!("{}  {place}", container.id().short()))
    };
    Ok(failure::for_each(names, mount, failure::code))
}

pub(crate) fn unmount(globals: &Globals, args: &UnmountArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let names = args.selection.names(&engine, |one| {
        let mounted = engine
            .container(one.id.as_str())
            .and_then(|one| one.mounted());
        mounted.is_ok_and(|(users, _)| users > 0)
    })?;
    let unmount = |name: String| {
        match engine.container(&name)?.unmount(args.force) {
            // As podman: what is asked for is so.
            Err(EngineError::NotMounted(_)) => {}
            other => other?,
        }
        output::line(&name)
    };
    Ok(failure::for_each(names, unmount, failure::code))
}
