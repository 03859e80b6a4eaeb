//! `version`.

use std::process::ExitCode;

use clap::Args;

use crate::output::{self, Format};

/// `version`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// json, for programs
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,
}

pub(crate) fn run(args: &VersionArgs) -> anyhow::Result<ExitCode> {
    let version = env!("CARGO_PKG_VERSION");
    let os_arch = format!("linux/{}", std::env::consts::ARCH);
    match args.format {
        Some(Format::Json) => {
            output::json(
                &serde_json::json!({ "Client": { "Version": version, "OsArch": os_arch } }),
            )?;
        }
        None => output::line(&format!(
            "Client:       ctrs\nVersion:      {version}\nOS/Arch:      {os_arch}"
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}
