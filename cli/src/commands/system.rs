//! `system check` and `system reset`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Args;
use ctr_core::Engine;
use ctr_core::system::CheckOptions;

use crate::args::Globals;
use crate::{context, failure, output};

/// `system check`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Do not read the contents of blobs
    #[arg(short, long)]
    quick: bool,
    /// Put right what can be without losing anything
    #[arg(short, long)]
    repair: bool,
    /// Do not recover dead operations first, and show them instead
    #[arg(long)]
    no_recovery: bool,
}

/// `system reset`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

pub(crate) fn check(globals: &Globals, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let engine = if args.no_recovery {
        Engine::open_without_recovery(context::engine_options(globals)?)?
    } else {
        context::open(globals)?
    };
    let findings = engine.check(CheckOptions {
        quick: args.quick,
        repair: args.repair,
    })?;
    let mut open = 0;
    for finding in &findings {
        let repaired = if finding.repaired { " (repaired)" } else { "" };
        output::line(&format!(
            "{}: {}{repaired}",
            finding.object, finding.problem
        ))?;
        open += usize::from(!finding.repaired);
    }
    Ok(if open == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

pub(crate) fn reset(globals: &Globals, args: &ResetArgs) -> anyhow::Result<ExitCode> {
    let options = context::engine_options(globals)?;
    if !args.force {
        if !std::io::stdin().is_terminal() {
            anyhow::bail!(
                "system reset removes every container and image: say --force when nobody can be asked"
            );
        }
        output::note(&format!(
            "This removes every container and image of {}. Go on? [y/N]",
            options.root.display()
        ));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            anyhow::bail!("nothing was removed");
        }
    }
    Engine::reset(options)?;
    Ok(ExitCode::SUCCESS)
}

/// `system boot`.
pub(crate) fn boot(globals: &Globals) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let (started, failed) = engine.start_after_boot()?;
    for id in started {
        output::line(id.as_str())?;
    }
    let mut worst = ExitCode::SUCCESS;
    for error in failed {
        worst = failure::report(&error.into());
    }
    Ok(worst)
}
