//! How a fetch goes: bars on a terminal, plain lines off it.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often there is a line off a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows how a fetch goes, on standard error.
#[derive(Debug)]
pub struct Progress {
    bars: MultiProgress,
    shown: Shown,
    total: ProgressBar,
    rate: Mutex<Rate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Bars,
    Lines,
    Nothing,
}

/// What came over the network since when.
#[derive(Debug)]
struct Rate {
    since: Instant,
    bytes: u64,
    told: Instant,
}

impl Progress {
    /// For whoever reads standard error.
    pub fn new() -> Self {
        if std::io::stderr().is_terminal() { Self::of(Shown::Bars) } else { Self::of(Shown::Lines) }
    }

    /// For nobody.
    pub fn hidden() -> Self {
        Self::of(Shown::Nothing)
    }

    fn of(shown: Shown) -> Self {
        let target = if shown == Shown::Bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let now = Instant::now();
        Self { bars, shown, total: ProgressBar::hidden(), rate: Mutex::new(Rate { since: now, bytes: 0, told: now }) }
    }

    /// Says a line, above the bars.
    pub fn note(&self, line: &str) {
        match self.shown {
            Shown::Bars => drop(self.bars.println(line)),
            Shown::Lines => eprintln!("{line}"),
            Shown::Nothing => {}
        }
    }

    /// Removes the bars.
    pub fn clear(&self) {
        drop(self.bars.clear());
    }

    /// Says that `asked` is tried again.
    pub(crate) fn retry(&self, asked: &str, reason: &str, wait: Duration) {
        self.note(&format!("{asked}: {reason}; trying again in {:.1} s", wait.as_secs_f64()));
    }

    /// Shows files of `bytes` in all.
    pub(crate) fn download(&self, bytes: u64) -> Download<'_> {
        let total = self.bars.add(self.total.clone());
        total.set_length(bytes);
        total.set_position(0);
        total.set_style(style("in all [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, {msg}"));
        let now = Instant::now();
        *self.rate() = Rate { since: now, bytes: 0, told: now };
        Download(self)
    }

    fn rate(&self) -> std::sync::MutexGuard<'_, Rate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self, bytes: u64) {
        let mut rate = self.rate();
        rate.bytes += bytes;
        let now = Instant::now();
        let often = if self.shown == Shown::Bars { Duration::from_millis(500) } else { LINE_EVERY };
        if now - rate.told < often {
            return;
        }
        rate.told = now;
        let speed = rate.bytes as f64 / (now - rate.since).as_secs_f64();
        let (done, all) = (self.total.position(), self.total.length().unwrap_or(0));
        let left = Duration::try_from_secs_f64(all.saturating_sub(done) as f64 / speed).unwrap_or(Duration::MAX);
        let speed = format!("{}/s, {} left", DecimalBytes(speed as u64), HumanDuration(left));
        match self.shown {
            Shown::Bars => self.total.set_message(speed),
            _ => self.note(&format!("{} of {}, {speed}", DecimalBytes(done), DecimalBytes(all))),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows files that are downloaded, until it is dropped.
pub(crate) struct Download<'a>(&'a Progress);

impl Download<'_> {
    pub(crate) fn file(&self, path: &str, size: u64) -> FileProgress<'_> {
        let Self(progress) = self;
        let bar = progress.bars.insert_before(&progress.total, ProgressBar::new(size));
        bar.set_style(style("{msg} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}"));
        bar.set_message(path.to_owned());
        FileProgress { progress, bar }
    }
}

impl Drop for Download<'_> {
    fn drop(&mut self) {
        self.0.total.finish_and_clear();
        self.0.bars.remove(&self.0.total);
    }
}

/// Shows one file.
pub(crate) struct FileProgress<'a> {
    progress: &'a Progress,
    bar: ProgressBar,
}

impl FileProgress<'_> {
    /// The file has `length` bytes.
    pub(crate) fn set(&self, length: u64) {
        self.progress.total.dec(self.bar.position());
        self.progress.total.inc(length);
        self.bar.set_position(length);
    }

    /// `bytes` more came over the network.
    pub(crate) fn received(&self, bytes: u64) {
        self.bar.inc(bytes);
        self.progress.total.inc(bytes);
        self.progress.received(bytes);
    }
}

impl Drop for FileProgress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; a broken one shows the default style.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
