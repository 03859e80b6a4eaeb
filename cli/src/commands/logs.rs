//! `logs`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use ctr_core::types::Timestamp;
use ctr_core::{EngineError, LogOptions, Stream};

use crate::args::Globals;
use crate::context;
use crate::options::value;

/// `logs`' arguments.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    /// Only so many lines at the end; -1 or all for every line
    #[arg(short = 'n', long, value_name = "LINES", allow_hyphen_values = true, value_parser = tail, default_value = "all")]
    tail: Tail,
    /// Only what was written since a time, or within a span such as 10m
    #[arg(long, value_name = "TIME", value_parser = value::moment)]
    since: Option<Timestamp>,
    /// Only what was written until a time
    #[arg(long, value_name = "TIME", value_parser = value::moment_ahead)]
    until: Option<Timestamp>,
    /// Show when each line was written
    #[arg(short, long)]
    timestamps: bool,
    /// The container
    container: String,
}

/// How many lines at the end; none means all.
#[derive(Clone, Copy, Debug)]
struct Tail(Option<u64>);

fn tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" | "-1" => Ok(Tail(None)),
        text => text
            .parse()
            .map(|lines| Tail(Some(lines)))
            .map_err(|_no_number| "use a number or all".into()),
    }
}

pub(crate) fn run(globals: &Globals, args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let engine = context::open(globals)?;
    let options = LogOptions {
        tail: args.tail.0,
        since: args.since,
        until: args.until,
        follow: args.follow,
    };
    let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let mut err = io::stderr().lock();
    let mut failed = None;
    engine
        .container(&args.container)?
        .logs(&options, |entry| -> Result<bool, EngineError> {
            let stream = entry.stream;
            let mut text = if args.timestamps {
                format!("{} ", entry.time).into_bytes()
            } else {
                Vec::new()
            };
            text.extend(entry.output());
            let written = match stream {
                Stream::Stdout => out.write_all(&text),
                // In order with the other as far as two streams allow.
                Stream::Stderr => out.flush().and_then(|()| err.write_all(&text)),
            };
            // Whoever follows wants to see each line as it comes.
            let written = written.and_then(|()| if args.follow { out.flush() } else { Ok(()) });
            failed = written.err();
            Ok(failed.is_none())
        })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
