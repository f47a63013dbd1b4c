//! The report's figures, and their place on the page.

use super::ranking::{Line, Ranking};
use super::words::{escape, listed};
use crate::choice::Setting;
use crate::plot::{self, Figure, Panel, Point, Scale, Theme, Trim, svg};
use crate::run::{NormRow, Record};
use std::collections::BTreeMap;

/// Largest over smallest norm from which on the axis is logarithmic.
const WIDE: f64 = 8.0;

/// The figures' files: name and SVG.
pub(super) fn draw(name: &str, ranking: &Ranking<'_>) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (kind, figure) in figures(ranking) {
        for (theme, suffix) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
            files.insert(format!("{name}-{kind}-{suffix}.svg"), svg(&figure, theme));
        }
    }
    files
}

/// The markdown that shows them, one item a figure.
pub(super) fn embed(name: &str, ranking: &Ranking<'_>) -> Vec<String> {
    let show = |(kind, figure): (&str, Figure)| {
        let alt = escape(&figure.title).replace('"', "&quot;");
        format!(
            "<picture>\n  <source media=\"(prefers-color-scheme: dark)\" srcset=\"figures/{name}-{kind}-dark.svg\">\n  \
             <img alt=\"{alt}\" src=\"figures/{name}-{kind}-light.svg\">\n</picture>\n\n{}",
            escape(&figure.description)
        )
    };
    figures(ranking).into_iter().map(show).collect()
}

fn figures(ranking: &Ranking<'_>) -> Vec<(&'static str, Figure)> {
    let figures = [("accuracy", accuracy(ranking)), ("norms", norms(ranking))];
    figures.into_iter().filter_map(|(kind, figure)| Some((kind, figure?))).collect()
}

fn accuracy(ranking: &Ranking<'_>) -> Option<Figure> {
    let headline = ranking.comparison.headline;
    let scores = |record: &Record| {
        let score =
            |row: &crate::run::EpochRow| row.validation.get(&headline.score).map(|score| score * headline.scale);
        record.epochs.iter().filter_map(|row| Some((row.epoch + 1, score(row)?))).collect()
    };
    let lines = lines(ranking, &scores);
    let names = names(&lines)?;
    Some(Figure {
        title: format!("Validation {} after each epoch", headline.title),
        description: format!(
            "Validation {} after each epoch for the chosen settings of {names}: mean over seeds, with a band from the \
             lowest to the highest seed. The first epochs may lie outside of the plot.",
            headline.title
        ),
        panels: vec![Panel {
            y: format!("validation {}", headline.title),
            x: "epoch".to_owned(),
            scale: Scale::Linear,
            trim: if headline.higher_is_better { Trim::Low } else { Trim::High },
            lines,
        }],
    })
}

fn norms(ranking: &Ranking<'_>) -> Option<Figure> {
    let over_steps = |value: fn(&NormRow) -> f64| {
        let values = move |record: &Record| record.norms.iter().map(|row| (row.step, value(row))).collect();
        lines(ranking, &values)
    };
    let norms = over_steps(|row| row.filter_norm_median);
    let rates = over_steps(|row| row.effective_lr);
    let names = names(&norms)?;
    let values = || norms.iter().flat_map(|line| &line.points).map(|point| point.y).filter(|norm| *norm > 0.0);
    let wide = values().fold(0.0, f64::max) > WIDE * values().fold(f64::INFINITY, f64::min);
    let scale = if wide { Scale::Log } else { Scale::Linear };
    let panel = |y: &str, x: &str, scale, trim, lines| Panel { y: y.to_owned(), x: x.to_owned(), scale, trim, lines };
    Some(Figure {
        title: "Filter norm and effective learning rate during training".to_owned(),
        description: format!(
            "Median filter norm{} and effective learning rate (logarithmic) at each logged step for the chosen settings \
             of {names}: medians over the scale-invariant layers, mean over seeds, with a band from the lowest to the \
             highest seed. The lowest rates, at the end of a schedule that goes to zero, lie below the plot.",
            if wide { " (logarithmic)" } else { "" }
        ),
        panels: vec![
            panel("median filter norm", "step", scale, Trim::Neither, norms),
            panel("effective learning rate", "step", Scale::Log, Trim::Tail, rates),
        ],
    })
}

fn names(lines: &[plot::Line]) -> Option<String> {
    let labels: Vec<String> = lines.iter().map(|line| line.label.clone()).collect();
    (!labels.is_empty()).then(|| listed(&labels))
}

/// One line for each chosen setting that has values at any place.
fn lines(ranking: &Ranking<'_>, values: &dyn Fn(&Record) -> Vec<(u64, f64)>) -> Vec<plot::Line> {
    let line = |line: &Line<'_>| {
        let points = points(line.setting?, values);
        (!points.is_empty()).then(|| plot::Line { label: line.row.label.clone(), style: line.number, points })
    };
    ranking.lines.iter().filter_map(line).collect()
}

/// Mean, least and most over seeds, at the places that all seeds have.
fn points(setting: &Setting<'_>, values: &dyn Fn(&Record) -> Vec<(u64, f64)>) -> Vec<Point> {
    let mut places: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for entry in setting.runs.values() {
        for (place, value) in values(&entry.record) {
            places.entry(place).or_default().push(value);
        }
    }
    let complete = places.into_iter().filter(|(_, values)| values.len() == setting.runs.len());
    complete
        .map(|(place, values)| Point {
            x: place as f64,
            y: values.iter().sum::<f64>() / values.len() as f64,
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
        .collect()
}
