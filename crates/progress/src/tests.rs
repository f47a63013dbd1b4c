use super::Ended;
use super::runs::Runs;
use super::table::lines;
use super::words::{duration, number};
use record::{RunId, Spec};
use serde_json::{Value, json};
use study::Planned;

fn planned(id: usize, setting: &str, seed: u64) -> Planned {
    let mut words = setting.split(' ');
    let spec: Spec = serde_json::from_value(json!({
        "task": {}, "dataset": "d", "seed": seed, "train": {"epochs": 4, "batch": 16}, "optimizer": {"name": "sgd"},
        "schedule": {}, "method": {"name": words.next(), "settings": words.collect::<Vec<_>>()}, "rest_decay": 5e-4
    }))
    .unwrap();
    let id: RunId = serde_json::from_value(json!(format!("{id:016x}"))).unwrap();
    Planned { id, spec, line: format!("{setting} seed {seed}") }
}

/// What the tests need of a record: the headline and the outcome, and the top-1 on validation.
fn recorded(run: &Planned, outcome: Value, top1: f64) -> Ended {
    let epoch = json!({"epoch": 3, "step": 400, "train_loss": 0.5, "validation": {"loss": 0.4, "top1": top1}});
    let record = json!({
        "schema": record::SCHEMA, "id": run.id, "task": "classification", "task_version": 1, "spec": run.spec,
        "outcome": outcome, "headline": headline(), "epochs": [epoch], "norms": [], "layers": [], "weights": "",
        "steps": 400, "seconds": {"data": 0.0, "forward": 0.0, "backward": 0.0, "update": 0.0, "evaluation": 0.0},
        "about": {"method": "", "method_source": "", "optimizer": "", "optimizer_source": "", "model": "",
            "parameters": 1, "dataset": "", "dataset_licence": "", "dataset_caveat": null, "examples": {}, "recipe": ""},
        "provenance": {"commit": "", "dataset_digest": "", "cpu": "", "threads": 1, "precision": "f32", "started": "",
            "ended": "", "resumed": 0}
    });
    Ended::Recorded(serde_json::from_value(record).unwrap())
}

fn headline() -> Value {
    json!({"score": "top1", "title": "top-1 %", "scale": 100.0, "higher_is_better": true})
}

fn start(step: u64) -> String {
    json!({"event": "start", "step": step, "steps": 400, "headline": headline()}).to_string()
}

fn step(step: u64) -> String {
    json!({"event": "step", "step": step, "steps": 400, "loss": 0.5}).to_string()
}

fn epoch(epoch: u64, top1: Value) -> String {
    let validation = json!({"loss": 0.4, "top1": top1});
    json!({"event": "epoch", "epoch": epoch, "step": 100 * (epoch + 1), "train_loss": 0.5, "validation": validation})
        .to_string()
}

/// Runs, and a clock.
struct Played {
    runs: Runs,
    planned: Vec<Planned>,
    now: f64,
}

impl Played {
    fn new(jobs: usize, runs: &[(&str, u64)]) -> Self {
        let mut played = Self { runs: Runs::new(jobs), planned: Vec::new(), now: 0.0 };
        runs.iter().for_each(|(setting, seed)| played.add(setting, *seed));
        played
    }

    fn add(&mut self, setting: &str, seed: u64) {
        let run = planned(self.planned.len(), setting, seed);
        assert_eq!(self.runs.add(&run, record::State::Missing, None), Some(setting));
        assert_eq!(self.runs.add(&run, record::State::Missing, None), None);
        self.planned.push(run);
    }

    fn start(&mut self, run: usize) {
        self.runs.start(&self.planned[run], self.now);
    }

    fn hear(&mut self, run: usize, after: f64, line: &str) {
        self.now += after;
        self.runs.update(run, &serde_json::from_str(line).unwrap(), self.now);
    }

    fn finish(&mut self, run: usize, after: f64, top1: f64) {
        self.end(run, after, &recorded(&self.planned[run], json!("finished"), top1));
    }

    fn end(&mut self, run: usize, after: f64, ended: &Ended) {
        self.now += after;
        self.runs.end(run, ended, self.now);
    }

    fn shown(&self, width: usize, height: usize) -> String {
        let lines = lines(&self.runs, self.now, width, height);
        assert!(lines.len() < height.max(2), "{lines:?}");
        assert!(lines.iter().all(|line| console::measure_text_width(line) <= width), "{lines:?}");
        lines.join("\n")
    }
}

/// One that diverged, one that failed, one of two seeds that runs and was interrupted before, one that was interrupted.
fn mixed() -> Played {
    let mut played = Played::new(
        2,
        &[("none lr 0.05", 0), ("none lr 0.1", 0), ("wrs lr 0.05", 0), ("wrs lr 0.05", 1), ("wrs lr 0.1", 0)],
    );
    played.start(0);
    played.hear(0, 1.0, &start(0));
    played.hear(0, 20.0, &step(100));
    played.hear(0, 5.0, &epoch(0, json!(0.6)));
    let diverged = json!({"diverged": {"epoch": 1, "step": 120, "reason": "the training loss became NaN"}});
    let ended = recorded(&played.planned[0], diverged, 0.6);
    played.end(0, 4.0, &ended);
    played.start(1);
    played.end(1, 2.0, &Ended::Failed("no such data set".into()));
    played.start(2);
    played.hear(2, 1.0, &start(200));
    played.hear(2, 10.0, &step(250));
    played.hear(2, 10.0, &epoch(2, json!(0.8125)));
    played.hear(2, 10.0, &step(350));
    played.start(4);
    played.hear(4, 1.0, &start(0));
    played.hear(4, 10.0, &step(40));
    played.end(4, 0.0, &Ended::Interrupted);
    played
}

#[test]
fn each_state_has_its_row() {
    insta::assert_snapshot!(mixed().shown(100, 30), @r"
    setting       state                     top-1 %  images/s  left
    none lr 0.05  diverged
    none lr 0.1   failed
    wrs lr 0.05   1 running 88 %, 1 queued    81.25        80   0 s
    wrs lr 0.1    interrupted
    [=======             ] 1 of 5 runs, 39 %, 74 s spent, about 100 s left
    ");
}

#[test]
fn narrow_terminals_cut_columns() {
    let shown: Vec<String> = [60, 50, 40, 20, 1].iter().map(|width| mixed().shown(*width, 30)).collect();
    insta::assert_snapshot!(shown.join("\n\n"), @r"
    setting       state                     top-1 %  left
    none lr 0.05  diverged
    none lr 0.1   failed
    wrs lr 0.05   1 running 88 %, 1 queued    81.25   0 s
    wrs lr 0.1    interrupted
    1 of 5 runs, 39 %, 74 s spent, about 100 s left

    setting       state                     top-1 %
    none lr 0.05  diverged
    none lr 0.1   failed
    wrs lr 0.05   1 running 88 %, 1 queued    81.25
    wrs lr 0.1    interrupted
    1 of 5 runs, 39 %, 74 s spent, about 100 s left

    setting       state
    none lr 0.05  diverged
    none lr 0.1   failed
    wrs lr 0.05   1 running 88 %, 1 queued
    wrs lr 0.1    interrupted
    1 of 5 runs, 39 %, 74 s spent, about 10…

    setting       state
    none lr 0.05  diver…
    none lr 0.1   failed
    wrs lr 0.05   1 run…
    wrs lr 0.1    inter…
    1 of 5 runs, 39 %, …

    …
    …
    …
    …
    …
    …
    ");
}

#[test]
fn what_does_not_fit_is_counted() {
    let settings: Vec<String> = (0..12).map(|n| format!("wrs lr 0.{n:02}")).collect();
    let mut played = Played::new(2, &settings.iter().map(|setting| (setting.as_str(), 0)).collect::<Vec<_>>());
    for run in 0..6 {
        played.start(run);
        played.hear(run, 0.0, &start(0));
        played.finish(run, 10.0, 0.5 + run as f64 / 100.0);
    }
    played.start(9);
    played.hear(9, 0.0, &start(0));
    played.hear(9, 1.0, &step(40));
    let shown: Vec<String> = [9, 5, 4, 1, 0].iter().map(|height| played.shown(80, *height)).collect();
    insta::assert_snapshot!(shown.join("\n\n"), @r"
    setting      state         top-1 %  images/s  left
    wrs lr 0.02  finished        52.00
    wrs lr 0.03  finished        53.00
    wrs lr 0.04  finished        54.00
    wrs lr 0.05  finished        55.00
    wrs lr 0.09  running 10 %                640   9 s
    and 7 more settings: 5 queued, 2 finished
    [==========          ] 6 of 12 runs, 50 %, 61 s spent, about 30 s left

    setting      state         images/s  left
    wrs lr 0.09  running 10 %       640   9 s
    and 11 more settings: 5 queued, 6 finished
    [==========          ] 6 of 12 runs, 50 %, 61 s spent, about 30 s left

    [==========          ] 6 of 12 runs, 50 %, 61 s spent, about 30 s left

    [==========          ] 6 of 12 runs, 50 %, 61 s spent, about 30 s left

    [==========          ] 6 of 12 runs, 50 %, 61 s spent, about 30 s left
    ");
    // Fifteen lines hold all rows, their head and the total.
    assert_eq!(played.shown(80, 15).lines().count(), 14);
    assert!(played.shown(80, 14).contains("more settings"));
}

#[test]
fn before_anything_is_known() {
    let mut played = Played::new(1, &[("none", 0), ("wrs", 0)]);
    insta::assert_snapshot!(played.shown(80, 24), @r"
    setting  state
    none     queued
    wrs      queued
    [                    ] 0 of 2 runs, 0 %, 0 s spent, time left unknown
    ");
    played.start(0);
    played.now = 3.0;
    insta::assert_snapshot!(played.shown(80, 24), @r"
    setting  state
    none     running
    wrs      queued
    [                    ] 0 of 2 runs, 0 %, 3 s spent, time left unknown
    ");
    // What is no number in JSON, an event of another version, and one that comes too early.
    played.hear(0, 0.0, &step(5));
    played.hear(0, 0.0, &start(0));
    played.hear(0, 0.0, &epoch(0, Value::Null));
    played.hear(0, 0.0, r#"{"event": "news", "step": -1}"#);
    insta::assert_snapshot!(played.shown(80, 24), @r"
    setting  state         left
    none     running 25 %   0 s
    wrs      queued
    [==                  ] 0 of 2 runs, 12 %, 3 s spent, about 3 s left
    ");
}

#[test]
fn nothing_is_left_where_all_was_interrupted() {
    let mut played = Played::new(1, &[("none", 0), ("wrs", 0)]);
    for run in 0..2 {
        played.start(run);
        played.hear(run, 0.0, &start(0));
        played.end(run, 1.0, &Ended::Interrupted);
    }
    insta::assert_snapshot!(played.shown(80, 24), @r"
    setting  state
    none     interrupted
    wrs      interrupted
    [                    ] 0 of 2 runs, 0 %, 2 s spent
    ");
}

#[test]
fn runs_that_are_added_join_their_setting() {
    let mut played = Played::new(1, &[("none", 0), ("wrs", 0)]);
    for (run, top1) in [(0, 0.5), (1, 0.7)] {
        played.start(run);
        played.hear(run, 0.0, &start(0));
        played.hear(run, 100.0, &step(400));
        played.finish(run, 0.0, top1);
    }
    insta::assert_snapshot!(played.shown(80, 24), @r"
    setting  state     top-1 %
    none     finished    50.00
    wrs      finished    70.00
    [====================] 2 of 2 runs, 100 %, 3 min spent
    ");
    played.add("wrs", 1);
    played.add("wrs", 2);
    played.start(2);
    played.hear(2, 10.0, &start(0));
    insta::assert_snapshot!(played.shown(80, 24), @r"
    setting  state                                top-1 %
    none     finished                               50.00
    wrs      1 running 0 %, 1 queued, 1 finished    70.00
    [==========          ] 2 of 4 runs, 50 %, 4 min spent, about 3 min left
    ");
}

#[test]
fn the_time_left_is_that_of_the_last_run() {
    let mut played = Played::new(2, &[("none", 0), ("none", 1), ("none", 2), ("none", 3), ("none", 4)]);
    assert_eq!(played.runs.left(0.0), None);
    for run in 0..2 {
        played.start(run);
        played.hear(run, 0.0, &start(0));
    }
    // A quarter in 10 s, so 40 s each: two at a time from 0 and from 40, and the last from 80 to 120.
    played.hear(0, 10.0, &step(100));
    played.hear(1, 0.0, &step(100));
    assert_eq!(played.runs.left(played.now), Some(110.0));
    // The evaluation counts, but not as speed.
    played.hear(0, 10.0, &epoch(0, json!(0.5)));
    assert_eq!(played.runs.all()[0].left(played.now), Some(60.0));
    assert_eq!(played.runs.all()[0].speed(), Some(10.0));
}

#[test]
fn times_and_numbers_are_short() {
    assert_eq!([0.4, 99.0, 100.0, 5999.0, 7500.0].map(duration), ["0 s", "99 s", "2 min", "1 h 40 min", "2 h 05 min"]);
    assert_eq!([0.12345, 12.345, 123.45, -4321.4, f64::NAN].map(number), ["0.123", "12.35", "123.5", "-4321", "NaN"]);
}
