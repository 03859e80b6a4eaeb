//! The two engines, each with a store of its own in one directory, and what their answers have in common.

use std::path::PathBuf;
use std::process::Command;

use test_utils::Sandbox;

/// What a command has answered, without what must differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    /// Whether it has failed and said why; the words are each engine's own.
    pub(crate) complains: bool,
}

/// podman, by its own rules, beside the engine under test.
pub(crate) struct Podman {
    base: PathBuf,
}

impl Podman {
    /// podman with an image of busybox by the name `bb`.
    pub(crate) fn new(sandbox: &Sandbox) -> Self {
        let podman = Self {
            base: sandbox.path().join("podman"),
        };
        let tar = sandbox.file("busybox.tar");
        let imported = podman.run(&[
            "import",
            "-q",
            "-c",
            "ENV PATH=/bin",
            "-c",
            "CMD sh",
            &tar,
            "localhost/bb:latest",
        ]);
        assert_eq!(
            imported.code, 0,
            "podman is missing or does not work: {imported:?}"
        );
        podman
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("podman");
        for (option, directory) in [
            ("--root", "root"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
        ] {
            command.arg(option).arg(self.base.join(directory));
        }
        command.args([
            "--cgroup-manager",
            "cgroupfs",
            "--runtime",
            "runc",
            "--events-backend",
            "file",
            "--log-level",
            "error",
        ]);
        let (verb, rest) = words.split_first().unwrap_or((&"", &[]));
        command.arg(verb);
        if matches!(*verb, "run" | "create") {
            // Within the hard limits of whoever runs the tests.
            command.args([
                "--ulimit",
                "nofile=1024:1024",
                "--ulimit",
                "nproc=1000:1000",
            ]);
            if !rest.iter().any(|word| word.starts_with("--net")) {
                command.args(["--network", "none"]);
            }
        }
        command.args(rest).stdin(std::process::Stdio::null());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Answer {
        match self.command(words).output() {
            Ok(output) => answer(
                output.status.code().unwrap_or(-1),
                &String::from_utf8_lossy(&output.stdout),
                &String::from_utf8_lossy(&output.stderr),
            ),
            Err(error) => answer(-1, "", &error.to_string()),
        }
    }
}

impl Podman {
    /// Takes away what podman has made and mounted.
    pub(crate) fn finish(self, sandbox: &Sandbox) {
        let _best_effort = self.run(&["rm", "-fa", "-t", "0"]);
        for mount in sandbox.mounts() {
            if mount.starts_with(&self.base) {
                let flags = rustix::mount::UnmountFlags::DETACH;
                let _best_effort = rustix::mount::unmount(mount, flags);
            }
        }
    }
}

/// The engine under test, told what podman is told.
pub(crate) fn ours(sandbox: &Sandbox, words: &[&str]) -> Answer {
    let mut all = words.to_vec();
    if matches!(words.first(), Some(&("run" | "create")))
        && !words.iter().any(|word| word.starts_with("--net"))
    {
        all.splice(1..1, ["--network", "none"]);
    }
    let outcome = sandbox.ctrs(&all);
    answer(outcome.code, &outcome.stdout, &outcome.stderr)
}

fn answer(code: i32, stdout: &str, stderr: &str) -> Answer {
    Answer {
        code,
        stdout: normal(stdout.trim_end()),
        complains: code != 0 && !stderr.trim().is_empty(),
    }
}

/// A text without ids, times and the width of columns.
fn normal(text: &str) -> String {
    let word = |word: &str| -> String {
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bare = word.trim_start_matches("sha256:");
        match bare.len() {
            64 if is_hex(bare) => "ID".to_owned(),
            12 if is_hex(bare) => "SHORT".to_owned(),
            _ if word.parse::<ctr_core::types::Timestamp>().is_ok() => "TIME".to_owned(),
            _ => word.to_owned(),
        }
    };
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            line.split_whitespace()
                .map(word)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_do_not_count() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(normal(&format!("{id}  x")), "ID x");
        assert_eq!(normal("0123456789ab 2026-01-01T00:00:00.5Z"), "SHORT TIME");
        assert_eq!(normal("a   b\nc"), "a b\nc");
    }
}
