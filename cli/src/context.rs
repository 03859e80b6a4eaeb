//! Opening the engine as the command line says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use ctr_core::{Engine, EngineOptions, StepHooks};

use crate::args::{Globals, LogLevel};
use crate::output;

/// Options of the engine, as the command line says.
pub(crate) fn engine_options(globals: &Globals) -> anyhow::Result<EngineOptions> {
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!("ctrs needs root: run it with sudo");
    }
    let absolute = |path: &Path| {
        std::path::absolute(path).with_context(|| format!("make {} absolute", path.display()))
    };
    let (root, runroot) = (absolute(&globals.root)?, absolute(&globals.runroot)?);
    let itself = std::env::current_exe().context("find this program")?;
    let mut cleanup = vec![
        itself.clone(),
        "--root".into(),
        root.clone(),
        "--runroot".into(),
        runroot.clone(),
    ];
    if let Some(runtime) = &globals.runtime {
        cleanup.extend(["--runtime".into(), runtime.into()]);
    }
    cleanup.extend(["container".into(), "cleanup".into()]);
    let hooks = StepHooks {
        observer: (globals.log_level == LogLevel::Debug).then_some(tell_step),
        #[cfg(feature = "failpoints")]
        fail: injected_fault(),
    };
    Ok(EngineOptions {
        root,
        runroot,
        monitor: monitor(&itself),
        cleanup,
        runtime: globals.runtime.clone(),
        hooks,
    })
}

/// Opens the engine.
pub(crate) fn open(globals: &Globals) -> anyhow::Result<Engine> {
    Ok(Engine::open(engine_options(globals)?)?)
}

#[cfg(feature = "failpoints")]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the front end: values are passed on from here"
)]
fn injected_fault() -> Option<String> {
    std::env::var("CTRS_FAIL").ok()
}

fn tell_step(step: &str, took: Duration) {
    output::note(&format!(
        "debug: {step} {:.3} ms",
        took.as_secs_f64() * 1000.0
    ));
}

/// The monitor: beside this program, as cargo builds it, or where packages put it.
fn monitor(itself: &Path) -> PathBuf {
    let directory = itself.parent().unwrap_or(Path::new("/"));
    let beside = directory.join("ctrs-monitor");
    let installed = directory.join("../libexec/ctrs/ctrs-monitor");
    if beside.is_file() || !installed.is_file() {
        beside
    } else {
        installed
    }
}
