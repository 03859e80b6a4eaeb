//! Prints the output in a k8s-file log, rotated files included, or its last lines: `log_cat FILE [LINES]`.

use std::io::Write as _;
use std::path::PathBuf;

use ctr_monitor::log::LogReader;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: log_cat FILE [LINES]")?);
    let lines = arguments
        .next()
        .map(|text| text.to_string_lossy().parse())
        .transpose()?;
    let reader = match lines {
        Some(lines) => LogReader::open_tail(&path, lines)?,
        None => LogReader::open(&path)?,
    };
    let mut reader = reader.ok_or("there is no such log")?;
    let mut out = std::io::stdout().lock();
    while let Some(entry) = reader.next_entry()? {
        out.write_all(&entry.output())?;
    }
    Ok(())
}
