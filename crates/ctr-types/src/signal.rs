//! Signal numbers by name, as people write them: `TERM`, `SIGTERM`, `15`, `RTMIN+3`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text names no signal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal {0:?}: use a name such as SIGTERM or a number from 1 to 64")]
pub struct SignalError(String);

/// A Linux signal, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Signal(i32);

/// Names of the standard signals on every architecture but alpha, mips and sparc; index is the number.
const NAMES: [&str; 32] = [
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    /// SIGHUP.
    pub const HUP: Self = Self(1);
    /// SIGINT.
    pub const INT: Self = Self(2);
    /// SIGKILL, which no process can catch.
    pub const KILL: Self = Self(9);
    /// SIGTERM, the default stop signal.
    pub const TERM: Self = Self(15);

    /// The number.
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match usize::try_from(self.0).ok().and_then(|n| NAMES.get(n)) {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
        }
    }
}

impl TryFrom<i32> for Signal {
    type Error = SignalError;
    fn try_from(number: i32) -> Result<Self, SignalError> {
        if (1..=RTMAX).contains(&number) {
            Ok(Self(number))
        } else {
            Err(SignalError(number.to_string()))
        }
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> i32 {
        signal.0
    }
}

impl FromStr for Signal {
    type Err = SignalError;
    fn from_str(text: &str) -> Result<Self, SignalError> {
        let bad = || SignalError(text.chars().take(40).collect());
        if let Ok(number) = text.parse::<i32>() {
            return Self::try_from(number).or(Err(bad()));
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(index) = NAMES.iter().skip(1).position(|known| *known == name) {
            return i32::try_from(index + 1).map(Self).or(Err(bad()));
        }
        let real_time = match name {
            "CLD" => Some(17),
            "POLL" => Some(29),
            "RTMIN" => Some(RTMIN),
            "RTMAX" => Some(RTMAX),
            _ => name
                .strip_prefix("RTMIN+")
                .and_then(|n| n.parse::<i32>().ok())
                .and_then(|n| RTMIN.checked_add(n))
                .or_else(|| {
                    let n = name.strip_prefix("RTMAX-")?.parse::<i32>().ok()?;
                    RTMAX.checked_sub(n)
                })
                .filter(|n| (RTMIN..=RTMAX).contains(n)),
        };
        real_time.map(Self).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_parse() {
        for (text, number) in [
            ("TERM", 15),
            ("sigkill", 9),
            ("SIGHUP", 1),
            ("37", 37),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
        ] {
            assert_eq!(text.parse::<Signal>().unwrap().number(), number, "{text}");
        }
        for bad in ["", "0", "65", "-1", "SIGFOO", "RTMIN+31", "SIG", "RTMAX-99"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn display_parses_back() {
        for number in (1..=31).chain(RTMIN..=RTMAX) {
            let signal = Signal::try_from(number).unwrap();
            assert_eq!(signal.to_string().parse::<Signal>().unwrap(), signal);
        }
    }
}
