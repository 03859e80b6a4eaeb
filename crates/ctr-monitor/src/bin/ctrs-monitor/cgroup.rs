//! What the container's cgroup tells: whether the kernel killed for want of memory.

use std::path::{Path, PathBuf};

/// The lines of `/proc/PID/cgroup` (cgroups(7)), joined by `|`: where the process' cgroups are, in every hierarchy.
pub(crate) fn of_process(pid: i32) -> String {
    let path = format!("/proc/{pid}/cgroup");
    let content = ctr_sys::fs::read_limited(Path::new(&path), 8 << 10).unwrap_or_default();
    String::from_utf8_lossy(&content)
        .trim_end()
        .replace('\n', "|")
}

/// Whether the kernel's counter of OOM kills in that cgroup is above 0: `memory.events` on cgroup v2
/// (cgroup-v2.rst), `memory.oom_control` on v1 (memory.rst).
pub(crate) fn oom_killed(cgroup: &str) -> bool {
    let root = Path::new("/sys/fs/cgroup");
    let mut candidates: Vec<PathBuf> = Vec::new();
    for line in cgroup.split('|') {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            // The root cgroup counts the whole host.
            continue;
        }
        if controllers.is_empty() {
            candidates.push(root.join(path).join("memory.events"));
        } else if controllers.split(',').any(|name| name == "memory") {
            candidates.push(root.join(controllers).join(path).join("memory.oom_control"));
        }
    }
    candidates.iter().any(|path| {
        let content = ctr_sys::fs::read_limited(path, 8 << 10).unwrap_or_default();
        counted(&String::from_utf8_lossy(&content))
    })
}

fn counted(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.strip_prefix("oom_kill "))
        .any(|count| count.trim().parse::<u64>().is_ok_and(|count| count > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_read_in_both_forms() {
        assert!(counted("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n"));
        assert!(!counted("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"));
        assert!(counted("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"));
        assert!(!oom_killed("0::/") && !oom_killed("") && !oom_killed("garbage"));
    }

    #[test]
    fn a_process_has_a_cgroup() {
        assert!(of_process(1).contains(':'));
    }
}
