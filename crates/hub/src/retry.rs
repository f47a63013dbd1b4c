//! What is tried again, how often, and when.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::progress::Progress;
use crate::{Error, Result};

/// Failures in a row without a single new byte.
const IN_A_ROW: u32 = 6;
/// Failures of one file.
const IN_ALL: u32 = 100;
/// The longest wait that is nobody's wish.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// The longest wait that a server can wish for: the hub counts requests in windows of five minutes.
const LONGEST_WISH: Duration = Duration::from_secs(300);

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt would fail in the same way.
    Final(Error),
    /// Another attempt may not.
    Passing {
        /// What happened.
        reason: String,
        /// How long the server asks to wait.
        wait: Option<Duration>,
    },
}

impl Failure {
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self::Passing { reason: reason.into(), wait: None }
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Final(error.into())
    }
}

/// Counts the failures of one thing that is asked for.
pub(crate) struct Attempts {
    back_off: Duration,
    in_a_row: u32,
    in_all: u32,
}

impl Attempts {
    pub(crate) fn new(back_off: Duration) -> Self {
        Self { back_off, in_a_row: 0, in_all: 0 }
    }

    /// Why the last attempt failed, and how long to wait before the next one; `progress` says whether the last one
    /// brought something new.
    ///
    /// # Errors
    ///
    /// Where there should be no other attempt at `asked`.
    pub(crate) fn failed(&mut self, failure: Failure, progress: bool, asked: &str) -> Result<(String, Duration)> {
        let (reason, wish) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing { reason, wait } => (reason, wait),
        };
        self.in_a_row = if progress { 1 } else { self.in_a_row + 1 };
        self.in_all += 1;
        if self.in_a_row >= IN_A_ROW || self.in_all >= IN_ALL {
            return Err(Error::GaveUp { asked: asked.to_owned(), attempts: self.in_all, reason });
        }
        let back_off = self.back_off.saturating_mul(1 << (self.in_a_row - 1)).min(LONGEST_BACK_OFF);
        Ok((reason, wish.map_or(back_off, |wish| wish.min(LONGEST_WISH))))
    }
}

/// The answer to `question`, asked until it is given or another attempt makes no sense.
pub(crate) fn repeat<T>(
    back_off: Duration,
    progress: &Progress,
    asked: &str,
    question: impl Fn() -> Result<T, Failure>,
) -> Result<T> {
    let mut attempts = Attempts::new(back_off);
    loop {
        match question() {
            Ok(answer) => return Ok(answer),
            Err(failure) => {
                let (reason, wait) = attempts.failed(failure, false, asked)?;
                progress.retry(asked, &reason, wait);
                std::thread::sleep(wait);
            }
        }
    }
}

/// What a `Retry-After` header with `value` asks for: seconds, or a date.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok().map(|date| date.duration_since(now).unwrap_or_default()),
    }
}

/// Ends the work of all threads when that of one failed.
#[derive(Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    pub(crate) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, but not longer than the work goes on.
    pub(crate) fn sleep(&self, duration: Duration) {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(stopped, duration, |stopped| !*stopped));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(back_off: Duration, progress: impl Fn(u32) -> bool) -> (Vec<Duration>, String) {
        let (mut attempts, mut waits) = (Attempts::new(back_off), Vec::new());
        loop {
            match attempts.failed(Failure::passing("cut"), progress(waits.len() as u32), "a file") {
                Ok((_, wait)) => waits.push(wait),
                Err(error) => return (waits, error.to_string()),
            }
        }
    }

    #[test]
    fn waits_double_and_attempts_end() {
        let (waits, error) = waits(Duration::from_millis(500), |_| false);
        assert_eq!(waits.iter().map(Duration::as_millis).collect::<Vec<_>>(), [500, 1000, 2000, 4000, 8000]);
        assert!(error.contains("after 6 attempts") && error.contains("cut"), "{error}");
    }

    #[test]
    fn progress_starts_the_count_anew_but_not_for_ever() {
        let (waits, error) = waits(Duration::from_secs(20), |_| true);
        assert_eq!((waits.len(), waits[98]), (99, Duration::from_secs(20)));
        assert!(error.contains("after 100 attempts"), "{error}");
        let (waits, _) = super::tests::waits(Duration::from_secs(20), |failures| failures == 3);
        assert_eq!(waits.iter().map(Duration::as_secs).collect::<Vec<_>>(), [20, 30, 30, 20, 30, 30, 30, 30]);
    }

    #[test]
    fn a_wish_of_the_server_is_heard_within_bounds() {
        let wait = |seconds| {
            let failure = Failure::Passing { reason: "busy".into(), wait: Some(Duration::from_secs(seconds)) };
            Attempts::new(Duration::from_secs(1)).failed(failure, false, "a file").unwrap().1.as_secs()
        };
        assert_eq!((wait(0), wait(7), wait(7200)), (0, 7, 300));
    }

    #[test]
    fn a_wish_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn nobody_sleeps_when_the_work_has_stopped() {
        let stop = Stop::default();
        stop.stop();
        stop.sleep(Duration::from_secs(3600));
        assert!(stop.is_stopped());
    }
}
