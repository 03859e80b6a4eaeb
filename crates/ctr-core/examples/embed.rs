//! An engine inside a multi-threaded tokio program: `cargo run -p ctr-core --example embed -- MONITOR ROOT RUNROOT IMAGE`
//!
//! The engine never forks by itself: programs are started by posix_spawn(3)-like calls that touch nothing of other threads, so
//! it may be called from any. It blocks, so it is called where tokio has threads for that.
#![expect(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;

use ctr_core::{CreateRequest, Engine, EngineError, EngineOptions, RootSource, StepHooks};

fn run(engine: &Engine, image: &str, number: u32) -> Result<i32, EngineError> {
    let container = engine.create(&CreateRequest {
        source: RootSource::Image(image.to_owned()),
        command: vec!["sh".into(), "-c".into(), format!("exit {number}")],
        auto_remove: true,
        ..CreateRequest::default()
    })?;
    let started = container.start()?;
    started.stay()?;
    let code = container.wait()?;
    container.cleanup()?;
    started.leave();
    Ok(code)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [monitor, root, runroot, image] = words.as_slice() else {
        return Err("usage: embed MONITOR ROOT RUNROOT IMAGE".into());
    };
    let engine = Arc::new(Engine::open(EngineOptions {
        root: root.into(),
        runroot: runroot.into(),
        monitor: monitor.into(),
        cleanup: vec!["/bin/true".into()],
        runtime: None,
        hooks: StepHooks::default(),
    })?);
    let runs: Vec<_> = (0..8)
        .map(|number| {
            let (engine, image) = (Arc::clone(&engine), image.clone());
            tokio::task::spawn_blocking(move || run(&engine, &image, number))
        })
        .collect();
    for run in runs {
        println!("{}", run.await??);
    }
    Ok(())
}
