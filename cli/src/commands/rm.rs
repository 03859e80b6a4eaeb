//! `rm` and `container cleanup`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ctr_core::{ContainerSummary, Denied, Engine, EngineError, ErrorKind};

use super::select::Selection;
use crate::args::Globals;
use crate::{context, failure, output};

/// `rm`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    #[command(flatten)]
    selection: Selection,
    /// End containers that run
    #[arg(short, long)]
    force: bool,
    /// Seconds that one that runs has until it is killed; 0 when not said
    #[arg(short, long, value_name = "SECONDS", requires = "force")]
    time: Option<u32>,
    /// Remove the containers that need these as well
    #[arg(long)]
    depend: bool,
    /// Pass over containers that are not there
    #[arg(short, long)]
    ignore: bool,
    /// Accepted for scripts: containers of this version have no anonymous volumes
    #[arg(short, long, hide = true)]
    volumes: bool,
}

/// `container cleanup`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct CleanupArgs {
    #[command(flatten)]
    selection: Selection,
}

pub(crate) fn run(globals: &Globals, args: &RmArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let names = args.selection.names(&engine, |_| true)?;
    let remove = |name: String| {
        let removed = engine.container(&name).and_then(|container| {
            if let Some(seconds) = args.time {
                match container.stop(Some(Duration::from_secs(seconds.into()))) {
                    Err(EngineError::Denied {
                        source: Denied::AlreadyThere(_) | Denied::WrongPhase { .. },
                        ..
                    }) => {}
                    other => other?,
                }
            }
            if args.depend {
                return container.remove_with_dependents(args.force);
            }
            container.remove(args.force).map(|()| Vec::new())
        });
        match removed {
            // As podman and docker: with force, gone is gone.
            Err(error) if (args.ignore || args.force) && error.kind() == ErrorKind::NotFound => {
                return Ok(());
            }
            other => {
                // Those that went with it, by id; itself as it was named.
                let removed = other?;
                for id in removed.iter().rev().skip(1).rev() {
                    output::line(id.as_str())?;
                }
            }
        }
        output::line(&name)
    };
    let names = dependents_first(&engine, names);
    // podman-rm(1): 1 for no such container, 2 for one that runs, 125 for the engine.
    let code = |error: &anyhow::Error| {
        failure::code_of(error, &[(ErrorKind::NotFound, 1), (ErrorKind::Denied, 2)])
    };
    Ok(failure::for_each(names, remove, code))
}

/// Containers that others among them need come after those.
pub(super) fn dependents_first(engine: &Engine, names: Vec<String>) -> Vec<String> {
    if names.len() < 2 {
        return names;
    }
    let mut depth = Vec::new();
    for name in names {
        // One that is not there is told later, in its turn.
        let found = engine
            .container(&name)
            .and_then(|one| one.dependency_depth());
        depth.push((found.unwrap_or(0), name));
    }
    depth.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
    depth.into_iter().map(|(_, name)| name).collect()
}

pub(crate) fn cleanup(globals: &Globals, args: &CleanupArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let has_ended = |container: &ContainerSummary| container.phase.live().is_none();
    let names = args.selection.names(&engine, has_ended)?;
    let cleanup = |name: String| {
        // Whoever else has cleaned up, or removed it, was faster.
        match engine
            .container(&name)
            .and_then(|container| container.cleanup())
        {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => Ok(other?),
        }
    };
    Ok(failure::for_each(names, cleanup, failure::code))
}
