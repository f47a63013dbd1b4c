//! Which runs a comparison needs next, by what its runs have shown so far.

use crate::choice::{Comparison, budgets, by_row};
use crate::run::Entry;
use crate::spec::{Spec, canonical_json};
use crate::statistics::mean;
use crate::tuning::Tuning;
use std::collections::{BTreeMap, BTreeSet};

/// A comparison in stages: every setting is tried on the trial seeds, and the one that validation chooses of each row is
/// trained on all seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    settings: Vec<Spec>,
    seeds: Vec<u64>,
    tuning: Tuning,
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
    /// A study of `settings`, which have every default filled in, and whose own seeds do not matter.
    ///
    /// # Errors
    ///
    /// Where rows of the table try different numbers of settings, and `tuning` does not say that they may.
    pub fn new(settings: Vec<Spec>, seeds: Vec<u64>, tuning: Tuning) -> Result<Self, UnequalBudgets> {
        let budgets = budgets(&settings.iter().collect::<Vec<_>>());
        if !tuning.unequal && budgets.iter().any(|(_, settings)| *settings != budgets[0].1) {
            return Err(UnequalBudgets(budgets));
        }
        Ok(Self { settings, seeds, tuning })
    }

    /// The runs that the comparison consists of, as far as `entries`, the results so far, can tell: the trials of each row,
    /// and once they all have results, what comes after them. Nothing is left to do where each has a result.
    pub fn runs(&self, entries: &[Entry]) -> Vec<Spec> {
        let results: BTreeMap<String, &Entry> =
            entries.iter().map(|entry| (address(&entry.record.spec), entry)).collect();
        let runs = self.rows().into_iter().flat_map(|row| self.runs_of_row(&row, &results));
        let mut seen = BTreeSet::new();
        runs.filter(|spec| seen.insert(address(spec))).collect()
    }

    /// How many runs will follow those of [`Study::runs`], if no trial diverges.
    pub fn to_come(&self, entries: &[Entry]) -> usize {
        let known = self.runs(entries);
        let trials = self.trial_seeds();
        let all = self.rows().into_iter().map(|row| match row.len() {
            1 => self.seeds.len(),
            settings => {
                let rungs = &self.tuning.halving;
                let alive = std::iter::once(settings).chain(rungs.iter().map(|rung| rung.keep.min(settings)));
                alive.sum::<usize>() * trials.len() + self.seeds.iter().filter(|seed| !trials.contains(seed)).count()
            }
        });
        all.sum::<usize>().saturating_sub(known.len())
    }

    fn trial_seeds(&self) -> &[u64] {
        self.tuning.seeds.as_deref().unwrap_or(&self.seeds)
    }

    /// The settings of each row.
    fn rows(&self) -> Vec<Vec<&Spec>> {
        let specs: Vec<&Spec> = self.settings.iter().collect();
        by_row(&specs).into_iter().map(|row| row.into_iter().map(|index| specs[index]).collect()).collect()
    }

    fn runs_of_row(&self, settings: &[&Spec], results: &BTreeMap<String, &Entry>) -> Vec<Spec> {
        let on = |spec: &Spec, seeds: &[u64]| -> Vec<Spec> {
            seeds.iter().map(|seed| Spec { seed: *seed, ..spec.clone() }).collect()
        };
        if let [only] = settings {
            return on(only, &self.seeds);
        }
        let trial_seeds = self.trial_seeds();
        let mut runs = Vec::new();
        let mut alive: Vec<&Spec> = settings.to_vec();
        for rung in &self.tuning.halving {
            let stopped: Vec<Spec> = alive.iter().map(|spec| rung.of(spec)).collect();
            let tried: Vec<Vec<Spec>> = stopped.iter().map(|spec| on(spec, trial_seeds)).collect();
            runs.extend(tried.iter().flatten().cloned());
            let Some(found) = found(&tried, results) else { return runs };
            let mut ranked: Vec<(Option<f64>, usize)> = found.iter().map(|entries| score(entries)).zip(0..).collect();
            let Some(headline) = found.iter().flatten().next().map(|entry| &entry.record.headline) else { return runs };
            let better = |one: &f64, other: &f64| crate::choice::order(headline, *one, *other);
            ranked.sort_by(|(one, _), (other, _)| match (one, other) {
                (Some(one), Some(other)) => better(one, other),
                (one, other) => other.is_some().cmp(&one.is_some()),
            });
            // What diverged goes no further.
            let kept: BTreeSet<usize> =
                ranked.iter().take(rung.keep).filter(|(score, _)| score.is_some()).map(|(_, index)| *index).collect();
            alive = kept.into_iter().map(|index| alive[index]).collect();
        }
        let tried: Vec<Vec<Spec>> = alive.iter().map(|spec| on(spec, trial_seeds)).collect();
        runs.extend(tried.iter().flatten().cloned());
        let Some(found) = found(&tried, results) else { return runs };
        let entries: Vec<Entry> = found.into_iter().flatten().cloned().collect();
        let comparison = Comparison::of(&entries);
        let chosen = comparison.iter().flat_map(|comparison| &comparison.rows).filter_map(|row| row.chosen());
        let chosen = chosen.filter_map(|setting| setting.runs.values().next()).map(|entry| &entry.record.spec);
        runs.extend(chosen.flat_map(|spec| on(spec, &self.seeds)));
        runs
    }
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
        Study::new(settings(), SEEDS.to_vec(), Tuning { seeds: Some(vec![0]), ..tuning }).unwrap()
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

    /// Number of the method, epochs of the rung, seed; of the runs that `study` asks for and `entries` has not.
    fn missing(study: &Study, entries: &[Entry], name: &str) -> Vec<(f64, Option<u64>, u64)> {
        let runs = study.runs(entries);
        let is_new = |spec: &&Spec| entries.iter().all(|entry| entry.record.spec != **spec);
        let of_method = runs.iter().filter(is_new).filter(|spec| spec.method["name"] == name);
        let number = |spec: &Spec| spec.method.get("strength").or(spec.method.get("rate")).and_then(Value::as_f64);
        of_method.map(|spec| (number(spec).unwrap(), stopped(&spec.train), spec.seed)).collect()
    }

    #[test]
    fn trials_come_first_and_then_the_chosen_setting_on_all_seeds() {
        let study = study(Tuning::default());
        let trials = [(1e-4, None, 0), (1e-3, None, 0), (1e-2, None, 0), (1e-1, None, 0)];
        assert_eq!(missing(&study, &[], "wrs"), trials);
        assert_eq!((study.runs(&[]).len(), study.to_come(&[])), (8, 4));
        let mut entries: Vec<Entry> = study.runs(&[]).iter().map(result).collect();
        assert_eq!(missing(&study, &entries[..7], "wrs"), trials[3..], "not before all trials have a result");
        assert_eq!(missing(&study, &entries[..7], "weight-decay").len(), 2, "rows do not wait for each other");
        assert_eq!(missing(&study, &entries, "wrs"), [(1e-3, None, 1), (1e-3, None, 2)]);
        entries = study.runs(&entries).iter().map(result).collect();
        assert_eq!(missing(&study, &entries, "wrs"), []);
        assert_eq!(study.to_come(&entries), 0);
        assert_eq!(study.runs(&entries).len(), 8 + 4);
        let chosen = crate::chosen(&entries);
        assert_eq!(chosen.len(), 6, "what is tested is what was trained on all seeds");
    }

    #[test]
    fn what_diverges_is_not_chosen() {
        let study = study(Tuning::default());
        let mut entries: Vec<Entry> = study.runs(&[]).iter().map(result).collect();
        diverge(&mut entries[1]);
        let runs = missing(&study, &entries, "weight-decay");
        assert_eq!(runs, [(1e-2, None, 1), (1e-2, None, 2)]);
        entries.iter_mut().for_each(diverge);
        assert_eq!(study.runs(&entries).len(), 8);
    }

    #[test]
    fn rungs_halve_the_trials() {
        let halving = vec![Rung { epochs: 3, keep: 2 }, Rung { epochs: 9, keep: 1 }];
        let study = study(Tuning { halving, ..Tuning::default() });
        assert_eq!(study.to_come(&[]), 2 * (2 + 1 + 2));
        let mut entries = Vec::new();
        let mut stages = Vec::new();
        loop {
            let stage = missing(&study, &entries, "wrs");
            if stage.is_empty() {
                break;
            }
            stages.push(stage);
            let runs = study.runs(&entries);
            entries = runs.iter().map(result).collect();
        }
        let first = [1e-4, 1e-3, 1e-2, 1e-1].map(|number| (number, Some(3), 0)).to_vec();
        let second = vec![(1e-3, Some(9), 0), (1e-2, Some(9), 0)];
        // The one that learns faster is kept: halving is not free.
        let rest = [vec![(1e-2, None, 0)], vec![(1e-2, None, 1), (1e-2, None, 2)]];
        assert_eq!(stages, [&[first, second], &rest[..]].concat());
    }

    #[test]
    fn a_row_of_one_setting_needs_no_trial() {
        let study =
            Study::new(vec![spec(&decay(1e-3))], vec![4, 5], Tuning { seeds: Some(vec![0]), ..Tuning::default() });
        let seeds: Vec<u64> = study.unwrap().runs(&[]).iter().map(|spec| spec.seed).collect();
        assert_eq!(seeds, [4, 5]);
    }

    #[test]
    fn unequal_budgets_are_refused() {
        let fewer = || settings()[1..].to_vec();
        let error = Study::new(fewer(), vec![0], Tuning::default()).unwrap_err();
        insta::assert_snapshot!(error, @r"
        expected as many settings for each row of the table, found 3 for weight-decay, 4 for wrs
          hint: give each `[[method]]` a `search` with as many values, or ranges, of which `trials` in `[tuning]` are drawn; with `unequal = true` there they may differ, and the report says so
        ");
        assert!(Study::new(fewer(), vec![0], Tuning { unequal: true, ..Tuning::default() }).is_ok());
    }
}
