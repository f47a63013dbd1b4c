//! Which runs a comparison needs next, by what its runs have shown so far.
//!
//! The next runs are a function of the results so far. The runner asks, trains what is missing, and asks again; so an
//! interrupted comparison needs no state of its own, and `status` and `--dry-run` ask the same function. Specs are
//! complete, so budgets count rows as the table will have them, however the configuration was written.

use crate::choice::{Comparison, REFERENCE, budgets, by_row, family, matched_rate};
use crate::protocol::Protocol;
use crate::tuning::Tuning;
use record::{Entry, RunId, Spec, canonical_json};
use serde_json::Value;
use statistics::mean;
use std::collections::{BTreeMap, BTreeSet};

/// A comparison in stages: every setting is tried on the seeds of the search, and the one that validation chooses of each row is
/// trained on the seeds of the result. Then come the rows whose learning rate is matched to that of weight decay.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    settings: Vec<Spec>,
    /// Their learning rate only stands in for the matched one.
    matched: Vec<Spec>,
    seeds: Vec<u64>,
    tuning: Tuning,
}

/// A run of a study, with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Where it is kept.
    pub id: RunId,
    /// What is run.
    pub spec: Spec,
    /// A line that tells this run from the others, as [`describe`](crate::describe) makes it.
    pub line: String,
}

/// Rows of a table whose tuning budgets differ.
#[derive(Debug, thiserror::Error)]
#[error(
    "expected as many settings for each row of the table, found {}\n  \
     hint: give each `[[method]]` a `search` with as many values, or ranges, of which `trials` in `[tuning]` are drawn; with \
     `unequal = true` there they may differ, and the report says so",
    listed(.0)
)]
pub struct UnequalBudgets(Vec<(String, usize)>);

fn listed(budgets: &[(String, usize)]) -> String {
    budgets.iter().map(|(row, settings)| format!("{settings} for {row}")).collect::<Vec<_>>().join(", ")
}

impl Study {
    /// A study of `settings`, and of those that are `matched` to weight decay, all with every default filled in; their own seeds
    /// do not matter.
    ///
    /// # Errors
    ///
    /// Where rows of the table try different numbers of settings, and `tuning` does not say that they may.
    pub fn new(
        settings: Vec<Spec>,
        matched: Vec<Spec>,
        seeds: Vec<u64>,
        tuning: Tuning,
    ) -> Result<Self, UnequalBudgets> {
        let budgets = budgets(&settings.iter().collect::<Vec<_>>());
        if !tuning.unequal && budgets.iter().any(|(_, settings)| *settings != budgets[0].1) {
            return Err(UnequalBudgets(budgets));
        }
        Ok(Self { settings, matched, seeds, tuning })
    }

    /// The runs that the comparison consists of, as far as `entries`, the results so far, can tell: the trials of each row,
    /// and once they all have results, what comes after them. Nothing is left to do where each has a result.
    pub fn runs(&self, entries: &[Entry]) -> Vec<Spec> {
        let results = by_address(entries);
        let runs = self.rows().into_iter().flat_map(|row| self.runs_of_row(&row, &results));
        let runs = runs.chain(self.matched(entries));
        let mut seen = BTreeSet::new();
        runs.filter(|spec| seen.insert(address(spec))).collect()
    }

    /// Those of [`Study::runs`] whose learning rate is that of weight decay: none before the runs that it is taken from have
    /// results.
    pub fn matched(&self, entries: &[Entry]) -> Vec<Spec> {
        let results = by_address(entries);
        let runs = self.rows().into_iter().flat_map(|row| self.runs_of_row(&row, &results));
        let Some(done) = runs.map(|spec| results.get(&address(&spec)).copied()).collect::<Option<Vec<&Entry>>>() else {
            return Vec::new();
        };
        let done: Vec<Entry> = done.into_iter().cloned().collect();
        let Some(comparison) = Comparison::of(&done, &self.protocol()) else { return Vec::new() };
        let runs = self.matched.iter().flat_map(|spec| {
            let reference = comparison.reference(family_of(spec)).and_then(|row| row.chosen());
            let rate = reference.and_then(|setting| matched_rate(setting.runs.values().copied()));
            let with_rate = rate.map(|rate| {
                let mut spec = spec.clone();
                spec.optimizer.insert("lr".into(), rate.into());
                spec
            });
            with_rate.into_iter().flat_map(|spec| on(&spec, &self.seeds))
        });
        runs.collect()
    }

    /// How the comparison is made, as far as the configuration says it: no run is matched yet.
    pub fn protocol(&self) -> Protocol {
        let set = |seeds: &[u64]| seeds.iter().copied().collect();
        Protocol {
            search: set(self.search_seeds()),
            seeds: set(&self.seeds),
            margin: self.tuning.margin,
            matched: BTreeSet::new(),
        }
    }

    /// How many runs will follow those of [`Study::runs`], if no trial diverges.
    pub fn to_come(&self, entries: &[Entry]) -> usize {
        let known = self.runs(entries);
        let rows = self.rows();
        let all = rows.iter().map(|row| match row.len() {
            1 => self.seeds.len(),
            settings => {
                let search = self.search_seeds().len();
                let rungs = self.tuning.halving.iter().map(|rung| rung.keep.min(settings));
                let alive: Vec<usize> = std::iter::once(settings).chain(rungs).collect();
                let last = alive.last().copied().unwrap_or_default();
                let stopped: usize = alive.iter().rev().skip(1).sum();
                let finalists = last.min(self.tuning.finalists) * search.saturating_sub(1);
                stopped * search + last + finalists + self.seeds.len()
            }
        });
        let has_reference = |spec: &&Spec| {
            self.settings.iter().any(|other| named(other) == REFERENCE && family_of(other) == family_of(spec))
        };
        let matched = self.matched.iter().filter(has_reference).count() * self.seeds.len();
        (all.sum::<usize>() + matched).saturating_sub(known.len())
    }

    fn search_seeds(&self) -> &[u64] {
        self.tuning.seeds.as_deref().unwrap_or_default()
    }

    /// The settings of each row.
    fn rows(&self) -> Vec<Vec<&Spec>> {
        let specs: Vec<&Spec> = self.settings.iter().collect();
        by_row(&specs).into_iter().map(|row| row.into_iter().map(|index| specs[index]).collect()).collect()
    }

    fn runs_of_row(&self, settings: &[&Spec], results: &BTreeMap<String, &Entry>) -> Vec<Spec> {
        if let [only] = settings {
            return on(only, &self.seeds);
        }
        let search = self.search_seeds();
        let mut runs = Vec::new();
        let mut alive: Vec<Spec> = settings.iter().map(|spec| (*spec).clone()).collect();
        for rung in &self.tuning.halving {
            let tried: Vec<Vec<Spec>> = alive.iter().map(|spec| on(&rung.of(spec), search)).collect();
            runs.extend(tried.iter().flatten().cloned());
            let Some(kept) = best(&tried, rung.keep, results) else { return runs };
            alive = kept.into_iter().map(|index| alive[index].clone()).collect();
        }
        // All on the first seed, and the best on the others as well.
        let tried: Vec<Vec<Spec>> = alive.iter().map(|spec| on(spec, &search[..search.len().min(1)])).collect();
        runs.extend(tried.iter().flatten().cloned());
        let Some(finalists) = best(&tried, self.tuning.finalists, results) else { return runs };
        let tried: Vec<Vec<Spec>> = finalists.into_iter().map(|index| on(&alive[index], search)).collect();
        runs.extend(tried.iter().flatten().cloned());
        let Some(found) = found(&tried, results) else { return runs };
        let entries: Vec<Entry> = found.into_iter().flatten().cloned().collect();
        let comparison = Comparison::of(&entries, &self.protocol());
        let chosen = comparison.iter().flat_map(|comparison| &comparison.rows).filter_map(|row| row.chosen());
        let chosen = chosen.filter_map(|setting| setting.searched().next()).map(|entry| &entry.record.spec);
        runs.extend(chosen.flat_map(|spec| on(spec, &self.seeds)));
        runs
    }
}

fn on(spec: &Spec, seeds: &[u64]) -> Vec<Spec> {
    seeds.iter().map(|seed| Spec { seed: *seed, ..spec.clone() }).collect()
}

fn named(spec: &Spec) -> &str {
    spec.method.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn family_of(spec: &Spec) -> &str {
    family(spec.optimizer.get("name").and_then(Value::as_str).unwrap_or_default())
}

fn by_address(entries: &[Entry]) -> BTreeMap<String, &Entry> {
    entries.iter().map(|entry| (address(&entry.record.spec), entry)).collect()
}

/// The indices of the `keep` best of the settings that were `tried`, in their order, without those that diverged; `None` where a
/// result is missing.
fn best(tried: &[Vec<Spec>], keep: usize, results: &BTreeMap<String, &Entry>) -> Option<Vec<usize>> {
    let found = found(tried, results)?;
    let headline = found.iter().flatten().next().map(|entry| &entry.record.headline)?;
    let scored = found.iter().map(|entries| score(entries)).enumerate();
    let mut ranked: Vec<(usize, f64)> = scored.filter_map(|(index, score)| Some((index, score?))).collect();
    ranked.sort_by(|(_, one), (_, other)| crate::choice::order(headline, *one, *other));
    let mut kept: Vec<usize> = ranked.into_iter().take(keep).map(|(index, _)| index).collect();
    kept.sort_unstable();
    Some(kept)
}

/// The results of all runs of each setting; `None` where one is missing.
fn found<'a>(tried: &[Vec<Spec>], results: &BTreeMap<String, &'a Entry>) -> Option<Vec<Vec<&'a Entry>>> {
    let of = |specs: &Vec<Spec>| specs.iter().map(|spec| results.get(&address(spec)).copied()).collect();
    tried.iter().map(of).collect()
}

/// Mean validation score; `None` where one diverged.
fn score(entries: &[&Entry]) -> Option<f64> {
    mean(&entries.iter().map(|entry| entry.record.validation()).collect::<Option<Vec<f64>>>()?)
}

fn address(spec: &Spec) -> String {
    // A spec is plain data with string keys, which always has a JSON form.
    canonical_json(&serde_json::to_value(spec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Made, diverge};
    use crate::tuning::{Rung, stopped};
    use serde_json::{Value, json};

    const SEEDS: [u64; 3] = [0, 1, 2];

    fn decay(strength: f64) -> Value {
        json!({"name": "weight-decay", "strength": strength})
    }

    fn spec(method: &Value) -> Spec {
        fixture::spec(&fixture::sgd(), method, 99)
    }

    /// Two rows of four settings each.
    fn settings() -> Vec<Spec> {
        let wrs = |rate: f64| json!({"name": "wrs", "rate": rate});
        let numbers = [1e-4, 1e-3, 1e-2, 1e-1];
        numbers.iter().map(|n| spec(&decay(*n))).chain(numbers.iter().map(|n| spec(&wrs(*n)))).collect()
    }

    fn study(tuning: Tuning) -> Study {
        let tuning = Tuning { seeds: Some(vec![7, 8]), finalists: 2, ..tuning };
        Study::new(settings(), Vec::new(), SEEDS.to_vec(), tuning).unwrap()
    }

    /// A result of `spec`: 1e-3 is best, but 1e-2 learns faster.
    fn result(spec: &Spec) -> Entry {
        let method = Value::from(spec.method.clone());
        let number = method["strength"].as_f64().or(method["rate"].as_f64()).unwrap();
        let reaches = match (number, stopped(&spec.train)) {
            (1e-3, None) => 0.9,
            (1e-2, None) => 0.8,
            (1e-3, Some(_)) => 0.6,
            (1e-2, Some(_)) => 0.7,
            _ => 0.3,
        };
        let made = Made { optimizer: fixture::sgd(), method, reaches, norm: 1.0, micros: 0.0 };
        let mut entry = fixture::entry(&made, spec.seed);
        entry.record.spec = spec.clone();
        entry
    }

    /// Number of the method, epochs of the rung, seed.
    type Missing = (f64, Option<u64>, u64);

    /// Of the runs that `study` asks for and `entries` has not.
    fn missing(study: &Study, entries: &[Entry], name: &str) -> Vec<Missing> {
        let runs = study.runs(entries);
        let is_new = |spec: &&Spec| entries.iter().all(|entry| entry.record.spec != **spec);
        let of_method = runs.iter().filter(is_new).filter(|spec| spec.method["name"] == name);
        let number = |spec: &Spec| spec.method.get("strength").or(spec.method.get("rate")).and_then(Value::as_f64);
        of_method.map(|spec| (number(spec).unwrap(), stopped(&spec.train), spec.seed)).collect()
    }

    /// The results of everything that `study` asks for, and what it asked for of `name` in each stage.
    fn trained(study: &Study, name: &str) -> (Vec<Entry>, Vec<Vec<Missing>>) {
        let (mut entries, mut stages) = (Vec::new(), Vec::new());
        while study.runs(&entries).len() > entries.len() {
            stages.push(missing(study, &entries, name));
            entries = study.runs(&entries).iter().map(result).collect();
        }
        (entries, stages)
    }

    #[test]
    fn the_search_comes_first_and_then_the_chosen_setting_on_other_seeds() {
        let study = study(Tuning::default());
        let first = [(1e-4, None, 7), (1e-3, None, 7), (1e-2, None, 7), (1e-1, None, 7)];
        assert_eq!((study.runs(&[]).len(), study.to_come(&[])), (8, 2 * (2 + 3)));
        let entries: Vec<Entry> = study.runs(&[]).iter().map(result).collect();
        assert_eq!(missing(&study, &entries[..7], "wrs"), first[3..], "not before all trials have a result");
        assert_eq!(missing(&study, &entries[..7], "weight-decay").len(), 2, "rows do not wait for each other");
        let (entries, stages) = trained(&study, "wrs");
        let finalists = vec![(1e-3, None, 8), (1e-2, None, 8)];
        let result = SEEDS.map(|seed| (1e-3, None, seed)).to_vec();
        assert_eq!(stages, [first.to_vec(), finalists, result]);
        assert_eq!((entries.len(), study.to_come(&entries)), (2 * (4 + 2 + 3), 0));
        let chosen = crate::chosen(&entries, &study.protocol());
        assert_eq!(chosen.len(), 6, "what is tested is what was trained on the seeds of the result");
    }

    #[test]
    fn what_diverges_is_not_chosen() {
        let study = study(Tuning::default());
        let mut entries: Vec<Entry> = study.runs(&[]).iter().map(result).collect();
        diverge(&mut entries[1]);
        let finalists = missing(&study, &entries, "weight-decay");
        assert_eq!(finalists.len(), 2);
        assert!(finalists.contains(&(1e-2, None, 8)) && !finalists.contains(&(1e-3, None, 8)), "{finalists:?}");
        entries.iter_mut().for_each(diverge);
        assert_eq!(study.runs(&entries).len(), 8);
    }

    #[test]
    fn rungs_halve_the_trials() {
        let halving = vec![Rung { epochs: 3, keep: 2 }, Rung { epochs: 9, keep: 1 }];
        let study = study(Tuning { halving, ..Tuning::default() });
        assert_eq!(study.to_come(&[]), 2 * (2 * 2 + 1 + 1 + 3));
        let (_, stages) = trained(&study, "wrs");
        let both = |rates: &[f64], rung: u64| -> Vec<Missing> {
            rates.iter().flat_map(|rate| [7, 8].map(|seed| (*rate, Some(rung), seed))).collect()
        };
        let first = both(&[1e-4, 1e-3, 1e-2, 1e-1], 3);
        // The one that learns faster is kept: halving is not free.
        let rest = [vec![(1e-2, None, 7)], vec![(1e-2, None, 8)], SEEDS.map(|seed| (1e-2, None, seed)).to_vec()];
        assert_eq!(stages, [&[first, both(&[1e-3, 1e-2], 9)], &rest[..]].concat());
    }

    #[test]
    fn a_row_of_one_setting_needs_no_search() {
        let tuning = Tuning { seeds: Some(vec![0]), ..Tuning::default() };
        let study = Study::new(vec![spec(&decay(1e-3))], Vec::new(), vec![4, 5], tuning);
        let seeds: Vec<u64> = study.unwrap().runs(&[]).iter().map(|spec| spec.seed).collect();
        assert_eq!(seeds, [4, 5]);
    }

    #[test]
    fn a_matched_row_waits_for_weight_decay_and_takes_its_rate() {
        let matched = vec![spec(&json!({"name": "wrs", "rate": 0.5}))];
        let tuning = Tuning { seeds: Some(vec![7, 8]), ..Tuning::default() };
        let new = |settings| Study::new(settings, matched.clone(), SEEDS.to_vec(), tuning.clone()).unwrap();
        let study = new(settings());
        assert_eq!(study.to_come(&[]), 2 * (3 + 3) + 3, "it has no part in the search");
        let (entries, stages) = trained(&study, "wrs");
        let of_matched = SEEDS.map(|seed| (0.5, None, seed));
        assert_eq!(stages.last().unwrap()[..], of_matched);
        let rates =
            |specs: &[Spec]| specs.iter().map(|spec| spec.optimizer["lr"].as_f64().unwrap()).collect::<Vec<_>>();
        let matched_to = study.matched(&entries);
        let midway =
            entries.iter().find(|entry| named(&entry.record.spec) == REFERENCE).unwrap().record.midway().unwrap();
        let expected = crate::choice::rounded(0.1 * midway.effective_lr / midway.lr);
        assert_eq!(matched_to.len(), 3);
        assert!(rates(&matched_to).iter().all(|rate| (rate / expected - 1.0).abs() < 0.05), "{:?}", rates(&matched_to));
        assert_eq!((study.matched(&entries[1..]).len(), study.to_come(&entries)), (0, 0));
        let alone = new(settings()[4..].to_vec());
        assert_eq!(alone.to_come(&[]), 3 + 3, "without weight decay there is nothing to match");
        assert_eq!(trained(&alone, "wrs").1.len(), 3);
    }

    #[test]
    fn unequal_budgets_are_refused() {
        let fewer = || settings()[1..].to_vec();
        let error = Study::new(fewer(), Vec::new(), vec![0], Tuning::default()).unwrap_err();
        insta::assert_snapshot!(error, @r"
        expected as many settings for each row of the table, found 3 for weight-decay, 4 for wrs
          hint: give each `[[method]]` a `search` with as many values, or ranges, of which `trials` in `[tuning]` are drawn; with `unequal = true` there they may differ, and the report says so
        ");
        assert!(Study::new(fewer(), Vec::new(), vec![0], Tuning { unequal: true, ..Tuning::default() }).is_ok());
    }
}
