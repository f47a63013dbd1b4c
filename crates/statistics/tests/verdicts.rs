//! How often a table's verdicts err, in simulated tables whose truth is known. docs/methodology.md quotes the figures:
//! `cargo test -p statistics --test verdicts -- --nocapture`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rand_distr::{Distribution, StandardNormal};
use statistics::{Contrast, Dunnett, Noise};

const TABLES: usize = 16_000;
/// Settings that are tried of each row, and the seeds of the search.
const SETTINGS: usize = 4;
const SEARCHED: usize = 2;

/// How noisy the rows of a table are; the first is the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Spread {
    Equal,
    /// Standard deviations are log-normal with σ = 0.4: of nine rows, the noisiest has about 3.5 times the spread of the quietest.
    Unequal,
    /// The reference has three times the spread of all others, which is the worst case.
    NoisyReference,
}

/// A kind of table.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    rows: usize,
    seeds: usize,
    /// Standard deviation of what runs of a seed share, in that of a run's own noise.
    shared: f64,
    spread: Spread,
}

/// Critical values of [`Dunnett`], read off between a few: a hundred thousand take too long to compute.
struct Critical(Vec<(f64, f64)>);

impl Critical {
    fn new(comparisons: usize) -> Self {
        let inverse = (0..=64).map(|node| f64::from(node) / 64.0);
        let value = |inverse: f64| {
            let of = Dunnett { comparisons, degrees: 1.0 / inverse };
            // The logarithm bends less.
            (inverse, libm::log(of.critical(0.95).unwrap()))
        };
        Self(inverse.map(value).collect())
    }

    fn at(&self, degrees: f64) -> f64 {
        let inverse = (1.0 / degrees).min(1.0);
        let place = ((inverse * 64.0) as usize).min(63);
        let [(from, low), (to, high)] = [self.0[place], self.0[place + 1]];
        libm::exp(low + (high - low) * (inverse - from) / (to - from))
    }
}

/// What went wrong, as shares of the tables.
#[derive(Debug, Default)]
struct Errors {
    /// Any row of equal methods is called better or worse.
    false_difference: f64,
    /// Any row whose difference is the margin is called equivalent, at the worst of several margins.
    false_equivalent: f64,
    /// Any interval of the table misses its difference.
    missed: f64,
    /// Intervals, each by itself, that miss.
    missed_each: f64,
}

fn simulate(scenario: Scenario, critical: &Critical) -> Errors {
    let Scenario { rows, seeds, shared, spread } = scenario;
    let kind = [rows as u64, seeds as u64, shared.to_bits(), spread as u64];
    let mut rng = random::stream(0, "simulated verdicts", &kind);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let mut counts = Errors::default();
    let mut equivalent = [0.0; MARGINS.len()];
    for _ in 0..TABLES {
        let spreads: Vec<f64> = (0..rows)
            .map(|row| match spread {
                Spread::Equal => 1.0,
                Spread::Unequal => libm::exp(0.4 * normal()),
                Spread::NoisyReference => {
                    if row == 0 {
                        3.0
                    } else {
                        1.0
                    }
                }
            })
            .collect();
        // Settings differ by a few deviations, and validation on the seeds of the search chooses one.
        let mut chosen = Vec::new();
        let luck: Vec<f64> = (0..SEARCHED).map(|_| shared * normal()).collect();
        for spread in &spreads {
            let truth: Vec<f64> = (0..SETTINGS).map(|_| 1.5 * normal()).collect();
            let found = truth
                .iter()
                .map(|truth| truth + luck.iter().map(|luck| luck + spread * normal()).sum::<f64>() / SEARCHED as f64);
            let best = found.enumerate().max_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap().0;
            chosen.push(truth[best]);
        }
        let of_seed: Vec<f64> = (0..seeds).map(|_| shared * normal()).collect();
        let noise: Vec<Vec<f64>> =
            spreads.iter().map(|spread| of_seed.iter().map(|seed| seed + spread * normal()).collect()).collect();
        let judged = |truth: &dyn Fn(usize) -> f64| -> Vec<(Contrast, f64)> {
            let moved: Vec<Vec<f64>> = noise
                .iter()
                .enumerate()
                .map(|(row, noise)| noise.iter().map(|score| score + truth(row)).collect())
                .collect();
            let of = Noise::of(&moved).unwrap();
            let contrasts = (1..rows).map(|row| of.contrast(row, 0).unwrap());
            contrasts.map(|contrast| (contrast, critical.at(contrast.degrees) * contrast.error)).collect()
        };
        let equal = judged(&|_| 0.0);
        counts.false_difference += share(equal.iter().any(|(contrast, half)| contrast.difference.abs() > *half));
        let real = judged(&|row| chosen[row]);
        let missed = real
            .iter()
            .zip(1..)
            .map(|((contrast, half), row)| (contrast.difference - (chosen[row] - chosen[0])).abs() > *half);
        let missed: Vec<bool> = missed.collect();
        counts.missed += share(missed.contains(&true));
        counts.missed_each += missed.iter().filter(|missed| **missed).count() as f64 / (rows - 1) as f64;
        for (margin, count) in MARGINS.iter().zip(&mut equivalent) {
            // Half of the rows are better by the margin, and half are worse.
            let sign = |row: usize| if row.is_multiple_of(2) { 1.0 } else { -1.0 };
            let at_margin = judged(&|row| if row == 0 { 0.0 } else { sign(row) * margin });
            *count += share(at_margin.iter().any(|(contrast, half)| contrast.difference.abs() + half <= *margin));
        }
    }
    let of = |count: f64| count / TABLES as f64;
    Errors {
        false_difference: of(counts.false_difference),
        false_equivalent: of(equivalent.into_iter().fold(0.0, f64::max)),
        missed: of(counts.missed),
        missed_each: of(counts.missed_each),
    }
}

/// In deviations of a run's noise.
const MARGINS: [f64; 3] = [1.0, 3.0, 9.0];

fn share(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

/// Simulates tables of each number of rows and seeds, with and without noise that seeds share.
fn simulated(spread: Spread) -> Vec<(Scenario, Errors)> {
    let mut found = Vec::new();
    for rows in [2, 3, 5, 9] {
        let critical = Critical::new(rows - 1);
        for (seeds, shared) in [(3, 0.0), (3, 1.0), (5, 0.0), (5, 1.0), (10, 0.0), (10, 1.0)] {
            let scenario = Scenario { rows, seeds, shared, spread };
            let errors = simulate(scenario, &critical);
            let Errors { false_difference, false_equivalent, missed, missed_each } = errors;
            println!(
                "{spread:?}, {rows} rows, {seeds} seeds, shared {shared}: false differences {:.1} %, false equivalents {:.1} %, \
                 all intervals cover {:.1} %, each {:.1} %",
                100.0 * false_difference,
                100.0 * false_equivalent,
                100.0 * (1.0 - missed),
                100.0 * (1.0 - missed_each)
            );
            found.push((scenario, errors));
        }
    }
    found
}

#[test]
fn verdicts_err_as_often_as_promised() {
    for spread in [Spread::Equal, Spread::Unequal] {
        for (scenario, errors) in simulated(spread) {
            // 4 to 6 %, but for 3.8 % of tables of three equally noisy rows with three seeds.
            assert!((0.037..=0.06).contains(&errors.false_difference), "{scenario:?}: {errors:?}");
            assert!(errors.false_equivalent <= 0.05, "{scenario:?}: {errors:?}");
            assert!((0.03..=0.07).contains(&errors.missed), "{scenario:?}: {errors:?}");
        }
    }
}

/// Beyond what is promised with three seeds; within it from five on.
#[test]
fn a_noisy_reference_costs_some_of_it() {
    for (scenario, errors) in simulated(Spread::NoisyReference) {
        let [difference, equivalent] = if scenario.seeds == 3 { [0.1, 0.08] } else { [0.06, 0.05] };
        assert!(errors.false_difference <= difference && errors.missed <= difference, "{scenario:?}: {errors:?}");
        assert!(errors.false_equivalent <= equivalent, "{scenario:?}: {errors:?}");
    }
}
