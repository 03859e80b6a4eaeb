//! Which containers a command is for.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use ctr_core::{ContainerSummary, Engine};

/// Containers by name or id, or all.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Names, ids or beginnings of ids
    #[arg(value_name = "CONTAINER", required_unless_present_any = ["all", "cidfile"])]
    pub(crate) containers: Vec<String>,
    /// All containers
    #[arg(short, long, conflicts_with_all = ["containers", "cidfile"])]
    all: bool,
    /// Read a container's id from a file
    #[arg(long, value_name = "FILE")]
    cidfile: Vec<PathBuf>,
}

impl Selection {
    /// The containers; of all of them, those that `wanted` picks.
    pub(crate) fn names(
        &self,
        engine: &Engine,
        wanted: impl Fn(&ContainerSummary) -> bool,
    ) -> anyhow::Result<Vec<String>> {
        if self.all {
            let (containers, _damaged) = engine.containers()?;
            return Ok(containers
                .iter()
                .filter(|c| wanted(c))
                .map(|c| c.id.to_string())
                .collect());
        }
        let mut names = self.containers.clone();
        for file in &self.cidfile {
            let id = std::fs::read_to_string(file)
                .with_context(|| format!("read {}", file.display()))?;
            names.push(id.trim().to_owned());
        }
        Ok(names)
    }
}
