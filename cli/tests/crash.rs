//! Every step of every operation fails and dies once: the next command converges, nothing leaks, and the same works again.

use std::collections::BTreeSet;

use ctr_core::all_points;
use test_utils::{Sandbox, busybox_tar, eventually};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ctrs");
const FAULTS: [&str; 3] = ["kill@before", "kill@after", "error"];

/// An operation with everything it goes through.
struct Scenario {
    /// Operations whose steps it has.
    operations: &'static [&'static str],
    /// What is done first.
    setup: &'static [&'static [&'static str]],
    /// What fails.
    command: &'static [&'static str],
    /// Takes away what the command has made, so that it can be repeated.
    reset: &'static [&'static [&'static str]],
}

const RUN: &[&str] = &[
    "run",
    "--network",
    "private",
    "--name",
    "c",
    "bb",
    "sh",
    "-c",
    "exit 3",
];
const RUN_RM: &[&str] = &[
    "run",
    "--rm",
    "--network",
    "private",
    "--name",
    "c",
    "bb",
    "true",
];
const RUN_D: &[&str] = &[
    "run",
    "-d",
    "--network",
    "private",
    "--name",
    "c",
    "bb",
    "sleep",
    "1000",
];
const GONE: &[&[&str]] = &[&["rm", "-f", "c"]];

const CREATE: Scenario = Scenario {
    operations: &["create"],
    setup: &[],
    command: &["create", "--name", "c", "bb", "true"],
    reset: GONE,
};
const START: Scenario = Scenario {
    operations: &["init", "start"],
    setup: &[&[
        "create",
        "--network",
        "private",
        "--name",
        "c",
        "bb",
        "sleep",
        "1000",
    ]],
    command: &["start", "c"],
    reset: &[&["stop", "-t", "0", "c"]],
};
const RUN_DETACHED: Scenario = Scenario {
    operations: &["create", "init", "start"],
    setup: &[],
    command: RUN_D,
    reset: GONE,
};
const RUN_FOREGROUND: Scenario = Scenario {
    operations: &["create", "init", "start", "cleanup"],
    setup: &[],
    command: RUN,
    reset: GONE,
};
const RUN_AND_REMOVE: Scenario = Scenario {
    operations: &["create", "init", "start", "remove"],
    setup: &[],
    command: RUN_RM,
    reset: GONE,
};
const STOP: Scenario = Scenario {
    operations: &["stop"],
    setup: &[RUN_D],
    command: &["stop", "-t", "0", "c"],
    reset: &[],
};
const REMOVE: Scenario = Scenario {
    operations: &["remove"],
    setup: &[&["create", "--name", "c", "bb", "true"]],
    command: &["rm", "c"],
    reset: &[],
};
const REMOVE_RUNNING: Scenario = Scenario {
    operations: &["remove"],
    setup: &[RUN_D],
    command: &["rm", "-f", "c"],
    reset: &[],
};
const RENAME: Scenario = Scenario {
    operations: &["replace"],
    setup: &[RUN_D],
    command: &["rename", "c", "d"],
    reset: &[&["rm", "-f", "c", "d"]],
};
const UPDATE: Scenario = Scenario {
    operations: &["replace"],
    setup: &[RUN_D],
    command: &["update", "--pids-limit", "99", "c"],
    reset: GONE,
};
const EXPORT: Scenario = Scenario {
    operations: &["read"],
    setup: &[&["create", "--name", "c", "bb", "true"]],
    command: &["export", "-o", "EXPORTED", "c"],
    reset: GONE,
};
const COMMIT: Scenario = Scenario {
    operations: &["read", "import"],
    setup: &[RUN_D],
    command: &["commit", "--pause", "c", "new"],
    reset: &[
        &["rm", "-f", "c"],
        &["rmi", "-f", "new"],
        &["image", "prune", "-f"],
    ],
};
const COPY: Scenario = Scenario {
    operations: &["read"],
    setup: &[&["create", "--name", "c", "bb", "true"]],
    command: &["cp", "BUSYBOX", "c:/copied"],
    reset: GONE,
};
const IMPORT: Scenario = Scenario {
    operations: &["import"],
    setup: &[],
    command: &["import", "BUSYBOX", "new"],
    reset: &[&["rmi", "-f", "new"]],
};
const REMOVE_IMAGE: Scenario = Scenario {
    operations: &["rmi"],
    setup: &[&["import", "OTHER", "new"]],
    command: &["rmi", "new"],
    reset: &[],
};

const ALL: [&Scenario; 15] = [
    &CREATE,
    &START,
    &RUN_DETACHED,
    &RUN_FOREGROUND,
    &RUN_AND_REMOVE,
    &STOP,
    &REMOVE,
    &REMOVE_RUNNING,
    &RENAME,
    &UPDATE,
    &EXPORT,
    &COMMIT,
    &COPY,
    &IMPORT,
    &REMOVE_IMAGE,
];

fn points(scenario: &Scenario) -> Vec<&'static str> {
    let is_in = |point: &&str| {
        scenario
            .operations
            .iter()
            .any(|operation| point.split('.').next() == Some(*operation))
    };
    all_points().into_iter().filter(is_in).collect()
}

/// The archives that a command names.
fn command(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let word = |word: &&str| match *word {
        "BUSYBOX" => sandbox.file("busybox.tar"),
        "EXPORTED" => sandbox.file("exported.tar"),
        "OTHER" => sandbox.file("other/busybox.tar"),
        word => word.to_owned(),
    };
    words.iter().map(word).collect()
}

/// Every how many-th combination is tried: all of them, unless a slow machine is told to take a sample.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by those who run them"
)]
fn stride() -> usize {
    let told = std::env::var("CTRS_SWEEP_STRIDE").ok();
    told.and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn sweep(scenario: &Scenario) {
    let sandbox = Sandbox::new(PROGRAM);
    let other = sandbox.path().join("other");
    assert!(std::fs::create_dir(&other).is_ok(), "make a directory");
    // Another tar, so that its layer is another one.
    busybox_tar(&other);
    let combinations = points(scenario)
        .into_iter()
        .flat_map(|point| FAULTS.map(|fault| (point, fault)));
    for (point, fault) in combinations.step_by(stride()) {
        let what = format!("{point}={fault} of {:?}", scenario.command);
        for step in scenario.setup {
            sandbox.ctrs(&command(&sandbox, step)).ok();
        }
        let broken = sandbox.failing(
            &format!("{point}={fault}"),
            &command(&sandbox, scenario.command),
        );
        if fault == "error" {
            // `stop` and `run` may have the injected step done for them by a clean-up that goes well.
            assert!(
                broken.stderr.contains("injected failure"),
                "{what}: not reached: {broken:?}"
            );
        } else {
            assert_eq!(broken.code, 137, "{what}: not reached: {broken:?}");
        }
        // Any ordinary command converges; whatever there is afterwards is as it says.
        // (A monitor whose command was killed cleans up by itself, so somebody may still be at it.)
        let states = eventually(|| {
            let states = sandbox
                .ctrs(&["ps", "-a", "--format", "{{.Names}} {{.State}}"])
                .ok();
            if states.contains(" removing") || states.contains(" stopping") {
                return Err(format!("{what}: {states}"));
            }
            Ok(states)
        });
        let is_there = states.contains("c ");
        if !scenario.setup.is_empty() && scenario.operations == ["init", "start"] {
            assert!(is_there, "{what}: a container was lost");
        }
        // The same command works.
        if scenario.setup.is_empty() && is_there {
            sandbox.ctrs(&["rm", "-f", "c"]).ok();
        }
        let again = sandbox.ctrs(&command(&sandbox, scenario.command));
        let expected: &[i32] = match scenario.command.first() {
            _ if scenario.command == RUN => &[3],
            // Removed before or now: both are what was wanted.
            Some(&("rm" | "rmi" | "stop" | "rename")) => &[0, 1, 125],
            _ => &[0],
        };
        assert!(expected.contains(&again.code), "{what}: again: {again:?}");
        if again.code != 0 && scenario.command != RUN {
            assert!(again.stderr.contains("no such"), "{what}: again: {again:?}");
        }
        for step in scenario.reset {
            sandbox.ctrs(&command(&sandbox, step)).ok();
        }
        sandbox.assert_nothing_left();
    }
}

#[test]
fn every_registered_step_is_swept() {
    let swept: BTreeSet<&str> = ALL.iter().flat_map(|scenario| points(scenario)).collect();
    let all: BTreeSet<&str> = all_points().into_iter().collect();
    assert_eq!(swept, all);
}

#[test]
fn root_b01_m10_create_survives_every_fault() {
    sweep(&CREATE);
}

#[test]
fn root_b12_b14_start_survives_every_fault() {
    sweep(&START);
}

#[test]
fn root_run_in_the_background_survives_every_fault() {
    sweep(&RUN_DETACHED);
}

#[test]
fn root_run_in_the_foreground_survives_every_fault() {
    sweep(&RUN_FOREGROUND);
}

#[test]
fn root_run_with_rm_survives_every_fault() {
    sweep(&RUN_AND_REMOVE);
}

#[test]
fn root_stop_survives_every_fault() {
    sweep(&STOP);
}

#[test]
fn root_b01_m11_removal_survives_every_fault() {
    sweep(&REMOVE);
}

#[test]
fn root_removal_of_what_runs_survives_every_fault() {
    sweep(&REMOVE_RUNNING);
}

#[test]
fn root_b26_renaming_survives_every_fault() {
    sweep(&RENAME);
}

#[test]
fn root_b26_an_update_survives_every_fault() {
    sweep(&UPDATE);
}

#[test]
fn root_an_export_survives_every_fault() {
    sweep(&EXPORT);
}

#[test]
fn root_b18_a_commit_survives_every_fault() {
    sweep(&COMMIT);
}

#[test]
fn root_a_copy_survives_every_fault() {
    sweep(&COPY);
}

#[test]
fn root_import_survives_every_fault() {
    sweep(&IMPORT);
}

#[test]
fn root_removal_of_images_survives_every_fault() {
    sweep(&REMOVE_IMAGE);
}
