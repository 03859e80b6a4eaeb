//! The processes of a container, by the host's own `/proc` (reliability.md H36: nothing of the container is run for it).

use std::collections::HashMap;
use std::path::PathBuf;

use ctr_oci::rootfs::RootFs;
use ctr_state::Op;

use super::Container;
use crate::EngineError;

/// Longest file of `/proc` read.
const LIMIT: u64 = 1 << 20;

/// One process of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its pid in the container.
    pub pid: i32,
    /// Its pid on the host.
    pub host_pid: i32,
    /// Its parent's pid in the container; 0 for the first one.
    pub parent: i32,
    /// Its process group in the container.
    pub group: i32,
    /// Its session in the container.
    pub session: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Effective user's name in the container, or the id.
    pub user: String,
    /// Effective group's name in the container, or the id.
    pub group_name: String,
    /// Its terminal, such as `pts/0`, or `?`.
    pub terminal: String,
    /// Its state's letter (proc_pid_stat(5)).
    pub state: char,
    /// Processor time, in milliseconds.
    pub cpu_ms: u64,
    /// Age, in milliseconds.
    pub age_ms: u64,
    /// Nice value.
    pub nice: i64,
    /// Virtual memory, in KiB.
    pub virtual_kib: u64,
    /// Resident memory, in KiB.
    pub resident_kib: u64,
    /// Its name.
    pub name: String,
    /// Its arguments, or its name in brackets when it has none.
    pub command: String,
    /// Effective capabilities, in hexadecimal.
    pub capabilities: String,
    /// The mode of its seccomp filter, as the kernel's number.
    pub seccomp: String,
}

impl Container<'_> {
    /// The processes that run in the container, by pid.
    ///
    /// # Errors
    /// When it does not run.
    pub fn processes(&self) -> Result<Vec<Process>, EngineError> {
        let seen = self.peek()?;
        seen.phase
            .admit(Op::Top)
            .map_err(|source| EngineError::Denied {
                name: seen.config.name.to_string(),
                source,
            })?;
        let names = Names::of(self)?;
        let mut found = Vec::new();
        for pid in self.engine.cgroup(&self.id)?.processes()? {
            found.extend(process(pid, &names)?);
        }
        let pids: HashMap<i32, i32> = found
            .iter()
            .map(|process| (process.host_pid, process.pid))
            .collect();
        // Parents are known by the host's numbers; one outside the container is nobody's.
        for process in &mut found {
            process.parent = pids.get(&process.parent).copied().unwrap_or(0);
        }
        found.sort_by_key(|process| process.pid);
        Ok(found)
    }
}

/// Names of users and groups in the container.
struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    fn of(container: &Container<'_>) -> Result<Self, EngineError> {
        let merged = container.engine.container_fs(container.id()).merged();
        let rootfs = RootFs::open(&merged)?;
        let table = |path: &str| -> HashMap<u32, String> {
            // Files of the image may be anything; numbers do as well as names.
            let content = rootfs.read(path).ok().flatten().unwrap_or_default();
            table_of(&String::from_utf8_lossy(&content))
        };
        Ok(Self {
            users: table("/etc/passwd"),
            groups: table("/etc/group"),
        })
    }
}

/// Ids with names out of passwd(5) or group(5).
fn table_of(text: &str) -> HashMap<u32, String> {
    let mut table = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (name, id) = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok()));
        if let (Some(name), Some(id)) = (name, id) {
            table.entry(id).or_insert_with(|| name.to_owned());
        }
    }
    table
}

/// A process; none when it has gone meanwhile.
fn process(pid: i32, names: &Names) -> Result<Option<Process>, EngineError> {
    let file = |name: &str| -> Result<Option<String>, EngineError> {
        let path = PathBuf::from(format!("/proc/{pid}/{name}"));
        match ctr_sys::fs::read_if_present(&path, LIMIT) {
            Ok(content) => Ok(content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
            // It ended between opening and reading.
            Err(error) if error.errno() == Some(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let (Some(stat), Some(status), Some(arguments), Some(uptime)) = (
        file("stat")?,
        file("status")?,
        file("cmdline")?,
        ctr_sys::fs::read_if_present("/proc/uptime".as_ref(), LIMIT)?,
    ) else {
        return Ok(None);
    };
    let uptime = String::from_utf8_lossy(&uptime).into_owned();
    let uptime_ms = uptime
        .split_whitespace()
        .next()
        .and_then(|seconds| seconds.replace('.', "").parse::<u64>().ok())
        .map_or(0, |hundredths| hundredths.saturating_mul(10));
    Ok(
        parse(pid, &stat, &status, &arguments, uptime_ms).map(|mut process| {
            let name = |table: &HashMap<u32, String>, id: u32| {
                table.get(&id).cloned().unwrap_or_else(|| id.to_string())
            };
            process.user = name(&names.users, process.uid);
            process.group_name = name(&names.groups, process.gid);
            process
        }),
    )
}

/// Milliseconds of a clock tick: `USER_HZ` is 100 on every architecture that containers run on (proc(5)).
const TICK_MS: u64 = 10;

fn parse(
    host_pid: i32,
    stat: &str,
    status: &str,
    arguments: &str,
    uptime_ms: u64,
) -> Option<Process> {
    let line = |key: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(key));
        found.unwrap_or_default().trim().to_owned()
    };
    // Of the numbers in each pid namespace the last is the innermost.
    let innermost = |key: &str| {
        let text = line(key);
        text.split_whitespace().last()?.parse::<i32>().ok()
    };
    let effective = |key: &str| {
        let text = line(key);
        text.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    // The name may hold spaces and parentheses; counting starts behind the last one. The state is field 3.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |number: usize| fields.get(number.checked_sub(3)?).copied();
    let count = |number: usize| field(number).and_then(|text| text.parse::<u64>().ok());
    let age_ms = uptime_ms.saturating_sub(count(22)?.saturating_mul(TICK_MS));
    let name = line("Name:");
    let words: Vec<&str> = arguments.trim_end_matches('\0').split('\0').collect();
    let command = words.join(" ");
    Some(Process {
        pid: innermost("NSpid:")?,
        host_pid,
        parent: field(4)?.parse().ok()?,
        group: innermost("NSpgid:").unwrap_or(0),
        session: innermost("NSsid:").unwrap_or(0),
        uid: effective("Uid:")?,
        gid: effective("Gid:")?,
        user: String::new(),
        group_name: String::new(),
        terminal: terminal(count(7)?),
        state: field(3)?.chars().next()?,
        cpu_ms: (count(14)?.saturating_add(count(15)?)).saturating_mul(TICK_MS),
        age_ms,
        nice: field(19)?.parse().ok()?,
        virtual_kib: count(23)? / 1024,
        resident_kib: line("VmRSS:")
            .split_whitespace()
            .next()
            .and_then(|kib| kib.parse().ok())
            .unwrap_or(0),
        command: if command.is_empty() {
            format!("[{name}]")
        } else {
            command
        },
        name,
        capabilities: line("CapEff:"),
        seccomp: line("Seccomp:"),
    })
}

/// A terminal's name by its device number (proc_pid_stat(5), `tty_nr`; linux Documentation/admin-guide/devices.txt).
fn terminal(device: u64) -> String {
    let (major, minor) = (
        (device >> 8) & 0xfff,
        (device & 0xff) | ((device >> 12) & 0xfff00),
    );
    match major {
        0 => "?".to_owned(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => format!("{major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_from_the_kernels_files() {
        let stat = "7000 (a) b) S 6999 7000 7000 34816 7 4194560 1 0 0 0 150 50 0 0 20 -5 1 0 2000 4096000 100 0";
        let status = "Name:\ta) b\nNSpid:\t7000\t12\nNSpgid:\t7000\t12\nNSsid:\t7000\t1\nUid:\t0\t33\t0\t0\nGid:\t0\t34\t0\t0\nVmRSS:\t  400 kB\nCapEff:\t00000000a80425fb\nSeccomp:\t2\n";
        let seen = parse(7000, stat, status, "sleep\u{0}10\u{0}", 65_000).unwrap();
        assert_eq!((seen.pid, seen.host_pid, seen.parent), (12, 7000, 6999));
        assert_eq!((seen.uid, seen.gid), (33, 34));
        assert_eq!((seen.cpu_ms, seen.age_ms), (2000, 45_000));
        assert_eq!(
            (seen.nice, seen.virtual_kib, seen.resident_kib),
            (-5, 4000, 400)
        );
        assert_eq!(seen.terminal, "pts/0");
        assert_eq!(seen.command, "sleep 10");
        let thread = parse(7000, stat, status, "", 0).unwrap();
        assert_eq!(thread.command, "[a) b]");
        assert_eq!(parse(1, "", "", "", 0), None);
    }

    #[test]
    fn names_come_from_the_containers_own_files() {
        let table = table_of("root:x:0:0::/:/bin/sh\nodd\napp:x:7:7::/:\nsecond:x:7:7::/:\n");
        assert_eq!(table.get(&0).map(String::as_str), Some("root"));
        assert_eq!(table.get(&7).map(String::as_str), Some("app"));
    }
}
