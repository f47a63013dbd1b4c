//! What records say of which runs.

use crate::mistake;
use crate::report::unknown;
use crate::workspace::{Workspace, names};
use anyhow::Result;
use record::{Entry, RunFolder, RunId, Spec};
use settings::did_you_mean;
use std::collections::{BTreeMap, BTreeSet};
use study::Planned;

/// A run to be trained again, and what is said to come out.
pub(super) struct Subject {
    pub(super) run: Planned,
    pub(super) claims: Vec<Claim>,
}

/// What a record says, wherever it is found.
pub(super) struct Claim {
    pub(super) entry: Entry,
    /// Where it is said: `reports/records/<name>.jsonl:<line>`, `runs/<id>`.
    pub(super) places: Vec<String>,
    /// The run, where it was trained here.
    pub(super) folder: Option<RunFolder>,
}

/// The records of a run that say the same are one claim; those of one spec are trained once.
///
/// `sample` is how many runs of a report, and a seed.
pub(super) fn subjects(workspace: &Workspace, wanted: &[String], sample: Option<(usize, u64)>) -> Result<Vec<Subject>> {
    let known = names(&workspace.reports().join("records"), "jsonl");
    let mut reports = BTreeMap::new();
    for name in &known {
        reports.insert(name.as_str(), record::read_lines(&workspace.records(name))?);
    }
    let mut ids = Vec::<String>::new();
    for name in wanted {
        let found = match (reports.get(name.as_str()), sample) {
            (Some(lines), sample) => {
                let entries: Vec<Entry> = lines.iter().map(|(_, entry)| entry.clone()).collect();
                let (count, seed) = sample.unwrap_or((usize::MAX, 0));
                study::sample(&entries, count, seed).iter().map(RunId::to_string).collect()
            }
            (None, Some(_)) => return Err(unknown(name, &known)),
            (None, None) => vec![one_id(workspace, &reports, name)?],
        };
        ids.extend(found.into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
    }
    let mut subjects = Vec::<Subject>::new();
    for id in ids {
        let claims = claims(workspace, &reports, &id)?;
        if claims.is_empty() {
            let state = RunFolder::new(workspace.root.join("runs").join(&id)).state()?;
            return Err(mistake(format!("no record yet of run {id} ({state})")));
        }
        claims.into_iter().for_each(|claim| add(&mut subjects, claim));
    }
    let lines = study::describe(&subjects.iter().map(|subject| &subject.run.spec).collect::<Vec<_>>());
    subjects.iter_mut().zip(lines).for_each(|(subject, line)| subject.run.line = line);
    Ok(subjects)
}

type Reports<'a> = BTreeMap<&'a str, Vec<(usize, Entry)>>;

/// The only id that begins with `prefix`.
fn one_id(workspace: &Workspace, reports: &Reports<'_>, prefix: &str) -> Result<String> {
    let recorded = reports.values().flatten().map(|(_, entry)| entry.record.id.to_string());
    let folders = std::fs::read_dir(workspace.root.join("runs")).into_iter().flatten().flatten();
    let trained = folders.map(|folder| folder.file_name().to_string_lossy().into_owned());
    let ids: BTreeSet<String> = recorded.chain(trained).filter(|id| id.starts_with(prefix)).collect();
    let ids: Vec<String> = ids.into_iter().collect();
    match ids.as_slice() {
        [id] => Ok(id.clone()),
        [] => Err(mistake(format!(
            "no run id begins with `{prefix}`, and no report has that name{}; `cargo xtask status <task>` lists the \
             runs of a task",
            did_you_mean(prefix, reports.keys().copied())
        ))),
        several => Err(mistake(format!("several ids begin with `{prefix}`: {}", several.join(", ")))),
    }
}

/// Every record of run `id`, in reports and in its folder.
fn claims(workspace: &Workspace, reports: &Reports<'_>, id: &str) -> Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for (name, lines) in reports {
        for (line, entry) in lines.iter().filter(|(_, entry)| entry.record.id.as_str() == id) {
            let place = format!("reports/records/{name}.jsonl:{line}");
            claims.push(Claim { entry: entry.clone(), places: vec![place], folder: None });
        }
    }
    let folder = RunFolder::new(workspace.root.join("runs").join(id));
    if let Some(record) = folder.read_record()? {
        let entry = Entry { record, test: folder.read_test()? };
        claims.push(Claim { entry, places: vec![format!("runs/{id}")], folder: Some(folder) });
    }
    Ok(claims)
}

fn add(subjects: &mut Vec<Subject>, claim: Claim) {
    let Entry { record, .. } = &claim.entry;
    let (id, spec): (&RunId, &Spec) = (&record.id, &record.spec);
    let known = subjects.iter_mut().find(|subject| subject.run.id == *id && subject.run.spec == *spec);
    let Some(known) = known else {
        let run = Planned { id: id.clone(), spec: spec.clone(), line: String::new() };
        return subjects.push(Subject { run, claims: vec![claim] });
    };
    match known.claims.iter_mut().find(|other| record::disagreements(&other.entry, &claim.entry).is_empty()) {
        Some(same) => {
            same.places.extend(claim.places);
            same.folder = same.folder.take().or(claim.folder);
            same.entry.test = same.entry.test.take().or(claim.entry.test);
        }
        None => known.claims.push(claim),
    }
}
