//! How the runs were made, and what they cannot show.

use super::ranking::Ranking;
use super::section::Section;
use super::summary::bullets;
use super::table::{Cell, Table};
use super::words::{count, counted, escape, is_percentage, listed};
use record::About;
use std::collections::{BTreeMap, BTreeSet};
use study::{Comparison, Row};

/// Data, model and training, which are equal for all rows, and what the methods are.
pub(super) fn setup(ranking: &Ranking<'_>) -> Section {
    let comparison = ranking.comparison;
    let Some(entry) = comparison.entries.first() else {
        return Section::default();
    };
    let about = &entry.record.about;
    let mut splits: Vec<(&String, &u64)> = about.examples.iter().collect();
    // In the order of use; a task's other splits follow.
    splits.sort_by_key(|(split, _)| ["train", "validation", "test"].iter().position(|name| name == split).unwrap_or(3));
    let splits: Vec<String> =
        splits.into_iter().map(|(split, examples)| format!("{} {}", count(*examples), escape(split))).collect();
    let everything = comparison.rows.iter().any(|row| row.words.get("method.scope").is_some_and(|s| s == "everything"));
    let facts = [
        format!(
            "Data: {} ({}); examples: {}.",
            escape(&about.dataset),
            escape(&about.dataset_licence),
            listed(&splits)
        ),
        format!("Model: {}, {} trainable parameters.", escape(&about.model), count(about.parameters)),
        format!("Training: {}.", escape(&about.recipe)),
        format!(
            "Parameters that are not scale-invariant decay with {} in every row{}.",
            comparison.common.get("rest_decay").map_or("0", String::as_str),
            if everything { ", except where the row decays everything with its own decay" } else { "" }
        ),
    ];
    let methods = legend(comparison, "method", |row| row.method, |about| [&about.method, &about.method_source]);
    let optimizers =
        legend(comparison, "optimizer", |row| row.optimizer, |about| [&about.optimizer, &about.optimizer_source]);
    let common = comparison.common.iter().map(|(key, value)| vec![Cell::text(key), Cell::code(value)]);
    Section::default()
        .text(bullets(&facts))
        .table(methods)
        .table(optimizers)
        .text("<details><summary>Settings that are equal in all runs</summary>")
        .table(Table::new(["equal in all runs", "value"], common))
        .text("</details>")
}

/// What each method, or each optimizer, is: sorted by name.
fn legend(
    comparison: &Comparison<'_>,
    kind: &str,
    name: for<'r> fn(&'r Row<'_>) -> &'r str,
    words: for<'r> fn(&'r About) -> [&'r String; 2],
) -> Table {
    let mut rows = BTreeMap::new();
    for row in &comparison.rows {
        if let Some(entry) = row.entries().next() {
            let [what, source] = words(&entry.record.about);
            rows.entry(name(row))
                .or_insert_with(|| [name(row), what.as_str(), source.as_str()].map(Cell::text).to_vec());
        }
    }
    Table::new([kind, "what it does", "source"], rows.into_values())
}

/// What a reader may not conclude.
pub(super) fn limits(ranking: &Ranking<'_>) -> String {
    let comparison = ranking.comparison;
    let Some(entry) = comparison.entries.first() else {
        return String::new();
    };
    let about = &entry.record.about;
    let mut limits = Vec::new();
    limits.extend(
        about.dataset_caveat.as_ref().map(|caveat| format!("The data: {}.", escape(caveat.trim_end_matches('.')))),
    );
    limits.push(format!(
        "One model of {} parameters, trained from scratch: what is best here need not be best for large models, \
         for other data, or for fine-tuning pretrained weights.",
        count(about.parameters)
    ));
    let (seeds, _) = ranking.seeds();
    if seeds.len() < 2 {
        limits.push("One seed says nothing about noise: another seed may reverse any order.".to_owned());
    } else {
        limits.push(format!(
            "The intervals rest on {} and on normal noise. They are conditional on the chosen settings: another search might choose \
             others. *Undecided* does not mean that there is no difference.",
            counted(seeds.len(), "seed")
        ));
    }
    limits.extend(sampling_error(ranking));
    limits.extend(unequal_search(ranking));
    limits.push(
        "Costs are wall-clock times of these runs on their hosts; on other hardware the proportions differ.".to_owned(),
    );
    let kinds = |kind: &dyn Fn(usize) -> String| {
        (0..comparison.entries.len()).map(kind).collect::<BTreeSet<String>>().len() > 1
    };
    let from = |i: usize| &comparison.entries[i].record.provenance;
    if kinds(&|i| from(i).commit.clone()) {
        limits.push("The records come from several commits of the code ([provenance](#provenance)).".to_owned());
    }
    if kinds(&|i| format!("{} {}", from(i).cpu, from(i).threads)) {
        limits.push(
            "The records come from several hosts or thread counts, so costs are not comparable run by run.".to_owned(),
        );
    }
    bullets(&limits) + "\n"
}

/// The error of a share of right examples that is estimated on a finite test split, which no number of seeds reduces. Other
/// scores are no means over examples of 0 or 1, and their error cannot be told from the score.
fn sampling_error(ranking: &Ranking<'_>) -> Option<String> {
    let comparison = ranking.comparison;
    if comparison.headline.score != "top1" {
        return Some(
            "The intervals are over seeds. The test split is a sample, which adds an error to each score, mostly the same for \
             all rows, that they do not show."
                .to_owned(),
        );
    }
    let examples = *comparison.entries.first()?.record.about.examples.get("test")?;
    let score = ranking.tested().next()?.test.as_ref()?.mean / 100.0;
    if !is_percentage(comparison.headline) || !(0.0..=1.0).contains(&score) || examples == 0 {
        return None;
    }
    let error = 100.0 * 1.96 * (score * (1.0 - score) / examples as f64).sqrt();
    Some(format!(
        "The intervals are over seeds. The test split is a sample of {} examples, which adds about ± {error:.1} to each \
         score, mostly the same for all rows.",
        count(examples)
    ))
}

fn unequal_search(ranking: &Ranking<'_>) -> Option<String> {
    let searched = || ranking.lines.iter().filter(|line| !line.row.is_matched());
    let tried: BTreeSet<usize> = searched().map(|line| line.row.settings.len()).collect();
    (tried.len() > 1).then(|| {
        let tried: Vec<String> =
            searched().map(|line| format!("{} for {}", line.row.settings.len(), escape(&line.row.label))).collect();
        format!("The rows had different tuning budgets: settings tried are {}. More trials help.", listed(&tried))
    })
}
