//! `stats`.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ctr_core::types::ContainerId;
use ctr_core::{Engine, ErrorKind, Stats};
use rustix::event::Timespec;
use serde_json::{Value, json};

use crate::args::Globals;
use crate::output::{ListFormat, Table, bytes};
use crate::{context, output};

/// `stats`' arguments.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Those that do not run, too
    #[arg(short, long)]
    all: bool,
    /// Once, and not again and again
    #[arg(long)]
    no_stream: bool,
    /// Do not clear the terminal between two rounds
    #[arg(long)]
    no_reset: bool,
    /// Seconds between two rounds
    #[arg(short, long, value_name = "SECONDS", default_value = "5")]
    interval: u64,
    /// Show ids whole
    #[arg(long)]
    no_trunc: bool,
    /// json, or a template such as {{.Name}} {{.MemUsage}}
    #[arg(long, value_name = "FORMAT", default_value = "")]
    format: ListFormat,
    /// The containers; all that run when none is named
    containers: Vec<String>,
}

/// A share in hundredths of a percent.
fn percent(part: u128, whole: u128) -> String {
    let hundredths = part.saturating_mul(10_000).checked_div(whole).unwrap_or(0);
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

/// Processor time over time, between two looks or, at the first, since the start.
fn cpu(now: &Stats, before: Option<&Stats>) -> String {
    let (used, since) = match (before, now.started_at) {
        (Some(before), _) => (
            now.usage.cpu_ns.saturating_sub(before.usage.cpu_ns),
            Some(before.time),
        ),
        (None, started) => (now.usage.cpu_ns, started),
    };
    let elapsed = since.map_or(0, |since| (now.time - since).as_nanos());
    percent(used.into(), u128::try_from(elapsed).unwrap_or(0))
}

struct Row {
    id: String,
    name: String,
    cpu: String,
    average: String,
    cpu_time: String,
    memory: String,
    memory_share: String,
    net: String,
    block: String,
    pids: String,
}

impl Row {
    fn new(now: &Stats, before: Option<&Stats>, is_full: bool) -> Self {
        let usage = &now.usage;
        let pair = |one, other| format!("{} / {}", bytes(one), bytes(other));
        Self {
            id: if is_full {
                now.id.to_string()
            } else {
                now.id.short().to_owned()
            },
            name: now.name.to_string(),
            cpu: cpu(now, before),
            average: cpu(now, None),
            cpu_time: format!("{:?}", Duration::from_nanos(usage.cpu_ns)),
            memory: pair(usage.memory, now.memory_limit),
            memory_share: percent(usage.memory.into(), now.memory_limit.into()),
            net: pair(now.net_received, now.net_sent),
            block: pair(usage.block_read, usage.block_written),
            pids: usage.pids.to_string(),
        }
    }

    fn cells(self) -> Vec<String> {
        vec![
            self.id,
            self.name,
            self.cpu,
            self.memory,
            self.memory_share,
            self.net,
            self.block,
            self.pids,
            self.cpu_time,
            self.average,
        ]
    }

    /// In podman's words for JSON.
    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "cpu_time": self.cpu_time,
            "cpu_percent": self.cpu,
            "avg_cpu": self.average,
            "mem_usage": self.memory,
            "mem_percent": self.memory_share,
            "net_io": self.net,
            "block_io": self.block,
            "pids": self.pids,
        })
    }

    /// In podman's and docker's words for templates.
    fn fields(&self) -> Value {
        json!({
            "ID": self.id,
            "Container": self.id,
            "Name": self.name,
            "CPUPerc": self.cpu,
            "AVGCPU": self.average,
            "UpTime": self.cpu_time,
            "MemUsage": self.memory,
            "MemPerc": self.memory_share,
            "NetIO": self.net,
            "BlockIO": self.block,
            "PIDS": self.pids,
            "PIDs": self.pids,
        })
    }
}

const HEADING: [&str; 10] = [
    "ID",
    "NAME",
    "CPU %",
    "MEM USAGE / LIMIT",
    "MEM %",
    "NET IO",
    "BLOCK IO",
    "PIDS",
    "CPU TIME",
    "AVG CPU %",
];

fn look(engine: &Engine, args: &StatsArgs) -> anyhow::Result<Vec<Stats>> {
    if !args.containers.is_empty() {
        let of = |name: &String| Ok(engine.container(name)?.stats()?);
        return args.containers.iter().map(of).collect();
    }
    let mut found = Vec::new();
    for container in engine.containers()?.0 {
        if !args.all && !container.is_up() {
            continue;
        }
        match engine
            .container(container.id.as_str())
            .and_then(|one| one.stats())
        {
            // It went away meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => found.push(other?),
        }
    }
    Ok(found)
}

fn show(args: &StatsArgs, rows: Vec<Row>) -> anyhow::Result<()> {
    match &args.format {
        ListFormat::Json => output::json(&rows.iter().map(Row::json).collect()),
        ListFormat::Template(template) => rows
            .iter()
            .try_for_each(|row| output::line(&template.render(&row.fields())?)),
        ListFormat::Table => {
            let mut table = Table::new(&HEADING, true);
            for row in rows {
                table.row(row.cells());
            }
            output::line(&table.render())
        }
    }
}

pub(crate) fn run(globals: &Globals, args: &StatsArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let clears = !args.no_reset && !args.no_stream && io::stdout().is_terminal();
    let mut before: HashMap<ContainerId, Stats> = HashMap::new();
    loop {
        let seen = look(&engine, args)?;
        let rows = seen
            .iter()
            .map(|now| Row::new(now, before.get(&now.id), args.no_trunc))
            .collect();
        if clears {
            output::clear()?;
        }
        show(args, rows)?;
        if args.no_stream {
            return Ok(ExitCode::SUCCESS);
        }
        before = seen.into_iter().map(|now| (now.id.clone(), now)).collect();
        // Nothing tells that a container has used something, so there is nothing to wait on but time.
        let interval = Timespec::try_from(Duration::from_secs(args.interval.max(1))).ok();
        let _early = rustix::event::poll(&mut [], interval.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_two_digits() {
        assert_eq!(percent(1, 3), "33.33%");
        assert_eq!(percent(5, 0), "0.00%");
        assert_eq!(percent(3, 2), "150.00%");
    }
}
