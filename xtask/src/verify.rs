//! `verify`: recorded runs, trained again.

mod again;
mod claims;
mod verdict;
mod weights;

use crate::child::{INTERRUPTED, Stop};
use crate::say;
use crate::workspace::Workspace;
use again::{Again, Trainer};
use anyhow::Result;
use progress::Progress;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use verdict::{Verdict, verdicts};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The first digits of a run's id, or the name of a report, such as classification, for its runs
    #[arg(required = true, value_name = "ID|REPORT")]
    names: Vec<String>,
    /// Only N runs of a report, spread evenly over the rows of its table
    #[arg(long, value_name = "N")]
    sample: Option<NonZeroUsize>,
    /// Seed of the sample [default: 0]
    #[arg(long, requires = "sample")]
    seed: Option<u64>,
    /// Threads per run [default: one per core]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

pub(crate) fn verify(arguments: &Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let sample = arguments.sample.map(|count| (count.get(), arguments.seed.unwrap_or(0)));
    let subjects = claims::subjects(&workspace, &arguments.names, sample)?;
    let (stop, progress) = (Stop::listen()?, Progress::new(1, false));
    progress.add_again(&subjects.iter().map(|subject| subject.run.clone()).collect::<Vec<_>>());
    let mut trainer = Trainer::new(&workspace, &progress, &stop, arguments.threads.map(NonZeroUsize::get));
    let mut all = Vec::new();
    for subject in &subjects {
        let again = trainer.train(subject)?;
        if matches!(again, Again::Interrupted) || stop.is_wanted() {
            progress.finish();
            eprintln!("interrupted; the same command starts over");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        all.extend(verdicts(&workspace, &subjects, subject, &again)?);
    }
    progress.finish();
    say(verdict::table(&all).trim_end());
    let equal = all.iter().filter(|verdict| verdict.is_equal()).count();
    eprintln!("{equal} of {} records were reproduced bit by bit", all.len());
    Ok(exit_code(&all))
}

/// What cannot be trained is a mistake where nothing else is wrong.
fn exit_code(verdicts: &[Verdict]) -> ExitCode {
    if verdicts.iter().all(Verdict::is_equal) {
        ExitCode::SUCCESS
    } else if verdicts.iter().all(|verdict| verdict.is_equal() || verdict.is_refused()) {
        ExitCode::from(2)
    } else {
        ExitCode::FAILURE
    }
}
