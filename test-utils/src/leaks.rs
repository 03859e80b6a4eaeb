//! Counters that ask the kernel and the disk, not the engine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names in a directory; one that is not there has none.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Ids of containers that have directories now.
pub(crate) fn container_ids(base: &Path) -> BTreeSet<String> {
    let mut ids: BTreeSet<String> = names(&base.join("root/containers")).into_iter().collect();
    for boot in names(&base.join("run")) {
        ids.extend(names(&base.join("run").join(boot).join("containers")));
    }
    ids
}

/// Everything that is left of containers of the store below `base`, whose ids are `ids`, when there should be nothing; with
/// `layers` layers in the store.
pub(crate) fn leaks(base: &Path, ids: &BTreeSet<String>, layers: usize) -> Vec<String> {
    let mut found = Vec::new();
    let here = base.to_string_lossy().into_owned();
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    found.extend(
        table
            .lines()
            .filter(|line| line.contains(&format!("{here}/")))
            .map(|line| format!("mount: {line}")),
    );
    for process in names(Path::new("/proc")) {
        let Ok(pid) = process.parse::<u32>() else {
            continue;
        };
        if let Some(why) = belongs(pid, &here, ids) {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push(format!("process {pid} ({why}): {command}"));
        }
    }
    for hierarchy in names(Path::new("/sys/fs/cgroup"))
        .into_iter()
        .chain([".".to_owned()])
    {
        let directory = Path::new("/sys/fs/cgroup").join(hierarchy).join("ctrs");
        for id in ids {
            if directory.join(id).exists() {
                found.push(format!("cgroup: {}", directory.join(id).display()));
            }
        }
    }
    let mut places = vec![
        ("root/containers".to_owned(), 0),
        ("root/staging".to_owned(), 0),
        ("root/layers".to_owned(), layers),
    ];
    for boot in names(&base.join("run")) {
        for part in ["containers", "locks", "op"] {
            places.push((format!("run/{boot}/{part}"), 0));
        }
    }
    for (place, expected) in places {
        let there = names(&base.join(&place));
        if there.len() != expected {
            found.push(format!("{place} has {there:?}, expected {expected}"));
        }
    }
    found
}

/// Why a process is one of the store's; none when it is not.
fn belongs(pid: u32, here: &str, ids: &BTreeSet<String>) -> Option<&'static str> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let has = |text: &[u8], needle: &str| {
        text.windows(needle.len())
            .any(|window| window == needle.as_bytes())
    };
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    if exe.to_string_lossy().starts_with(here) {
        return Some("program of the store");
    }
    if pid != std::process::id() && has(&read("cmdline"), &format!("{here}/run")) {
        return Some("runtime of the store");
    }
    let cgroup = read("cgroup");
    ids.iter()
        .any(|id| has(&cgroup, id))
        .then_some("process in a container's cgroup")
}
