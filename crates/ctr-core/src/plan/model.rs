//! The plans in a model of the world: several commands, monitors and the environment, moving in any order, dying at any
//! point (reliability.md G16). What is decided is decided by the functions the engine uses; only what single steps do is
//! modelled.
//!
//! Not modelled: what a power cut takes of transactions that were not synced, images, exec, and file systems that somebody
//! other than the run holds. The empty lock file of a container that is gone may stay until the next boot: who waits for a
//! lock makes its file. Monitors that are awaited are in time.

mod actor;
mod effects;
mod explore;
mod rules;
mod world;

use explore::{Run, Seen};
use rules::{ENGINE, Rules};

/// The first seed whose run breaks an invariant, and which.
fn find(rules: &Rules, seeds: std::ops::Range<u64>) -> (Seen, Option<(u64, String)>) {
    let mut seen = Seen::default();
    for seed in seeds {
        let mut run = Run::new(rules, seed);
        let violation = run.play();
        seen.add(&run.seen);
        if let Some(what) = violation {
            return (seen, Some((seed, what)));
        }
    }
    (seen, None)
}

/// What happened in a run, told move by move.
fn story(rules: &Rules, seed: u64) -> String {
    let mut run = Run::new(rules, seed);
    run.trace = Some(Vec::new());
    let _violation = run.play();
    run.trace.unwrap_or_default().join("\n")
}

fn told(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test's parameters")]
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap())
}

/// `CTRS_MODEL_SEED` plays one run again; `CTRS_MODEL_RUNS` says how many there are.
#[test]
fn g16_no_interleaving_and_no_crash_breaks_an_invariant() {
    let seeds = match told("CTRS_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..told("CTRS_MODEL_RUNS").unwrap_or(100_000),
    };
    let many = seeds.end - seeds.start >= 1000;
    let (seen, found) = find(&ENGINE, seeds);
    if let Some((seed, what)) = found {
        let story = story(&ENGINE, seed);
        panic!("{story}\n{what}: CTRS_MODEL_SEED={seed}");
    }
    // A model in which nothing happens proves nothing.
    assert!(!many || seen.is_eventful(), "{seen:?}");
}

/// The model finds mistakes: each of these was made, or could have been.
#[test]
fn g16_b01_b12_mistakes_in_the_plans_are_found() {
    const WITHOUT_NETWORK: &[crate::steps::CleanupStep] = &[
        crate::steps::CleanupStep::Claim,
        crate::steps::CleanupStep::KillProcesses,
        crate::steps::CleanupStep::DeleteRuntime,
        crate::steps::CleanupStep::RemoveCgroup,
        crate::steps::CleanupStep::Unmount,
        crate::steps::CleanupStep::Record,
        crate::steps::CleanupStep::RemoveRunDirectory,
        crate::steps::CleanupStep::Finish,
    ];
    let mistakes = [
        (
            "the clean-up forgets the network",
            Rules {
                cleanup: WITHOUT_NETWORK,
                ..ENGINE
            },
        ),
        (
            "a finished operation is recovered",
            Rules {
                is_recoverable: |_in_journal| true,
                ..ENGINE
            },
        ),
        (
            "the holder of a container recovers nothing",
            Rules {
                recovers_when_locked: false,
                ..ENGINE
            },
        ),
        (
            "dead operations are forgotten",
            Rules {
                recovery: |_op| Vec::new(),
                ..ENGINE
            },
        ),
    ];
    for (what, rules) in mistakes {
        let (_seen, found) = find(&rules, 0..100_000);
        assert!(found.is_some(), "{what}: not found");
    }
}
