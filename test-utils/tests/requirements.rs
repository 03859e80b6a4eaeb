//! Which test proves which row of the requirements (semantics.md): the rows stand in the names of tests, and
//! `docs/requirements.md` is what they say. `CTRS_WRITE_DOCS=1 cargo test -p test-utils --test requirements` writes it anew.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The kinds of rows, how many there are, and what they are.
const KINDS: [(char, usize, &str); 3] = [
    ('t', 16, "types, fields, files"),
    ('m', 30, "operations"),
    ('b', 36, "defects that must not come back"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != ".git" {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rows in a test's name, such as `b22` in `root_b22_a_signal`.
fn rows(name: &str) -> impl Iterator<Item = String> {
    let is_row = |part: &&str| {
        let (kind, digits) = part.split_at(1);
        digits.len() == 2
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && KINDS.iter().any(|(known, _, _)| kind.starts_with(*known))
    };
    name.split('_')
        .filter(|part| part.is_ascii() && !part.is_empty())
        .filter(is_row)
        .map(str::to_owned)
}

fn table() -> String {
    let base = root();
    let mut files = Vec::new();
    sources(&base, &mut files);
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(&base).unwrap().display().to_string();
        for line in text.lines().map(str::trim) {
            let Some(name) = line
                .strip_prefix("fn ")
                .and_then(|rest| rest.strip_suffix("() {"))
            else {
                continue;
            };
            for row in rows(name) {
                tests
                    .entry(row)
                    .or_default()
                    .insert(format!("`{name}` ({place})"));
            }
        }
    }
    let mut text = String::from(
        "# Requirements and the tests that prove them\n\n\
         Written by `test-utils/tests/requirements.rs` from the names of tests; the rows are those of the project's semantics.\n",
    );
    for (kind, count, what) in KINDS {
        text.push_str(
            &[
                "\n## ",
                &kind.to_ascii_uppercase().to_string(),
                ": ",
                what,
                "\n\n| row | tests |\n|---|---|\n",
            ]
            .concat(),
        );
        for number in 1..=count {
            let found = tests.get(&format!("{kind}{number:02}"));
            let listed = found.map_or_else(
                || "–".to_owned(),
                |found| found.iter().cloned().collect::<Vec<_>>().join("<br>"),
            );
            text.push_str(
                &[
                    "| ",
                    &kind.to_ascii_uppercase().to_string(),
                    &number.to_string(),
                    " | ",
                    &listed,
                    " |\n",
                ]
                .concat(),
            );
        }
    }
    text
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by those who run them"
)]
fn the_table_of_requirements_is_what_the_tests_say() {
    let path = root().join("docs/requirements.md");
    let now = table();
    if std::env::var("CTRS_WRITE_DOCS").is_ok() {
        use std::io::Write as _;
        std::fs::File::create(&path)
            .unwrap()
            .write_all(now.as_bytes())
            .unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == now,
        "docs/requirements.md is out of date: CTRS_WRITE_DOCS=1 cargo test -p test-utils --test requirements"
    );
}
