//! The page over all reports, and the same answers as data.

use super::evidence::{Target, standing};
use super::page::{self, Block};
use super::ranking::{Line, Ranking};
use super::summary::{bullets, row_anchor, short_answer};
use super::words::{NOTHING, change, escape, estimate, hyper, listed, probability, significant, unmarked};
use super::{ReportError, figures};
use crate::choice::Comparison;
use crate::plot::{self, Figure, Panel, Point, Scale, Theme, Trim, svg};
use crate::run::Entry;
use crate::statistics::{Interval, Profile, WORST_RATIO, profile};
use crate::table;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a reader runs to make the page again.
const COMMAND: &str = "cargo xtask report";
/// Name of the page, and of its figure.
const NAME: &str = "README";
const FIGURE: &str = "profile";

/// What all reports say together, in markdown, and its figure. The same bytes for the same entries in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    table: Table,
    profiles: Option<String>,
    /// SVG by file name, for the folder `figures` beside the page.
    pub figures: BTreeMap<String, String>,
}

/// The table, with links that start in the folder of the reports.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Cells of `rows` with a link: row, column and where it leads.
    links: Vec<(usize, usize, String)>,
    notes: Vec<String>,
}

/// The overview of `reports`, each with its name and its entries; reports without entries are left out.
pub fn overview(reports: &[(&str, &[Entry])]) -> Overview {
    let comparisons: Vec<(&str, Comparison<'_>)> =
        reports.iter().filter_map(|(name, entries)| Some((*name, Comparison::of(entries)?))).collect();
    let rankings: Vec<(&str, Ranking<'_>)> =
        comparisons.iter().map(|(name, comparison)| (*name, Ranking::of(comparison))).collect();
    let table = verdicts(&rankings);
    let profiles = Profiles::of(&rankings);
    let mut files = BTreeMap::new();
    if let Some(profiles) = &profiles {
        for (theme, suffix) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
            files.insert(format!("{FIGURE}-{suffix}.svg"), plot::still(&svg(&profiles.figure(), theme)));
        }
    }
    Overview { table, profiles: profiles.map(|profiles| profiles.section()), figures: files }
}

impl Overview {
    /// `page`, the `README.md` among the reports, with the overview between its markers and all else as it was; a new page
    /// where there is none.
    ///
    /// # Errors
    ///
    /// Where the markers of `page` are not as they should be.
    pub fn splice(&self, page: Option<&str>) -> Result<String, ReportError> {
        let mut parts = vec![self.table.markdown("", "../")];
        parts.extend(self.profiles.clone());
        let content = parts.join("\n\n");
        page::splice_blocks(
            page,
            NAME,
            "Reports",
            COMMAND,
            &[Block { key: "overview", heading: None, content: &content }],
        )
    }

    /// `page`, that of the project, with the table between the markers `results`; unchanged where it has none.
    ///
    /// # Errors
    ///
    /// Where there is one marker without the other.
    pub fn splice_results(&self, page: &str) -> Result<String, ReportError> {
        let block = Block { key: "results", heading: None, content: &self.table.markdown("reports/", "") };
        if !page.contains(&block.begin()) && !page.contains(&block.end()) {
            return Ok(page.to_owned());
        }
        page::splice_blocks(Some(page), NAME, "", COMMAND, &[block])
    }
}

impl Table {
    /// For a page from which the reports are in `folder`, and the project is at `root`.
    fn markdown(&self, folder: &str, root: &str) -> String {
        let mut rows = self.rows.clone();
        for (row, column, link) in &self.links {
            let cell = &mut rows[*row][*column];
            *cell = format!("[{cell}]({folder}{link})");
        }
        let notes = bullets(&self.notes).replace("METHODOLOGY.md", &format!("[METHODOLOGY.md]({root}METHODOLOGY.md)"));
        format!("{}\n{notes}", table::markdown(&self.header, &rows))
    }
}

/// The lines that stand for a method: of each family of optimizers and each method the one with the best validation score.
fn representatives<'r, 'a>(ranking: &'r Ranking<'a>) -> Vec<&'r Line<'a>> {
    let key = |line: &Line<'_>| (line.row.family().to_owned(), line.row.method.to_owned());
    let score = |line: &Line<'_>| line.validation.as_ref().map(|score| score.mean);
    let better = |one: &Line<'_>, other: &Line<'_>| match (score(one), score(other)) {
        (Some(one), Some(other)) => ranking.comparison.order(one, other).is_lt(),
        (one, _) => one.is_some(),
    };
    let stands = |line: &&Line<'a>| {
        let rivals = ranking.lines.iter().filter(|other| key(other) == key(line) && other.number != line.number);
        // Of equal ones the first of the table.
        let first = |other: &Line<'a>| ranking.lines.iter().position(|line| line.number == other.number);
        rivals.into_iter().all(|other| better(line, other) || (!better(other, line) && first(line) < first(other)))
    };
    // Beside what they are compared with.
    let family = |line: &&Line<'_>| ranking.families.iter().position(|(family, _)| *family == line.row.family());
    let mut lines: Vec<&Line<'a>> = ranking.lines.iter().filter(stands).collect();
    lines.sort_by_key(family);
    lines
}

fn verdicts(rankings: &[(&str, Ranking<'_>)]) -> Table {
    let header = [
        "task",
        "method",
        "test score",
        "vs weight decay (paired, Holm)",
        "p (Holm)",
        "verdict",
        "update per step",
        "trials within 1 % of the best",
    ];
    let (mut rows, mut links, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for (name, ranking) in rankings {
        let page = format!("{name}.md");
        let headline = ranking.comparison.headline;
        let lines = representatives(ranking);
        for (i, line) in lines.iter().enumerate() {
            if i == 0 {
                links.push((rows.len(), 0, page.clone()));
            }
            links.push((rows.len(), 1, format!("{page}#{}", row_anchor(line.number))));
            let difference = line.against_reference.as_ref();
            if difference.is_some() {
                links.push((rows.len(), 3, format!("{page}#comparisons")));
            }
            let near = line.search.share_near_best().map(|(near, of)| format!("{near} of {of}"));
            rows.push(vec![
                if i == 0 { escape(&title(name, ranking)) } else { String::new() },
                escape(&line.row.label),
                line.test.as_ref().map_or(NOTHING.to_owned(), |test| {
                    format!("{} {}", estimate(test.mean, test.interval, headline), headline.title)
                }),
                difference.map_or(NOTHING.to_owned(), |difference| change(difference.banded(), headline)),
                difference.map_or(NOTHING.to_owned(), |difference| probability(difference.adjusted)),
                bold(standing(line.standing)),
                line.cost.as_ref().map_or(NOTHING.to_owned(), |cost| format!("{:.1} %", 100.0 * cost.share)),
                near.unwrap_or_else(|| NOTHING.to_owned()),
            ]);
        }
        notes.push(note(name, ranking));
    }
    notes.push(
        "±: 95 % interval over seeds. *verdict*: better or worse than weight decay (the *reference*) under the same family of optimizers, \
         where the paired t test has p < 0.05 after Holm for all rows of the report, not of all reports; else a *tie*, which is not \
         the same as no difference. Differences are in the unit of the score, with the interval of that test. *update per step*: share \
         of the time of a training step that optimizer and method take. *trials within 1 %*: of the settings that were tried, those \
         whose validation score is within 1 % of the best one's: how many wrong guesses are forgiven. Of each method and \
         family of optimizers, the row with the best validation score is shown; the reports have all rows, and the words are \
         explained in METHODOLOGY.md."
            .to_owned(),
    );
    Table { header: header.map(str::to_owned).to_vec(), rows, links, notes }
}

fn bold(standing: &str) -> String {
    if matches!(standing, "better" | "worse") { format!("**{standing}**") } else { standing.to_owned() }
}

fn title(name: &str, ranking: &Ranking<'_>) -> String {
    let about = ranking.comparison.entries.first().map(|entry| &entry.record.about);
    about.and_then(|about| about.title.clone()).unwrap_or_else(|| page::title(name))
}

/// What was compared, and what a reader must know of it.
fn note(name: &str, ranking: &Ranking<'_>) -> String {
    let Some(entry) = ranking.comparison.entries.first() else { return String::new() };
    let about = &entry.record.about;
    let (seeds, _) = ranking.seeds();
    let trials: BTreeSet<usize> = ranking.lines.iter().map(|line| line.row.settings.len()).collect();
    let trials: Vec<String> = trials.iter().map(ToString::to_string).collect();
    let caveat = about.dataset_caveat.as_ref();
    let caveat = caveat.map_or(String::new(), |caveat| format!("; {}", escape(caveat.trim_end_matches('.'))));
    let direction = if ranking.comparison.headline.higher_is_better { "" } else { "; lower is better" };
    format!(
        "**{}**: {} {} on {}, {} seeds, {} trials a row{direction}{caveat}.",
        escape(&title(name, ranking)),
        escape(&unmarked(&short_answer(ranking))),
        escape(&about.model),
        escape(&about.dataset),
        seeds.len(),
        listed(&trials)
    )
}

/// How fast each method comes to weight decay's score, over all reports.
struct Profiles {
    reports: usize,
    left_out: Vec<String>,
    /// Name, and steps to the target in each report.
    methods: Vec<(String, Vec<Option<f64>>, Profile)>,
}

impl Profiles {
    /// `None` for fewer than two reports, or methods that all have.
    fn of(rankings: &[(&str, Ranking<'_>)]) -> Option<Self> {
        let mut costs: BTreeMap<String, BTreeMap<usize, Option<f64>>> = BTreeMap::new();
        for (index, (_, ranking)) in rankings.iter().enumerate() {
            let target = Target::of(ranking)?;
            for method in ranking.lines.iter().map(|line| line.row.method).collect::<BTreeSet<&str>>() {
                let lines = ranking.lines.iter().filter(|line| line.row.method == method && line.setting.is_some());
                let score = |line: &Line<'_>| line.validation.as_ref().map_or(f64::NAN, |score| score.mean);
                let best = lines.min_by(|one, other| ranking.comparison.order(score(one), score(other)));
                let steps = best.and_then(|line| target.reached(line)?.steps);
                costs.entry(method.to_owned()).or_default().insert(index, steps);
            }
        }
        let reports = rankings.len();
        let (whole, part): (Vec<_>, Vec<_>) = costs.into_iter().partition(|(_, costs)| costs.len() == reports);
        let costs: Vec<Vec<Option<f64>>> = whole.iter().map(|(_, costs)| costs.values().copied().collect()).collect();
        let profiles = profile(&costs);
        let methods =
            whole.into_iter().zip(costs).zip(profiles).map(|(((name, _), costs), profile)| (name, costs, profile));
        let methods: Vec<_> = methods.collect();
        let left_out = part.into_iter().map(|(name, _)| name).collect();
        (reports > 1 && methods.len() > 1).then_some(Self { reports, left_out, methods })
    }

    fn figure(&self) -> Figure {
        // Methods may be equally fast: steps that lie on each other are told apart by their labels.
        let line = |(style, (name, _, profile)): (usize, &(String, Vec<Option<f64>>, Profile))| {
            let mut points = Vec::new();
            let mut before = 0.0;
            for (ratio, share) in profile.steps.iter().copied().filter(|(ratio, _)| *ratio <= WORST_RATIO) {
                if !points.is_empty() {
                    points.push(Point { x: ratio, y: before, low: before, high: before });
                }
                points.push(Point { x: ratio, y: share, low: share, high: share });
                before = share;
            }
            points.push(Point { x: WORST_RATIO, y: before, low: before, high: before });
            plot::Line { label: name.clone(), style, joined: true, points }
        };
        Figure {
            title: "Performance profiles of the methods".to_owned(),
            description: self.description(),
            panels: vec![Panel {
                y: "share of tasks solved".to_owned(),
                x: "steps to target over those of the fastest method".to_owned(),
                x_scale: Scale::Log,
                scale: Scale::Linear,
                trim: Trim::Between(0.0, 1.0),
                lines: self.methods.iter().take(plot::MOST_LINES).enumerate().map(line).collect(),
            }],
            same_height: true,
        }
    }

    fn description(&self) -> String {
        format!(
            "Share of the {} reports in which a method comes within 1 % of weight decay's validation score in at most so many times the \
             steps of the fastest method (logarithmic).",
            self.reports
        )
    }

    fn section(&self) -> String {
        let rows = self.methods.iter().map(|(name, costs, profile)| {
            let reached = costs.iter().flatten().count();
            vec![escape(name), significant(profile.mean), format!("{reached} of {}", self.reports)]
        });
        let header = ["method", "area under the profile", "targets reached"].map(str::to_owned);
        let left_out = match self.left_out.as_slice() {
            [] => String::new(),
            methods => format!(" Not every report has {}.", listed(methods)),
        };
        format!(
            "## How fast\n\n{}\n\n{} A target that half of the runs miss counts as never reached; with few evaluations a training, little more can be seen than how many targets are reached. The area is the mean of that share over \
             the logarithm of the ratio up to {WORST_RATIO}: 1 for a method that is always the fastest. Of each method, the row with the best \
             validation score counts.{left_out}\n\n{}",
            figures::picture(FIGURE, "Performance profiles of the methods"),
            self.description(),
            table::markdown(&header, &rows.collect::<Vec<_>>()).trim_end()
        )
    }
}

/// What the report on `entries` says, for programs: each row with its scores, its difference to weight decay and its search,
/// best first, in the table's unit. Null where there are no entries.
pub fn results(entries: &[Entry]) -> Value {
    let Some(comparison) = Comparison::of(entries) else { return Value::Null };
    let ranking = Ranking::of(&comparison);
    let interval = |interval: Interval| json!({"mean": interval.mean, "low": interval.low(), "high": interval.high()});
    let rows = ranking.lines.iter().map(|line| {
        let test = line
            .test
            .as_ref()
            .map(|test| json!({"mean": test.mean, "interval": test.interval.map(interval), "by_seed": test.by_seed}));
        let difference = line.against_reference.as_ref().map(|difference| {
            json!({
                "interval": interval(difference.interval),
                "adjusted_interval": interval(difference.banded()),
                "p": difference.p,
                "adjusted_p": difference.adjusted,
                "noise_band": difference.band,
            })
        });
        let near = line.search.share_near_best();
        json!({
            "label": line.row.label,
            "method": line.row.method,
            "optimizer": line.row.optimizer,
            "rank": line.rank,
            "verdict": standing(line.standing),
            "chosen": line.setting.map(|setting| hyper(line.row, setting)),
            "runs": line.setting.map(|setting| setting.runs.values().map(|entry| &entry.record.id).collect::<Vec<_>>()),
            "test": test,
            "validation": line.validation.as_ref().map(|score| score.mean),
            "against_weight_decay": difference,
            "trials": line.search.scores.len(),
            "trials_near_best": near.map(|(near, _)| near),
            "trials_to_noise": line.search.to_noise(),
            "update_share": line.cost.as_ref().map(|cost| cost.share),
            "diverged": line.diverged,
        })
    });
    let headline = ranking.comparison.headline;
    json!({
        "score": headline.title,
        "higher_is_better": headline.higher_is_better,
        "records": ranking.comparison.entries.len(),
        "rows": rows.collect::<Vec<_>>(),
    })
}
