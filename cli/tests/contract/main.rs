//! The contract: the same command lines given to ctrs and to podman answer the same, in exit codes and on standard output,
//! once ids and times are taken away. Where they are meant to differ, the case says how and why; a difference that is not
//! meant fails, and so does a reason for one that there is no longer.
mod cases;
mod engines;

use test_utils::Sandbox;

use crate::engines::{Answer, Podman, ours};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ctrs");

/// One command, and what is done before.
struct Case {
    /// Commands before it; their answers do not count.
    setup: &'static [&'static str],
    /// The command. Words are split at spaces; `'…'` holds words together.
    command: &'static str,
    /// How ctrs is meant to differ: its exit code, or nothing of its own, and why.
    differs: Option<(Difference, &'static str)>,
}

/// How an answer of ctrs differs from podman's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Difference {
    /// The exit code is this one.
    Code(i32),
    /// The output is this one.
    Output(&'static str),
    /// Both.
    Both(i32, &'static str),
}

const fn same(setup: &'static [&'static str], command: &'static str) -> Case {
    Case {
        setup,
        command,
        differs: None,
    }
}

const fn differs(
    setup: &'static [&'static str],
    command: &'static str,
    how: Difference,
    why: &'static str,
) -> Case {
    Case {
        setup,
        command,
        differs: Some((how, why)),
    }
}

/// The words of a command line.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (number, part) in line.split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part);
        } else {
            words.extend(part.split_whitespace());
        }
    }
    words
}

/// What ctrs is to answer where podman answers `podman`.
fn expected(podman: &Answer, differs: Option<&(Difference, &str)>) -> Answer {
    let mut answer = podman.clone();
    match differs {
        None => {}
        Some((Difference::Code(code), _)) => answer.code = *code,
        Some((Difference::Output(text), _)) => (*text).clone_into(&mut answer.stdout),
        Some((Difference::Both(code, text), _)) => {
            answer.code = *code;
            (*text).clone_into(&mut answer.stdout);
        }
    }
    answer.complains =
        answer.code != 0 && (podman.complains || podman.code == 0 || answer.code == 125);
    answer
}

fn run(cases: &[Case]) {
    let sandbox = Sandbox::new(PROGRAM);
    let podman = Podman::new(&sandbox);
    let mut failures = Vec::new();
    for case in cases {
        let clean = ["rm", "-f", "-a", "-t", "0"];
        podman.run(&clean);
        ours(&sandbox, &clean);
        for line in case.setup {
            podman.run(&words(line));
            ours(&sandbox, &words(line));
        }
        let line = words(case.command);
        let (theirs, seen) = (podman.run(&line), ours(&sandbox, &line));
        let wanted = expected(&theirs, case.differs.as_ref());
        let (setup, command) = (case.setup, case.command);
        if seen != wanted {
            failures.push(format!(
                "{setup:?} {command}\n  podman {theirs:?}\n  ctrs   {seen:?}"
            ));
        } else if case.differs.is_some()
            && (seen.code, &seen.stdout) == (theirs.code, &theirs.stdout)
        {
            failures.push(format!(
                "{setup:?} {command}: the difference is there no longer"
            ));
        }
    }
    podman.finish(&sandbox);
    sandbox.ctrs(&["rm", "-f", "-a"]);
    sandbox.ctrs(&["rmi", "-f", "localhost/new"]);
    sandbox.ctrs(&["image", "prune", "-f"]);
    assert!(
        failures.is_empty(),
        "{} of {} differ:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    sandbox.assert_nothing_left();
}

#[test]
fn root_lives_of_containers() {
    run(cases::LIVES);
}

#[test]
fn root_programs_and_their_surroundings() {
    run(cases::PROGRAMS);
}

#[test]
fn root_looking_at_containers() {
    run(cases::LOOKING);
}

#[test]
fn root_files_and_changes() {
    run(cases::FILES);
}

#[test]
fn root_bad_input() {
    run(cases::BAD_INPUT);
}
