//! How hyper-parameters are searched: the budget of each row of the table, and the settings that are tried.

use record::{Spec, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use settings::Mistake;
use std::collections::BTreeMap;

/// The `[tuning]` table of a configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// Settings of each row, which are drawn where a search gives ranges.
    pub trials: Option<usize>,
    /// Seeds of the search, over which validation chooses; two that are no seeds of the result where it is not given.
    pub seeds: Option<Vec<u64>>,
    /// Settings of each row that are tried on more than the first of these seeds: the best on that one.
    pub finalists: usize,
    /// Whether rows may try different numbers of settings. Reports say so.
    pub unequal: bool,
    /// Successive halving: rungs that trials have to pass before they are trained to the end.
    pub halving: Vec<Rung>,
    /// The largest difference of headline scores that does not matter, in the table's unit (points of a percentage).
    pub margin: Option<f64>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { trials: None, seeds: None, finalists: 3, unequal: false, halving: Vec::new(), margin: None }
    }
}

/// A rung of successive halving (arXiv 1502.07943): trials are stopped, and only the best go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// Epochs after which trials are compared, of the schedule of the whole training.
    pub epochs: u64,
    /// Trials of each row that go on.
    pub keep: usize,
}

/// What is searched for a method, by dotted key.
pub(crate) type Search = BTreeMap<String, Values>;

/// Values of a hyper-parameter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Values {
    /// Each of them, with each of the other keys' values: a grid.
    List(Vec<Value>),
    /// Any between two ends, drawn together with the other keys'.
    Range(Range),
}

/// Both ends of a hyper-parameter, and on which scale values between them are spread evenly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Range {
    Linear([f64; 2]),
    Log([f64; 2]),
}

impl Range {
    fn check(self, key: &str) -> Result<(), Mistake> {
        let ([low, high], log) = match self {
            Self::Linear(ends) => (ends, false),
            Self::Log(ends) => (ends, true),
        };
        if !(low.is_finite() && high.is_finite() && low < high && (!log || low > 0.0)) {
            let what = if log { "two positive numbers, the smaller first" } else { "two numbers, the smaller first" };
            return Err(Mistake::new(key, what, format!("[{low}, {high}]")));
        }
        Ok(())
    }

    /// The value at `share` of the way, with three significant digits: what a table shows is what was tried.
    fn at(self, share: f64) -> f64 {
        let (value, [low, high]) = match self {
            Self::Linear([low, high]) => (low + share * (high - low), [low, high]),
            Self::Log(ends @ [low, high]) => {
                let [from, to] = ends.map(libm::log);
                (libm::exp(from + share * (to - from)), [low, high])
            }
        };
        format!("{value:.2e}").parse().unwrap_or(value).clamp(low, high)
    }
}

/// The settings that `search` tries, as values by dotted key: the grid of its lists, or `trials` points of a scrambled Sobol
/// sequence (Owen 1995) in its ranges. `keys` are those that any method of the configuration searches, sorted: a key has one
/// dimension of the sequence, so methods that search the same range of a learning rate try the same rates.
pub(crate) fn settings(
    search: &Search,
    keys: &[&str],
    trials: Option<usize>,
) -> Result<Vec<Vec<(String, Value)>>, Mistake> {
    let (mut lists, mut ranges) = (Vec::new(), Vec::new());
    for (key, values) in search {
        match values {
            Values::List(values) if values.is_empty() => {
                return Err(Mistake::new(key, "values to try", "an empty list"));
            }
            Values::List(values) => lists.push((key, values)),
            Values::Range(range) => {
                range.check(key)?;
                ranges.push((key, *range));
            }
        }
    }
    match (lists.first(), ranges.first()) {
        (Some((list, _)), Some((range, _))) => Err(Mistake::new(
            "search",
            "lists, which make a grid, or ranges, of which values are drawn",
            format!("a list for `{list}` and a range for `{range}`"),
        )),
        (None, Some((range, _))) => match trials {
            Some(trials) if (1..=MOST_TRIALS).contains(&trials) => Ok(sample(&ranges, keys, trials)),
            Some(trials) => Err(Mistake::new("tuning.trials", format!("1 to {MOST_TRIALS}"), trials)),
            None => {
                let mistake = Mistake::new(*range, "a list, or `trials` in `[tuning]` beside it", "a range alone");
                Err(mistake.with_hint("`trials` says how many values are drawn of each range"))
            }
        },
        _ => {
            let settings = lists.iter().try_fold(1usize, |product, (_, values)| product.checked_mul(values.len()));
            match settings.filter(|settings| *settings <= MOST_TRIALS) {
                Some(_) => Ok(grid(&lists)),
                None => {
                    let expected = format!("lists that make at most {MOST_TRIALS} settings together");
                    Err(Mistake::new("search", expected, "more"))
                }
            }
        }
    }
}

/// Length of the sequence.
const MOST_TRIALS: usize = 1 << 16;

fn grid(lists: &[(&String, &Vec<Value>)]) -> Vec<Vec<(String, Value)>> {
    let mut settings = vec![Vec::new()];
    for (key, values) in lists {
        let with = |setting: &Vec<(String, Value)>, value: &Value| {
            setting.iter().cloned().chain([((*key).clone(), value.clone())]).collect()
        };
        settings = settings.iter().flat_map(|setting| values.iter().map(|value| with(setting, value))).collect();
    }
    settings
}

fn sample(ranges: &[(&String, Range)], keys: &[&str], trials: usize) -> Vec<Vec<(String, Value)>> {
    let dimension = |key: &str| keys.iter().position(|known| *known == key).unwrap_or_default() as u32;
    let value = |trial: usize, (key, range): &(&String, Range)| {
        let share = sobol_burley::sample(trial as u32, dimension(key), 0);
        ((*key).clone(), Value::from(range.at(f64::from(share))))
    };
    (0..trials).map(|trial| ranges.iter().map(|range| value(trial, range)).collect()).collect()
}

/// The key of `[train]` that stops a run at a rung.
pub(crate) const STOP_AFTER: &str = "stop_after";

impl Rung {
    /// `spec` as it is run up to this rung.
    pub(crate) fn of(self, spec: &Spec) -> Spec {
        let mut stopped = spec.clone();
        stopped.train.insert(STOP_AFTER.into(), self.epochs.into());
        stopped
    }
}

/// After how many epochs a run is stopped at a rung, by its `[train]` table; `None` where it is trained to the end.
pub fn stopped(train: &Table) -> Option<u64> {
    train.get(STOP_AFTER).and_then(Value::as_u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn search(value: Value) -> Search {
        serde_json::from_value(value).unwrap()
    }

    fn numbers(settings: &[Vec<(String, Value)>], key: &str) -> Vec<f64> {
        let value = |setting: &Vec<(String, Value)>| setting.iter().find(|(name, _)| name == key).unwrap().1.as_f64();
        settings.iter().map(|setting| value(setting).unwrap()).collect()
    }

    #[test]
    fn lists_make_a_grid() {
        let search = search(json!({"a": [1, 2, 3], "b": ["x", "y"]}));
        let found = settings(&search, &["a", "b"], None).unwrap();
        assert_eq!(found.len(), 6);
        assert_eq!(found[1], [("a".to_owned(), json!(1)), ("b".to_owned(), json!("y"))]);
        assert_eq!(settings(&Search::new(), &[], None).unwrap(), [vec![]], "nothing searched is one setting");
    }

    /// Of the first 2^m points of a scrambled (t, m, 2)-net in base 2, one lies in each elementary interval; so do the
    /// projections.
    #[test]
    fn ranges_are_filled_evenly() {
        let search =
            search(json!({"decay": {"log": [1e-6, 1e-2]}, "lr": {"log": [1e-3, 10.0]}, "m": {"linear": [0, 1]}}));
        for trials in [2, 4, 8, 16, 64] {
            let found = settings(&search, &["decay", "lr", "m"], Some(trials)).unwrap();
            assert_eq!(found.len(), trials);
            let shares = [
                numbers(&found, "decay").iter().map(|v| (libm::log10(*v) + 6.0) / 4.0).collect::<Vec<f64>>(),
                numbers(&found, "lr").iter().map(|v| (libm::log10(*v) + 3.0) / 4.0).collect(),
                numbers(&found, "m"),
            ];
            for shares in &shares {
                let cell = |share: f64| ((share * trials as f64) as usize).min(trials - 1);
                let mut cells: Vec<usize> = shares.iter().map(|share| cell(*share)).collect();
                cells.sort_unstable();
                // Three digits may push a value over the edge of its cell.
                let distinct = cells.iter().collect::<std::collections::BTreeSet<_>>().len();
                assert!(distinct as f64 >= 0.9 * trials as f64, "{trials}: {cells:?}");
            }
            let quadrants = (0..4).map(|quadrant| {
                let inside = |i: &usize| {
                    (shares[0][*i] >= 0.5) == (quadrant % 2 == 1) && (shares[1][*i] >= 0.5) == (quadrant / 2 == 1)
                };
                (0..trials).filter(inside).count()
            });
            if trials >= 4 {
                assert!(
                    quadrants.clone().all(|count| count == trials / 4),
                    "{trials}: {:?}",
                    quadrants.collect::<Vec<_>>()
                );
            }
        }
    }

    #[test]
    fn what_is_drawn_does_not_change() {
        let both = search(json!({"method.decay": {"log": [1e-5, 1e-1]}, "optimizer.lr": {"log": [0.01, 1.0]}}));
        let keys = ["method.decay", "optimizer.lr"];
        let found = settings(&both, &keys, Some(4)).unwrap();
        insta::assert_snapshot!(serde_json::to_string(&found).unwrap(), @r#"[[["method.decay",0.000112],["optimizer.lr",0.119]],[["method.decay",0.0768],["optimizer.lr",0.0834]],[["method.decay",0.00537],["optimizer.lr",0.36]],[["method.decay",0.0000123],["optimizer.lr",0.0159]]]"#);
        let one = search(json!({"optimizer.lr": {"log": [0.01, 1.0]}}));
        let alone = settings(&one, &keys, Some(4)).unwrap();
        assert_eq!(numbers(&alone, "optimizer.lr"), numbers(&found, "optimizer.lr"), "the same rates for every method");
        let more = settings(&both, &keys, Some(8)).unwrap();
        assert_eq!(more[..4], found, "more trials keep those that were tried");
    }

    #[test]
    fn mistakes_are_explained() {
        let problem = |value: Value, trials: Option<usize>| settings(&search(value), &["a", "b"], trials).unwrap_err();
        insta::assert_snapshot!(problem(json!({"a": []}), None), @"`a`: expected values to try, found an empty list");
        insta::assert_snapshot!(problem(json!({"a": [1], "b": {"log": [1, 2]}}), Some(2)), @"`search`: expected lists, which make a grid, or ranges, of which values are drawn, found a list for `a` and a range for `b`");
        insta::assert_snapshot!(problem(json!({"a": {"log": [1, 2]}}), None), @r"
        `a`: expected a list, or `trials` in `[tuning]` beside it, found a range alone
          hint: `trials` says how many values are drawn of each range
        ");
        insta::assert_snapshot!(problem(json!({"a": {"log": [0, 2]}}), Some(2)), @"`a`: expected two positive numbers, the smaller first, found [0, 2]");
        insta::assert_snapshot!(problem(json!({"a": {"linear": [3, 2]}}), Some(2)), @"`a`: expected two numbers, the smaller first, found [3, 2]");
        insta::assert_snapshot!(problem(json!({"a": {"log": [1, 2]}}), Some(0)), @"`tuning.trials`: expected 1 to 65536, found 0");
        let many: Vec<u32> = (0..300).collect();
        insta::assert_snapshot!(problem(json!({"a": many, "b": many}), None), @"`search`: expected lists that make at most 65536 settings together, found more");
        assert!(serde_json::from_value::<Search>(json!({"a": {"log": [1]}})).is_err());
    }
}
