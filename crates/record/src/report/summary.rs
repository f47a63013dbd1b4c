//! The answer, the table, and what a reader must know to read it.

use super::figures;
use super::ranking::{COLUMNS, FEWEST_SEEDS, Line, REFERENCE, Ranking, Standing};
use super::words::{change, count, counted, escape, estimate, link, listed, probability, significant};
use crate::choice::Comparison;
use crate::run::{BASELINE, Provenance};
use crate::table;
use std::collections::BTreeSet;

pub(super) fn render(name: &str, ranking: &Ranking<'_>, pictures: Option<String>) -> String {
    let rows: Vec<Vec<String>> = ranking.lines.iter().map(|line| linked(ranking, line)).collect();
    let mut parts = vec![
        opening(ranking),
        format!("**Answer.** {}", answer(ranking)),
        table::markdown(&ranking.header(), &rows).trim_end().to_owned(),
        bullets(&notes(ranking)),
    ];
    parts.extend(figures::embed(name, ranking));
    parts.extend(pictures);
    parts.join("\n\n") + "\n"
}

/// What was run, in two lines.
fn opening(ranking: &Ranking<'_>) -> String {
    let comparison = ranking.comparison;
    let Some(entry) = comparison.entries.first() else {
        return String::new();
    };
    let about = &entry.record.about;
    let settings: usize = comparison.rows.iter().map(|row| row.settings.len()).sum();
    format!(
        "{} on {}; {} of {} in {}, chosen on validation. Records of {}.",
        escape(&about.model),
        escape(&about.dataset),
        counted(comparison.entries.len(), "run"),
        counted(settings, "setting"),
        counted(comparison.rows.len(), "row"),
        origin(comparison)
    )
}

/// When, by which code and on what the records were made.
fn origin(comparison: &Comparison<'_>) -> String {
    let days: BTreeSet<&str> = comparison
        .entries
        .iter()
        .flat_map(|entry| [&entry.record.provenance.started, &entry.record.provenance.ended])
        .map(|time| day(time))
        .collect();
    let days = match (days.first(), days.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (first, _) => first.map_or(String::new(), ToString::to_string),
    };
    let one_or_many = |value: fn(&Provenance) -> String, many: &str| {
        let all: BTreeSet<String> = comparison.entries.iter().map(|entry| value(&entry.record.provenance)).collect();
        match all.first() {
            Some(one) if all.len() == 1 => one.clone(),
            _ => format!("{} {many}", all.len()),
        }
    };
    let commit = one_or_many(|from| format!("commit `{}`", short(&from.commit)), "commits ([provenance](#provenance))");
    let host = one_or_many(
        |from| format!("{}, {}", escape(&from.cpu), counted(from.threads as usize, "thread")),
        "kinds of host",
    );
    format!("{days}, {commit}, {host}")
}

/// The date of an RFC 3339 time.
pub(super) fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or(time)
}

/// A commit's first characters, with the mark of local changes.
pub(super) fn short(commit: &str) -> String {
    match commit.split_once('+') {
        Some((hash, mark)) => format!("{}+{mark}", hash.chars().take(10).collect::<String>()),
        None => commit.chars().take(10).collect(),
    }
}

fn answer(ranking: &Ranking<'_>) -> String {
    let (seeds, _) = ranking.seeds();
    let holds =
        format!("This holds for this model, data and length of training, from {}.", counted(seeds.len(), "seed"));
    let answer = short_answer(ranking);
    if ranking.pairs.is_empty() { answer } else { format!("{answer} {holds}") }
}

/// Who is better and worse than weight decay, who ties with it, and how sure the first place is.
pub(super) fn short_answer(ranking: &Ranking<'_>) -> String {
    let headline = ranking.comparison.headline;
    let title = &headline.title;
    let name = |line: &Line<'_>| format!("`{}`", line.row.label);
    let score = |line: &Line<'_>| {
        let score = line.test.as_ref().map(|score| estimate(score.mean, score.interval, headline));
        format!("{} {}", name(line), score.unwrap_or_default())
    };
    let difference = |line: &Line<'_>| match &line.against_reference {
        Some(difference) => {
            let (change, p) = (change(difference.banded(), headline), probability(difference.adjusted));
            format!("{} {change} (p {p})", name(line))
        }
        None => name(line),
    };
    let tested: Vec<&Line<'_>> = ranking.tested().collect();
    let Some(first) = tested.first() else {
        return without_test_scores(ranking);
    };
    if tested.len() == 1 {
        return format!("No comparison: only one row has test scores, {} test {title}.", score(first));
    }
    let of = |standing: Standing, words: &dyn Fn(&Line<'_>) -> String| -> Vec<String> {
        tested.iter().filter(|line| line.standing == standing).map(|line| words(line)).collect()
    };
    if ranking.pairs.is_empty() {
        let all: Vec<String> = tested.iter().map(|line| score(line)).collect();
        let scores = format!("Test {title}: {}.", listed(&all));
        return format!(
            "Undecided: with fewer than {FEWEST_SEEDS} seeds in common, a difference cannot be told from noise. {scores}"
        );
    }
    let (better, worse) = (of(Standing::Better, &difference), of(Standing::Worse, &difference));
    let (tied, unknown) = (of(Standing::Tied, &name), of(Standing::Unknown, &score));
    let mut sentences = Vec::new();
    let reference =
        if ranking.families.len() > 1 { "weight decay under the same family of optimizers" } else { "weight decay" };
    let none = || format!("No row is better or worse than {reference} beyond noise in test {title}");
    match (better.is_empty(), worse.is_empty()) {
        (true, true) if tied.is_empty() => {}
        (true, true) => {
            sentences.push(format!("{}; the {} that were compared tie.", none(), counted(tied.len(), "row")));
        }
        (false, _) => {
            sentences.push(format!("Better than {reference} in test {title}, beyond noise: {}.", listed(&better)));
        }
        (true, false) => sentences.push(format!("No row is better than {reference} in test {title} beyond noise.")),
    }
    if !worse.is_empty() {
        sentences.push(format!("Worse: {}.", listed(&worse)));
    }
    let decided = !better.is_empty() || !worse.is_empty();
    if decided && !tied.is_empty() {
        sentences.push(format!("{}: {}.", if tied.len() == 1 { "A tie" } else { "Ties" }, listed(&tied)));
    }
    let others: Vec<String> = ranking.not_behind_first().iter().map(|line| name(line)).collect();
    let best = score(first);
    sentences.push(match others.len() {
        0 => format!("{best} is best, beyond noise of every other row."),
        all if all + 1 == tested.len() => format!("The best score is {best}, which is not told from any other row."),
        few if few <= 3 => format!("The best score is {best}, which is not told from {}.", listed(&others)),
        many => format!("The best score is {best}, which is not told from {many} [other rows](#pairs)."),
    });
    if !unknown.is_empty() {
        sentences.push(format!("Not compared with weight decay: {}.", listed(&unknown)));
    }
    sentences.join(" ")
}

fn without_test_scores(ranking: &Ranking<'_>) -> String {
    let headline = ranking.comparison.headline;
    let best = ranking.lines.first().and_then(|line| Some((line, line.validation.as_ref()?)));
    match best {
        Some((line, score)) => format!(
            "None yet: there are no test scores. On validation, which chose the settings and so flatters them, \
             `{}` is first with {} {}.",
            line.row.label,
            estimate(score.mean, score.interval, headline),
            headline.title
        ),
        None => "None: no setting has finished runs only, so none could be chosen.".to_owned(),
    }
}

/// The table's cells, each leading to its runs.
fn linked(ranking: &Ranking<'_>, line: &Line<'_>) -> Vec<String> {
    let cells = ranking.cells(line).map(|cell| escape(&cell));
    let [rank, method, test, difference, p, chosen, cost, diverged, trials, near]: &[String; COLUMNS] = &cells;
    let bold = |cell: &str| if line.standing == Standing::Better { format!("**{cell}**") } else { cell.to_owned() };
    let row = row_anchor(line.number);
    let setting = line.row.choice.map_or(row.clone(), |choice| setting_anchor(line.number, choice));
    vec![
        link(rank, "pairs"),
        bold(&link(method, &row)),
        link(test, &setting),
        bold(&link(difference, "comparisons")),
        link(p, "comparisons"),
        link(chosen, &setting),
        link(cost, "cost"),
        if line.diverged > 0 { link(diverged, "diverged") } else { link(diverged, &row) },
        link(trials, "sensitivity"),
        link(near, "sensitivity"),
    ]
}

pub(super) fn row_anchor(row: usize) -> String {
    format!("row-{}", row + 1)
}

pub(super) fn setting_anchor(row: usize, setting: usize) -> String {
    format!("setting-{}-{}", row + 1, setting + 1)
}

/// How to read the table, and what is missing from it.
pub(super) fn notes(ranking: &Ranking<'_>) -> Vec<String> {
    let (seeds, same) = ranking.seeds();
    let mut notes = Vec::new();
    let several = if same { "" } else { " (not each row has all of them)" };
    let unit = &ranking.comparison.headline.title;
    if seeds.len() > 1 {
        let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        notes.push(format!(
            "± are 95 % t intervals over seeds {}{several}. Differences are paired by seed, in the unit of {unit}; their intervals \
             are at the level at which Holm's procedure tests them, and reach 0 in a tie.",
            listed(&seeds)
        ));
    } else if let Some(seed) = seeds.first() {
        notes.push(format!("One seed, {seed}: there are no intervals, and no row can be called better."));
    }
    notes.push(tuning(ranking));
    notes.extend(guesses(ranking));
    notes.extend(references(ranking));
    notes.extend(noise(ranking));
    notes.extend(ranking.lines.iter().filter_map(missing_tests));
    notes.extend(
        ranking
            .lines
            .iter()
            .filter(|line| line.setting.is_none())
            .map(|line| format!("`{}` has no setting whose runs all finished, so none is chosen.", line.row.label)),
    );
    notes.extend(incomplete(ranking));
    notes.extend(ranking.comparison.left_out.iter().map(left_out));
    notes
}

/// How settings were chosen, and whether all rows had the same budget.
fn tuning(ranking: &Ranking<'_>) -> String {
    let rows = &ranking.comparison.rows;
    let most = rows.iter().map(|row| row.settings.len()).max().unwrap_or_default();
    let equal = rows.iter().all(|row| row.settings.len() == most);
    let budget = match most {
        1 if equal => "Nothing was searched: each row has one setting".to_owned(),
        most if equal => format!("Each row tried {most} settings"),
        _ => "Rows **tried different numbers of settings** (see *chosen*; more tries help)".to_owned(),
    };
    let seeds: BTreeSet<u64> =
        rows.iter().filter(|row| row.settings.len() > 1).flat_map(|row| &row.trial_seeds).copied().collect();
    let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    let trials = match seeds.as_slice() {
        [] => String::new(),
        [seed] => format!(" on seed {seed}"),
        seeds => format!(" on seeds {}", listed(seeds)),
    };
    let rungs: BTreeSet<u64> =
        rows.iter().flat_map(|row| &row.settings).flat_map(|setting| setting.rungs.keys()).map(|rung| rung.0).collect();
    let rungs: Vec<String> = rungs.iter().map(ToString::to_string).collect();
    let halving = if rungs.is_empty() {
        String::new()
    } else {
        let s = if rungs == ["1"] { "" } else { "s" };
        format!("; **successive halving** stopped the worse ones after {} epoch{s}", listed(&rungs))
    };
    let chose = if seeds.is_empty() { "" } else { "; validation chose" };
    format!("{budget}{trials}{halving}{chose}. The test split is read for the runs of chosen settings only.")
}

/// What *p*, *tie* and *rank* mean.
fn noise(ranking: &Ranking<'_>) -> Option<String> {
    let headline = ranking.comparison.headline;
    let bands: Vec<f64> = ranking.lines.iter().filter_map(|line| Some(line.against_reference.as_ref()?.band)).collect();
    let (least, most) = (bands.iter().copied().reduce(f64::min)?, bands.iter().copied().reduce(f64::max)?);
    let band = if bands.len() == 1 || significant(least) == significant(most) {
        format!("± {}", significant(most))
    } else {
        format!("from ± {} to ± {}", significant(least), significant(most))
    };
    Some(format!(
        "*p* is of the paired t test against weight decay, after Holm for {}; at 0.05 or more the difference is inside its noise \
         band, here {band} {}, and is a *tie*. *Rank* is one more than the rows that are better beyond noise, against weight decay or in the test of \
         [all pairs](#pairs). *Update* is the time of optimizer and method; what a method does to weights on their way to the network is not in it.",
        counted(bands.len(), "comparison"),
        headline.title
    ))
}

/// What guesses without a look at the image score on the same test split.
fn guesses(ranking: &Ranking<'_>) -> Option<String> {
    let headline = ranking.comparison.headline;
    let means = ranking.tested().next()?.setting?.test_means();
    let guess = |(name, score): (&&str, &f64)| {
        let name = name.strip_prefix(BASELINE)?;
        Some(format!("{} by the {}", significant(score * headline.scale), escape(name)))
    };
    let guesses: Vec<String> = means.iter().filter_map(guess).collect();
    (!guesses.is_empty())
        .then(|| format!("Guessing without a look at the image has a test {} of {}.", headline.title, listed(&guesses)))
}

/// Which rows the others are compared with.
fn references(ranking: &Ranking<'_>) -> Vec<String> {
    let label = |line: &Line<'_>| format!("`{}`", line.row.label);
    let reference = |family: &str| ranking.lines.iter().find(|line| line.is_reference && line.row.family() == family);
    if let [(family, _)] = ranking.families.as_slice() {
        return match reference(family) {
            Some(line) if line.row.label == REFERENCE => Vec::new(),
            Some(line) => {
                vec![format!("Weight decay is {}, the `{REFERENCE}` row with the best validation score.", label(line))]
            }
            None => vec![format!("No `{REFERENCE}` row has a chosen setting, so nothing is compared with it.")],
        };
    }
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for (family, optimizers) in &ranking.families {
        match reference(family) {
            Some(line) => with.push(format!("{} for rows of {optimizers}", label(line))),
            None => without.push(format!("Rows of {optimizers} are not compared with weight decay: no `{REFERENCE}` row of theirs has a chosen setting.")),
        }
    }
    if !with.is_empty() {
        without.insert(0, format!(
            "A row is compared with weight decay under optimizers of its own family, the `{REFERENCE}` row with the best validation score \
             there: {}. Only scores, ranks and the test of all pairs compare across families.",
            listed(&with)
        ));
    }
    without
}

fn missing_tests(line: &Line<'_>) -> Option<String> {
    let setting = line.setting?;
    let missing = setting.runs.len() - setting.test().len();
    (missing > 0).then(|| {
        format!(
            "`{}`: {} of {} of the chosen setting {} no test record, so its test score is not shown.",
            line.row.label,
            missing,
            counted(setting.runs.len(), "run"),
            if missing == 1 { "has" } else { "have" }
        )
    })
}

/// Settings that could not be chosen because seeds are missing.
fn incomplete(ranking: &Ranking<'_>) -> Option<String> {
    let settings = ranking.comparison.rows.iter().flat_map(|row| {
        row.settings.iter().filter(|setting| {
            !setting.runs.is_empty() && !row.trial_seeds.iter().all(|seed| setting.runs.contains_key(seed))
        })
    });
    let number = settings.count();
    (number > 0).then(|| {
        let (have, were) = if number == 1 { ("lacks", "was") } else { ("lack", "were") };
        format!("{} {have} seeds that others of the row have, and {were} not considered.", counted(number, "setting"))
    })
}

fn left_out((records, differences): &(usize, Vec<String>)) -> String {
    const SHOWN: usize = 4;
    let mut shown: Vec<String> = differences.iter().take(SHOWN).map(|difference| escape(difference)).collect();
    if differences.len() > SHOWN {
        shown.push(format!("{} more differences", count((differences.len() - SHOWN) as u64)));
    }
    format!("Left out: {} made with {}.", counted(*records, "record"), listed(&shown))
}

pub(super) fn bullets(items: &[String]) -> String {
    items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n")
}
