//! `update`.

use std::process::ExitCode;

use clap::Args;
use ctr_core::Update;
use ctr_core::types::config::RestartPolicy;

use super::run::tell_degraded;
use crate::args::Globals;
use crate::options::{environment, value};
use crate::{context, output};

/// `update`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Limit memory
    #[arg(short, long, value_name = "BYTES[b|k|m|g]", value_parser = value::size)]
    memory: Option<u64>,
    /// Limit memory and swap together; -1 for no limit
    #[arg(long, value_name = "BYTES[b|k|m|g]", allow_hyphen_values = true, value_parser = value::swap)]
    memory_swap: Option<i64>,
    /// Limit processors, such as 1.5
    #[arg(long, value_name = "NUMBER", value_parser = value::cpus)]
    cpus: Option<u64>,
    /// Share of processor time
    #[arg(short, long, value_name = "SHARES")]
    cpu_shares: Option<u64>,
    /// Processors to use, such as 0-1
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Limit processes and threads; -1 for no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// When it is started again, from the next start on
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    /// Set an environment variable from the next start on
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Take an environment variable away from the next start on
    #[arg(long, value_name = "NAME")]
    unsetenv: Vec<String>,
    /// The container
    container: String,
}

pub(crate) fn run(globals: &Globals, args: UpdateArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let container = engine.container(&args.container)?;
    let degraded = container.update(&Update {
        memory: args.memory,
        memory_swap: args.memory_swap,
        nano_cpus: args.cpus,
        cpu_shares: args.cpu_shares,
        cpuset_cpus: args.cpuset_cpus,
        pids_limit: args.pids_limit,
        restart: args.restart,
        env: environment(&[], &args.env)?,
        unset_env: args.unsetenv,
    })?;
    tell_degraded(globals, &degraded);
    output::line(container.id().as_str())?;
    Ok(ExitCode::SUCCESS)
}
