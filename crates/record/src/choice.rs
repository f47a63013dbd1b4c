//! Which runs are compared, and which setting of each row is chosen.
//!
//! Runs that are equal in everything but seed, method and optimizer make a *comparison*. In it, an
//! optimizer and a method with their settings in words and whole numbers make a *row*; the settings
//! that are real numbers are the row's *hyper-parameters*. A row with concrete hyper-parameters is a
//! *setting*, which has one run a seed. Of each row the setting with the best mean validation score
//! is chosen.

use crate::run::{Entry, Headline, Outcome, Scores};
use crate::spec::{RunId, Spec, Table, canonical_json};
use crate::statistics::mean;
use crate::tuning::{STOP_AFTER, stopped};
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The runs of the chosen settings of the largest comparison in `entries`, sorted by id: those
/// whose final weights are worth an evaluation on the test split.
///
/// A setting can be chosen when it has a validation score for each of the row's trial seeds.
pub fn chosen(entries: &[Entry]) -> Vec<RunId> {
    let rows = Comparison::of(entries).map(|comparison| comparison.rows).unwrap_or_default();
    let runs = rows.iter().filter_map(Row::chosen).flat_map(|setting| setting.runs.values());
    let ids: BTreeSet<&RunId> = runs.map(|entry| &entry.record.id).collect();
    ids.into_iter().cloned().collect()
}

/// A line for each of `specs` that tells it from the others: the label of its row, what differs within the
/// row, the seed, and the rung of successive halving at which it stops.
pub fn describe(specs: &[&Spec]) -> Vec<String> {
    let split = split(specs);
    let line = |(spec, (key, hyper)): (&&Spec, &(RowKey<'_>, BTreeMap<String, Float>))| {
        let row = || split.iter().filter(|(other, _)| other == key).map(|(_, hyper)| hyper);
        let differing = hyper.iter().filter(|(name, value)| row().any(|hyper| hyper.get(*name) != Some(value)));
        let numbers: String = differing.map(|(name, value)| format!(" {} {}", last(name), value.0)).collect();
        let rung = stopped(&spec.train).map_or(String::new(), |epochs| format!(" to epoch {epochs}"));
        format!("{}{numbers} seed {}{rung}", label(key, split.iter().map(|(key, _)| key)), spec.seed)
    };
    specs.iter().zip(&split).map(line).collect()
}

/// The largest set of entries that may stand in one table.
pub(crate) struct Comparison<'a> {
    /// Sorted by id, one of each.
    pub(crate) entries: Vec<&'a Entry>,
    /// What ranks the rows.
    pub(crate) headline: &'a Headline,
    /// What all entries have in common: dotted key and value.
    pub(crate) common: BTreeMap<String, String>,
    /// Sorted by optimizer, method and settings.
    pub(crate) rows: Vec<Row<'a>>,
    /// The other comparisons: how many records, and in which keys they differ.
    pub(crate) left_out: Vec<(usize, Vec<String>)>,
}

/// A line of the table.
pub(crate) struct Row<'a> {
    /// Unique in the comparison.
    pub(crate) label: String,
    pub(crate) optimizer: &'a str,
    pub(crate) method: &'a str,
    /// Settings that are no real numbers, by dotted key.
    pub(crate) words: BTreeMap<String, String>,
    /// Sorted by hyper-parameters.
    pub(crate) settings: Vec<Setting<'a>>,
    /// Those over which validation chooses: the seeds that most settings have.
    pub(crate) trial_seeds: BTreeSet<u64>,
    /// Index into `settings`.
    pub(crate) choice: Option<usize>,
}

/// A row with concrete hyper-parameters.
pub(crate) struct Setting<'a> {
    /// By dotted key, such as `optimizer.lr`.
    pub(crate) hyper: BTreeMap<String, Float>,
    /// By seed, of those that were trained to the end.
    pub(crate) runs: BTreeMap<u64, &'a Entry>,
    /// By epochs and seed, of those that were stopped at a rung of successive halving.
    pub(crate) rungs: BTreeMap<(u64, u64), &'a Entry>,
}

/// A number with a total order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Float(pub(crate) f64);

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Float {}

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Float {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl<'a> Comparison<'a> {
    /// The largest comparison in `entries`, and of equally large ones the first in the order of
    /// their keys; `None` of nothing.
    pub(crate) fn of(entries: &'a [Entry]) -> Option<Self> {
        let mut groups: BTreeMap<BTreeMap<String, String>, BTreeMap<&RunId, &Entry>> = BTreeMap::new();
        for entry in entries {
            let group = groups.entry(common(entry)).or_default();
            // The same run twice is the same result twice; the order must not decide which counts.
            let age = |entry: &Entry| (entry.test.is_none(), entry.record.provenance.started.clone());
            let kept = group.entry(&entry.record.id).or_insert(entry);
            if age(entry) < age(kept) {
                *kept = entry;
            }
        }
        let most = groups.values().map(BTreeMap::len).max()?;
        let main = groups.iter().find(|(_, group)| group.len() == most)?.0.clone();
        let entries: Vec<&Entry> = groups.remove(&main)?.into_values().collect();
        let left_out = groups.iter().map(|(other, group)| (group.len(), differing(&main, other))).collect();
        let headline = &entries.first()?.record.headline;
        Some(Self { rows: rows(&entries, headline), headline, common: main, left_out, entries })
    }

    /// Best first.
    pub(crate) fn order(&self, one: f64, other: f64) -> Ordering {
        order(self.headline, one, other)
    }
}

pub(crate) fn order(headline: &Headline, one: f64, other: f64) -> Ordering {
    if headline.higher_is_better { other.total_cmp(&one) } else { one.total_cmp(&other) }
}

impl Row<'_> {
    pub(crate) fn chosen(&self) -> Option<&Setting<'_>> {
        self.settings.get(self.choice?)
    }

    /// The hyper-parameters that were searched: those which differ between the row's settings.
    pub(crate) fn searched(&self) -> Vec<&str> {
        let keys: BTreeSet<&String> = self.settings.iter().flat_map(|setting| setting.hyper.keys()).collect();
        let values = |key: &String| self.settings.iter().map(|setting| setting.hyper.get(key)).collect::<BTreeSet<_>>();
        keys.into_iter().filter(|key| values(key).len() > 1).map(String::as_str).collect()
    }

    /// Optimizers that differ from each other in little but weight decay have one name here: only rows of
    /// one family say what a method adds.
    pub(crate) fn family(&self) -> &str {
        match self.optimizer {
            "sgd" | "sgdp" => "sgd",
            "adam" | "adamw" | "adamp" => "adam",
            other => other,
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.settings.iter().flat_map(|setting| setting.runs.values().chain(setting.rungs.values()).copied())
    }
}

impl Setting<'_> {
    /// Mean validation score over `seeds`, where each has one.
    pub(crate) fn trial(&self, seeds: &BTreeSet<u64>) -> Option<f64> {
        let scores = seeds.iter().map(|seed| self.runs.get(seed)?.record.validation());
        mean(&scores.collect::<Option<Vec<f64>>>()?)
    }

    /// Validation scores by seed, of the runs that have one.
    pub(crate) fn validation(&self) -> BTreeMap<u64, f64> {
        self.runs.iter().filter_map(|(seed, entry)| Some((*seed, entry.record.validation()?))).collect()
    }

    /// Test scores by seed, of the runs that have one for the weights that they ended with.
    pub(crate) fn test(&self) -> BTreeMap<u64, f64> {
        let headline = |entry: &Entry| tested(entry)?.get(&entry.record.headline.score).copied();
        self.runs.iter().filter_map(|(seed, entry)| Some((*seed, headline(entry)?))).collect()
    }

    /// Means over seeds of all test scores, by name.
    pub(crate) fn test_means(&self) -> BTreeMap<&str, f64> {
        let mut scores: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, score) in self.runs.values().filter_map(|entry| tested(entry)).flatten() {
            scores.entry(name).or_default().push(*score);
        }
        scores.into_iter().filter_map(|(name, scores)| Some((name, mean(&scores)?))).collect()
    }

    pub(crate) fn diverged(&self) -> usize {
        self.runs.values().filter(|entry| diverged(entry)).count()
    }
}

/// The test scores of the weights that a run ended with.
fn tested(entry: &Entry) -> Option<&Scores> {
    entry.test.as_ref().filter(|test| test.weights == entry.record.weights).map(|test| &test.scores)
}

pub(crate) fn diverged(entry: &Entry) -> bool {
    matches!(entry.record.outcome, Outcome::Diverged { .. })
}

/// What must be equal for two entries to be compared.
fn common(entry: &Entry) -> BTreeMap<String, String> {
    let (record, spec) = (&entry.record, &entry.record.spec);
    let mut common = BTreeMap::from([
        ("dataset".to_owned(), spec.dataset.clone()),
        ("dataset digest".to_owned(), record.provenance.dataset_digest.clone()),
        ("rest_decay".to_owned(), canonical_json(&spec.rest_decay.into())),
        ("task".to_owned(), record.task.clone()),
        ("task version".to_owned(), record.task_version.to_string()),
    ]);
    for (prefix, table) in [("task", &spec.task), ("train", &spec.train), ("schedule", &spec.schedule)] {
        // Runs that are stopped early belong to those that are not.
        let kept = table.iter().filter(|(key, _)| (prefix, key.as_str()) != ("train", STOP_AFTER));
        common.extend(kept.map(|(key, value)| (format!("{prefix}.{key}"), in_words(value))));
    }
    common
}

/// The keys in which `other` differs from `main`, with the values of both.
fn differing(main: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let keys: BTreeSet<&String> = main.keys().chain(other.keys()).collect();
    let value = |table: &BTreeMap<String, String>, key: &String| match table.get(key) {
        // Sixty-four digits say no more than eight.
        Some(digest) if key == "dataset digest" => digest.chars().take(8).collect(),
        Some(value) => value.clone(),
        None => "unset".to_owned(),
    };
    keys.into_iter()
        .filter(|key| main.get(*key) != other.get(*key))
        .map(|key| format!("{key} {} instead of {}", value(other, key), value(main, key)))
        .collect()
}

/// The last part of a dotted key.
pub(crate) fn last(key: &str) -> &str {
    key.split_once('.').map_or(key, |(_, last)| last)
}

/// A setting's value as a label shows it.
fn in_words(value: &Value) -> String {
    match value {
        // A line break would end the line of the page that shows it.
        Value::String(text) if !text.contains(char::is_control) => text.clone(),
        other => canonical_json(other),
    }
}

/// What tells rows apart: optimizer, method, and their settings that are no real numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RowKey<'a> {
    optimizer: &'a str,
    method: &'a str,
    words: BTreeMap<String, String>,
}

/// Splits `optimizer` and `method` of each spec into what makes its row and its hyper-parameters. What is null
/// is not set; a number that another spec leaves unset makes another row.
fn split<'a>(specs: &[&'a Spec]) -> Vec<(RowKey<'a>, BTreeMap<String, Float>)> {
    let tables = |spec: &'a Spec| [("method", &spec.method), ("optimizer", &spec.optimizer)];
    let settings = |spec: &'a Spec| {
        let (mut words, mut hyper) = (BTreeMap::new(), BTreeMap::new());
        for (prefix, table) in tables(spec) {
            for (key, value) in table.iter().filter(|(key, _)| *key != "name") {
                sort(format!("{prefix}.{key}"), value, &mut words, &mut hyper);
            }
        }
        (RowKey { optimizer: named(&spec.optimizer), method: named(&spec.method), words }, hyper)
    };
    let mut split: Vec<_> = specs.iter().map(|spec| settings(spec)).collect();
    let nulls = specs.iter().flat_map(|spec| tables(spec)).flat_map(|(prefix, table)| {
        table.iter().filter(|(_, value)| value.is_null()).map(move |(key, _)| format!("{prefix}.{key}"))
    });
    let nulls: BTreeSet<String> = nulls.collect();
    for (key, hyper) in &mut split {
        let set = hyper.keys().filter(|name| nulls.contains(*name));
        key.words.extend(set.map(|name| (name.clone(), "set".to_owned())));
    }
    split
}

/// Real numbers, also those inside of a setting that has a name (`{ constant = 2.0 }`), are hyper-parameters.
fn sort(key: String, value: &Value, words: &mut BTreeMap<String, String>, hyper: &mut BTreeMap<String, Float>) {
    match value {
        Value::Null => {}
        Value::Number(number) if number.is_f64() => {
            hyper.insert(key, Float(number.as_f64().unwrap_or(f64::NAN)));
        }
        Value::Object(table) => {
            for (inner, value) in table {
                let path = format!("{key}.{inner}");
                match value {
                    Value::Object(fields) => {
                        words.insert(key.clone(), inner.clone());
                        for (field, value) in fields {
                            sort(format!("{path}.{field}"), value, words, hyper);
                        }
                    }
                    Value::Number(number) if number.is_f64() => {
                        words.entry(key.clone()).or_insert_with(|| inner.clone());
                        sort(path, value, words, hyper);
                    }
                    other => drop(words.insert(key.clone(), format!("{inner} {}", in_words(other)))),
                }
            }
        }
        other => drop(words.insert(key, in_words(other))),
    }
}

fn named(table: &Table) -> &str {
    table.get("name").and_then(Value::as_str).unwrap_or("unnamed")
}

/// How many settings each row of a table of `specs` has, with the row's label.
pub(crate) fn budgets(specs: &[&Spec]) -> Vec<(String, usize)> {
    let mut settings: BTreeMap<RowKey<'_>, BTreeSet<BTreeMap<String, Float>>> = BTreeMap::new();
    for (key, hyper) in split(specs) {
        settings.entry(key).or_default().insert(hyper);
    }
    settings.iter().map(|(key, settings_of)| (label(key, settings.keys()), settings_of.len())).collect()
}

/// The indices of `specs` that share a row and differ in hyper-parameters alone, row by row; the order is theirs.
pub(crate) fn by_row(specs: &[&Spec]) -> Vec<Vec<usize>> {
    let mut rows: BTreeMap<RowKey<'_>, Vec<usize>> = BTreeMap::new();
    for (index, (key, _)) in split(specs).into_iter().enumerate() {
        rows.entry(key).or_default().push(index);
    }
    let mut rows: Vec<Vec<usize>> = rows.into_values().collect();
    rows.sort();
    rows
}

fn rows<'a>(entries: &[&'a Entry], headline: &Headline) -> Vec<Row<'a>> {
    type Settings<'a> = BTreeMap<BTreeMap<String, Float>, Setting<'a>>;
    let mut groups: BTreeMap<RowKey<'a>, Settings<'a>> = BTreeMap::new();
    let specs: Vec<&Spec> = entries.iter().map(|entry| &entry.record.spec).collect();
    for (&entry, (key, hyper)) in entries.iter().zip(split(&specs)) {
        let new = || Setting { hyper: hyper.clone(), runs: BTreeMap::new(), rungs: BTreeMap::new() };
        let setting = groups.entry(key).or_default().entry(hyper.clone()).or_insert_with(new);
        let spec = &entry.record.spec;
        match stopped(&spec.train) {
            Some(epochs) => setting.rungs.insert((epochs, spec.seed), entry),
            None => setting.runs.insert(spec.seed, entry),
        };
    }
    let labels: Vec<String> = groups.keys().map(|key| label(key, groups.keys())).collect();
    labels
        .into_iter()
        .zip(groups)
        .map(|(label, (key, settings))| {
            let settings: Vec<Setting<'a>> = settings.into_values().collect();
            let trial_seeds = trial_seeds(&settings);
            let choice = choose(&settings, &trial_seeds, headline);
            Row { label, optimizer: key.optimizer, method: key.method, words: key.words, settings, trial_seeds, choice }
        })
        .collect()
}

/// The method's name, and in parentheses the optimizer's where there are several, and the settings that tell
/// `key` from other rows of the same two.
fn label<'a, 'b: 'a>(key: &RowKey<'b>, all: impl Iterator<Item = &'a RowKey<'b>> + Clone) -> String {
    let mut words = Vec::new();
    if all.clone().any(|other| other.optimizer != key.optimizer) {
        words.push(key.optimizer.to_owned());
    }
    let siblings = || all.clone().filter(|other| (other.method, other.optimizer) == (key.method, key.optimizer));
    let differing =
        key.words.iter().filter(|(name, value)| siblings().any(|other| other.words.get(*name) != Some(*value)));
    words.extend(differing.map(|(name, value)| format!("{} {value}", last(name))));
    if words.is_empty() { key.method.to_owned() } else { format!("{} ({})", key.method, words.join(", ")) }
}

/// The seeds that most settings have: all of them where every setting was trained on all, and those of the trials where
/// only the chosen one was.
fn trial_seeds(settings: &[Setting<'_>]) -> BTreeSet<u64> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for seed in settings.iter().flat_map(|setting| setting.runs.keys()) {
        *counts.entry(*seed).or_default() += 1;
    }
    let most = counts.values().copied().max();
    counts.into_iter().filter(|(_, count)| Some(*count) == most).map(|(seed, _)| seed).collect()
}

/// The eligible setting with the best mean over `seeds`; of equal ones that with fewer, then smaller
/// hyper-parameters.
fn choose(settings: &[Setting<'_>], seeds: &BTreeSet<u64>, headline: &Headline) -> Option<usize> {
    let candidates = settings.iter().enumerate().filter_map(|(i, setting)| Some((i, setting, setting.trial(seeds)?)));
    let best = candidates.min_by(|(_, one, score), (_, other, than)| {
        let ties = one.hyper.len().cmp(&other.hyper.len());
        order(headline, *score, *than).then(ties).then_with(|| one.hyper.cmp(&other.hyper))
    });
    best.map(|(i, _, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Made, diverge, entry};
    use serde_json::json;

    fn decay(strength: f64, reaches: f64, seeds: &[u64]) -> Vec<Entry> {
        let method = json!({"name": "weight-decay", "strength": strength});
        let made = Made { optimizer: fixture::sgd(), method, reaches, norm: 1.0, micros: 0.0 };
        seeds.iter().map(|seed| entry(&made, *seed)).collect()
    }

    /// Strength of the chosen setting of the only row.
    fn chosen_strength(entries: &[Entry]) -> Option<f64> {
        let comparison = Comparison::of(entries).unwrap();
        assert_eq!(comparison.rows.len(), 1);
        comparison.rows[0].chosen().map(|setting| setting.hyper["method.strength"].0)
    }

    /// Sorted.
    fn labels(entries: &[Entry]) -> Vec<String> {
        let mut labels: Vec<String> = Comparison::of(entries).unwrap().rows.into_iter().map(|row| row.label).collect();
        labels.sort();
        labels
    }

    #[test]
    fn numbers_inside_of_a_setting_are_searched_and_unset_ones_make_rows() {
        let made = |method: Value, optimizer: Value| {
            entry(&Made { optimizer, method, reaches: 0.8, norm: 1.0, micros: 0.0 }, 0)
        };
        let sgd = |rho: Value| json!({"name": "sgd", "lr": 0.1, "sam_rho": rho});
        let matched = |lr: f64| json!({"name": "wrs", "rate": {"matched": {"lr": lr, "decay": 5e-4}}});
        let entries = [
            made(matched(0.1), sgd(Value::Null)),
            made(matched(0.2), sgd(Value::Null)),
            made(json!({"name": "wrs", "rate": "own", "target": {"constant": 2.0}}), sgd(Value::Null)),
            made(json!({"name": "wrs", "rate": "own", "target": {"constant": 3.0}}), sgd(Value::Null)),
            made(json!({"name": "none"}), sgd(Value::Null)),
            made(json!({"name": "none"}), sgd(json!(0.05))),
        ];
        assert_eq!(
            labels(&entries),
            ["none", "none (sam_rho set)", "wrs (rate matched)", "wrs (rate own, target constant)"]
        );
    }

    #[test]
    fn the_best_setting_of_each_row_is_chosen() {
        let entries = fixture::entries();
        let chosen = chosen(&entries);
        let strengths: Vec<_> = entries
            .iter()
            .filter(|entry| chosen.contains(&entry.record.id))
            .map(|entry| entry.record.spec.method.get("strength").and_then(Value::as_f64))
            .collect();
        assert_eq!(chosen.len(), 12);
        assert!(chosen.is_sorted());
        assert_eq!(strengths.iter().filter(|strength| **strength == Some(5e-4)).count(), 6);
        assert_eq!(strengths.iter().filter(|strength| strength.is_none()).count(), 6);
        assert!(super::chosen(&[]).is_empty());
    }

    #[test]
    fn validation_chooses_over_the_seeds_that_most_settings_have() {
        let mut entries = decay(1e-4, 0.80, &[0]);
        entries.extend(decay(5e-4, 0.90, &[0, 1, 2, 3]));
        entries.extend(decay(1e-3, 0.85, &[0]));
        for entry in entries.iter_mut().filter(|entry| entry.record.spec.seed > 0) {
            entry.record.epochs.last_mut().unwrap().validation.insert("top1".into(), 0.1);
        }
        assert_eq!(chosen_strength(&entries), Some(5e-4), "what comes after the trials decides nothing");
        let rows = Comparison::of(&entries).unwrap().rows;
        assert_eq!(rows[0].trial_seeds, BTreeSet::from([0]));
    }

    #[test]
    fn a_setting_with_a_diverged_trial_or_without_one_is_not_chosen() {
        let mut entries = decay(1e-4, 0.80, &[0, 1, 2]);
        entries.extend(decay(2e-4, 0.70, &[0, 1, 2]));
        entries.extend(decay(5e-4, 0.90, &[0, 1]));
        assert_eq!(chosen_strength(&entries), Some(5e-4), "two seeds are those of most settings");
        entries.extend(decay(3e-4, 0.70, &[0, 1, 2]));
        entries.extend(decay(4e-4, 0.95, &[1, 2, 3]));
        assert_eq!(chosen_strength(&entries), Some(4e-4), "seed 1 is that of most settings");
        let mut wild = decay(5e-3, 0.99, &[0, 1, 2]);
        diverge(&mut wild[1]);
        entries.extend(wild);
        assert_eq!(chosen_strength(&entries), Some(4e-4));
    }

    #[test]
    fn stopped_runs_are_shown_and_not_chosen() {
        let mut entries = decay(1e-4, 0.80, &[0]);
        let mut stopped = decay(5e-4, 0.90, &[0]);
        for entry in &mut stopped {
            entry.record.spec.train.insert(STOP_AFTER.into(), json!(3));
            entry.record.id = RunId::new("classification", 1, "", &entry.record.spec);
        }
        entries.extend(stopped);
        assert_eq!(chosen_strength(&entries), Some(1e-4));
        let row = Comparison::of(&entries).unwrap().rows.remove(0);
        assert_eq!((row.settings.len(), row.entries().count()), (2, 2), "in one comparison");
    }

    #[test]
    fn where_all_diverge_nothing_is_chosen() {
        let mut entries = decay(1e-4, 0.80, &[0, 1]);
        entries.iter_mut().for_each(diverge);
        assert_eq!(chosen_strength(&entries), None);
    }

    #[test]
    fn of_equal_settings_the_smaller_is_chosen() {
        let mut entries = decay(5e-4, 0.80, &[0]);
        entries.extend(decay(1e-4, 0.80, &[0]));
        for entry in &mut entries {
            entry.record.epochs.last_mut().unwrap().validation.insert("top1".into(), 0.8);
        }
        assert_eq!(chosen_strength(&entries), Some(1e-4));
    }

    #[test]
    fn lower_can_be_better() {
        let mut entries = decay(5e-4, 0.80, &[0]);
        entries.extend(decay(1e-4, 0.90, &[0]));
        entries.iter_mut().for_each(|entry| entry.record.headline.higher_is_better = false);
        assert_eq!(chosen_strength(&entries), Some(5e-4));
    }

    #[test]
    fn labels_say_what_tells_rows_apart() {
        assert_eq!(
            labels(&fixture::entries()),
            ["none", "weight-decay (scope everything)", "weight-decay (scope scale-invariant)", "wrs"]
        );
        let mut entries = decay(5e-4, 0.8, &[0]);
        for (name, nesterov) in [("adam", None), ("sgd", Some(true))] {
            let mut other = decay(5e-4, 0.8, &[0]).remove(0);
            other.record.spec.optimizer = [("name".to_owned(), json!(name))].into_iter().collect();
            other.record.spec.optimizer.extend(nesterov.map(|on| ("nesterov".to_owned(), json!(on))));
            other.record.id = RunId::new("classification", 1, "", &other.record.spec);
            entries.push(other);
        }
        assert_eq!(
            labels(&entries),
            ["weight-decay (adam)", "weight-decay (sgd, nesterov false)", "weight-decay (sgd, nesterov true)"]
        );
    }

    #[test]
    fn labels_of_several_optimizers_say_no_more_than_it_takes() {
        assert_eq!(
            labels(&fixture::families()),
            [
                "none (sgd)",
                "none (sgdp)",
                "weight-decay (adamp)",
                "weight-decay (adamw)",
                "weight-decay (sgd, scope everything)",
                "weight-decay (sgd, scope scale-invariant)",
                "weight-decay (sgdp)",
                "weight-standardization (sgd)",
                "wrs (adam, target rms-one)",
                "wrs (adam, target unit)",
                "wrs (sgd, granularity filter)",
                "wrs (sgd, granularity layer)",
            ]
        );
    }

    #[test]
    fn what_is_null_makes_no_row_and_no_label() {
        let mut entries = decay(5e-4, 0.8, &[0]);
        let mut other = decay(5e-4, 0.8, &[1]).remove(0);
        other.record.spec.method.extend([("interval".to_owned(), Value::Null)]);
        other.record.spec.optimizer.extend([("clip_norm".to_owned(), Value::Null)]);
        entries.push(other.clone());
        assert_eq!(labels(&entries), ["weight-decay"]);
        assert_eq!(Comparison::of(&entries).unwrap().rows[0].settings.len(), 1);
        other.record.spec.method.extend([("interval".to_owned(), json!({"steps": 5}))]);
        other.record.id = RunId::new("classification", 1, "", &other.record.spec);
        entries.push(other);
        assert_eq!(labels(&entries), ["weight-decay", "weight-decay (interval steps 5)"]);
    }

    #[test]
    fn a_run_is_described_by_what_tells_it_from_the_others() {
        let entries = fixture::entries();
        let of = |entries: &[Entry]| describe(&entries.iter().map(|entry| &entry.record.spec).collect::<Vec<_>>());
        let lines = of(&entries);
        assert_eq!(lines[0], "none seed 0");
        assert_eq!(lines[7], "weight-decay (scope everything) strength 0.0001 seed 1");
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), entries.len());
        assert_eq!(of(&fixture::families())[0], "none (sgd) seed 0");
        let mut rung = fixture::entries();
        rung[0].record.spec.train.insert(STOP_AFTER.into(), json!(3));
        assert_eq!(of(&rung)[0], "none seed 0 to epoch 3");
    }

    #[test]
    fn the_largest_comparison_is_used_and_the_others_are_named() {
        let mut entries = decay(5e-4, 0.8, &[0, 1]);
        let mut other = decay(5e-4, 0.8, &[2]).remove(0);
        other.record.spec.train.insert("epochs".into(), json!(2));
        other.record.provenance.dataset_digest = "abcdef0123456789".into();
        entries.push(other);
        let comparison = Comparison::of(&entries).unwrap();
        assert_eq!(comparison.entries.len(), 2);
        let differences =
            ["dataset digest abcdef01 instead of 8d1fa07c", "train.epochs 2 instead of 30"].map(str::to_owned);
        assert_eq!(comparison.left_out, [(1, differences.to_vec())]);
    }
}
