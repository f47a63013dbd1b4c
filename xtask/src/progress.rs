//! How training goes: bars on a terminal, plain lines off it, events for programs.

use crate::say;
use crate::task::Planned;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::time::Duration;

/// Shows several runs that train at once.
pub(crate) struct Progress {
    bars: MultiProgress,
    total: ProgressBar,
    json: bool,
    terminal: bool,
}

/// Shows one run.
pub(crate) struct RunProgress<'a> {
    progress: &'a Progress,
    run: &'a Planned,
    bar: ProgressBar,
    last_step: u64,
}

/// Bars count thousandths of a run: how many steps a run has is known when it starts.
const WHOLE: u64 = 1000;

impl Progress {
    pub(crate) fn new(runs: usize, json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bars = MultiProgress::new();
        let total = bars.add(ProgressBar::new(WHOLE * runs as u64));
        total.set_style(style("{msg:24} [{bar:30}] {percent:>3} % {elapsed} spent, {eta} left"));
        total.set_message(format!("{runs} runs"));
        if terminal {
            total.enable_steady_tick(Duration::from_millis(500));
        }
        Self { bars, total, json, terminal }
    }

    /// Says a line, above the bars.
    pub(crate) fn note(&self, line: &str) {
        if self.terminal {
            let _ = self.bars.println(line);
        } else {
            eprintln!("{line}");
        }
    }

    pub(crate) fn event(&self, event: &Value) {
        if self.json {
            say(&event.to_string());
        }
    }

    pub(crate) fn start<'a>(&'a self, run: &'a Planned) -> RunProgress<'a> {
        let bar = self.bars.insert_before(&self.total, ProgressBar::new(WHOLE));
        bar.set_style(style("{prefix} [{bar:30}] {percent:>3} % {msg}"));
        bar.set_prefix(format!("{:.8} {}", run.id, run.line));
        self.event(&json!({"event": "run_start", "id": run.id, "spec": run.spec}));
        RunProgress { progress: self, run, bar, last_step: 0 }
    }

    pub(crate) fn finish(&self) {
        self.total.finish_and_clear();
    }
}

impl RunProgress<'_> {
    /// Takes an event of the task's binary.
    pub(crate) fn update(&mut self, mut event: Value) {
        let number = |event: &Value, key: &str| event[key].as_u64().unwrap_or(0);
        match event["event"].as_str() {
            Some("start") if number(&event, "step") > 0 => {
                let (step, steps) = (number(&event, "step"), number(&event, "steps"));
                self.note(&format!("goes on from step {step} of {steps}"));
                self.advance(step, steps);
            }
            Some("step") => {
                self.advance(number(&event, "step"), number(&event, "steps"));
                self.bar.set_message(format!("loss {:.3}", event["loss"].as_f64().unwrap_or(f64::NAN)));
            }
            Some("epoch") if !self.progress.terminal => {
                let scores: Vec<String> = event["validation"]
                    .as_object()
                    .map(|scores| {
                        scores
                            .iter()
                            // Not those of parts.
                            .filter(|(name, _)| !name.contains('/'))
                            .map(|(name, score)| format!("{name} {:.4}", score.as_f64().unwrap_or(f64::NAN)))
                            .collect()
                    })
                    .unwrap_or_default();
                let loss = event["train_loss"].as_f64().unwrap_or(f64::NAN);
                self.note(&format!(
                    "epoch {} training loss {loss:.4}, validation {}",
                    number(&event, "epoch") + 1,
                    scores.join(", ")
                ));
            }
            _ => {}
        }
        if let Value::Object(map) = &mut event {
            map.insert("id".into(), json!(self.run.id));
        }
        self.progress.event(&event);
    }

    /// Says a line about this run.
    pub(crate) fn note(&self, line: &str) {
        self.progress.note(&format!("{:.8} {}: {line}", self.run.id, self.run.line));
    }

    pub(crate) fn end(mut self, how: &str) {
        self.advance(WHOLE, WHOLE);
        self.bar.finish_and_clear();
        if !self.progress.terminal || how != "finished" {
            self.note(how);
        }
        self.progress.event(&json!({"event": "run_end", "id": self.run.id, "state": how}));
    }

    fn advance(&mut self, step: u64, steps: u64) {
        let now = WHOLE * step / steps.max(1);
        self.progress.total.inc(now.saturating_sub(self.last_step));
        self.bar.set_position(now);
        self.last_step = now;
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; a broken one shows the default style.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
