//! `bench`: train what is missing, choose on validation, test what was chosen, report.

use crate::child::{INTERRUPTED, Stop, TaskBinary};
use crate::machine;
use crate::partition::Partition;
use crate::schedule::{Estimates, Waiting, shares};
use crate::task::{Plan, plan, untested};
use crate::workspace::Workspace;
use crate::{Which, say};
use anyhow::{Context, Result, bail};
use progress::{Ended, Progress};
use record::Entry;
use serde_json::json;
use slurm::Work;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use study::{Edge, Planned, Protocol};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Runs that train at the same time [default: one per core]
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Threads per run [default: the cores divided among the runs]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// List the runs without training them
    #[arg(long)]
    dry_run: bool,
    /// Submit what is missing, and not queued, as job arrays to Slurm, and return; `slurm.toml` has the site's settings
    ///
    /// The same command again submits what is missing then: what failed, and what validation chose of the runs that have
    /// ended. Where nothing is missing, it writes the report. See docs/clusters.md.
    #[arg(long)]
    slurm: bool,
    /// Train only this part of the runs: for several machines that share the folder `runs`, or copy it together afterwards
    ///
    /// Where runs of other parts have no record yet, exit code 75: the same command goes on when they have. Once all have,
    /// the command without this option scores what was chosen and writes the report.
    #[arg(long, value_name = "I/N", conflicts_with = "slurm")]
    partition: Option<Partition>,
    /// Print events as JSON, one per line, instead of the table
    ///
    /// Each is an object with `event`, and with `id` if it is about one run.
    /// Unknown or non-finite values are null.
    ///
    /// - plan: `runs`, each with `id`, `method`, `setting`, `seed`, `state`
    ///   (missing, running, interrupted, finished, diverged);
    ///   a later plan has the added runs
    /// - run_start: `spec`, with all defaults
    /// - start: `step`, not 0 if a run resumes, `steps`, and `headline`,
    ///   the score that ranks
    /// - step: `step`, `steps`, `loss`; at most five per second and run
    /// - epoch: `epoch` from 0, `step`, `train_loss`, `validation`: scores
    /// - run_end: `state` (finished, diverged, interrupted, failed),
    ///   `validation`: the last headline score, `seconds` since run_start,
    ///   and `error` if it failed
    /// - test: `record`, with the scores on the test split
    /// - done: `runs`, counts by state, and `seconds`; the last event
    #[arg(long, verbatim_doc_comment)]
    json: bool,
}

/// Examples on the sheet of a report.
const PICTURES: &str = "6";

pub(crate) fn bench(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut plan = plan(&workspace, &arguments.which)?;
    if arguments.dry_run {
        return list(&workspace, &mut plan);
    }
    if arguments.slurm && submit(&workspace, &mut plan)? {
        return Ok(ExitCode::SUCCESS);
    }
    let pool = Pool::new(&workspace, &plan, arguments)?;
    let ours = |runs: &[Planned]| -> Vec<Planned> {
        runs.iter().filter(|run| arguments.partition.is_none_or(|part| part.has(&run.id))).cloned().collect()
    };
    let mut known = 0;
    let runs = loop {
        let runs = plan.runs(&workspace)?;
        let missing = missing(&workspace, &runs)?;
        let (shown, pending) = (ours(&runs), ours(&missing));
        if shown.len() > known {
            pool.progress.add(&shown, |id| workspace.run(id))?;
            pool.progress.note(&summary(&shown, pending.len(), plan.to_come(&workspace)?));
        }
        known = shown.len();
        if missing.is_empty() {
            break runs;
        }
        if pending.is_empty() {
            pool.progress.finish();
            eprintln!(
                "{} runs of other parts have no record yet; the same command goes on when they have",
                missing.len()
            );
            return Ok(ExitCode::from(INTERRUPTED));
        }
        if let Some(code) = pool.train(pending, &plan.estimates(&workspace)?)? {
            return Ok(code);
        }
    };
    if arguments.partition.is_some() {
        pool.progress.finish();
        eprintln!("all runs have records; the same command without `--partition` scores what was chosen and reports");
        return Ok(ExitCode::SUCCESS);
    }
    let protocol = plan.protocol(&workspace)?;
    let entries = pool.test_chosen(&runs, &protocol)?;
    pool.progress.finish();
    if !arguments.json {
        say(report::table(&entries, &protocol).trim_end());
    }
    for edge in study::edges(&entries, &protocol) {
        eprintln!("{}", extension(&edge));
    }
    publish(&pool, &arguments.which, entries, protocol)?;
    Ok(ExitCode::SUCCESS)
}

/// Those of `runs` that have no record.
fn missing(workspace: &Workspace, runs: &[Planned]) -> Result<Vec<Planned>> {
    let mut missing = Vec::new();
    for run in runs {
        if !workspace.run(&run.id).state()?.is_over() {
            missing.push(run.clone());
        }
    }
    Ok(missing)
}

/// Writes the specs of `runs`, which have no record.
fn write_specs(workspace: &Workspace, runs: &[Planned]) -> Result<()> {
    // Waiting for the disk, not computing.
    const WRITERS: usize = 16;
    let write = |runs: &[Planned]| -> Result<()> {
        for run in runs {
            let folder = workspace.run(&run.id);
            if !folder.read_spec().is_ok_and(|spec| spec == run.spec) {
                folder.write_spec(&run.spec)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let parts = runs.chunks(runs.len().div_ceil(WRITERS).max(1));
        let writers: Vec<_> = parts.map(|part| scope.spawn(move || write(part))).collect();
        writers.into_iter().try_for_each(|writer| writer.join().unwrap_or_else(|_| bail!("a writer of specs panicked")))
    })
}

/// Submits what is missing to Slurm; gives whether something is, queued or not.
fn submit(workspace: &Workspace, plan: &mut Plan) -> Result<bool> {
    let runs = plan.runs(workspace)?;
    let mut pending = missing(workspace, &runs)?;
    eprintln!("{}", summary(&runs, pending.len(), plan.to_come(workspace)?));
    let work: Vec<Work> = if pending.is_empty() {
        plan.untested(workspace)?.iter().map(Work::test).collect()
    } else {
        write_specs(workspace, &pending)?;
        plan.estimates(workspace)?.longest_first(&mut pending);
        pending.iter().map(|run| Work::run(&run.id)).collect()
    };
    if work.is_empty() {
        return Ok(false);
    }
    slurm::submit(&workspace.root, &plan.binary, work)?;
    eprintln!("the same command goes on when they have ended");
    Ok(true)
}

/// What would take the chosen value of a row from the edge of what was tried.
fn extension(edge: &Edge) -> String {
    let Edge { row, key, value, is_largest, next } = edge;
    let which = if *is_largest { "largest" } else { "smallest" };
    format!(
        "undecided (edge): {row}: {key} {value} is the {which} value that was tried\n  \
         hint: add {next} to the search of `{key}` for every method that searches it, and as many settings for the others, so that \
         all rows keep equal budgets; the same command then trains the new runs"
    )
}

/// Says what would be trained.
fn list(workspace: &Workspace, plan: &mut Plan) -> Result<ExitCode> {
    let runs = plan.runs(workspace)?;
    let mut pending = 0;
    for run in &runs {
        let state = workspace.run(&run.id).state()?;
        say(&format!("{}  {state:11}  {}", run.id, run.line));
        pending += usize::from(!state.is_over());
    }
    eprintln!("{}", summary(&runs, pending, plan.to_come(workspace)?));
    Ok(ExitCode::SUCCESS)
}

fn summary(runs: &[Planned], pending: usize, to_come: usize) -> String {
    let follow = match to_come {
        0 => String::new(),
        more => format!("; {more} more follow for the settings that validation selects"),
    };
    format!("{} runs, {pending} of them to train{follow}", runs.len())
}

/// Writes records and report of a comparison as its configuration says it; one that was changed on the
/// command line is only printed.
fn publish(pool: &Pool<'_>, which: &Which, entries: Vec<Entry>, protocol: Protocol) -> Result<()> {
    let Pool { workspace, report, .. } = pool;
    if which.quick || !which.set.is_empty() {
        eprintln!("the report was not changed: this table does not cover the whole configuration");
        return Ok(());
    }
    let path = workspace.records(report);
    let partial = !which.methods.is_empty() || which.seeds.is_some();
    let old = match path.exists().then(|| record::read_entries(&path)).transpose() {
        // The whole comparison was trained: nothing of an older version's is needed.
        Err(record::EntriesError::Schema { found, .. }) if !partial => {
            eprintln!("records of schema {found} leave {}", path.display());
            Vec::new()
        }
        old => old?.unwrap_or_default(),
    };
    let ours: BTreeSet<_> = entries.iter().map(|entry| entry.record.id.clone()).collect();
    let others: Vec<Entry> = old.into_iter().filter(|entry| !ours.contains(&entry.record.id)).collect();
    let mut all = entries;
    if partial {
        all.extend(others);
    } else if !others.is_empty() {
        eprintln!("{} records of other settings leave {}", others.len(), path.display());
    }
    let before = if partial { Protocol::read(&path)?.unwrap_or_default() } else { Protocol::default() };
    let protocol = protocol.merged(before);
    files::write_atomic(&path, record::entries_to_jsonl(&all).as_bytes())?;
    files::write_atomic(&Protocol::path(&path), protocol.to_json().as_bytes())?;
    if let Err(error) = pool.draw(&all, &protocol) {
        eprintln!("warning: no pictures were drawn: {error:#}");
    }
    crate::report::write(workspace, report)
}

/// Starts the task's binary for each run, some at a time.
struct Pool<'a> {
    workspace: &'a Workspace,
    binary: TaskBinary,
    report: String,
    jobs: Option<usize>,
    threads: Option<usize>,
    progress: Progress,
    stop: Stop,
}

/// Runs that failed, for reasons that were said.
#[derive(Default)]
struct Failures {
    runs: Vec<String>,
    /// How many were not started, since the same is wrong with them.
    left_out: usize,
}

impl Failures {
    /// Takes in `run`. What is wrong before a run's first step is wrong with its data set and its `[task]`: those that wait
    /// and have the same of both are not started.
    fn take_in(&mut self, run: &Planned, has_begun: bool, waiting: &Waiting) {
        self.runs.push(format!("run {} ({})", run.id, run.line));
        if !has_begun {
            let alike = |other: &Planned| other.spec.dataset == run.spec.dataset && other.spec.task == run.spec.task;
            self.left_out += waiting.drop_alike(alike);
        }
    }
}

impl std::fmt::Display for Failures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of the runs failed, as said above\n  {}", self.runs.len(), self.runs.join("\n  "))?;
        if self.left_out > 0 {
            write!(f, "\n  {} more of the same data set and task were not started", self.left_out)?;
        }
        Ok(())
    }
}

impl<'a> Pool<'a> {
    fn new(workspace: &'a Workspace, plan: &Plan, arguments: &Arguments) -> Result<Self> {
        let stop = Stop::listen()?;
        let (jobs, threads) = (arguments.jobs.map(NonZeroUsize::get), arguments.threads.map(NonZeroUsize::get));
        let (binary, report) = (TaskBinary::new(workspace, plan.binary.clone(), &stop), plan.report.clone());
        let progress = Progress::new(shares(jobs, threads, usize::MAX, machine::cores()).0, arguments.json);
        Ok(Self { workspace, binary, report, jobs, threads, progress, stop })
    }

    /// Trains `pending`; gives an exit code where not all of them have a record afterwards.
    fn train(&self, pending: Vec<Planned>, estimates: &Estimates) -> Result<Option<ExitCode>> {
        write_specs(self.workspace, &pending)?;
        let (jobs, threads) = shares(self.jobs, self.threads, pending.len(), machine::cores());
        let waiting = Waiting::new(pending, estimates);
        let (failures, interrupted) = (Mutex::new(Failures::default()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some((run, _place)) = waiting.next(|| self.stop.is_wanted()) {
                        let shown = self.progress.start(&run);
                        let trained = self.binary.train(&self.workspace.run(&run.id), Some(threads), &shown);
                        let ended = trained.unwrap_or_else(|error| Ended::Failed(format!("{error:#}")));
                        let has_begun = shown.has_begun();
                        shown.end(&ended);
                        match ended {
                            Ended::Recorded(_) => {}
                            Ended::Interrupted => interrupted.store(true, Ordering::Relaxed),
                            Ended::Failed(_) => {
                                let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                                failures.take_in(&run, has_begun, &waiting);
                            }
                        }
                    }
                });
            }
        });
        let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !failures.runs.is_empty() {
            bail!("{failures}");
        }
        if interrupted.into_inner() || self.stop.is_wanted() {
            self.progress.finish();
            eprintln!("interrupted; the same command resumes from the checkpoints");
            return Ok(Some(ExitCode::from(INTERRUPTED)));
        }
        Ok(None)
    }

    /// Reads the test split for the settings that validation chose, and only for them.
    fn test_chosen(&self, runs: &[Planned], protocol: &Protocol) -> Result<Vec<Entry>> {
        let (entries, (_, threads)) = (self.entries(runs)?, shares(self.jobs, self.threads, 1, machine::cores()));
        for id in untested(&entries, protocol) {
            let folder = self.workspace.run(&id);
            let tested = self.binary.call("test", &folder, Some(threads), &[]);
            tested.with_context(|| format!("run {id} cannot be tested"))?;
            let record = folder.read_test()?;
            self.progress.event(&json!({"event": "test", "id": id, "record": record}));
        }
        self.entries(runs)
    }

    /// Draws what the best of `entries` predicts, for the report on them, where there is something to draw: the task
    /// draws, the data set comes with the project, and the run was trained here.
    fn draw(&self, entries: &[Entry], protocol: &Protocol) -> Result<()> {
        let best = report::pictured(entries, protocol);
        let Some(Entry { record, .. }) = entries.iter().find(|entry| Some(&entry.record.id) == best.as_ref()) else {
            return Ok(());
        };
        let run = self.workspace.run(&record.id);
        let drawable = record.about.pictures.is_some() && self.workspace.embeds(&record.spec.dataset);
        if !drawable || !run.weights().exists() {
            return Ok(());
        }
        let out = format!("runs/{}/pictures", record.id);
        let options = ["--count", PICTURES, "--out", &out];
        self.binary.call("pictures", &run, Some(shares(self.jobs, self.threads, 1, machine::cores()).1), &options)?;
        let drawn = self.workspace.root.join(out).join("sheet.png");
        let sheet = std::fs::read(&drawn).with_context(|| format!("cannot read {}", drawn.display()))?;
        let name = report::sheet(&self.report, &record.id);
        Ok(files::write_atomic(&self.workspace.figures().join(name), &sheet)?)
    }

    fn entries(&self, runs: &[Planned]) -> Result<Vec<Entry>> {
        let entry = |run: &Planned| {
            let folder = self.workspace.run(&run.id);
            let record = folder.read_record()?.with_context(|| format!("run {} has lost its record", run.id))?;
            Ok(Entry { record, test: folder.read_test()? })
        };
        runs.iter().map(entry).collect()
    }
}
