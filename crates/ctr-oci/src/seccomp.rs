//! Seccomp profiles: docker's form (rules that depend on architecture and capabilities) → the runtime spec's (rules).
//!
//! The form is that of containers/common's `seccomp.json`; the copy in `data/` holds the same rules for hosts that do not
//! have that file.

use std::path::Path;

use ctr_sys::SysError;
use oci_spec::runtime::{
    Arch, Capabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator, LinuxSyscall,
};
use serde::Deserialize;

/// Longest profile read.
const LIMIT: u64 = 4 << 20;
/// Where distributions put the default profile.
pub const HOST_PROFILE: &str = "/usr/share/containers/seccomp.json";
const OWN_PROFILE: &str = include_str!("../data/seccomp.json");

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// The file cannot be read.
    #[error("seccomp profile")]
    Read(#[from] SysError),
    /// It is not in docker's form.
    #[error("seccomp profile {path}")]
    Malformed {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    #[serde(default)]
    architectures: Vec<Arch>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Vec<Arch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    names: Vec<String>,
    name: Option<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Condition,
    #[serde(default)]
    excludes: Condition,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: usize,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: LinuxSeccompOperator,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    arches: Vec<String>,
    caps: Vec<String>,
}

/// The default profile for a container with these capabilities: the host's, or the built-in one.
pub fn default_profile(capabilities: &Capabilities) -> Result<LinuxSeccomp, SeccompError> {
    match ctr_sys::fs::read_if_present(Path::new(HOST_PROFILE), LIMIT)? {
        Some(text) => resolve(&text, HOST_PROFILE, capabilities),
        None => resolve(OWN_PROFILE.as_bytes(), "built in", capabilities),
    }
}

/// The profile in a file.
pub fn profile_from(
    path: &Path,
    capabilities: &Capabilities,
) -> Result<LinuxSeccomp, SeccompError> {
    let text = ctr_sys::fs::read_limited(path, LIMIT)?;
    resolve(&text, &path.display().to_string(), capabilities)
}

/// Go's name of the architecture, which profiles use.
const GO_ARCH: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    std::env::consts::ARCH
};

fn native() -> Option<Arch> {
    match GO_ARCH {
        "amd64" => Some(Arch::ScmpArchX86_64),
        "arm64" => Some(Arch::ScmpArchAarch64),
        _ => None,
    }
}

fn resolve(
    text: &[u8],
    path: &str,
    capabilities: &Capabilities,
) -> Result<LinuxSeccomp, SeccompError> {
    let profile: Profile =
        serde_json::from_slice(text).map_err(|source| SeccompError::Malformed {
            path: path.to_owned(),
            source,
        })?;
    let mut architectures = profile.architectures;
    for map in profile.arch_map {
        if Some(map.architecture) == native() {
            architectures.push(map.architecture);
            architectures.extend(map.sub_architectures);
        }
    }
    let held: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    let has = |name: &String| {
        let name = name.strip_prefix("CAP_").unwrap_or(name);
        held.iter()
            .any(|held| held.strip_prefix("CAP_").unwrap_or(held) == name)
    };
    let this_arch = |arch: &String| arch == GO_ARCH;
    let syscalls = profile
        .syscalls
        .into_iter()
        .filter(|rule| {
            // `minKernel` is not looked at: profiles name 4.x, which every kernel this engine runs on is past.
            rule.includes.caps.iter().all(has)
                && (rule.includes.arches.is_empty() || rule.includes.arches.iter().any(this_arch))
                && !rule.excludes.caps.iter().any(has)
                && !rule.excludes.arches.iter().any(this_arch)
        })
        .map(syscall)
        .collect();
    let mut seccomp = LinuxSeccomp::default();
    seccomp
        .set_default_action(profile.default_action)
        .set_default_errno_ret(profile.default_errno_ret)
        .set_architectures(Some(architectures).filter(|list| !list.is_empty()))
        .set_syscalls(Some(syscalls));
    Ok(seccomp)
}

fn syscall(rule: Rule) -> LinuxSyscall {
    let mut names = rule.names;
    names.extend(rule.name);
    let args: Vec<LinuxSeccompArg> = rule
        .args
        .unwrap_or_default()
        .into_iter()
        // Every field is given, so the builder has nothing to refuse.
        .filter_map(|argument| {
            let mut builder = LinuxSeccompArgBuilder::default()
                .index(argument.index)
                .value(argument.value)
                .op(argument.op);
            if argument.value_two != 0 {
                builder = builder.value_two(argument.value_two);
            }
            builder.build().ok()
        })
        .collect();
    let mut syscall = LinuxSyscall::default();
    syscall
        .set_names(names)
        .set_action(rule.action)
        .set_errno_ret(rule.errno_ret)
        .set_args(Some(args).filter(|args| !args.is_empty()));
    syscall
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Capability;

    use super::*;

    fn allows(seccomp: &LinuxSeccomp, name: &str) -> bool {
        seccomp.syscalls().iter().flatten().any(|rule| {
            rule.action() == LinuxSeccompAction::ScmpActAllow
                && rule.args().is_none()
                && rule.names().iter().any(|known| known == name)
        })
    }

    #[test]
    fn the_built_in_profile_follows_the_capabilities() {
        let resolve = |caps: &[Capability]| {
            resolve(OWN_PROFILE.as_bytes(), "x", &caps.iter().copied().collect()).unwrap()
        };
        let plain = resolve(&[Capability::Chown]);
        assert_eq!(plain.default_action(), LinuxSeccompAction::ScmpActErrno);
        assert!(allows(&plain, "read") && !allows(&plain, "bpf"));
        assert!(allows(&resolve(&[Capability::SysAdmin]), "bpf"));
        assert!(
            plain
                .syscalls()
                .as_ref()
                .is_some_and(|rules| rules.len() > 10)
        );
    }

    #[test]
    fn a_profile_that_makes_no_sense_is_refused() {
        for text in ["", "[]", "{}", r#"{"defaultAction": "WHATEVER"}"#] {
            assert!(
                resolve(text.as_bytes(), "x", &Capabilities::new()).is_err(),
                "{text}"
            );
        }
    }
}
