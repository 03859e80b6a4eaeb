//! `diff`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::{Change, ChangeKind};
use serde_json::json;

use crate::args::Globals;
use crate::output::Format;
use crate::{context, output};

/// `diff`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// json
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The container
    container: String,
}

pub(crate) fn run(globals: &Globals, args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let changes = engine.container(&args.container)?.changes()?;
    let path = |change: &Change| change.path.display().to_string();
    if let Some(Format::Json) = args.format {
        let of = |kind: ChangeKind| -> Vec<String> {
            let those = changes.iter().filter(|change| change.kind == kind);
            those.map(path).collect()
        };
        output::json(&json!({
            "changed": of(ChangeKind::Modified),
            "added": of(ChangeKind::Added),
            "deleted": of(ChangeKind::Deleted),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for change in &changes {
        let letter = match change.kind {
            ChangeKind::Modified => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        };
        output::line(&format!("{letter} {}", path(change)))?;
    }
    Ok(ExitCode::SUCCESS)
}
