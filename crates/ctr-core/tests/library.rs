//! The engine as a library: what it gives out, and what nobody can change through it (semantics.md T3, T7, T14, M1-M5, M23,
//! M30, B34).
#![expect(clippy::unwrap_used, reason = "tests")]

use ctr_core::{CreateRequest, Engine, EngineOptions, ErrorKind, RootSource, StepHooks};

/// An engine over directories of its own; no container of it is brought up here.
fn engine(dir: &std::path::Path) -> Engine {
    Engine::open(EngineOptions {
        root: dir.join("root"),
        runroot: dir.join("run"),
        monitor: "/nonexistent/ctrs-monitor".into(),
        cleanup: Vec::new(),
        runtime: None,
        hooks: StepHooks::default(),
    })
    .unwrap()
}

fn create<'e>(engine: &'e Engine, dir: &std::path::Path, name: &str) -> ctr_core::Container<'e> {
    let rootfs = dir.join("rootfs");
    std::fs::create_dir_all(&rootfs).unwrap();
    let request = CreateRequest {
        source: RootSource::Directory {
            path: rootfs,
            overlay: true,
        },
        name: Some(name.parse().unwrap()),
        command: vec!["true".into()],
        labels: [("a".to_owned(), "b".to_owned())].into(),
        ..CreateRequest::default()
    };
    engine.create(&request).unwrap()
}

#[test]
fn root_m01_m02_m03_what_is_given_out_is_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let container = create(&engine, dir.path(), "web");
    let mut copy = container.peek().unwrap().config;
    copy.labels.clear();
    copy.process.env.push("A=1".into());
    let kept = container.peek().unwrap().config;
    assert_eq!(kept.labels.get("a").map(String::as_str), Some("b"));
    assert!(kept.process.env.is_empty());
    assert_eq!(kept.name.as_str(), "web");
    container.rename(&"api".parse().unwrap()).unwrap();
    assert_eq!(
        container.peek().unwrap().config.name.as_str(),
        "api",
        "a name is looked up anew"
    );
    assert_eq!(container.id(), engine.container("api").unwrap().id());
}

#[test]
fn root_m05_m06_of_what_does_not_run_nothing_is_made_up() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let container = create(&engine, dir.path(), "web");
    assert_eq!(
        container.ended().unwrap(),
        None,
        "no exit code of what never ran"
    );
    assert_eq!(container.wait().unwrap(), 0);
    assert_eq!(container.mounted().unwrap().0, 0);
    assert_eq!(container.exec_sessions().unwrap(), []);
    assert!(container.health().unwrap().is_none());
    assert_eq!(container.processes().unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(container.stats().unwrap().usage.pids, 0);
}

#[test]
fn root_m30_a_guard_is_a_batch_and_looks_again_when_it_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let container = create(&engine, dir.path(), "web");
    let locked = container.lock().unwrap();
    assert_eq!(locked.config().name.as_str(), "web");
    assert_eq!(locked.phase().name(), ctr_core::PhaseName::Configured);
    // Whoever only looks is not held up.
    assert!(container.inspect().is_ok());
    let again = locked.unlock();
    again.rename(&"api".parse().unwrap()).unwrap();
    assert_eq!(again.lock().unwrap().config().name.as_str(), "api");
    container.remove(false).unwrap();
    assert_eq!(
        container.lock().unwrap_err().kind(),
        ErrorKind::NotFound,
        "T16: removed is an error of its own"
    );
}

#[test]
fn root_t03_m23_b34_artifacts_have_names_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let container = create(&engine, dir.path(), "web");
    for bad in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        ".hidden",
        "a\0",
        &"x".repeat(201),
    ] {
        assert_eq!(
            container.add_artifact(bad, b"x").unwrap_err().kind(),
            ErrorKind::Invalid,
            "{bad:?}"
        );
        assert!(container.artifact_content(bad).is_err());
        assert!(container.remove_artifact(bad).is_err());
    }
    container.add_artifact("kept", b"one").unwrap();
    container.add_artifact("kept", b"two").unwrap();
    assert_eq!(
        container.artifact_content("kept").unwrap().as_deref(),
        Some(&b"two"[..])
    );
    assert_eq!(container.artifacts().unwrap(), ["kept"]);
    let file = engine
        .roots()
        .container(container.id())
        .join("artifacts/kept");
    assert_eq!(
        std::fs::metadata(file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    container.remove_artifact("kept").unwrap();
    container.remove_artifact("kept").unwrap();
    assert_eq!(container.artifact_content("kept").unwrap(), None);
}

#[test]
fn root_t14_m04_a_request_that_breaks_a_rule_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let container = create(&engine, dir.path(), "web");
    assert_eq!(container.sizes().unwrap().written, 0);
    let bad = CreateRequest {
        source: RootSource::Directory {
            path: dir.path().join("rootfs"),
            overlay: true,
        },
        command: vec!["true".into()],
        shm_size: Some(0),
        ..CreateRequest::default()
    };
    assert_eq!(engine.create(&bad).unwrap_err().kind(), ErrorKind::Invalid);
    let (known, damaged) = engine.containers().unwrap();
    assert_eq!((known.len(), damaged.len()), (1, 0));
    assert_eq!(
        std::fs::read_dir(dir.path().join("root/containers"))
            .unwrap()
            .count(),
        1
    );
}
