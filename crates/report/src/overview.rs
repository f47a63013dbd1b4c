//! The page over all reports, and the same answers as data.

use super::page::{self, Block};
use super::ranking::{Line, Ranking, Verdict};
use super::summary::{answer, bullets, name};
use super::table::{Cell, Table};
use super::words::{change, counted, escape, estimate, hyper, listed, unmarked};
use super::{ReportError, conditions, figures};
use plot::{Drawing, Effects, Forest};
use record::Entry;
use serde_json::{Value, json};
use statistics::Interval;
use std::collections::BTreeMap;
use study::{Comparison, Protocol};

/// What a reader runs to make the page again.
const COMMAND: &str = "cargo xtask report";
/// Name of the page.
const NAME: &str = "README";
/// Below the table over all reports.
const NOTE: &str = "±: 95 % interval over seeds. Differences are to weight decay (the *reference*) with the same family of optimizers, in \
     the unit of the score; their intervals hold jointly with 95 % confidence for all rows of a report, not for all reports. For each \
     method and family of optimizers, the table shows the row with the best validation score; the reports have all rows, and [What the \
     numbers mean](../docs/methodology.md) explains the verdicts.";
/// Below the table on the project's page.
const RESULTS_NOTE: &str = "±: 95 % intervals over seeds. [Reading a report](docs/reports.md) explains the verdicts; \
     [reports/README.md](reports/README.md) names networks and data.\n";

/// What all reports say together, in markdown, and its figure. The same bytes for the same entries in any order.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The verdicts; cells lead to pages in the folder of the reports.
    table: Table,
    /// The verdicts on each method, in one sentence.
    finding: String,
    /// What each report answers.
    answers: Vec<String>,
    notes: Vec<String>,
    /// The markdown that shows the figure.
    forest: Option<String>,
    /// SVG by file name, for the folder `figures` beside the page.
    pub figures: BTreeMap<String, String>,
}

/// The overview of `reports`, each with its name, its entries and its protocol; reports without entries are left out. Its
/// figure is named `figure`.
pub fn overview(reports: &[(&str, &[Entry], &Protocol)], figure: &str) -> Overview {
    let comparisons = reports
        .iter()
        .filter_map(|(name, entries, protocol)| Some((*name, Comparison::of(entries, protocol)?, *protocol)));
    let comparisons: Vec<(&str, Comparison<'_>, &Protocol)> = comparisons.collect();
    let rankings: Vec<(&str, Ranking<'_>)> =
        comparisons.iter().map(|(name, comparison, protocol)| (*name, Ranking::of(comparison, protocol))).collect();
    let answer = |name: &str, ranking: &Ranking<'_>| {
        format!("**{}**: {}", escape(&title(name, ranking)), escape(&unmarked(&answer(ranking))))
    };
    let forest = forest(&rankings).map(Drawing::Forest);
    let files = forest.iter().flat_map(|drawing| figures::files(figure, drawing));
    Overview {
        table: verdicts(&rankings),
        finding: finding(&rankings),
        answers: rankings.iter().map(|(name, ranking)| answer(name, ranking)).collect(),
        notes: rankings.iter().map(|(name, ranking)| note(name, ranking)).chain([NOTE.to_owned()]).collect(),
        figures: files.collect(),
        forest: forest.map(|drawing| figures::shown_as(figure, &drawing)),
    }
}

impl Overview {
    /// `page`, the `README.md` among the reports, with the overview between its markers and all else as it was; a new page
    /// where there is none.
    ///
    /// # Errors
    ///
    /// Where the markers of `page` are not as they should be.
    pub fn splice(&self, page: Option<&str>) -> Result<String, ReportError> {
        let mut parts = vec![bullets(&self.answers)];
        parts.extend(self.forest.clone());
        parts.push(format!("{}\n{}", self.table.markdown(), bullets(&self.notes)));
        let content = parts.join("\n\n");
        page::splice_blocks(
            page,
            NAME,
            "Reports",
            COMMAND,
            &[Block { key: "overview", heading: None, content: &content }],
        )
    }

    /// `page`, that of the project, with a sentence between the markers `finding` and the table between the markers `results`;
    /// what has no markers is left out.
    ///
    /// # Errors
    ///
    /// Where there is one marker without the other.
    pub fn splice_results(&self, page: &str) -> Result<String, ReportError> {
        let results = format!("{}\n{RESULTS_NOTE}", self.table.markdown_from("reports/"));
        let blocks = [("finding", &self.finding), ("results", &results)];
        let blocks = blocks.map(|(key, content)| Block { key, heading: None, content });
        let marked = blocks.into_iter().filter(|block| page.contains(&block.begin()) || page.contains(&block.end()));
        let marked: Vec<Block<'_>> = marked.collect();
        if marked.is_empty() {
            return Ok(page.to_owned());
        }
        page::splice_blocks(Some(page), NAME, "", COMMAND, &marked)
    }
}

/// The lines that stand for a method: of each family of optimizers and each method the reference, or else the one with the best
/// validation score.
fn representatives<'r, 'a>(ranking: &'r Ranking<'a>) -> Vec<&'r Line<'a>> {
    let key = |line: &Line<'_>| (line.row.family().to_owned(), line.row.method.to_owned(), line.row.is_matched());
    let score = |line: &Line<'_>| line.validation.as_ref().map(|score| score.mean);
    let better = |one: &Line<'_>, other: &Line<'_>| match (score(one), score(other)) {
        _ if one.is_reference != other.is_reference => one.is_reference,
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
    let rows = rankings.iter().flat_map(|(name, ranking)| {
        let lines = representatives(ranking).into_iter().enumerate();
        lines.map(move |(i, line)| {
            let page = format!("{name}.md");
            let headline = ranking.comparison.headline;
            let score = |mean, interval| format!("{} {}", estimate(mean, interval, headline), headline.title);
            let difference = line.against_reference.as_ref().map(|difference| difference.interval);
            let verdict = Cell::text(line.verdict.words());
            vec![
                if i == 0 { Cell::text(title(name, ranking)).link_to(page.clone()) } else { Cell::default() },
                Cell::text(&line.row.label).link_to(format!("{page}#{}", line.place())),
                Cell::measured(line.test.as_ref(), |test| (test.mean, score(test.mean, test.interval))),
                Cell::measured(difference, |interval| (interval.mean, change(interval, headline)))
                    .link_to(format!("{page}#comparisons")),
                if line.verdict.is_decided() { verdict.strong() } else { verdict },
            ]
        })
    });
    Table::new(["task", "method", "test score", "difference to weight decay", "verdict"], rows)
}

/// Tasks, by the place of their verdict in [`FINDINGS`].
type ByVerdict = BTreeMap<usize, Vec<String>>;

/// The verdicts on each method in all reports, in one sentence; methods with the same verdicts share a clause.
fn finding(rankings: &[(&str, Ranking<'_>)]) -> String {
    let mut methods: Vec<(String, ByVerdict)> = Vec::new();
    for (report, ranking) in rankings {
        for line in representatives(ranking) {
            let Some(rank) = FINDINGS.iter().position(|(verdict, _)| *verdict == line.verdict) else { continue };
            let method = name(line);
            let place = methods.iter().position(|(known, _)| *known == method).unwrap_or_else(|| {
                methods.push((method, ByVerdict::new()));
                methods.len() - 1
            });
            methods[place].1.entry(rank).or_default().push(title(report, ranking).to_lowercase());
        }
    }
    let mut clauses: Vec<(ByVerdict, Vec<String>)> = Vec::new();
    for (method, verdicts) in methods {
        match clauses.iter_mut().find(|(known, _)| *known == verdicts) {
            Some((_, alike)) => alike.push(method),
            None => clauses.push((verdicts, vec![method])),
        }
    }
    let tasks = |tasks: &[String]| match tasks.len() {
        1 => format!("in {}", tasks[0]),
        all if all == rankings.len() => "in all tasks".to_owned(),
        _ => format!("in {}", listed(tasks)),
    };
    let clauses = clauses.into_iter().map(|(verdicts, methods)| {
        let is = if methods.len() == 1 { "is" } else { "are" };
        let verdicts = verdicts.into_iter().map(|(rank, of)| format!("{} {}", FINDINGS[rank].1, tasks(&of)));
        format!("{} {is} {}", listed(&methods), listed(&verdicts.collect::<Vec<_>>()))
    });
    match clauses.collect::<Vec<_>>().as_slice() {
        [] => "Undecided so far: no method has been compared with weight decay.".to_owned(),
        clauses => escape(&format!("**Compared with weight decay**, {}.", clauses.join("; "))),
    }
}

/// Verdicts that are a finding, and what the sentence calls them.
const FINDINGS: [(Verdict, &str); 5] = [
    (Verdict::Better, "better"),
    (Verdict::Worse, "worse"),
    (Verdict::Equivalent, "as good"),
    (Verdict::Undecided, "undecided"),
    (Verdict::Edge, "undecided (best setting at an edge of the search)"),
];

/// The differences of all reports, in panels of their own.
fn forest(rankings: &[(&str, Ranking<'_>)]) -> Option<Forest> {
    let panels = rankings
        .iter()
        .filter_map(|(name, ranking)| figures::effects(ranking, &representatives(ranking), title(name, ranking)));
    let panels: Vec<Effects> = panels.collect();
    (!panels.is_empty()).then(|| Forest {
        title: "Differences to weight decay in all tasks".to_owned(),
        description: "Differences to weight decay in each task, better to the right, with intervals that hold jointly with 95 % confidence for all \
                      rows of a report, and verdicts. Bands are margins: differences inside them do not matter."
            .to_owned(),
        panels,
    })
}

fn title(name: &str, ranking: &Ranking<'_>) -> String {
    let about = ranking.comparison.entries.first().map(|entry| &entry.record.about);
    about.and_then(|about| about.title.clone()).unwrap_or_else(|| page::title(name))
}

/// What was compared.
fn note(name: &str, ranking: &Ranking<'_>) -> String {
    let Some(entry) = ranking.comparison.entries.first() else { return String::new() };
    let about = &entry.record.about;
    let (seeds, _) = ranking.seeds();
    let caveat = about.dataset_caveat.as_ref();
    let caveat = caveat.map_or(String::new(), |caveat| format!("; {}", escape(caveat.trim_end_matches('.'))));
    let direction = if ranking.comparison.headline.higher_is_better { "" } else { "; lower is better" };
    format!(
        "**{}**: {} on {}, {}{direction}{caveat}.",
        escape(&title(name, ranking)),
        escape(&about.model),
        escape(&about.dataset),
        counted(seeds.len(), "seed"),
    )
}

/// What the report on `entries` says, for programs: each row with its scores, its difference to weight decay and its search,
/// best first, in the table's unit. Null where there are no entries.
pub fn results(entries: &[Entry], protocol: &Protocol) -> Value {
    let Some(comparison) = Comparison::of(entries, protocol) else { return Value::Null };
    let ranking = Ranking::of(&comparison, protocol);
    let interval = |interval: Interval| json!({"mean": interval.mean, "low": interval.low(), "high": interval.high()});
    let rows = ranking.lines.iter().map(|line| {
        let test = line
            .test
            .as_ref()
            .map(|test| json!({"mean": test.mean, "interval": test.interval.map(interval), "by_seed": test.by_seed}));
        let difference = line.against_reference.as_ref().map(|difference| {
            json!({
                "interval": interval(difference.interval),
                "p": difference.p,
                "degrees": difference.degrees,
                "correlation": difference.correlation,
                "seeds_that_would_decide": difference.seeds,
            })
        });
        let mean = |of: &dyn Fn(&Entry) -> Option<f64>| line.setting?.mean(of);
        let [training, validation] = conditions::losses(line);
        json!({
            "label": line.row.label,
            "method": line.row.method,
            "optimizer": line.row.optimizer,
            "verdict": line.verdict.words(),
            "edges": ranking.edges(line).into_iter().map(conditions::edge).collect::<Vec<_>>(),
            "chosen": line.setting.map(|setting| hyper(line.row, setting)),
            "runs": line.setting.map(|setting| setting.runs.values().map(|entry| &entry.record.id).collect::<Vec<_>>()),
            "test": test,
            "validation": line.validation.as_ref().map(|score| score.mean),
            "against_weight_decay": difference,
            "training_loss": training,
            "validation_loss": validation,
            "decay_efolds": mean(&|entry| entry.record.decay_efolds),
            "effective_lr_midway": mean(&|entry| Some(entry.record.midway()?.effective_lr)),
            "rotation_midway": mean(&|entry| Some(entry.record.midway()?.rotation)),
            "settings": line.search.scores.len(),
            "settings_near_best": line.search.share_near_best().map(|(near, _)| near),
            "update_share": line.update_share,
            "diverged": line.diverged,
        })
    });
    let headline = ranking.comparison.headline;
    json!({
        "answer": answer(&ranking),
        "score": headline.title,
        "higher_is_better": headline.higher_is_better,
        "margin": protocol.margin,
        "records": ranking.comparison.entries.len(),
        "rows": rows.collect::<Vec<_>>(),
    })
}
