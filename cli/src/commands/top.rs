//! `top`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use ctr_core::{AttachEnd, Container, DetachKeys, ExecRequest, Process};

use super::run::exit_code;
use crate::args::Globals;
use crate::output::Table;
use crate::streams::Foreground;
use crate::{context, output};

/// `top`'s arguments.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// The container
    container: String,
    /// Columns (user, pid, args ...), or options for the container's own ps
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COLUMN"
    )]
    columns: Vec<String>,
}

/// Column, heading, and what stands below it.
type Column = (&'static str, &'static str, fn(&Process) -> String);

/// psgo's columns, which are podman's.
const COLUMNS: [Column; 22] = [
    ("args", "COMMAND", |p| p.command.clone()),
    ("capeff", "EFFECTIVE CAPS", |p| p.capabilities.clone()),
    ("comm", "COMMAND", |p| p.name.clone()),
    ("etime", "ELAPSED", |p| span(p.age_ms)),
    ("group", "GROUP", |p| p.group_name.clone()),
    ("hpid", "HPID", |p| p.host_pid.to_string()),
    ("huser", "HUSER", |p| p.uid.to_string()),
    ("hgroup", "HGROUP", |p| p.gid.to_string()),
    ("nice", "NI", |p| p.nice.to_string()),
    ("pcpu", "%CPU", share),
    ("pgid", "PGID", |p| p.group.to_string()),
    ("pid", "PID", |p| p.pid.to_string()),
    ("ppid", "PPID", |p| p.parent.to_string()),
    ("rgroup", "RGROUP", |p| p.group_name.clone()),
    ("rss", "RSS", |p| p.resident_kib.to_string()),
    ("ruser", "RUSER", |p| p.user.clone()),
    ("seccomp", "SECCOMP", seccomp),
    ("state", "STATE", |p| p.state.to_string()),
    ("time", "TIME", |p| span(p.cpu_ms)),
    ("tty", "TTY", |p| p.terminal.clone()),
    ("user", "USER", |p| p.user.clone()),
    ("vsz", "VSZ", |p| p.virtual_kib.to_string()),
];

const DEFAULT: [&str; 8] = [
    "user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args",
];

/// A span as Go prints it, to the millisecond.
fn span(ms: u64) -> String {
    let (seconds, rest) = (ms / 1000, ms % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let fraction = if rest == 0 {
        String::new()
    } else {
        format!(".{rest:03}").trim_end_matches('0').to_owned()
    };
    let seconds = format!("{}{fraction}s", seconds % 60);
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// Processor time over age, in percent.
fn share(process: &Process) -> String {
    let thousandths = process
        .cpu_ms
        .saturating_mul(100_000)
        .checked_div(process.age_ms)
        .unwrap_or(0);
    format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
}

fn seccomp(process: &Process) -> String {
    match process.seccomp.as_str() {
        "0" => "disabled",
        "1" => "strict",
        "2" => "filter",
        _ => "?",
    }
    .to_owned()
}

fn column(name: &str) -> Option<&'static Column> {
    // ps' own names for them, as psgo takes them.
    let name = match name.to_ascii_lowercase().as_str() {
        "%c" | "%cpu" => "pcpu",
        "%g" => "group",
        "%p" => "pid",
        "%r" => "pgid",
        "%u" => "user",
        "%z" => "vsz",
        "%a" => "args",
        other => return COLUMNS.iter().find(|(known, _, _)| *known == other),
    };
    COLUMNS.iter().find(|(known, _, _)| *known == name)
}

pub(crate) fn run(globals: &Globals, args: &TopArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let container = engine.container(&args.container)?;
    let words: Vec<&str> = args
        .columns
        .iter()
        .flat_map(|word| word.split(','))
        .collect();
    let names = if words.is_empty() {
        &DEFAULT[..]
    } else {
        &words
    };
    let columns: Option<Vec<&Column>> = names.iter().map(|name| column(name)).collect();
    let Some(columns) = columns else {
        return own_ps(&container, &args.columns);
    };
    let headings: Vec<&str> = columns.iter().map(|(_, heading, _)| *heading).collect();
    let mut table = Table::new(&headings, true);
    for process in container.processes()? {
        table.row(columns.iter().map(|(_, _, cell)| cell(&process)).collect());
    }
    output::line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

/// What are no columns are options of ps, as docker has it: that of the container is asked, inside it.
fn own_ps(container: &Container<'_>, options: &[String]) -> anyhow::Result<ExitCode> {
    if container.peek()?.phase.admit(ctr_core::Op::Top).is_err() {
        // Told in the same words as without options.
        container.processes()?;
    }
    let mut command = vec!["ps".to_owned()];
    command.extend(options.iter().cloned());
    let request = ExecRequest {
        command,
        ..ExecRequest::default()
    };
    let session = match container.exec(&request) {
        Err(error) if error.kind() == ctr_core::ErrorKind::ProgramNotFound => {
            let known: Vec<&str> = COLUMNS.iter().map(|(name, _, _)| *name).collect();
            bail!(
                "{} are no columns, and the container has no ps: use {}",
                options.join(" "),
                known.join(", ")
            );
        }
        other => other?,
    };
    let foreground = Foreground {
        stdin: false,
        terminal: false,
        sig_proxy: false,
        detach_keys: DetachKeys::default(),
    };
    let signals = foreground.catch()?;
    match foreground.pump(&signals, |streams| session.pump(streams))? {
        AttachEnd::Exited(code) => Ok(exit_code(code)),
        AttachEnd::Detached => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_printed_as_go_does() {
        for (ms, text) in [
            (0, "0s"),
            (1500, "1.5s"),
            (61_000, "1m1s"),
            (3_600_020, "1h0m0.02s"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn every_default_column_is_known_and_ps_names_are_taken() {
        assert!(DEFAULT.iter().all(|name| column(name).is_some()));
        assert_eq!(column("%C").map(|(name, _, _)| *name), Some("pcpu"));
        assert!(column("-o").is_none());
        let busy = Process {
            cpu_ms: 333,
            age_ms: 1000,
            ..Process::default()
        };
        assert_eq!(share(&busy), "33.300");
        assert_eq!(share(&Process::default()), "0.000");
    }
}
