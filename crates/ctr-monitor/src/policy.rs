//! Whether a container that has ended is started again, and when. Pure: the monitor brings the facts and the clock.

use std::time::Duration;

/// First pause before a restart; it doubles each time (docker's).
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST: Duration = Duration::from_mins(1);
/// A run as long as this was no failure to start: the next pause is the first again.
const LONG_RUN: Duration = Duration::from_secs(10);

/// Which ends a container is started again after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// None.
    #[default]
    Never,
    /// Those with a code other than 0, so many times; 0 means without limit.
    OnFailure(u32),
    /// All but those a user asked for.
    Always,
}

/// How a run ended, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The exit code.
    pub code: i32,
    /// A user asked for the end.
    pub by_user: bool,
    /// It was ended because it was unhealthy, to be started again.
    pub unhealthy: bool,
    /// How often it has been started again since a user started it.
    pub restarts: u32,
}

impl Restart {
    /// Whether it is started again (semantics.md, section 4, "Restart policy rule").
    pub const fn follows(self, ending: Ending) -> bool {
        if ending.unhealthy {
            return true;
        }
        if ending.by_user {
            return false;
        }
        match self {
            Self::Never => false,
            Self::OnFailure(most) => ending.code != 0 && (most == 0 || ending.restarts < most),
            Self::Always => true,
        }
    }

    /// As two numbers, for a message.
    pub(crate) const fn to_numbers(self) -> (u64, u64) {
        match self {
            Self::Never => (0, 0),
            Self::OnFailure(most) => (1, most as u64),
            Self::Always => (2, 0),
        }
    }

    pub(crate) fn from_numbers(kind: u64, most: u64) -> Option<Self> {
        match kind {
            0 => Some(Self::Never),
            1 => Some(Self::OnFailure(u32::try_from(most).ok()?)),
            2 => Some(Self::Always),
            _ => None,
        }
    }
}

/// The pauses between restarts, so that what crashes at once does not take a processor (semantics.md B25).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    short_runs: u32,
}

impl Backoff {
    /// How long to wait after a run that took `ran`.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran >= LONG_RUN {
            self.short_runs = 0;
        }
        let pause = FIRST
            .saturating_mul(1 << self.short_runs.min(16))
            .min(LONGEST);
        self.short_runs = self.short_runs.saturating_add(1);
        pause
    }
}

/// Whether a signal that a user sends asks for the container's end. SIGHUP and the like, which programs take as "read your
/// configuration", do not: they must not switch the restart policy off (semantics.md B22).
pub const fn asks_for_the_end(signal: i32, stop_signal: i32) -> bool {
    // SIGINT, SIGQUIT, SIGKILL, SIGTERM (signal(7)).
    signal == stop_signal || matches!(signal, 2 | 3 | 9 | 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: Ending = Ending {
        code: 1,
        by_user: false,
        unhealthy: false,
        restarts: 0,
    };

    #[test]
    fn t13_each_policy_follows_its_ends() {
        let clean = Ending { code: 0, ..CRASH };
        let third = Ending {
            restarts: 3,
            ..CRASH
        };
        for (policy, after_crash, after_clean, after_third) in [
            (Restart::Never, false, false, false),
            (Restart::OnFailure(0), true, false, true),
            (Restart::OnFailure(3), true, false, false),
            (Restart::OnFailure(4), true, false, true),
            (Restart::Always, true, true, true),
        ] {
            assert_eq!(policy.follows(CRASH), after_crash, "{policy:?}");
            assert_eq!(policy.follows(clean), after_clean, "{policy:?}");
            assert_eq!(policy.follows(third), after_third, "{policy:?}");
            let stopped = Ending {
                by_user: true,
                ..CRASH
            };
            assert!(!policy.follows(stopped), "{policy:?}");
            let unhealthy = Ending {
                unhealthy: true,
                ..clean
            };
            assert!(policy.follows(unhealthy), "{policy:?}");
            let (kind, most) = policy.to_numbers();
            assert_eq!(Restart::from_numbers(kind, most), Some(policy));
        }
        assert_eq!(Restart::from_numbers(9, 0), None);
    }

    #[test]
    fn b25_pauses_double_to_a_minute_and_a_long_run_ends_the_series() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        let pauses: Vec<u128> = (0..12).map(|_| backoff.after(short).as_millis()).collect();
        assert_eq!(
            pauses,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000
            ]
        );
        assert_eq!(backoff.after(LONG_RUN).as_millis(), 100);
        assert_eq!(backoff.after(short).as_millis(), 200);
    }

    #[test]
    fn b22_only_signals_that_end_count_as_a_users_stop() {
        for signal in [2, 3, 9, 15] {
            assert!(asks_for_the_end(signal, 15));
        }
        for signal in [1, 10, 12, 28] {
            assert!(!asks_for_the_end(signal, 15), "{signal}");
        }
        assert!(
            asks_for_the_end(1, 1),
            "unless it is the container's stop signal"
        );
    }
}
