//! The health of a container: what its checks add up to, and the file in which the monitor keeps it.
//!
//! ```text
//! status=starting|healthy|unhealthy
//! streak=N                                   failures in a row
//! check=BEGIN_NS END_NS CODE OUTPUT          the last five, the oldest first; OUTPUT escaped
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;

use ctr_sys::SysError;
use ctr_sys::fs::Durability;

/// How many checks are kept, and bytes of the output of each (podman's).
const KEPT: usize = 5;
/// Most bytes of the output of a check that are kept.
pub const OUTPUT_MAX: usize = 500;
/// Longest file.
const LIMIT: u64 = 64 << 10;

/// What the checks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// No check has succeeded yet, and not enough have failed.
    #[default]
    Starting,
    /// The last one has succeeded.
    Healthy,
    /// So many in a row have failed as were allowed to.
    Unhealthy,
}

impl Status {
    /// docker's and podman's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// When it began, nanoseconds since 1970.
    pub begun_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// Its exit code; 0 is success.
    pub code: i32,
    /// What it wrote.
    pub output: String,
}

/// The health of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What the checks say.
    pub status: Status,
    /// Failures in a row.
    pub streak: u32,
    /// The last checks, the oldest first.
    pub log: VecDeque<Check>,
}

impl Health {
    /// Takes a check's result; gives the status when it has changed. A failure in the start period does not count.
    pub fn record(&mut self, check: Check, retries: u32, in_start_period: bool) -> Option<Status> {
        let before = self.status;
        if check.code == 0 {
            self.streak = 0;
            self.status = Status::Healthy;
        } else if !(in_start_period && self.status == Status::Starting) {
            self.streak = self.streak.saturating_add(1);
            if self.streak >= retries.max(1) {
                self.status = Status::Unhealthy;
            }
        }
        self.log.push_back(check);
        while self.log.len() > KEPT {
            self.log.pop_front();
        }
        (self.status != before).then_some(self.status)
    }

    fn render(&self) -> String {
        let mut lines = crate::keyvalue::Lines::default();
        lines.put("status", self.status);
        lines.put("streak", self.streak);
        for check in &self.log {
            let (begun, ended) = (check.begun_ns, check.ended_ns);
            let output = check.output.escape_default();
            lines.put(
                "check",
                format_args!("{begun} {ended} {} {output}", check.code),
            );
        }
        lines.0
    }

    fn parse(text: &str) -> Option<Self> {
        let statuses = [Status::Starting, Status::Healthy, Status::Unhealthy];
        let word: String = crate::keyvalue::get(text, "status")?;
        let status = statuses.into_iter().find(|one| one.as_str() == word)?;
        let check = |line: &str| {
            let mut parts = line.splitn(4, ' ');
            Some(Check {
                begun_ns: parts.next()?.parse().ok()?,
                ended_ns: parts.next()?.parse().ok()?,
                code: parts.next()?.parse().ok()?,
                output: unescape(parts.next().unwrap_or_default()),
            })
        };
        Some(Self {
            status,
            streak: crate::keyvalue::get(text, "streak")?,
            log: text
                .lines()
                .filter_map(|line| line.strip_prefix("check="))
                .filter_map(check)
                .collect(),
        })
    }

    /// Reads the file; `None` when there is none, or none that makes sense.
    pub fn read(path: &Path) -> Result<Option<Self>, SysError> {
        let content = ctr_sys::fs::read_if_present(path, LIMIT)?;
        Ok(content.and_then(|content| Self::parse(&String::from_utf8_lossy(&content))))
    }

    /// Replaces the file.
    pub fn write(&self, path: &Path) -> Result<(), SysError> {
        let text = self.render();
        ctr_sys::fs::write_atomic(path, text.as_bytes(), 0o600, Durability::ProcessDeath)
    }
}

/// Undoes [`str::escape_default`].
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let digits: String = chars
                    .by_ref()
                    .skip_while(|c| *c == '{')
                    .take_while(|c| *c != '}')
                    .collect();
                let code = u32::from_str_radix(&digits, 16).ok();
                out.push(code.and_then(char::from_u32).unwrap_or('?'));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: i32) -> Check {
        Check {
            begun_ns: 1,
            ended_ns: 2,
            code,
            output: "a b\n\"ä\"\\".into(),
        }
    }

    #[test]
    fn health_changes_with_enough_failures_in_a_row() {
        let mut health = Health::default();
        assert_eq!(
            health.record(check(1), 2, true),
            None,
            "in the start period"
        );
        assert_eq!(health.streak, 0);
        assert_eq!(health.record(check(1), 2, false), None);
        assert_eq!(health.record(check(1), 2, false), Some(Status::Unhealthy));
        assert_eq!(health.record(check(1), 2, false), None);
        assert_eq!(health.record(check(0), 2, false), Some(Status::Healthy));
        assert_eq!(
            health.record(check(1), 2, true),
            None,
            "healthy once, failures count"
        );
        assert_eq!(health.streak, 1);
        assert_eq!(health.log.len(), 5);
    }

    #[test]
    fn it_comes_back_as_it_went() {
        let mut health = Health::default();
        for code in [0, 1, 137] {
            health.record(check(code), 3, false);
        }
        let text = health.render();
        assert_eq!(Health::parse(&text), Some(health));
        assert_eq!(Health::parse("status=well\nstreak=0\n"), None);
        assert_eq!(Health::parse(""), None);
    }
}
