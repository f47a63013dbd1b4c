//! Performance profiles: methods compared over several tasks.

use std::iter::once;

/// Up to which ratio of costs a profile is averaged: 4, as AlgoPerf takes it (arXiv 2306.07179).
pub const WORST_RATIO: f64 = 4.0;

/// The performance profile of a method (Dolan and Moré 2002): ρ(τ), the share of tasks that it
/// solves at no more than τ times the cost of the method that solves the task at least cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// (τ, ρ) at τ = 1 and wherever ρ rises, by τ. Between them ρ is that of the step before, and
    /// after the last, too.
    pub steps: Vec<(f64, f64)>,
    /// Mean of ρ over log τ, from τ = 1 to [`WORST_RATIO`]: 1 for a method that is the best of every
    /// task, 0 for one that solves none, ½ for one that always costs double. AlgoPerf averages over τ
    /// itself; over its logarithm, each doubling of the cost counts the same.
    pub mean: f64,
}

/// The profiles of methods, in their order. `costs[method][task]` is what the method needs to solve the
/// task, in a unit of the task's own, such as steps or seconds to a target; `None` where it misses it,
/// which counts as an infinite cost.
///
/// A task that no method solves counts as missed for all, as in AlgoPerf: ρ then ends below 1. What
/// is no cost (zero, negative, not finite) counts as missed, as do tasks that a shorter row leaves out.
pub fn profile(costs: &[Vec<Option<f64>>]) -> Vec<Profile> {
    let tasks = costs.iter().map(Vec::len).max().unwrap_or(0);
    let cost = |method: &[Option<f64>], task: usize| {
        method.get(task).copied().flatten().filter(|cost| *cost > 0.0 && cost.is_finite())
    };
    let best: Vec<Option<f64>> =
        (0..tasks).map(|task| costs.iter().filter_map(|method| cost(method, task)).reduce(f64::min)).collect();
    let of = |method: &Vec<Option<f64>>| {
        let mut ratios: Vec<f64> =
            best.iter().enumerate().filter_map(|(task, best)| Some(cost(method, task)? / (*best)?)).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let share = |solved: usize| if tasks == 0 { 0.0 } else { solved as f64 / tasks as f64 };
        let at_once = ratios.partition_point(|ratio| *ratio <= 1.0);
        let rises = (at_once..ratios.len()).filter(|i| ratios.get(i + 1) != Some(&ratios[*i]));
        let steps = once((1.0, share(at_once))).chain(rises.map(|i| (ratios[i], share(i + 1)))).collect();
        // A task is solved from its ratio on.
        let solved = |ratio: &f64| (1.0 - libm::log(*ratio) / libm::log(WORST_RATIO)).max(0.0);
        let mean = if tasks == 0 { 0.0 } else { ratios.iter().map(solved).sum::<f64>() / tasks as f64 };
        Profile { steps, mean }
    };
    costs.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_profile_by_hand() {
        let costs = [
            vec![Some(10.0), Some(8.0), None, None, Some(3.0)],
            vec![Some(20.0), Some(4.0), Some(7.0), None, Some(3.0)],
            vec![Some(20.0), Some(40.0), None, None, None],
        ];
        let [first, second, third] = profile(&costs).try_into().unwrap();
        assert_eq!(first, Profile { steps: vec![(1.0, 0.4), (2.0, 0.6)], mean: (1.0 + 0.5 + 1.0) / 5.0 });
        assert_eq!(second, Profile { steps: vec![(1.0, 0.6), (2.0, 0.8)], mean: (0.5 + 1.0 + 1.0 + 1.0) / 5.0 });
        // Ten times the cost is beyond what the mean sees.
        assert_eq!(third, Profile { steps: vec![(1.0, 0.0), (2.0, 0.2), (10.0, 0.4)], mean: 0.1 });
    }

    #[test]
    fn what_is_no_cost_is_a_miss() {
        let none = Profile { steps: vec![(1.0, 0.0)], mean: 0.0 };
        assert_eq!(profile(&[]), []);
        assert_eq!(profile(&[vec![], vec![]]), [none.clone(), none.clone()]);
        assert_eq!(profile(&[vec![None, None]]), std::slice::from_ref(&none));
        let bad = [0.0, -1.0, f64::NAN, f64::INFINITY].map(Some).to_vec();
        let good = vec![Some(5.0); 4];
        let all = Profile { steps: vec![(1.0, 1.0)], mean: 1.0 };
        assert_eq!(
            profile(&[bad, vec![Some(6.0)], good]),
            [
                none,
                Profile { steps: vec![(1.0, 0.0), (1.2, 0.25)], mean: 0.25 * (1.0 - libm::log(1.2) / libm::log(4.0)) },
                all
            ]
        );
    }

    proptest! {
        #[test]
        fn steps_rise_and_their_mean_is_the_mean(
            costs in prop::collection::vec(prop::collection::vec(prop::option::of(1.0..12.0f64), 6), 1..5),
        ) {
            let profiles = profile(&costs);
            prop_assert_eq!(profiles.len(), costs.len());
            for Profile { steps, mean } in &profiles {
                prop_assert!(steps.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "{steps:?}");
                let ends = steps.iter().skip(1).map(|step| step.0).chain([f64::INFINITY]);
                let parts = steps.iter().zip(ends).map(|(&(from, share), to)| {
                    share * libm::log(to.min(WORST_RATIO) / from.min(WORST_RATIO))
                });
                prop_assert!((parts.sum::<f64>() / libm::log(WORST_RATIO) - mean).abs() < 1e-12);
            }
            // Someone is the best of each task that someone solves.
            let solved = (0..6).filter(|task| costs.iter().any(|method| method[*task].is_some())).count();
            let best: f64 = profiles.iter().map(|profile| profile.steps[0].1).sum();
            prop_assert!(best >= solved as f64 / 6.0 - 1e-12);
        }
    }
}
