//! The invariants of ARCHITECTURE.md about who depends on whom, read from `cargo metadata`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};

const LEAVES: [&str; 2] = ["ctr-sys", "ctr-types"];
const SIBLINGS: [&str; 6] = [
    "ctr-state",
    "ctr-storage",
    "ctr-net",
    "ctr-oci",
    "ctr-image",
    "ctr-monitor",
];

/// Each member of the workspace and the members it depends on (not for tests or building).
fn members() -> BTreeMap<String, BTreeSet<String>> {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(name)
                .filter(|dependency| ours.contains(dependency))
                .collect();
            (name(package), dependencies)
        })
        .collect()
}

fn assert_within(member: &str, found: &BTreeSet<String>, allowed: &[&str]) {
    for dependency in found {
        assert!(
            allowed.contains(&dependency.as_str()),
            "{member} must not depend on {dependency}; allowed: {allowed:?}"
        );
    }
}

#[test]
fn crates_depend_downwards_only() {
    let members = members();
    for leaf in LEAVES {
        assert_within(leaf, &members[leaf], &[]);
    }
    for sibling in SIBLINGS {
        assert_within(sibling, &members[sibling], &LEAVES);
    }
    let below_core: Vec<&str> = SIBLINGS.into_iter().chain(LEAVES).collect();
    assert_within("ctr-core", &members["ctr-core"], &below_core);
    assert_within("ctrs", &members["ctrs"], &["ctr-core"]);
    assert_within("test-utils", &members["test-utils"], &LEAVES);
}

#[test]
fn every_member_is_known_to_this_test() {
    let known: BTreeSet<&str> = LEAVES
        .into_iter()
        .chain(SIBLINGS)
        .chain(["ctr-core", "ctrs", "test-utils"])
        .collect();
    for member in members().keys() {
        assert!(
            known.contains(member.as_str()),
            "decide the layer of {member}"
        );
    }
}

#[test]
fn only_ctr_sys_may_contain_unsafe() {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    for entry in std::fs::read_dir(crates).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("ctr-sys") {
            continue;
        }
        let root = std::fs::read_to_string(path.join("src/lib.rs")).unwrap();
        assert!(
            root.contains("#![forbid(unsafe_code)]"),
            "{}",
            path.display()
        );
    }
}
