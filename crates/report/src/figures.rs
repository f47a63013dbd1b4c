//! The report's figures, and their place on the page.

use super::ranking::{Line, Ranking, Verdict};
use super::words::{escape, listed, number};
use plot::{Drawing, Effect, Effects, Figure, Forest, Medium, Panel, Point, Scale, Theme, Tone, Trim};
use record::{NormRow, Record};
use statistics::median;
use std::collections::BTreeMap;
use study::{Float, Setting, last};

/// What names of files tell figures apart by, in their order on the page.
const KINDS: [&str; 5] = ["forest", "rates", "sensitivity", "accuracy", "norms"];
/// Largest over smallest norm from which on the axis is logarithmic.
const WIDE: f64 = 8.0;

/// Share of the effective learning rates that may lie below the plot: those at the end of a schedule that goes to zero.
const LEAST_RATES: f64 = 0.08;
/// Share of the trials that may lie outside of the plot: what a rate does that is far too large.
const WORST_TRIALS: f64 = 0.2;

/// The optimizers of a family where there are several, and the lines of its rows.
type Plot<'r> = (Option<&'r str>, Vec<plot::Line>);

/// The figures, by what the names of their files begin with.
pub(super) fn draw(name: &str, ranking: &Ranking<'_>) -> BTreeMap<String, Drawing> {
    drawings(ranking).into_iter().map(|(kind, drawing)| (format!("{name}-{kind}"), drawing)).collect()
}

/// The files of a drawing that begin with `stem`, in both color schemes.
pub(super) fn files(stem: &str, drawing: &Drawing) -> [(String, String); 2] {
    [(Theme::Light, "light"), (Theme::Dark, "dark")]
        .map(|(theme, suffix)| (format!("{stem}-{suffix}.svg"), drawing.svg(Medium::File(theme))))
}

/// Whether `file` is the name of a figure of the report `name`.
pub fn is_figure(name: &str, file: &str) -> bool {
    let rest = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    let kind = rest.and_then(|rest| rest.strip_suffix("-light.svg").or(rest.strip_suffix("-dark.svg")));
    kind.is_some_and(|kind| KINDS.contains(&kind))
}

/// The markdown that shows those of the `kinds`, one item a figure.
pub(super) fn embed(name: &str, ranking: &Ranking<'_>, kinds: &[&str]) -> Vec<String> {
    let drawings = drawings(ranking).into_iter().filter(|(kind, _)| kinds.contains(kind));
    drawings.map(|(kind, drawing)| shown_as(&format!("{name}-{kind}"), &drawing)).collect()
}

/// The markdown that shows `drawing`, whose files begin with `stem`, and says what it shows.
pub(super) fn shown_as(stem: &str, drawing: &Drawing) -> String {
    format!("{}\n\n{}", picture(stem, drawing.title()), escape(drawing.description()))
}

/// The markdown that shows the figure whose files begin with `stem`, in the colors that the reader prefers.
fn picture(stem: &str, alt: &str) -> String {
    let alt = escape(alt).replace('"', "&quot;");
    format!(
        "<picture>\n  <source media=\"(prefers-color-scheme: dark)\" srcset=\"figures/{stem}-dark.svg\">\n  \
         <img alt=\"{alt}\" src=\"figures/{stem}-light.svg\">\n</picture>"
    )
}

fn drawings(ranking: &Ranking<'_>) -> Vec<(&'static str, Drawing)> {
    let figures = [rates(ranking), sensitivity(ranking), accuracy(ranking), norms(ranking)];
    let figures = figures.into_iter().map(|figure| figure.map(Drawing::Figure));
    let all = std::iter::once(forest(ranking).map(Drawing::Forest)).chain(figures);
    KINDS.into_iter().zip(all).filter_map(|(kind, drawing)| Some((kind, drawing?))).collect()
}

/// The differences of rows to the reference of their family, in panels of their own.
fn forest(ranking: &Ranking<'_>) -> Option<Forest> {
    let panels = ranking.families.iter().filter_map(|(family, _)| {
        let lines: Vec<&Line<'_>> = ranking.lines.iter().filter(|line| line.row.family() == *family).collect();
        let reference = lines.iter().find(|line| line.is_reference)?;
        effects(ranking, &lines, format!("Difference to {}", reference.row.label))
    });
    let panels: Vec<Effects> = panels.collect();
    let title = &ranking.comparison.headline.title;
    let margin = ranking.protocol.margin.map(|margin| {
        format!(" The band is the margin of ± {}: differences inside it do not matter.", number(Float(margin)))
    });
    (!panels.is_empty()).then(|| Forest {
        title: format!("Differences to weight decay in test {title}"),
        description: format!(
            "Differences to weight decay in test {title}, better to the right, with intervals that hold jointly with 95 % confidence, and \
             verdicts.{}",
            margin.unwrap_or_default()
        ),
        panels,
    })
}

/// The differences of `lines` that are compared, best first; `None` where there are none.
pub(super) fn effects(ranking: &Ranking<'_>, lines: &[&Line<'_>], heading: String) -> Option<Effects> {
    let headline = ranking.comparison.headline;
    let effect = |line: &&Line<'_>| {
        let interval = line.against_reference.as_ref()?.interval;
        let tone = match line.verdict {
            Verdict::Better => Tone::Better,
            Verdict::Worse => Tone::Worse,
            Verdict::Equivalent => Tone::Equivalent,
            _ => Tone::Undecided,
        };
        let verdict = line.verdict.words().to_owned();
        let (low, high) = (interval.low(), interval.high());
        Some(Effect { label: line.row.label.clone(), mean: interval.mean, low, high, verdict, tone })
    };
    let effects: Vec<Effect> = lines.iter().filter_map(effect).collect();
    (!effects.is_empty()).then(|| Effects {
        heading,
        unit: format!("test {}", headline.title),
        reversed: !headline.higher_is_better,
        margin: ranking.protocol.margin,
        effects,
    })
}

/// Ratio to the usual rate from which on a setting has no place in the plot.
const FAR: f64 = 1e3;
/// Fewer settings make no curve.
const FEWEST_SETTINGS: usize = 3;

/// Of every setting that was tried, the score against how fast its filters turned halfway through training.
fn rates(ranking: &Ranking<'_>) -> Option<Figure> {
    let headline = ranking.comparison.headline;
    let against = |value: fn(&NormRow) -> f64| {
        let midway = |setting: &Setting<'_>| {
            let values = setting.searched().map(|entry| entry.record.midway().map(value));
            median(&values.collect::<Option<Vec<_>>>()?)
        };
        // Filters that collapsed turn at rates that leave no room for the others.
        let settings = ranking.lines.iter().flat_map(|line| &line.row.settings);
        let usual = median(&settings.filter_map(midway).collect::<Vec<_>>()).unwrap_or_default();
        let is_usual = |value: &f64| (usual / FAR..=usual * FAR).contains(value);
        let values = |line: &Line<'_>| {
            let point =
                |(setting, score): (&Setting<'_>, &Option<f64>)| Some((midway(setting).filter(is_usual)?, (*score)?));
            let mut points: Vec<(f64, f64)> =
                line.row.settings.iter().zip(&line.search.scores).filter_map(point).collect();
            points.sort_by(|one, other| one.0.total_cmp(&other.0));
            exact(points)
        };
        plots(ranking, &values)
    };
    let panel = |x: &str, (family, mut lines): Plot<'_>| {
        lines.iter_mut().for_each(|line| line.joined = false);
        Panel {
            y: titled(&format!("validation {}", headline.title), family),
            x: x.to_owned(),
            x_scale: Scale::Log,
            scale: Scale::Linear,
            trim: if headline.higher_is_better { Trim::Lowest(WORST_TRIALS) } else { Trim::Highest(WORST_TRIALS) },
            lines,
        }
    };
    let (rates, rotations) = (against(|row| row.effective_lr), against(|row| row.rotation));
    let tried: usize = rates.iter().flat_map(|(_, lines)| lines).map(|line| line.points.len()).sum();
    let panels = rates.into_iter().zip(rotations).flat_map(|(rate, rotation)| {
        [panel("effective learning rate, halfway", rate), panel("rotation in a step, radians, halfway", rotation)]
    });
    (tried >= FEWEST_SETTINGS).then(|| Figure {
        title: format!("Validation {} against effective learning rate and rotation", headline.title),
        description: format!(
            "Validation {} of each setting against the effective learning rate and the rotation (logarithmic) of its filters halfway \
             through training. Rows that lie on one curve differ merely in their rates. The worst settings, and rates more than a \
             thousand times others, are not shown.{}",
            headline.title,
            hidden(ranking)
        ),
        panels: panels.collect(),
        same_height: true,
    })
}

fn sensitivity(ranking: &Ranking<'_>) -> Option<Figure> {
    let headline = ranking.comparison.headline;
    let mut keys: Vec<&str> = ranking.lines.iter().flat_map(|line| line.row.searched()).collect();
    // The learning rate, which most rows search, first.
    keys.sort_by_key(|key| (!key.starts_with("optimizer."), *key));
    keys.dedup();
    let mut panels = Vec::new();
    let mut labels = Vec::new();
    for key in keys {
        let values = |line: &Line<'_>| {
            let profile = line.search.profile(line.row, key).into_iter();
            let curve: Vec<(f64, f64)> = profile.filter_map(|(value, score)| Some((value, score?))).collect();
            if curve.len() < FEWEST_SETTINGS { Vec::new() } else { curve }
        };
        for (family, mut lines) in plots(ranking, &|line| exact(values(line))) {
            for line in &mut lines {
                let row = ranking.lines.iter().find(|other| other.row.label == line.label);
                line.joined = row.is_none_or(|line| line.row.searched().len() == 1);
            }
            labels.extend(lines.iter().map(|line| line.label.clone()));
            panels.push(Panel {
                y: titled(&format!("validation {}", headline.title), family),
                x: last(key).to_owned(),
                x_scale: Scale::Log,
                scale: Scale::Linear,
                trim: if headline.higher_is_better { Trim::Lowest(WORST_TRIALS) } else { Trim::Highest(WORST_TRIALS) },
                lines,
            });
        }
    }
    let drawn = ranking.lines.iter().map(|line| line.row.label.clone()).filter(|label| labels.contains(label));
    let drawn: Vec<String> = drawn.collect();
    (!panels.is_empty()).then(|| Figure {
        title: format!("Validation {} against the searched hyperparameters", headline.title),
        description: format!(
            "Validation {} of each trial against its hyperparameters (logarithmic), for {}: flat lines are robust to tuning. Where \
             several hyper-parameters were searched together, trials are not joined, since neighbors differ in the others too. The \
             worst trials may lie outside of the plot.{}",
            headline.title,
            in_words(ranking, &drawn),
            hidden(ranking)
        ),
        panels,
        same_height: true,
    })
}

/// Points without a band.
fn exact(curve: Vec<(f64, f64)>) -> Vec<Point> {
    curve.into_iter().map(|(x, y)| Point { x, y, low: y, high: y }).collect()
}

fn accuracy(ranking: &Ranking<'_>) -> Option<Figure> {
    let headline = ranking.comparison.headline;
    let scores = |record: &Record| {
        let score = |row: &record::EpochRow| row.validation.get(&headline.score).map(|score| score * headline.scale);
        record.epochs.iter().filter_map(|row| Some((row.epoch + 1, score(row)?))).collect()
    };
    let plots = plots(ranking, &|line| line.setting.map_or(Vec::new(), |setting| points(setting, &scores)));
    let shown = shown(ranking, &plots)?;
    let panel = |(family, lines): Plot<'_>| Panel {
        y: titled(&format!("validation {}", headline.title), family),
        x: "epoch".to_owned(),
        x_scale: Scale::Linear,
        scale: Scale::Linear,
        trim: if headline.higher_is_better { Trim::Low } else { Trim::High },
        lines,
    };
    Some(Figure {
        title: format!("Validation {} during training", headline.title),
        description: format!(
            "Validation {} during training for the chosen settings of {shown}: mean over seeds, with a band from the \
             lowest to the highest seed. The first epochs may lie outside of the plot.{}",
            headline.title,
            hidden(ranking)
        ),
        panels: plots.into_iter().map(panel).collect(),
        same_height: true,
    })
}

fn norms(ranking: &Ranking<'_>) -> Option<Figure> {
    let over_steps = |value: fn(&NormRow) -> f64| {
        let values = move |record: &Record| record.norms.iter().map(|row| (row.step, value(row))).collect();
        plots(ranking, &|line| line.setting.map_or(Vec::new(), |setting| points(setting, &values)))
    };
    let norms = over_steps(|row| row.filter_norm_median);
    let rates = over_steps(|row| row.effective_lr);
    let shown = shown(ranking, &norms)?;
    let points = || norms.iter().flat_map(|(_, lines)| lines).flat_map(|line| &line.points);
    let values = || points().map(|point| point.y).filter(|norm| *norm > 0.0);
    let wide = values().fold(0.0, f64::max) > WIDE * values().fold(f64::INFINITY, f64::min);
    let scale = if wide { Scale::Log } else { Scale::Linear };
    let panel = |y: &str, scale, trim, (family, lines)| Panel {
        y: titled(y, family),
        x: "step".to_owned(),
        x_scale: Scale::Linear,
        scale,
        trim,
        lines,
    };
    let panels = norms.into_iter().zip(rates).flat_map(|(norms, rates)| {
        [
            panel("median filter norm", scale, Trim::Neither, norms),
            panel("effective learning rate", Scale::Log, Trim::Lowest(LEAST_RATES), rates),
        ]
    });
    Some(Figure {
        title: "Filter norm and effective learning rate during training".to_owned(),
        description: format!(
            "Median filter norm{} and effective learning rate (logarithmic) at each logged step for the chosen settings \
             of {shown}: medians over the scale-invariant layers, mean over seeds, with a band from the lowest to the \
             highest seed. The lowest rates, at the end of a schedule that goes to zero, lie below the plot.{}",
            if wide { " (logarithmic)" } else { "" },
            hidden(ranking)
        ),
        panels: panels.collect(),
        same_height: false,
    })
}

fn titled(y: &str, family: Option<&str>) -> String {
    family.map_or(y.to_owned(), |family| format!("{y}, {family}"))
}

/// The labels of the lines in `plots`; `None` where there are none.
fn shown(ranking: &Ranking<'_>, plots: &[Plot<'_>]) -> Option<String> {
    let has =
        |line: &&Line<'_>| plots.iter().flat_map(|(_, lines)| lines).any(|plotted| plotted.label == line.row.label);
    let labels: Vec<String> = ranking.lines.iter().filter(has).map(|line| line.row.label.clone()).collect();
    (!labels.is_empty()).then(|| in_words(ranking, &labels))
}

/// Names of rows; where these are all that have a chosen setting, there are no names to read.
fn in_words(ranking: &Ranking<'_>, labels: &[String]) -> String {
    let all = ranking.lines.iter().filter(|line| line.setting.is_some()).count();
    if labels.len() > 2 && labels.len() == all { "all rows".to_owned() } else { listed(labels) }
}

/// A sentence on the rows that would make a plot illegible; nothing where there are none.
fn hidden(ranking: &Ranking<'_>) -> String {
    let hidden = families(ranking).into_iter().flat_map(|lines| lines.into_iter().skip(plot::MOST_LINES));
    let labels: Vec<String> = hidden.map(|line| line.row.label.clone()).collect();
    if labels.is_empty() {
        return String::new();
    }
    let each = if ranking.families.len() > 1 { " of each family of optimizers" } else { "" };
    format!(" Only the best {} rows{each} are drawn, without {}.", plot::MOST_LINES, listed(&labels))
}

/// The lines with a chosen setting by the family of their optimizers, which share a plot; best first.
fn families<'a, 'r>(ranking: &'r Ranking<'a>) -> Vec<Vec<&'r Line<'a>>> {
    let of = |family: &str| {
        let lines = ranking.lines.iter().filter(|line| line.setting.is_some() && line.row.family() == family);
        lines.collect()
    };
    ranking.families.iter().map(|(family, _)| of(family)).collect()
}

/// The plot of each family with points anywhere: a line for each row with a chosen setting, or for the best.
fn plots<'r>(ranking: &'r Ranking<'_>, points: &dyn Fn(&Line<'_>) -> Vec<Point>) -> Vec<Plot<'r>> {
    let plot = |mut lines: Vec<&Line<'_>>| {
        lines.truncate(plot::MOST_LINES);
        let family = lines.first().and_then(|line| ranking.family(line));
        // A row looks the same in every figure, whatever its rank among those drawn.
        let style = |line: &Line<'_>| lines.iter().filter(|other| other.number < line.number).count();
        let drawn = lines.iter().filter_map(|line| {
            let points = points(line);
            (!points.is_empty()).then(|| plot::Line {
                label: line.row.label.clone(),
                style: style(line),
                joined: true,
                points,
            })
        });
        (family, drawn.collect::<Vec<_>>())
    };
    families(ranking).into_iter().map(plot).filter(|(_, lines)| !lines.is_empty()).collect()
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
