//! `info`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::args::Globals;
use crate::context;
use crate::output::{self, Format};

/// `info`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// json, for programs
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,
}

pub(crate) fn run(globals: &Globals, args: &InfoArgs) -> anyhow::Result<ExitCode> {
    let info = context::open(globals)?.info()?;
    let runtime = info
        .runtime
        .as_ref()
        .map(|(name, path)| json!({ "name": name, "path": path }));
    let shown = json!({
        "host": {
            "arch": info.architecture,
            "cgroupVersion": info.cgroups,
            "cpus": info.cpus,
            "hostname": info.hostname,
            "kernel": info.kernel,
            "memTotal": info.memory,
            "monitor": info.monitor,
            "ociRuntime": runtime,
            "os": "linux",
            "security": { "seccompEnabled": info.seccomp },
        },
        "store": {
            "containerStore": {
                "damaged": info.damaged,
                "number": info.running + info.paused + info.stopped,
                "paused": info.paused,
                "running": info.running,
                "stopped": info.stopped,
            },
            "graphDriverName": "overlay",
            "graphRoot": info.root,
            "imageStore": { "number": info.images },
            "runRoot": info.runroot,
        },
        "version": { "Version": env!("CARGO_PKG_VERSION") },
    });
    match args.format {
        Some(Format::Json) => output::json(&shown)?,
        None => output::outline(&shown)?,
    }
    Ok(ExitCode::SUCCESS)
}
