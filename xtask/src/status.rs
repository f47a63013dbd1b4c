//! `status`: the state of the runs of a comparison.

use crate::task::plan;
use crate::workspace::Workspace;
use crate::{Which, say};
use anyhow::Result;
use record::State;
use serde_json::json;
use slurm::Queue;
use std::collections::BTreeMap;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// Print a list of runs with id, state, method and seed, and, where Slurm answers, their state in its queue
    #[arg(long)]
    json: bool,
}

pub(crate) fn status(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let mut plan = plan(&workspace, &arguments.which)?;
    let runs = plan.runs(&workspace)?;
    let (mut counts, mut list) = (BTreeMap::<State, usize>::new(), Vec::new());
    let mut seconds = Vec::new();
    // Who never submitted anything is not kept waiting.
    let queue = match slurm::folder(&workspace.root).is_dir().then(|| Queue::ask(&workspace.root)) {
        Some(Err(why)) => {
            eprintln!("warning: what is queued is not known: {why:#}");
            None
        }
        queue => queue.transpose()?,
    };
    let mut queued_counts = BTreeMap::<String, usize>::new();
    for run in &runs {
        let folder = workspace.run(&run.id);
        let state = folder.state()?;
        *counts.entry(state).or_default() += 1;
        if let Some(record) = folder.read_record()? {
            seconds.push(record.seconds.training() + record.seconds.evaluation);
        }
        let queued = queue.as_ref().and_then(|queue| queue.of_run(&run.id));
        if let Some(queued) = queued {
            *queued_counts.entry(queued.state.to_lowercase()).or_default() += 1;
        }
        if arguments.json {
            let mut item = json!({"id": run.id, "state": state, "method": run.spec.method["name"], "seed": run.spec.seed, "spec": run.spec});
            if queue.is_some() {
                item["queue"] = json!(queued.map(|queued| json!({"state": queued.state, "reason": queued.reason})));
            }
            list.push(item);
        } else {
            let queued = queued.map(|queued| format!("  queue: {queued}")).unwrap_or_default();
            say(&format!("{}  {state:11}  {}{queued}", run.id, run.line));
        }
    }
    if arguments.json {
        say(&serde_json::Value::from(list).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let counted: Vec<String> = counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let to_come = plan.to_come(&workspace)?;
    let left = runs.len() - seconds.len() + to_come;
    let follow = if to_come > 0 { format!("; {to_come} more follow") } else { String::new() };
    eprintln!("{} runs: {}{follow}", runs.len(), counted.join(", "));
    if queue.is_some() {
        let counted: Vec<String> = queued_counts.iter().map(|(state, count)| format!("{count} {state}")).collect();
        eprintln!("queue: {}", if counted.is_empty() { "nothing".to_owned() } else { counted.join(", ") });
    }
    if left > 0 && !seconds.is_empty() {
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        eprintln!("about {:.0} min of training left if runs train one after another", left as f64 * mean / 60.0);
    }
    Ok(ExitCode::SUCCESS)
}
