//! The process: arguments, environment, user, capabilities, limits.

use std::path::PathBuf;

use ctr_types::ContainerConfig;
use ctr_types::config::{Namespace, ProcessConfig, RlimitKind, Ulimit};
use oci_spec::runtime::{
    BoxBuilder, Capabilities, LinuxCapabilities, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    Process, User,
};

use super::{Degraded, SpecError, SpecFacts, capabilities, empty_process};
use crate::host::{ALL_CAPABILITIES, HostFacts};
use crate::user::ResolvedUser;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The host name to be set; none when the host's own is kept.
pub(super) fn host_name(config: &ContainerConfig) -> Option<String> {
    match config.namespaces.uts {
        Namespace::Private => Some(
            config
                .hostname
                .clone()
                .unwrap_or_else(|| config.id.short().to_owned()),
        ),
        Namespace::Host | Namespace::Container(_) | Namespace::Path(_) => None,
    }
}

/// The environment: what was set, with defaults for what was not. The later of two settings of a name wins.
fn environment(
    config: &ContainerConfig,
    extra: &[String],
    user: &ResolvedUser,
    terminal: bool,
) -> Vec<String> {
    let mut variables: Vec<(String, String)> = vec![
        ("PATH".into(), DEFAULT_PATH.into()),
        // What systemd and others look at to see that they are in a container (systemd's CONTAINER_INTERFACE).
        ("container".into(), "oci".into()),
    ];
    if terminal {
        variables.push(("TERM".into(), "xterm".into()));
    }
    if let Some(name) = host_name(config) {
        variables.push(("HOSTNAME".into(), name));
    }
    let home = user
        .home
        .clone()
        .unwrap_or_else(|| if user.uid == 0 { "/root" } else { "/" }.into());
    variables.push(("HOME".into(), home));
    for setting in config.process.env.iter().chain(extra) {
        // Never a look-up on the host: a name without a value has none (reliability.md H18).
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        match variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => variables.push((name.into(), value.into())),
        }
    }
    variables
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn oci_user(user: &ResolvedUser, umask: Option<u32>) -> User {
    let mut oci = User::default();
    oci.set_uid(user.uid)
        .set_umask(umask)
        .set_gid(user.gid)
        .set_additional_gids(Some(user.groups.clone()).filter(|groups| !groups.is_empty()));
    oci
}

/// The capabilities the container may have at all: those asked for, within the engine's own.
pub(super) fn granted(
    config: &ContainerConfig,
    host: &HostFacts,
    degraded: &mut Vec<Degraded>,
) -> Result<Capabilities, SpecError> {
    let process = &config.process;
    let all = ["ALL".to_owned()];
    let add = if process.privileged {
        &all[..]
    } else {
        &process.cap_add
    };
    let drop = if process.privileged {
        &[][..]
    } else {
        &process.cap_drop
    };
    let asked = capabilities(add, drop)?;
    let missing: Vec<String> = ALL_CAPABILITIES
        .into_iter()
        .filter(|one| asked.contains(one) && !host.may_grant(*one))
        .map(|one| one.to_string())
        .collect();
    if !missing.is_empty() {
        degraded.push(Degraded {
            what: "capabilities".into(),
            asked: missing.join(","),
            got: "none of them".into(),
            why: "the engine itself does not have them",
        });
    }
    Ok(asked
        .into_iter()
        .filter(|one| host.may_grant(*one))
        .collect())
}

/// The sets of a process: inheritable and ambient stay empty (CVE-2022-24769), and a user other than root has none in
/// effect but those added by name.
fn capability_sets(
    bounding: Capabilities,
    config: &ContainerConfig,
    user: &ResolvedUser,
) -> LinuxCapabilities {
    let effective: Capabilities = if user.uid == 0 {
        bounding.clone()
    } else {
        let added = capabilities(&config.process.cap_add, &["ALL".into()]).unwrap_or_default();
        let by_name = !config.process.privileged && !config.process.cap_add.is_empty();
        bounding
            .iter()
            .filter(|one| by_name && added.contains(one))
            .copied()
            .collect()
    };
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(bounding))
        .set_effective(Some(effective.clone()))
        // An ordinary user keeps across exec only what is ambient (capabilities(7)), so that what was added by name works.
        .set_ambient(Some(if user.uid == 0 {
            Capabilities::new()
        } else {
            effective.clone()
        }))
        .set_inheritable(Some(if user.uid == 0 {
            Capabilities::new()
        } else {
            effective.clone()
        }))
        .set_permitted(Some(effective));
    sets
}

fn rlimits(ulimits: &[Ulimit], host: &HostFacts, degraded: &mut Vec<Degraded>) -> Vec<PosixRlimit> {
    ulimits
        .iter()
        .filter_map(|ulimit| {
            let most = host
                .hard_limits
                .get(&ulimit.kind)
                .copied()
                .unwrap_or(u64::MAX);
            let most = if host.may_raise_limits() {
                u64::MAX
            } else {
                most
            };
            let (soft, hard) = (ulimit.soft.min(most), ulimit.hard.min(most));
            if (soft, hard) != (ulimit.soft, ulimit.hard) {
                degraded.push(Degraded {
                    what: format!("--ulimit {}", ulimit.kind),
                    asked: format!("{}:{}", ulimit.soft, ulimit.hard),
                    got: format!("{soft}:{hard}"),
                    why: "the engine may not raise its own hard limit (no CAP_SYS_RESOURCE)",
                });
            }
            // Every field is given, so the builder has nothing to refuse.
            PosixRlimitBuilder::default()
                .typ(rlimit_type(ulimit.kind))
                .soft(soft)
                .hard(hard)
                .build()
                .ok()
        })
        .collect()
}

fn rlimit_type(kind: RlimitKind) -> PosixRlimitType {
    match kind {
        RlimitKind::As => PosixRlimitType::RlimitAs,
        RlimitKind::Core => PosixRlimitType::RlimitCore,
        RlimitKind::Cpu => PosixRlimitType::RlimitCpu,
        RlimitKind::Data => PosixRlimitType::RlimitData,
        RlimitKind::Fsize => PosixRlimitType::RlimitFsize,
        RlimitKind::Locks => PosixRlimitType::RlimitLocks,
        RlimitKind::Memlock => PosixRlimitType::RlimitMemlock,
        RlimitKind::Msgqueue => PosixRlimitType::RlimitMsgqueue,
        RlimitKind::Nice => PosixRlimitType::RlimitNice,
        RlimitKind::Nofile => PosixRlimitType::RlimitNofile,
        RlimitKind::Nproc => PosixRlimitType::RlimitNproc,
        RlimitKind::Rss => PosixRlimitType::RlimitRss,
        RlimitKind::Rtprio => PosixRlimitType::RlimitRtprio,
        RlimitKind::Rttime => PosixRlimitType::RlimitRttime,
        RlimitKind::Sigpending => PosixRlimitType::RlimitSigpending,
        RlimitKind::Stack => PosixRlimitType::RlimitStack,
    }
}

fn workdir(config: &ContainerConfig) -> PathBuf {
    let workdir = &config.process.workdir;
    PathBuf::from(if workdir.is_empty() { "/" } else { workdir })
}

/// The container's first process.
pub(super) fn process(
    config: &ContainerConfig,
    facts: &SpecFacts<'_>,
    degraded: &mut Vec<Degraded>,
) -> Result<Process, SpecError> {
    let args = config.process.args();
    if args.is_empty() {
        return Err(SpecError::NoCommand);
    }
    let bounding = granted(config, facts.host, degraded)?;
    let terminal = config.process.terminal;
    let mut process = empty_process();
    process
        .set_terminal(Some(terminal))
        .set_args(Some(args))
        .set_env(Some(environment(config, &[], &facts.user, terminal)))
        .set_cwd(workdir(config))
        .set_user(oci_user(&facts.user, config.process.umask))
        .set_capabilities(Some(capability_sets(bounding, config, &facts.user)))
        .set_rlimits(Some(rlimits(&config.process.ulimits, facts.host, degraded)))
        .set_no_new_privileges(Some(config.process.no_new_privileges));
    confine(&mut process, &config.process, facts.host);
    Ok(process)
}

/// Labels of the security modules that this host has on.
fn confine(process: &mut Process, asked: &ProcessConfig, host: &HostFacts) {
    if host.selinux && !asked.privileged {
        process.set_selinux_label(asked.selinux.process.clone());
    }
    if host.apparmor && !asked.privileged {
        process.set_apparmor_profile(asked.apparmor.clone());
    }
}

/// One more process in a running container.
#[derive(Clone, Debug, Default)]
pub struct Exec {
    /// What runs.
    pub args: Vec<String>,
    /// Environment added to the container's.
    pub env: Vec<String>,
    /// Working directory; none means the container's.
    pub workdir: Option<String>,
    /// Who it is.
    pub user: ResolvedUser,
    /// It has a terminal.
    pub terminal: bool,
    /// Rows and columns of its terminal, if they are known.
    pub console_size: Option<(u16, u16)>,
    /// It has all capabilities the engine may grant.
    pub privileged: bool,
}

/// The process of an exec: never more rights than the container's own unless asked for (reliability.md H45).
///
/// # Errors
/// [`SpecError`].
pub fn exec_process(
    config: &ContainerConfig,
    host: &HostFacts,
    exec: &Exec,
) -> Result<Process, SpecError> {
    if exec.args.is_empty() {
        return Err(SpecError::NoCommand);
    }
    let mut config = config.clone();
    config.process.privileged |= exec.privileged;
    let bounding = granted(&config, host, &mut Vec::new())?;
    let cwd = exec
        .workdir
        .as_ref()
        .map_or_else(|| workdir(&config), PathBuf::from);
    let mut process = empty_process();
    process
        .set_terminal(Some(exec.terminal))
        .set_args(Some(exec.args.clone()))
        .set_env(Some(environment(
            &config,
            &exec.env,
            &exec.user,
            exec.terminal,
        )))
        .set_cwd(cwd)
        .set_user(oci_user(&exec.user, config.process.umask))
        .set_capabilities(Some(capability_sets(bounding, &config, &exec.user)))
        .set_rlimits(Some(rlimits(
            &config.process.ulimits,
            host,
            &mut Vec::new(),
        )))
        .set_no_new_privileges(Some(config.process.no_new_privileges));
    confine(&mut process, &config.process, host);
    if let Some((rows, columns)) = exec.console_size.filter(|_| exec.terminal) {
        // `Box` is the spec's name for a size; with both fields set, building it cannot fail.
        let size = BoxBuilder::default().height(rows).width(columns).build();
        process.set_console_size(size.ok());
    }
    Ok(process)
}
