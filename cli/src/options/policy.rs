//! What the monitor minds: restarts, the longest run, health.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use ctr_core::CreateRequest;
use ctr_core::types::config::{HealthAction, HealthCheck, RestartPolicy};

use super::value;

/// Options about what the monitor minds.
#[derive(Debug, Args)]
pub(crate) struct PolicyOptions {
    /// When it is started again: no, on-failure, on-failure:MAX, always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    /// Seconds after which it is killed; 0 for never
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0",
        hide_default_value = true
    )]
    timeout: u32,
    /// Command that checks its health: for a shell, or a JSON array; none for no check
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between two checks, such as 30s; disable for none but when asked for
    #[arg(long, value_name = "TIME", value_parser = interval)]
    health_interval: Option<Duration>,
    /// How long a check may take
    #[arg(long, value_name = "TIME", value_parser = value::span)]
    health_timeout: Option<Duration>,
    /// How long after the start failures do not count
    #[arg(long, value_name = "TIME", value_parser = value::span)]
    health_start_period: Option<Duration>,
    /// How many failures in a row make it unhealthy
    #[arg(long, value_name = "NUMBER")]
    health_retries: Option<u32>,
    /// What is done to it then: none, kill, restart or stop
    #[arg(long, value_name = "ACTION")]
    health_on_failure: Option<HealthAction>,
    /// Do not check its health, whatever the image says
    #[arg(long, conflicts_with_all = ["health_cmd", "health_interval", "health_retries", "health_start_period", "health_timeout"])]
    no_healthcheck: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    match text {
        "disable" => Ok(Duration::ZERO),
        text => value::span(text),
    }
}

/// A check's command as podman reads it: a JSON array, `CMD …`, `CMD-SHELL …`, or a line for a shell.
fn command(text: &str) -> Option<Vec<String>> {
    if text == "none" {
        return None;
    }
    if let Ok(words) = serde_json::from_str::<Vec<String>>(text) {
        return HealthCheck::command_of(&words);
    }
    let words = match text.split_once(' ') {
        Some(("CMD-SHELL", line)) => vec!["CMD-SHELL".to_owned(), line.to_owned()],
        Some(("CMD", line)) => std::iter::once("CMD")
            .chain(line.split_whitespace())
            .map(str::to_owned)
            .collect(),
        Some(_) | None => vec!["CMD-SHELL".to_owned(), text.to_owned()],
    };
    HealthCheck::command_of(&words)
}

impl PolicyOptions {
    /// Puts what they ask for into the request.
    pub(super) fn apply(self, request: &mut CreateRequest) -> anyhow::Result<()> {
        request.restart = self.restart.unwrap_or_default();
        request.timeout = self.timeout;
        let health = &mut request.health;
        health.disabled = self.no_healthcheck;
        if let Some(text) = &self.health_cmd {
            health.command = command(text);
            health.disabled = health.command.is_none();
            if health.disabled && text != "none" {
                bail!("invalid --health-cmd {text:?}: it holds no command");
            }
        }
        health.interval = self.health_interval;
        health.timeout = self.health_timeout;
        health.start_period = self.health_start_period;
        health.retries = self.health_retries;
        health.action = self.health_on_failure.unwrap_or_default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t13_checks_are_read_as_podman_reads_them() {
        assert_eq!(
            command("curl x || exit 1").unwrap(),
            ["/bin/sh", "-c", "curl x || exit 1"]
        );
        assert_eq!(command("CMD-SHELL a b").unwrap(), ["/bin/sh", "-c", "a b"]);
        assert_eq!(command("CMD a b").unwrap(), ["a", "b"]);
        assert_eq!(command(r#"["CMD","a","b c"]"#).unwrap(), ["a", "b c"]);
        assert_eq!(command("none"), None);
    }
}
