//! A bundle and a monitor for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use ctr_monitor::client::MonitorClient;
use ctr_monitor::config::MonitorConfig;
use ctr_monitor::exit_record::ExitRecord;
use ctr_monitor::live::Live;
use ctr_monitor::log::LogReader;
use ctr_monitor::protocol::{Reply, Request};
use ctr_sys::child::Detached;
use ctr_sys::fs::Durability;
use ctr_sys::socket::MessageSocket;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const RUNC: &str = "/usr/sbin/runc";

/// A container that is not made yet.
pub(crate) struct Bundle {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: MonitorConfig,
    pub(crate) id: String,
}

/// A running monitor and the engine's connection to it.
pub(crate) struct Monitor {
    pub(crate) child: Child,
    pub(crate) engine: MonitorClient,
}

impl Bundle {
    pub(crate) fn new(script: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(path("rootfs/bin")).unwrap();
        for name in ["proc", "dev", "tmp"] {
            std::fs::create_dir_all(path("rootfs").join(name)).unwrap();
        }
        std::fs::copy("/bin/busybox", path("rootfs/bin/busybox")).unwrap();
        for name in ["sh", "cat", "echo", "sleep", "seq", "true", "stty", "kill"] {
            std::os::unix::fs::symlink("busybox", path("rootfs/bin").join(name)).unwrap();
        }
        let suffix = dir
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .trim_start_matches(".tmp")
            .to_owned();
        let id = format!("monitor-test-{suffix}");
        let argv = |verb: &[&str]| {
            let mut argv: Vec<std::ffi::OsString> =
                vec![RUNC.into(), "--root".into(), path("runc").into()];
            argv.extend(verb.iter().map(Into::into));
            argv
        };
        let mut create = argv(&["create", "--bundle"]);
        create.extend([
            dir.path().into(),
            "--pid-file".into(),
            path("pid").into(),
            (&id).into(),
        ]);
        let config = MonitorConfig {
            id: id.clone(),
            boot_id: "b".into(),
            lock: path("lock"),
            live: path("live"),
            socket: path("sock"),
            exit_record: path("exit"),
            log: Some(path("ctr.log")),
            own_pid_namespace: true,
            console_socket: path("console"),
            pid_file: path("pid"),
            create,
            start: argv(&["start", &id]),
            delete: argv(&["delete", "--force", &id]),
            pause: argv(&["pause", &id]),
            resume: argv(&["resume", &id]),
            kill_all: argv(&["kill", "--all", &id, "KILL"]),
            cleanup: vec![
                "/bin/sh".into(),
                "-c".into(),
                format!("echo > {}", path("cleaned").display()).into(),
            ],
            environment: vec!["PATH=/usr/sbin:/usr/bin:/sbin:/bin".into()],
            ..MonitorConfig::default()
        };
        let bundle = Self { dir, config, id };
        bundle.write_spec(script, false);
        bundle
    }

    pub(crate) fn terminal(mut self, script: &str) -> Self {
        self.config.terminal = true;
        let at = self.config.create.len() - 1;
        let console = self.config.console_socket.clone().into_os_string();
        self.config
            .create
            .splice(at..at, ["--console-socket".into(), console]);
        self.write_spec(script, true);
        self
    }

    fn write_spec(&self, script: &str, terminal: bool) {
        let script = script.replace('\\', "\\\\").replace('"', "\\\"");
        let process = format!(
            r#""terminal": {terminal}, "user": {{"uid": 0, "gid": 0}}, "args": ["/bin/sh", "-c", "{script}"],
               "env": ["PATH=/bin"], "cwd": "/""#
        );
        let spec = format!(
            r#"{{"ociVersion": "1.0.2", "process": {{{process}}}, "root": {{"path": "rootfs"}},
               "mounts": [{{"destination": "/proc", "type": "proc", "source": "proc"}},
                          {{"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}},
                          {{"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                            "options": ["newinstance", "ptmxmode=0666"]}}],
               "linux": {{"cgroupsPath": "/{}", "namespaces": [{{"type": "pid"}}, {{"type": "mount"}}, {{"type": "ipc"}},
                          {{"type": "network"}}]}}}}"#,
            self.id
        );
        let write = |name: &str, text: &str| {
            ctr_sys::fs::write_atomic(
                &self.path(name),
                text.as_bytes(),
                0o600,
                Durability::ProcessDeath,
            )
            .unwrap();
        };
        write("config.json", &spec);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts the monitor and waits until the runtime has made the container.
    pub(crate) fn create(&self) -> Monitor {
        let mut monitor = self.spawn();
        let (reply, _) = monitor.engine.receive(Some(PATIENCE)).unwrap();
        assert!(
            matches!(reply, Reply::Created { pid } if pid > 0),
            "{reply:?}"
        );
        monitor
    }

    pub(crate) fn spawn(&self) -> Monitor {
        let (ours, theirs) = MessageSocket::pair().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_ctrs-monitor"));
        let child = Detached::new(program)
            .arg(&self.id)
            .input(theirs.into_fd())
            .spawn()
            .unwrap();
        let engine = MonitorClient::over(ours);
        engine.send_bytes(&self.config.encode(), &[]).unwrap();
        Monitor { child, engine }
    }

    /// Makes, commits, attaches and starts it.
    pub(crate) fn start(&self) -> (Monitor, MonitorClient) {
        let mut monitor = self.create();
        monitor.engine.send(&Request::Commit, &[]).unwrap();
        let mut attached = self.connect();
        attached
            .call(&Request::Attach { lossless: true }, PATIENCE)
            .unwrap();
        monitor.engine.call(&Request::Start, PATIENCE).unwrap();
        (monitor, attached)
    }

    pub(crate) fn connect(&self) -> MonitorClient {
        MonitorClient::connect(&self.config.socket).unwrap()
    }

    pub(crate) fn exit_record(&self) -> ExitRecord {
        ExitRecord::read(&self.config.exit_record).unwrap().unwrap()
    }

    pub(crate) fn live(&self) -> Live {
        Live::read(&self.config.live).unwrap().unwrap()
    }

    pub(crate) fn log(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut reader = LogReader::open(&self.path("ctr.log")).unwrap().unwrap();
        while let Some(entry) = reader.next_entry().unwrap() {
            text.extend(entry.output());
        }
        text
    }

    /// Whether the runtime still knows the container, or its cgroup is there.
    pub(crate) fn is_known(&self) -> bool {
        let state = Command::new(RUNC)
            .arg("--root")
            .arg(self.path("runc"))
            .args(["state", &self.id])
            .output()
            .unwrap();
        state.status.success()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let mut delete = Command::new(self.config.delete.first().unwrap());
        let _gone = delete.args(self.config.delete.iter().skip(1)).output();
    }
}

/// Everything an attached client gets, up to the exit.
pub(crate) fn collect(client: &mut MonitorClient) -> (Vec<u8>, Vec<u8>, i32) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match client.receive(Some(PATIENCE)).unwrap().0 {
            Reply::Output { stream: 1, data } => out.extend(data),
            Reply::Output { data, .. } => err.extend(data),
            Reply::Exited { code } => return (out, err, code),
            other => panic!("{other:?}"),
        }
    }
}

/// Waits for a condition, at most 20 s.
pub(crate) fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::yield_now();
    }
}
