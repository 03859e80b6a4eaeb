//! Runs a command in a container, with the engine as a library: `cargo run -p ctr-core --example run -- MONITOR IMAGE COMMAND...`
//!
//! MONITOR is the path of `ctrs-monitor`; images are those of the engine's default root.
#![expect(clippy::print_stdout, reason = "an example")]

use std::io::Write as _;

use ctr_core::{
    CreateRequest, Engine, EngineError, EngineOptions, LogOptions, RootSource, StepHooks,
};

fn main() -> Result<(), EngineError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(monitor), Some(image)) = (arguments.next(), arguments.next()) else {
        println!("usage: run MONITOR IMAGE COMMAND...");
        return Ok(());
    };
    let engine = Engine::open(EngineOptions {
        root: "/var/lib/ctrs".into(),
        runroot: "/run/ctrs".into(),
        monitor: monitor.into(),
        // Nobody cleans up when this program dies; the next one that opens the engine does.
        cleanup: vec!["/bin/true".into()],
        runtime: None,
        hooks: StepHooks::default(),
    })?;
    let request = CreateRequest {
        source: RootSource::Image(image),
        command: arguments.collect(),
        ..CreateRequest::default()
    };
    let container = engine.create(&request)?;
    container.lock()?.start()?;
    let code = container.wait()?;
    container.logs(&LogOptions::default(), |entry| {
        Ok(std::io::stdout().write_all(&entry.output()).is_ok())
    })?;
    container.cleanup()?;
    container.remove(false)?;
    println!("exit code {code}");
    Ok(())
}
