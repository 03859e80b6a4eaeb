//! Options that make a container, and the values they take.

pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod policy;
pub(crate) mod security;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use ctr_core::types::config::{ImageVolumes, LogConfig, LogDriver, Mount, Resources, Ulimit};
use ctr_core::types::{ContainerName, Signal};
use ctr_core::{CreateRequest, Engine, RootSource};

/// Options of `create` and `run`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct ContainerOptions {
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Name of the container
    #[arg(long, value_parser = name)]
    name: Option<Name>,
    /// Remove a container that has the name first
    #[arg(long, requires = "name")]
    replace: bool,
    /// Remove the container when it has ended
    #[arg(long)]
    pub(crate) rm: bool,
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Allocate a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set an environment variable; without a value, take it from here
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Working directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// Replace the image's entrypoint; a JSON array or one word
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// Bind a file or directory of the host
    #[arg(short, long, value_name = "SOURCE:TARGET[:OPTIONS]", value_parser = mount::volume)]
    volume: Vec<Mount>,
    /// Mount something, such as type=bind,source=/a,target=/b,ro
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = mount::mount)]
    mount: Vec<Mount>,
    /// Mount a tmpfs
    #[arg(long, value_name = "TARGET[:OPTIONS]", value_parser = mount::tmpfs)]
    tmpfs: Vec<Mount>,
    /// What becomes of the image's volumes: anonymous, tmpfs or ignore
    #[arg(long, value_name = "MODE", value_parser = image_volumes)]
    image_volume: Option<ImageVolumes>,
    /// Host name
    #[arg(short, long, value_name = "NAME")]
    hostname: Option<String>,
    #[command(flatten)]
    namespaces: namespace::NamespaceOptions,
    #[command(flatten)]
    network: network::NetworkOptions,
    #[command(flatten)]
    security: security::SecurityOptions,
    #[command(flatten)]
    policy: policy::PolicyOptions,
    /// Set a kernel parameter of its namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// Cgroup that its own is made in
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// The image is a directory of the host; with :O it stays as it is
    #[arg(long)]
    rootfs: bool,
    /// Add a label
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// Add an annotation
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// Mount the root file system read-only
    #[arg(long)]
    read_only: bool,
    /// Limit a resource of processes
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = value::ulimit)]
    ulimit: Vec<Ulimit>,
    /// Limit memory
    #[arg(short, long, value_name = "BYTES[b|k|m|g]", value_parser = value::size)]
    memory: Option<u64>,
    /// Limit memory and swap together; -1 for no limit
    #[arg(long, value_name = "BYTES[b|k|m|g]", allow_hyphen_values = true, value_parser = value::swap)]
    memory_swap: Option<i64>,
    /// Limit processors, such as 1.5
    #[arg(long, value_name = "NUMBER", value_parser = value::cpus)]
    cpus: Option<u64>,
    /// Share of processor time
    #[arg(short, long, value_name = "SHARES")]
    cpu_shares: Option<u64>,
    /// Processors to use, such as 0-1
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Limit processes and threads; 0 or -1 for no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES[b|k|m|g]", value_parser = value::size)]
    shm_size: Option<u64>,
    /// Signal that stop sends first
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<Signal>,
    /// Seconds that stop waits before it kills
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<u32>,
    /// Write the container's id to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Where output goes: k8s-file or none
    #[arg(long, value_name = "DRIVER", value_parser = log_driver)]
    log_driver: Option<LogDriver>,
    /// max-size=BYTES or max-file=NUMBER
    #[arg(long, value_name = "NAME=VALUE")]
    log_opt: Vec<String>,
    /// OCI runtime, by name or path
    #[arg(long, value_name = "RUNTIME")]
    runtime: Option<String>,
    /// Fail when the host cannot do everything that was asked for
    #[arg(long)]
    strict: bool,
    /// Whether an image is fetched: this version fetches none, so only missing and never
    #[arg(long, value_name = "POLICY", value_parser = ["missing", "never"], default_value = "missing", hide = true)]
    pull: String,
    /// The image
    image: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// A name; an empty one is none, as podman has it.
#[derive(Clone, Debug)]
struct Name(Option<ContainerName>);

fn name(text: &str) -> Result<Name, String> {
    if text.is_empty() {
        return Ok(Name(None));
    }
    let name = text
        .parse()
        .map_err(|error: ctr_core::types::NameError| error.to_string())?;
    Ok(Name(Some(name)))
}

fn image_volumes(text: &str) -> Result<ImageVolumes, String> {
    match text {
        "anonymous" | "bind" => Ok(ImageVolumes::Anonymous),
        "tmpfs" => Ok(ImageVolumes::Tmpfs),
        "ignore" => Ok(ImageVolumes::Ignore),
        _ => Err("use anonymous, tmpfs or ignore".into()),
    }
}

/// The image, or with `--rootfs` the directory.
fn root_source(text: String, is_directory: bool) -> anyhow::Result<RootSource> {
    if !is_directory {
        return Ok(RootSource::Image(text));
    }
    let (path, overlay) = match text.strip_suffix(":O") {
        Some(path) => (path, true),
        None => (text.as_str(), false),
    };
    let path = std::path::absolute(path).with_context(|| format!("make {path} absolute"))?;
    Ok(RootSource::Directory { path, overlay })
}

fn log_driver(text: &str) -> Result<LogDriver, String> {
    match text {
        "k8s-file" | "json-file" => Ok(LogDriver::K8sFile),
        "none" => Ok(LogDriver::None),
        _ => Err("use k8s-file or none".into()),
    }
}

/// `NAME=VALUE` entries as a map; a name alone has an empty value.
fn map(entries: &[String], what: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    for entry in entries {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        if name.is_empty() {
            bail!("invalid {what} {entry:?}: it has no name");
        }
        map.insert(name.to_owned(), value.to_owned());
    }
    Ok(map)
}

/// Environment from files and from options, in this order; a name without a value takes the one it has here, if any.
pub(crate) fn environment(files: &[PathBuf], entries: &[String]) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("read environment file {}", file.display()))?;
        let used = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        lines.extend(
            text.lines()
                .filter(used)
                .map(|line| line.trim_start().to_owned()),
        );
    }
    lines.extend(entries.iter().cloned());
    let mut env = Vec::new();
    for line in lines {
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (line.as_str(), here(&line)),
        };
        if name.is_empty() {
            bail!("invalid environment variable {line:?}: it has no name");
        }
        env.extend(value.map(|value| format!("{name}={value}")));
    }
    Ok(env)
}

/// A variable of this program's own environment.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the front end: values are passed on from here"
)]
fn here(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn entrypoint(text: &str) -> Vec<String> {
    if text.is_empty() {
        // As docker and podman: an empty one removes the image's.
        return Vec::new();
    }
    serde_json::from_str(text).unwrap_or_else(|_no_array| vec![text.to_owned()])
}

impl ContainerOptions {
    /// What the options ask for; containers that they name are looked up in the engine.
    pub(crate) fn request(self, engine: &Engine) -> anyhow::Result<CreateRequest> {
        let mut mounts = self.volume;
        mounts.extend(self.mount);
        mounts.extend(self.tmpfs);
        let mut request = CreateRequest {
            source: root_source(self.image, self.rootfs)?,
            name: self.name.and_then(|name| name.0),
            replace: self.replace,
            command: self.command,
            entrypoint: self.entrypoint.as_deref().map(entrypoint),
            env: environment(&self.env_file, &self.env)?,
            workdir: self.workdir,
            hostname: self.hostname,
            labels: map(&self.label, "label")?,
            annotations: map(&self.annotation, "annotation")?,
            mounts,
            image_volumes: self.image_volume.unwrap_or_default(),
            namespaces: self.namespaces.resolve(engine)?,
            sysctls: map(&self.sysctl, "sysctl")?,
            cgroup_parent: self.cgroup_parent,
            terminal: self.tty,
            stdin: self.interactive,
            ulimits: self.ulimit,
            read_only: self.read_only,
            resources: Resources {
                memory: self.memory,
                memory_swap: self.memory_swap,
                nano_cpus: self.cpus,
                cpu_shares: self.cpu_shares,
                cpuset_cpus: self.cpuset_cpus,
                pids_limit: self.pids_limit,
            },
            shm_size: self.shm_size,
            stop_signal: self.stop_signal,
            stop_timeout: self.stop_timeout,
            log: log(self.log_driver, &self.log_opt)?,
            runtime: self.runtime,
            auto_remove: self.rm,
            strict: self.strict,
            create_command: std::env::args().collect(),
            ..CreateRequest::default()
        };
        self.network.apply(&mut request)?;
        self.security.apply(&mut request)?;
        self.policy.apply(&mut request)?;
        Ok(request)
    }
}

fn log(driver: Option<LogDriver>, options: &[String]) -> anyhow::Result<LogConfig> {
    let mut log = LogConfig::default();
    log.driver = driver.unwrap_or(log.driver);
    for option in options {
        match option.split_once('=') {
            Some(("max-size", size)) => {
                let size = value::size(size)
                    .map_err(|why| anyhow::anyhow!("invalid --log-opt {option:?}: {why}"))?;
                log.max_size = Some(size);
            }
            Some(("max-file", count)) => {
                log.max_files = count
                    .parse()
                    .with_context(|| format!("invalid --log-opt {option:?}"))?;
            }
            _ => bail!("invalid --log-opt {option:?}: use max-size=BYTES or max-file=NUMBER"),
        }
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entrypoints_are_words_or_arrays() {
        assert_eq!(entrypoint("sh"), ["sh"]);
        assert_eq!(entrypoint(r#"["sh","-c"]"#), ["sh", "-c"]);
        assert!(entrypoint("").is_empty());
    }

    #[test]
    fn environment_has_names() {
        assert_eq!(environment(&[], &["A=b=c".into()]).unwrap(), ["A=b=c"]);
        assert!(
            environment(&[], &["NO_SUCH_NAME_HERE".into()])
                .unwrap()
                .is_empty()
        );
        assert!(environment(&[], &["=x".into()]).is_err());
        assert!(map(&["=x".into()], "label").is_err());
    }
}
