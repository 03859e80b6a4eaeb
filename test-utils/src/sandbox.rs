//! An engine of a test's own: own roots, own copies of the programs, own mount and network namespaces.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::{busybox_tar, eventually, leaks, require_root};

/// How long one command may take. Generous: emulated machines are slow.
const LIMIT: Duration = Duration::from_mins(2);

/// An engine of a test's own. Everything goes when it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    directory: tempfile::TempDir,
    ids: RefCell<BTreeSet<String>>,
    layers: Cell<usize>,
}

/// What a command has done.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; 128 and the number for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    shown: String,
}

impl Outcome {
    /// The output of a command that must succeed, without the line break at its end.
    ///
    /// # Panics
    /// When it has failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(
            self.code, 0,
            "{}: {}{}",
            self.shown, self.stdout, self.stderr
        );
        self.stdout.trim_end().to_owned()
    }

    /// The message of a command that must fail with `code`, in one line.
    ///
    /// # Panics
    /// When it has succeeded, failed otherwise, or said nothing or more than a line.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(
            self.code, code,
            "{}: {}{}",
            self.shown, self.stdout, self.stderr
        );
        assert_eq!(
            self.stderr.lines().count(),
            1,
            "{}: {}",
            self.shown,
            self.stderr
        );
        self.stderr.trim_end().to_owned()
    }
}

impl Sandbox {
    /// An engine without images. `program` is the `ctrs` under test; its monitor must lie beside it.
    ///
    /// # Panics
    /// Without root, or when the programs are not there.
    pub fn empty(program: &str) -> Self {
        require_root();
        isolate();
        // Short: a path of a socket has at most 107 bytes.
        let directory = tempfile::Builder::new()
            .prefix("ctrs-")
            .tempdir()
            .expect("make a directory");
        fs::create_dir(directory.path().join("bin")).expect("make a directory");
        let monitor = Path::new(program).with_file_name("ctrs-monitor");
        assert!(
            monitor.exists(),
            "{} is missing: run `cargo build --workspace` first",
            monitor.display()
        );
        for (from, name) in [(Path::new(program), "ctrs"), (&monitor, "ctrs-monitor")] {
            // Copies, so that /proc tells which processes belong to this sandbox. By cp, because a file that this process
            // has open for writing is open in what another thread starts too, and cannot be executed (ETXTBSY).
            let copied = Command::new("cp")
                .arg(from)
                .arg(directory.path().join("bin").join(name))
                .status();
            assert!(copied.expect("run cp").success(), "cp failed");
        }
        Self {
            directory,
            ids: RefCell::default(),
            layers: Cell::new(0),
        }
    }

    /// An engine with an image of busybox, by the name `bb`.
    pub fn new(program: &str) -> Self {
        let sandbox = Self::empty(program);
        let tar = busybox_tar(sandbox.path());
        sandbox
            .ctrs(&[
                "import",
                "-c",
                "CMD sh",
                "-c",
                "ENV PATH=/bin",
                &tar.to_string_lossy(),
                "bb",
            ])
            .ok();
        sandbox.layers.set(1);
        sandbox
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// How many layers there should be.
    pub fn expect_layers(&self, layers: usize) {
        self.layers.set(layers);
    }

    /// A file in its directory, as text.
    pub fn file(&self, name: &str) -> String {
        self.path().join(name).to_string_lossy().into_owned()
    }

    /// A command line, not yet run.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(self.path().join("bin/ctrs"));
        command
            .arg("--root")
            .arg(self.path().join("root"))
            .arg("--runroot")
            .arg(self.path().join("run"));
        if let Some(runtime) = wanted_runtime() {
            command.args(["--runtime", &runtime]);
        }
        command
            .args(arguments)
            .stdin(Stdio::null())
            .env_remove("CTRS_FAIL");
        command
    }

    /// Runs a command.
    pub fn ctrs<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Outcome {
        self.finish(self.command(arguments), b"")
    }

    /// Runs a command with this on standard input.
    pub fn with_input<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Outcome {
        self.finish(self.command(arguments), input)
    }

    /// Runs a command that fails at a step, as `CTRS_FAIL` says.
    pub fn failing<S: AsRef<OsStr>>(&self, fail: &str, arguments: &[S]) -> Outcome {
        let mut command = self.command(arguments);
        command.env("CTRS_FAIL", fail);
        self.finish(command, b"")
    }

    /// Starts a command in the background, with its standard streams piped.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().expect("start ctrs")
    }

    fn finish(&self, mut command: Command, input: &[u8]) -> Outcome {
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start ctrs");
        let (mut stdin, mut stdout, mut stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let pid = ctr_sys::process::ProcessId::of(i32::try_from(child.id()).unwrap_or(0)).ok();
        let status = thread::scope(|scope| {
            scope.spawn(|| {
                // A command that does not read is no failure of the test's.
                let _gone = stdin.take().map(|mut stdin| stdin.write_all(input));
            });
            scope.spawn(|| stdout.as_mut().map(|stdout| stdout.read_to_end(&mut out)));
            scope.spawn(|| stderr.as_mut().map(|stderr| stderr.read_to_end(&mut err)));
            if let Some(opened) = pid.and_then(|pid| pid.open().ok().flatten())
                && !opened.wait(Some(LIMIT)).unwrap_or(true)
            {
                let _gone = child.kill();
                panic!("{shown} did not end in {LIMIT:?}");
            }
            child.wait().expect("wait for ctrs")
        });
        self.ids
            .borrow_mut()
            .extend(leaks::container_ids(self.path()));
        Outcome {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&out).into_owned(),
            stderr: String::from_utf8_lossy(&err).into_owned(),
            shown,
        }
    }

    /// A value of a container's or image's `inspect`.
    #[track_caller]
    pub fn inspect(&self, name: &str, field: &str) -> String {
        self.ctrs(&["inspect", "--format", &format!("{{{{{field}}}}}"), name])
            .ok()
    }

    /// Waits until a container's status is `status`.
    pub fn await_status(&self, name: &str, status: &str) {
        eventually(|| {
            let seen = self.ctrs(&["inspect", "--format", "{{.State.Status}}", name]);
            if seen.stdout.trim() == status {
                Ok(())
            } else {
                Err(format!("{name}: {}{}", seen.stdout, seen.stderr))
            }
        });
    }

    /// Removes every container, and asserts that then, by the engine's own word and by the counters, nothing is left.
    ///
    /// # Panics
    /// When something is.
    pub fn assert_nothing_left(&self) {
        self.ctrs(&["rm", "-f", "-a"]).ok();
        eventually(|| {
            let check = self.ctrs(&["system", "check"]);
            let leaks = leaks::leaks(self.path(), &self.ids.borrow(), self.layers.get());
            if check.code == 0 && check.stdout.is_empty() && leaks.is_empty() {
                return Ok(());
            }
            Err(format!(
                "check: {}{} leaks: {leaks:#?}",
                check.stdout, check.stderr
            ))
        });
    }

    /// As if the power had failed: every process and mount is gone at once, and the next command finds another boot.
    ///
    /// # Panics
    /// When that cannot be brought about.
    pub fn reboot(&self) {
        for id in self.ctrs(&["ps", "-q"]).ok().lines() {
            for field in [".State.ConmonPid", ".State.Pid"] {
                let pid: i32 = self.inspect(id, field).parse().expect("a pid");
                let pid = nix::unistd::Pid::from_raw(pid);
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("kill");
            }
        }
        for mount in self.mounts() {
            nix::mount::umount2(&mount, nix::mount::MntFlags::MNT_DETACH).expect("unmount");
        }
        // Beside the sandbox, whose own mounts are counted.
        let fake = self.boot_id_file();
        fs::File::create(&fake)
            .and_then(|mut file| file.write_all(b"01234567-89ab-cdef-0123-456789abcdef\n"))
            .expect("write a boot id");
        let none = None::<&str>;
        let boot_id = "/proc/sys/kernel/random/boot_id";
        mount(Some(&fake), boot_id, none, MsFlags::MS_BIND, none).expect("bind a boot id");
    }

    /// Takes a container's lock, as a command that changes it does, until what is returned is dropped.
    ///
    /// # Panics
    /// When somebody else has it.
    pub fn hold_lock(&self, id: &str) -> ctr_sys::lock::FileLock {
        let mut boots = fs::read_dir(self.path().join("run")).expect("list the boots");
        let boot = boots
            .next()
            .expect("a boot")
            .expect("list the boots")
            .path();
        let lock = ctr_sys::lock::FileLock::try_acquire(&boot.join("locks").join(id));
        lock.expect("open the lock")
            .expect("nobody else has the lock")
    }

    fn boot_id_file(&self) -> PathBuf {
        self.path().with_extension("boot_id")
    }

    /// What is mounted below its directory, deepest first.
    pub fn mounts(&self) -> Vec<PathBuf> {
        ctr_sys::mount::mount_points_below(self.path()).expect("read the mount table")
    }

    /// The path of a program beside the one under test.
    pub fn program(&self, name: &str) -> PathBuf {
        self.path().join("bin").join(name)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Also when the test has failed: the next one must find a clean machine.
        let _best_effort = self
            .command(&["system", "reset", "--force"])
            .stderr(Stdio::null())
            .status();
        let _absent = fs::remove_file(self.boot_id_file());
    }
}

/// The runtime to test with; none means what the engine chooses.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by those who run them"
)]
fn wanted_runtime() -> Option<String> {
    std::env::var("CTRS_TEST_RUNTIME").ok()
}

/// Gives the calling thread, and what it starts, namespaces of its own.
fn isolate() {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).expect("unshare");
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .expect("make mounts private");
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.expect("run ip").success(), "lo cannot be set up");
}
