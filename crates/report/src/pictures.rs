//! What the first row's network predicts: a sheet of pictures that the runner draws, and its place on the page.

use super::ranking::Ranking;
use super::words::{escape, link};
use record::{Entry, RunId};
use study::{Comparison, Protocol};

/// The run that a report on `entries` shows pictures of: the one with the lowest seed of the first row's chosen setting.
/// `None` where no setting could be chosen.
pub fn pictured(entries: &[Entry], protocol: &Protocol) -> Option<RunId> {
    let comparison = Comparison::of(entries, protocol)?;
    let ranking = Ranking::of(&comparison, protocol);
    let (_, entry) = ranking.lines.first()?.setting?.runs.first_key_value()?;
    Some(entry.record.id.clone())
}

/// Name of the sheet of run `id` in the report `name`: a file in the folder `figures` beside the page.
pub fn sheet(name: &str, id: &RunId) -> String {
    format!("{name}-pictures-{id}.png")
}

/// Whether `file` is the name of a [`sheet`] of the report `name`, of any run.
pub fn is_sheet(name: &str, file: &str) -> bool {
    let rest = file.strip_prefix(name).and_then(|rest| rest.strip_prefix("-pictures-"));
    let id = rest.and_then(|rest| rest.strip_suffix(".png"));
    id.is_some_and(|id| id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// The first of `sheets` that shows a run of the first row's chosen setting, by seed, and the markdown that shows it.
pub(super) fn embed(name: &str, ranking: &Ranking<'_>, sheets: &[String]) -> Option<(String, String)> {
    let line = ranking.lines.first()?;
    let (seed, entry, file) = line.setting?.runs.iter().find_map(|(seed, entry)| {
        let file = sheet(name, &entry.record.id);
        sheets.contains(&file).then_some((seed, entry, file))
    })?;
    let (label, id) = (escape(&line.row.label), &entry.record.id);
    let run = link(&format!("`{id}`"), &format!("run-{id}"));
    let legend = entry.record.about.pictures.iter().map(|legend| format!(" {}", escape(legend)));
    let alt = format!("Images of the test split with predictions of {label}").replace('"', "&quot;");
    let markdown = format!(
        "## Predictions of the first row\n\n<img alt=\"{alt}\" src=\"figures/{file}\">\n\n\
         Examples of the test split with predictions of run {run} of {label}, seed {seed}. They are spread evenly \
         over the split and were not selected.{}",
        legend.collect::<String>()
    );
    Some((file, markdown))
}
