//! Whether a record is what training again gives, and where not.

use super::again::Again;
use super::claims::{Claim, Subject};
use super::weights;
use crate::workspace::Workspace;
use anyhow::Result;
use record::{Disagreement, Entry, RunFolder, Spec};

/// Of a claim: a row of the table, and what is said below it.
pub(super) struct Verdict {
    run: String,
    place: String,
    spec: Cell,
    log: Cell,
    weights: Cell,
    test: Cell,
    details: Vec<String>,
    refused: bool,
}

enum Cell {
    Equal,
    /// Not there, or not compared.
    None,
    Differs(String),
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Self::Equal => "equal".into(),
            Self::None => "—".into(),
            Self::Differs(how) => how.clone(),
        }
    }
}

impl Verdict {
    pub(super) fn is_equal(&self) -> bool {
        let cells = [&self.spec, &self.log, &self.weights, &self.test];
        !self.refused && !cells.iter().any(|cell| matches!(cell, Cell::Differs(_)))
    }

    /// Whether its run could not be trained, and nothing else is wrong.
    pub(super) fn is_refused(&self) -> bool {
        self.refused && matches!(self.spec, Cell::Equal)
    }
}

/// Of each claim of `subject`; `all` may know what an altered spec was.
pub(super) fn verdicts(
    workspace: &Workspace,
    all: &[Subject],
    subject: &Subject,
    again: &Again,
) -> Result<Vec<Verdict>> {
    subject.claims.iter().map(|claim| verdict(workspace, all, claim, again)).collect()
}

fn verdict(workspace: &Workspace, all: &[Subject], claim: &Claim, again: &Again) -> Result<Verdict> {
    let record = &claim.entry.record;
    let mut verdict = Verdict {
        run: record.id.to_string(),
        place: claim.places.join(", "),
        spec: Cell::Equal,
        log: Cell::None,
        weights: Cell::None,
        test: Cell::None,
        details: Vec::new(),
        refused: false,
    };
    let address = record::address(record);
    if address != record.id {
        let others = all.iter().map(|subject| subject.run.spec.clone());
        let trained = workspace.run(&record.id).read_spec().ok();
        let others: Vec<Spec> = others.chain(trained).collect();
        let what = record::alteration(record, &others);
        let key = what.as_ref().map_or("altered".to_owned(), record::Disagreement::dotted);
        let what = what.map_or("what is not known".to_owned(), |what| format!("{what}, now and before"));
        verdict.spec = Cell::Differs(key);
        verdict.details.push(format!("the spec was altered, its id would be {address}: {what}"));
    }
    match again {
        Again::Trained { entry, folder, .. } => compare(&mut verdict, claim, entry, folder)?,
        Again::Refused(why) => {
            verdict.refused = true;
            verdict.details.push(format!("it cannot be trained again: {why}"));
        }
        Again::Failed(why) => {
            verdict.log = Cell::Differs("failed".into());
            verdict.details.push(format!("training it again failed: {why}"));
        }
        Again::Interrupted => {}
    }
    Ok(verdict)
}

fn compare(verdict: &mut Verdict, claim: &Claim, again: &Entry, folder: &RunFolder) -> Result<()> {
    // Of an altered spec, and of one that lacks a newer default, the id is another.
    let mut found = record::disagreements(&claim.entry, again);
    found.retain(|found| match (found.key(), found.path.get(1).map(String::as_str)) {
        ("id" | "spec", _) => false,
        // They are the record's.
        ("test", Some("id" | "weights")) => false,
        _ => true,
    });
    let of = |kind: Kind| found.iter().filter(move |found| kind_of(found) == kind);

    let mut steps: Vec<u64> = of(Kind::Log).filter_map(|found| found.step).collect();
    let mut details: Vec<String> = found.iter().map(ToString::to_string).collect();
    let mut tensor =
        of(Kind::Weights).find_map(|found| Some(found.path.get(1..)?.join("."))).filter(|name| !name.is_empty());
    if let Some(trained) = &claim.folder {
        if trained.log().exists()
            && let Some(more) = record::log_disagreement(&trained.read_log()?, &folder.read_log()?)
        {
            steps.extend(more.step);
            details.insert(0, format!("log: {more}"));
        }
        if trained.weights().exists()
            && let Some((name, how)) = weights::first_difference(&trained.weights(), &folder.weights())?
        {
            details.push(format!("tensor `{name}`: {how}"));
            tensor.get_or_insert(name);
        }
    }
    verdict.log = match (steps.iter().min(), of(Kind::Log).next()) {
        (Some(step), _) => Cell::Differs(format!("step {step}")),
        (None, Some(found)) => Cell::Differs(found.dotted()),
        (None, None) => Cell::Equal,
    };
    verdict.weights = match (tensor, of(Kind::Weights).next()) {
        (Some(name), _) => Cell::Differs(name),
        (None, Some(_)) => Cell::Differs("some".into()),
        (None, None) => Cell::Equal,
    };
    verdict.test = match (&claim.entry.test, of(Kind::Test).next()) {
        (None, _) => Cell::None,
        (Some(_), Some(found)) => Cell::Differs(found.path.last().cloned().unwrap_or_default()),
        (Some(_), None) if again.test.is_none() => Cell::Differs("none".into()),
        (Some(_), None) => Cell::Equal,
    };
    if !details.is_empty() {
        let [record, here] = [&claim.entry, again].map(|entry| entry.record.provenance.line());
        verdict.details.push(format!("recorded by {record}"));
        verdict.details.push(format!("trained again by {here}"));
        verdict.details.extend(details);
    }
    Ok(())
}

#[derive(PartialEq)]
enum Kind {
    Log,
    Weights,
    Test,
}

fn kind_of(found: &Disagreement) -> Kind {
    match found.key() {
        "weights" | "tensors" => Kind::Weights,
        "test" => Kind::Test,
        _ => Kind::Log,
    }
}

/// A row a record, and below the table what differs: in the record, then trained again.
pub(super) fn table(verdicts: &[Verdict]) -> String {
    let header = ["run", "spec", "log", "weights", "test", "record"].map(str::to_owned);
    let rows = verdicts.iter().map(|verdict| {
        let cells = [&verdict.spec, &verdict.log, &verdict.weights, &verdict.test].map(Cell::text);
        std::iter::once(verdict.run.clone()).chain(cells).chain([verdict.place.clone()]).collect()
    });
    let mut text = files::plain(&header, &rows.collect::<Vec<Vec<String>>>());
    for verdict in verdicts.iter().filter(|verdict| !verdict.details.is_empty()) {
        text += &format!("\nrun {} in {}\n", verdict.run, verdict.place);
        text += &verdict.details.iter().map(|line| format!("  {line}\n")).collect::<String>();
    }
    text
}
