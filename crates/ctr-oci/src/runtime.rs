//! An OCI runtime on this host: which one, how it is called, what it answers.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ctr_sys::child::{ChildError, Finished, Runner};
use ctr_sys::fs::Durability;
use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::Deserialize;

use crate::cgroup::CgroupMode;

/// Where runtimes are looked for, in this order.
pub const SEARCH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
/// What a runtime's environment holds.
pub const ENVIRONMENT: [(&str, &str); 1] = [(
    "PATH",
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)];
/// Deadline of anything but `create` (reliability.md F20).
const LIMIT: Duration = Duration::from_secs(30);

/// Why a runtime did not do its job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The one asked for is not here.
    #[error("runtime {name} not found in {searched}: install it, or choose another with --runtime")]
    NotFound {
        /// Its name or path.
        name: String,
        /// Where was looked.
        searched: String,
    },
    /// None is here.
    #[error("no OCI runtime found in {searched}: install runc or crun")]
    NoneFound {
        /// Where was looked.
        searched: String,
    },
    /// It is here and may not be executed.
    #[error("runtime {} cannot be executed", .0.display())]
    NotExecutable(PathBuf),
    /// It could not be run to its end.
    #[error("runtime {verb}")]
    Child {
        /// What was asked of it.
        verb: &'static str,
        /// Why not.
        source: ChildError,
    },
    /// It said no.
    #[error("runtime {verb}: {complaint}")]
    Failed {
        /// What was asked of it.
        verb: &'static str,
        /// What it said.
        complaint: String,
    },
    /// A file of the bundle could not be written.
    #[error(transparent)]
    Sys(#[from] ctr_sys::SysError),
    /// A structure could not be made JSON.
    #[error("write JSON")]
    Json(#[from] serde_json::Error),
}

/// What a runtime says of a container (runtime-spec, runtime.md "State").
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RuntimeState {
    /// `creating`, `created`, `running`, `stopped`, `paused`.
    pub status: String,
    /// The first process; 0 when there is none.
    #[serde(default)]
    pub pid: i32,
}

/// A runtime and the directory where it keeps its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    program: PathBuf,
    root: PathBuf,
}

fn searched() -> String {
    SEARCH.join(":")
}

/// A file that may be executed, by its mode: nothing is run on the start path to find out.
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

impl Runtime {
    /// Finds the runtime asked for by name or path.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`] or [`RuntimeError::NotExecutable`].
    pub fn named(name: &str, root: &Path) -> Result<Self, RuntimeError> {
        let candidates: Vec<PathBuf> = if name.contains('/') {
            vec![PathBuf::from(name)]
        } else {
            SEARCH
                .iter()
                .map(|directory| Path::new(directory).join(name))
                .collect()
        };
        let found = candidates.iter().find(|path| path.exists());
        match found {
            Some(program) if is_executable(program) => Ok(Self {
                program: program.clone(),
                root: root.to_owned(),
            }),
            Some(program) => Err(RuntimeError::NotExecutable(program.clone())),
            None => Err(RuntimeError::NotFound {
                name: name.to_owned(),
                searched: searched(),
            }),
        }
    }

    /// Finds one that works on this host: crun first where it works, which is on cgroup v2 (it refuses hybrid hosts and v1);
    /// runc elsewhere.
    ///
    /// # Errors
    /// [`RuntimeError::NoneFound`].
    pub fn probe(cgroup: CgroupMode, root: &Path) -> Result<Self, RuntimeError> {
        let order = match cgroup {
            CgroupMode::V2 => ["crun", "runc", "youki"],
            CgroupMode::V1 | CgroupMode::Hybrid => ["runc", "youki", "crun"],
        };
        for name in order {
            match Self::named(name, root) {
                Err(RuntimeError::NotFound { .. }) => {}
                other => return other,
            }
        }
        Err(RuntimeError::NoneFound {
            searched: searched(),
        })
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its name, such as `runc`.
    pub fn name(&self) -> String {
        self.program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    fn argv<S: Into<OsString>>(&self, verb: impl IntoIterator<Item = S>) -> Vec<OsString> {
        let mut argv: Vec<OsString> = vec![
            self.program.clone().into(),
            "--root".into(),
            self.root.clone().into(),
        ];
        argv.extend(verb.into_iter().map(Into::into));
        argv
    }

    /// `create`: the whole argument vector.
    pub fn create_args(
        &self,
        id: &str,
        bundle: &Path,
        pid_file: &Path,
        console_socket: Option<&Path>,
    ) -> Vec<OsString> {
        let mut argv = self.argv(["create", "--bundle"]);
        argv.extend([bundle.into(), "--pid-file".into(), pid_file.into()]);
        if let Some(socket) = console_socket {
            argv.extend(["--console-socket".into(), socket.into()]);
        }
        argv.push(id.into());
        argv
    }

    /// `start`.
    pub fn start_args(&self, id: &str) -> Vec<OsString> {
        self.argv(["start", id])
    }

    /// `delete --force`.
    pub fn delete_args(&self, id: &str) -> Vec<OsString> {
        self.argv(["delete", "--force", id])
    }

    /// `pause`.
    pub fn pause_args(&self, id: &str) -> Vec<OsString> {
        self.argv(["pause", id])
    }

    /// `resume`.
    pub fn resume_args(&self, id: &str) -> Vec<OsString> {
        self.argv(["resume", id])
    }

    /// `kill --all … KILL`.
    pub fn kill_all_args(&self, id: &str) -> Vec<OsString> {
        self.argv(["kill", "--all", id, "KILL"])
    }

    /// `exec --detach`.
    pub fn exec_args(
        &self,
        id: &str,
        process: &Path,
        pid_file: &Path,
        console_socket: Option<&Path>,
    ) -> Vec<OsString> {
        let mut argv = self.argv(["exec", "--detach", "--process"]);
        argv.extend([process.into(), "--pid-file".into(), pid_file.into()]);
        if let Some(socket) = console_socket {
            argv.extend(["--console-socket".into(), socket.into()]);
        }
        argv.push(id.into());
        argv
    }

    fn run(&self, verb: &'static str, argv: &[OsString]) -> Result<Finished, RuntimeError> {
        let mut runner = Runner::new(&self.program).args(argv.get(1..).unwrap_or_default());
        for (name, value) in ENVIRONMENT {
            runner = runner.env(name, value);
        }
        runner
            .deadline(LIMIT)
            .run()
            .map_err(|source| RuntimeError::Child { verb, source })
    }

    /// What it says of a container; `None` when it does not know it.
    pub fn state(&self, id: &str) -> Result<Option<RuntimeState>, RuntimeError> {
        let finished = self.run("state", &self.argv(["state", id]))?;
        if !finished.status.success() {
            // Whether it is unknown is told by its directory, not by the runtime's English.
            if !self.root.join(id).exists() {
                return Ok(None);
            }
            return Err(RuntimeError::Failed {
                verb: "state",
                complaint: complaint(&finished.stderr),
            });
        }
        Ok(Some(serde_json::from_slice(&finished.stdout)?))
    }

    /// Changes the limits of a container that it has made. `file` is written for it, and removed.
    ///
    /// # Errors
    /// What the runtime, or the kernel by its words, says to the new limits.
    pub fn update(
        &self,
        id: &str,
        resources: &LinuxResources,
        file: &Path,
    ) -> Result<(), RuntimeError> {
        let json = serde_json::to_vec(resources)?;
        ctr_sys::fs::write_atomic(file, &json, 0o600, Durability::ProcessDeath)?;
        let mut argv = self.argv(["update", "--resources"]);
        argv.extend([file.into(), id.into()]);
        let finished = self.run("update", &argv);
        ctr_sys::fs::ensure_file_absent(file)?;
        let finished = finished?;
        if finished.status.success() {
            return Ok(());
        }
        Err(RuntimeError::Failed {
            verb: "update",
            complaint: complaint(&finished.stderr),
        })
    }

    /// Makes it forget a container that has no process any more.
    ///
    /// What `delete` does then is to run the hooks, of which our specs have none, to remove the cgroup, which is the
    /// caller's, and to remove the directory of its state; of runtimes known to keep nothing else, that is removed here.
    ///
    /// # Errors
    /// When the directory cannot be removed, or another runtime fails.
    pub fn ensure_forgotten(&self, id: &str) -> Result<(), RuntimeError> {
        let is_known = matches!(self.name().as_str(), "runc" | "crun" | "youki");
        if !is_known {
            return self.ensure_deleted(id);
        }
        Ok(ctr_sys::fs::ensure_tree_absent(&self.root.join(id))?)
    }

    /// Makes it forget a container, killing what is left of it. One that it does not know is as good as forgotten.
    pub fn ensure_deleted(&self, id: &str) -> Result<(), RuntimeError> {
        if !self.root.join(id).exists() {
            return Ok(());
        }
        let finished = self.run("delete", &self.delete_args(id))?;
        if finished.status.success() || !self.root.join(id).exists() {
            return Ok(());
        }
        Err(RuntimeError::Failed {
            verb: "delete",
            complaint: complaint(&finished.stderr),
        })
    }
}

/// The last line that a runtime wrote, which is its reason; runc writes `time=… level=error msg="…"` before it.
pub fn complaint(text: &str) -> String {
    let last = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing");
    let last = last.split_once("msg=").map_or(last, |(_, message)| message);
    let message = last.trim().trim_matches('"').replace("\\\"", "\"");
    message.chars().take(2000).collect()
}

/// What kind of failure a runtime's complaint is about, where looking into the root file system did not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The program is not there: exit code 127.
    NotFound,
    /// It cannot be executed: exit code 126.
    CannotInvoke,
    /// Anything else: exit code 125.
    Engine,
}

impl Failure {
    /// By the runtime's words. Only asked when mounts hide the root file system's own files.
    pub fn from_complaint(text: &str) -> Self {
        let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if any(&[
            "executable file not found",
            "no such file or directory",
            "No such file or directory",
        ]) && any(&["exec", "executable", "starting container process"])
        {
            Self::NotFound
        } else if any(&[
            "permission denied",
            "Permission denied",
            "is a directory",
            "exec format error",
        ]) && any(&["exec", "executable", "starting container process"])
        {
            Self::CannotInvoke
        } else {
            Self::Engine
        }
    }
}

/// Writes a bundle's `config.json`.
pub fn write_bundle(
    bundle: &Path,
    spec: &Spec,
    durability: Durability,
) -> Result<(), RuntimeError> {
    let json = serde_json::to_vec(spec)?;
    Ok(ctr_sys::fs::write_atomic(
        &bundle.join("config.json"),
        &json,
        0o600,
        durability,
    )?)
}

/// Writes the process of an exec.
pub fn write_process(path: &Path, process: &Process) -> Result<(), RuntimeError> {
    let json = serde_json::to_vec(process)?;
    Ok(ctr_sys::fs::write_atomic(
        path,
        &json,
        0o600,
        Durability::ProcessDeath,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f18_a_missing_runtime_is_told_with_where_was_looked() {
        let error = Runtime::named("no-such-runtime", Path::new("/x")).unwrap_err();
        assert!(error.to_string().contains("/usr/sbin"), "{error}");
        assert!(matches!(
            Runtime::named("/etc/passwd", Path::new("/x")),
            Err(RuntimeError::NotExecutable(_))
        ));
    }

    #[test]
    fn argument_vectors_are_what_runtimes_take() {
        let runtime = Runtime {
            program: "/r".into(),
            root: "/state".into(),
        };
        let argv = runtime.create_args(
            "id",
            Path::new("/b"),
            Path::new("/p"),
            Some(Path::new("/c")),
        );
        let text: Vec<_> = argv
            .iter()
            .map(|argument| argument.to_string_lossy())
            .collect();
        assert_eq!(
            text.join(" "),
            "/r --root /state create --bundle /b --pid-file /p --console-socket /c id"
        );
    }

    #[test]
    fn complaints_are_cut_to_the_reason() {
        let runc = "time=\"x\" level=error msg=\"runc create failed: exec: \\\"nope\\\": executable file not found in $PATH\"\n";
        let reason = complaint(runc);
        assert_eq!(
            reason,
            "runc create failed: exec: \"nope\": executable file not found in $PATH"
        );
        assert_eq!(Failure::from_complaint(&reason), Failure::NotFound);
        assert_eq!(
            Failure::from_complaint("exec /etc/passwd: permission denied"),
            Failure::CannotInvoke
        );
        assert_eq!(
            Failure::from_complaint("cgroup is on fire"),
            Failure::Engine
        );
        assert_eq!(complaint(""), "it said nothing");
    }
}
