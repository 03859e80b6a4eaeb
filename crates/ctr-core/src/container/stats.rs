//! What a running container uses, now.

use ctr_oci::cgroup::Usage;
use ctr_state::{Phase, PhaseName};
use ctr_types::config::Network;
use ctr_types::{ContainerId, ContainerName, Timestamp};

use super::Container;
use crate::EngineError;

/// What a container uses at one moment.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// When this was read.
    pub time: Timestamp,
    /// When the run began; none when it does not run, and then everything is 0.
    pub started_at: Option<Timestamp>,
    /// What its cgroup counts.
    pub usage: Usage,
    /// The limit of its memory in bytes: its own, or the host's memory.
    pub memory_limit: u64,
    /// Bytes received by its own network interfaces but loopback.
    pub net_received: u64,
    /// Bytes sent by them.
    pub net_sent: u64,
}

impl Container<'_> {
    /// What the container uses now. Takes no lock.
    pub fn stats(&self) -> Result<Stats, EngineError> {
        let seen = self.peek()?;
        let mut stats = Stats {
            id: self.id.clone(),
            name: seen.config.name.clone(),
            time: Timestamp::now(),
            started_at: None,
            usage: Usage::default(),
            memory_limit: 0,
            net_received: 0,
            net_sent: 0,
        };
        let is_up = matches!(seen.phase.name(), PhaseName::Running | PhaseName::Paused);
        let (true, Phase::Running(live) | Phase::Paused(live)) = (is_up, &seen.phase) else {
            return Ok(stats);
        };
        stats.started_at = live.started_at;
        stats.usage = self.engine.cgroup(&self.id)?.usage()?;
        let host = rustix::system::sysinfo();
        let memory = u64::from(host.mem_unit).saturating_mul(host.totalram);
        stats.memory_limit = stats
            .usage
            .memory_limit
            .map_or(memory, |own| own.min(memory));
        // On the host's network the numbers would be the host's.
        if seen.config.namespaces.network != Network::Host {
            let table = std::path::PathBuf::from(format!("/proc/{}/net/dev", live.pid));
            let content = ctr_sys::fs::read_if_present(&table, 1 << 20)?.unwrap_or_default();
            let text = String::from_utf8_lossy(&content);
            (stats.net_received, stats.net_sent) = traffic(&text);
        }
        Ok(stats)
    }
}

/// Bytes received and sent by all interfaces but loopback (proc_pid_net(5)).
fn traffic(table: &str) -> (u64, u64) {
    let mut sums = (0_u64, 0_u64);
    for line in table.lines() {
        let Some((name, numbers)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .map(|number| number.parse().unwrap_or(0))
            .collect();
        sums.0 = sums.0.saturating_add(numbers.first().copied().unwrap_or(0));
        sums.1 = sums.1.saturating_add(numbers.get(8).copied().unwrap_or(0));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_that_of_all_interfaces_but_loopback() {
        let table = "Inter-| Receive\n face |bytes\n lo: 1 0 0 0 0 0 0 0 2 0\n eth0: 10 1 0 0 0 0 0 0 20 1 0\neth1:100 0 0 0 0 0 0 0 200 0\n";
        assert_eq!(traffic(table), (110, 220));
    }
}
