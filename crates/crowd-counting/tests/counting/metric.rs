//! The metric.

use crowd_counting::{Counts, Map, game};
use proptest::prelude::*;

fn counts(pairs: &[[f64; 2]]) -> Counts {
    let mut counts = Counts::default();
    pairs.iter().for_each(|[truth, estimate]| counts.observe(*truth, *estimate));
    counts
}

/// By hand: errors of 2, 1, 5 and 0; the image without people has no normalized error.
#[test]
fn numbers_by_hand() {
    let counts = counts(&[[10.0, 12.0], [0.0, 1.0], [20.0, 15.0], [4.0, 4.0]]);
    let summary = counts.summary();
    assert_eq!((summary.images, summary.mae, summary.bias), (4, Some(2.0), Some(-0.5)));
    assert_eq!(summary.rmse, Some(7.5_f64.sqrt()));
    assert_eq!(summary.nae, Some((0.2 + 0.25 + 0.0) / 3.0));
    // Errors of 0, 10, 10 and 6.
    assert_eq!(counts.mae_of_guess(10.0), Some(6.5));
}

#[test]
fn ranges_begin_where_they_say() {
    let truths = [0.0, 1.0, 9.0, 10.0, 29.0, 30.0, 99.0, 100.0, 299.0, 300.0, 999.0, 1000.0, 2999.0, 3000.0, 1e5];
    let pairs: Vec<[f64; 2]> = truths.iter().enumerate().map(|(error, truth)| [*truth, truth + error as f64]).collect();
    let ranges = counts(&pairs).summary().ranges;
    let found: Vec<(&str, usize, f64)> =
        ranges.iter().map(|range| (range.count.as_str(), range.images, range.mae)).collect();
    let expected = [
        ("0", 1, 0.0),
        ("1-9", 2, 1.5),
        ("10-29", 2, 3.5),
        ("30-99", 2, 5.5),
        ("100-299", 2, 7.5),
        ("300-999", 2, 9.5),
        ("1000-2999", 2, 11.5),
        ("3000 and more", 2, 13.5),
    ];
    assert_eq!(found, expected);
}

#[test]
fn scores_are_what_can_be_said() {
    let scores = counts(&[[12.0, 13.0], [14.0, 11.0]]).scores();
    assert_eq!(scores.keys().collect::<Vec<_>>(), ["bias", "images/10-29", "mae", "mae/10-29", "nae", "rmse"]);
    assert_eq!((scores["mae"], scores["mae/10-29"], scores["images/10-29"], scores["bias"]), (2.0, 2.0, 2.0, -1.0));
    let nobody = counts(&[[0.0, 3.0]]).scores();
    assert_eq!(nobody.keys().collect::<Vec<_>>(), ["bias", "images/0", "mae", "mae/0", "rmse"]);
}

#[test]
fn of_no_images_nothing_is_said() {
    let summary = Counts::default().summary();
    assert_eq!((summary.images, summary.mae, summary.rmse, summary.nae, summary.bias), (0, None, None, None, None));
    assert!(summary.ranges.is_empty() && Counts::default().scores().is_empty());
    assert_eq!(Counts::default().mae_of_guess(3.0), None);
}

/// In the upper left and lower right quarter one too many, in the lower left two too few.
#[test]
fn game_by_hand() {
    let truth = Map { height: 2, width: 2, values: vec![1.0, 0.0, 5.0, 2.0] };
    let estimate = Map { height: 2, width: 2, values: vec![2.0, 0.0, 3.0, 3.0] };
    assert_eq!([0, 1, 2, 5].map(|level| game(&truth, &estimate, level)), [0.0, 4.0, 4.0, 4.0]);
    let nothing = Map::empty([0, 0], 8);
    assert_eq!(game(&nothing, &nothing, 3), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Errors of regions cancel out in larger ones only, and of single cells not at all.
    #[test]
    fn game_grows_with_its_level(height in 1usize..20, width in 1usize..20, seed in prop::collection::vec((0u8..9, 0u8..9), 400)) {
        let of = |cells: Vec<f64>| Map { height, width, values: cells };
        let cells = &seed[..height * width];
        let truth = of(cells.iter().map(|(truth, _)| f64::from(*truth)).collect());
        let estimate = of(cells.iter().map(|(_, estimate)| f64::from(*estimate)).collect());
        let games: Vec<f64> = (0..6).map(|level| game(&truth, &estimate, level)).collect();
        prop_assert_eq!(games[0], (truth.sum() - estimate.sum()).abs());
        prop_assert!(games.is_sorted(), "{games:?}");
        let of_cells: f64 = cells.iter().map(|(truth, estimate)| f64::from(truth.abs_diff(*estimate))).sum();
        prop_assert_eq!(games[5], of_cells);
    }
}
