//! The configurations of this repository.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use study::{Config, Selection, Study};

fn configurations() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let inside = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    inside(folder).flat_map(inside).filter(|path| path.extension().is_some_and(|e| e == "toml")).collect()
}

/// As they are written: defaults that are not filled in make no row.
#[test]
fn every_configuration_gives_its_rows_equal_budgets() {
    let all = configurations();
    assert!(all.len() > 10, "{all:?}");
    for path in all {
        for quick in [false, true] {
            let selection = Selection { quick, ..Selection::default() };
            let grid = Config::read(&path).unwrap().grid(&selection).unwrap();
            let (matched, settings): (Vec<_>, Vec<_>) = grid.points.into_iter().partition(|point| point.matched);
            let [matched, settings] =
                [matched, settings].map(|points| points.into_iter().map(|point| point.spec).collect());
            let study = Study::new(settings, matched, grid.seeds, grid.tuning);
            let study = study.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(!study.runs(&[]).is_empty(), "{}", path.display());
        }
    }
}
