//! What this host can and may do, looked up once per command.

use std::collections::BTreeMap;
use std::path::Path;

use ctr_sys::SysError;
use ctr_types::config::RlimitKind;
use oci_spec::runtime::Capability;
use rustix::process::Resource;

use crate::cgroup::CgroupMode;

/// Facts of the host that a spec depends on.
#[derive(Clone, Debug)]
pub struct HostFacts {
    /// The engine's bounding set: no container gets more (capabilities(7)).
    pub bounding: u64,
    /// Hard limits of the engine. Beyond them only `CAP_SYS_RESOURCE` goes (getrlimit(2)).
    pub hard_limits: BTreeMap<RlimitKind, u64>,
    /// Which cgroup hierarchy.
    pub cgroup: CgroupMode,
    /// The swap of a cgroup can be limited.
    pub swap_limit: bool,
    /// SELinux is on.
    pub selinux: bool,
    /// `AppArmor` is on.
    pub apparmor: bool,
}

/// `CAP_SYS_RESOURCE`.
const SYS_RESOURCE: u32 = 24;

impl HostFacts {
    /// Looks them up.
    pub fn detect() -> Result<Self, SysError> {
        let status = ctr_sys::fs::read_limited(Path::new("/proc/self/status"), 64 << 10)?;
        let cgroup = CgroupMode::detect()?;
        Ok(Self {
            bounding: parse_bounding(&String::from_utf8_lossy(&status)),
            hard_limits: RlimitKind::ALL
                .into_iter()
                .map(|kind| (kind, hard_limit(kind)))
                .collect(),
            swap_limit: match cgroup {
                CgroupMode::V2 => true,
                CgroupMode::V1 | CgroupMode::Hybrid => {
                    Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists()
                }
            },
            cgroup,
            // Mounted where it is on (selinuxfs, securityfs).
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            apparmor: ctr_sys::fs::read_if_present(
                Path::new("/sys/module/apparmor/parameters/enabled"),
                16,
            )?
            .is_some_and(|content| content.starts_with(b"Y")),
        })
    }

    /// Whether limits may be raised beyond the hard ones.
    pub fn may_raise_limits(&self) -> bool {
        self.bounding >> SYS_RESOURCE & 1 == 1
    }

    /// Whether the bounding set holds a capability.
    pub fn may_grant(&self, capability: Capability) -> bool {
        ALL_CAPABILITIES
            .iter()
            .position(|known| *known == capability)
            .is_some_and(|number| self.bounding >> number & 1 == 1)
    }
}

fn parse_bounding(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0)
}

fn hard_limit(kind: RlimitKind) -> u64 {
    let resource = match kind {
        RlimitKind::As => Resource::As,
        RlimitKind::Core => Resource::Core,
        RlimitKind::Cpu => Resource::Cpu,
        RlimitKind::Data => Resource::Data,
        RlimitKind::Fsize => Resource::Fsize,
        RlimitKind::Locks => Resource::Locks,
        RlimitKind::Memlock => Resource::Memlock,
        RlimitKind::Msgqueue => Resource::Msgqueue,
        RlimitKind::Nice => Resource::Nice,
        RlimitKind::Nofile => Resource::Nofile,
        RlimitKind::Nproc => Resource::Nproc,
        RlimitKind::Rss => Resource::Rss,
        RlimitKind::Rtprio => Resource::Rtprio,
        RlimitKind::Rttime => Resource::Rttime,
        RlimitKind::Sigpending => Resource::Sigpending,
        RlimitKind::Stack => Resource::Stack,
    };
    rustix::process::getrlimit(resource)
        .maximum
        .unwrap_or(u64::MAX)
}

/// All capabilities in the kernel's order: the index is the number (linux/capability.h).
pub const ALL_CAPABILITIES: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounding_set_is_read_by_number() {
        let facts = HostFacts {
            bounding: parse_bounding("CapEff:\t0\nCapBnd:\t000001fffeffffff\n"),
            hard_limits: BTreeMap::new(),
            cgroup: CgroupMode::V2,
            swap_limit: true,
            selinux: false,
            apparmor: false,
        };
        assert!(!facts.may_raise_limits());
        assert!(!facts.may_grant(Capability::SysResource));
        assert!(facts.may_grant(Capability::CheckpointRestore));
        assert!(facts.may_grant(Capability::Chown));
    }

    #[test]
    fn this_host_can_be_looked_at() {
        let facts = HostFacts::detect().unwrap();
        assert_eq!(facts.hard_limits.len(), RlimitKind::ALL.len());
    }
}
