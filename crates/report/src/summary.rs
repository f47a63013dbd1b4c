//! The answer, the table, and what a reader must know to read it.

use super::ranking::{Difference, FEWEST_SEEDS, Line, REFERENCE, Ranking, Verdict};
use super::section::Section;
use super::words::{change, count, counted, escape, estimate, listed, number, significant};
use super::{conditions, figures};
use record::{BASELINE, Provenance};
use std::collections::BTreeSet;
use study::{Comparison, Float};

pub(super) fn render(name: &str, ranking: &Ranking<'_>, pictures: Option<String>) -> Section {
    Section::default()
        .text(format!("**Answer.** {}", answer(ranking)))
        .texts(figures::embed(name, ranking, &["forest"]))
        .table(ranking.table())
        .sections(conditions::render(ranking))
        .text(opening(ranking))
        .text(bullets(&notes(ranking)))
        .texts(figures::embed(name, ranking, &["rates"]))
        .texts(pictures)
}

/// What was run, in a line.
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

/// Of a report: what it says about regularizers, in one sentence.
pub(super) fn answer(ranking: &Ranking<'_>) -> String {
    let headline = ranking.comparison.headline;
    let tested: Vec<&Line<'_>> = ranking.tested().collect();
    let Some(first) = tested.first() else {
        return without_test_scores(ranking);
    };
    if ranking.lines.iter().all(|line| line.against_reference.is_none()) {
        let score = |line: &&Line<'_>| {
            let test = line.test.as_ref().map(|test| estimate(test.mean, test.interval, headline));
            format!("{} {}", name(line), test.unwrap_or_default())
        };
        let scores: Vec<String> = tested.iter().map(score).collect();
        let why = match ranking.references().next() {
            _ if tested.len() == 1 => format!("only {} has test scores", name(first)),
            None => format!("no `{REFERENCE}` row has a chosen setting to compare with"),
            Some(_) => format!(
                "with fewer than {FEWEST_SEEDS} seeds in common, a difference cannot be distinguished from noise"
            ),
        };
        return format!("Undecided, because {why}: test {} of {}.", headline.title, listed(&scores));
    }
    let clauses = clauses(ranking).join("; ");
    let about = ranking.comparison.entries.first().map(|entry| &entry.record.about);
    let on = about.map_or(String::new(), |about| format!(" ({} on {})", escape(&about.model), escape(&about.dataset)));
    match unable(ranking) {
        None => format!("{}{on}.", capital(&clauses)),
        Some(unable) => format!("{unable}; as far as it goes, {clauses}{on}."),
    }
}

/// Why nothing can be said about regularizers, under which optimizers.
fn unable(ranking: &Ranking<'_>) -> Option<String> {
    let unmet = ranking.references().zip(conditions::of(ranking)).filter_map(|(line, (_, conditions))| {
        let unmet = conditions.into_iter().filter(|condition| condition.is_met == Some(false));
        let reasons: Vec<String> = unmet.map(|condition| condition.because).collect();
        let under = ranking.family(line).map_or(String::new(), |optimizers| format!("under {optimizers}, "));
        (!reasons.is_empty()).then(|| format!("{under}{}", listed(&reasons)))
    });
    let unmet: Vec<String> = unmet.collect();
    (!unmet.is_empty())
        .then(|| format!("This comparison says nothing about regularizers, because {}", unmet.join(", and ")))
}

/// What is said of the rows, by verdict.
fn clauses(ranking: &Ranking<'_>) -> Vec<String> {
    let headline = ranking.comparison.headline;
    let title = &headline.title;
    let with_difference = |line: &Line<'_>| {
        let difference = line.against_reference.as_ref().map(|difference| change(difference.interval, headline));
        format!("{} ({})", name(line), difference.unwrap_or_default())
    };
    let of = |verdict: Verdict, words: &dyn Fn(&Line<'_>) -> String| -> Vec<String> {
        ranking.lines.iter().filter(|line| line.verdict == verdict).map(words).collect()
    };
    let is = |names: &[String]| if names.len() == 1 { "is" } else { "are" };
    let (seeds, _) = ranking.seeds();
    let mut clauses = Vec::new();
    let family = if ranking.families.len() > 1 { " under the same kind of optimizer" } else { "" };
    for (verdict, word) in [(Verdict::Better, "better"), (Verdict::Worse, "worse")] {
        let names = of(verdict, &with_difference);
        if !names.is_empty() {
            clauses.push(format!("{} {} {word} than weight decay{family} in test {title}", listed(&names), is(&names)));
        }
    }
    let equivalent = of(Verdict::Equivalent, &name);
    if let (false, Some(margin)) = (equivalent.is_empty(), ranking.protocol.margin) {
        let (names, is, margin) = (listed(&equivalent), is(&equivalent), number(Float(margin)));
        clauses.push(format!("{names} {is} as good as weight decay{family}, to within {margin} {title}"));
    }
    let undecided = of(Verdict::Undecided, &name);
    if !undecided.is_empty() {
        let seeds = counted(seeds.len(), "seed");
        let differ = if undecided.len() == 1 { "differs" } else { "differ" };
        clauses.push(format!(
            "with {seeds}, it is undecided whether {} {differ} from weight decay{family} in test {title}",
            listed(&undecided)
        ));
    }
    let edge = of(Verdict::Edge, &name);
    if !edge.is_empty() {
        let names = listed(&edge);
        clauses.push(format!(
            "nothing can be said about {names} until more settings are tried, because the best ones are at an edge"
        ));
    }
    let unknown: Vec<String> = ranking.tested().filter(|line| line.verdict == Verdict::Unknown).map(name).collect();
    if !unknown.is_empty() {
        clauses.push(format!("{} {} not compared with weight decay", listed(&unknown), is(&unknown)));
    }
    clauses
}

/// What the line is called in a sentence.
pub(super) fn name(line: &Line<'_>) -> String {
    let label = &line.row.label;
    match line.row.method {
        "none" => format!("no decay (`{label}`)"),
        "wrs" => format!("weight rescaling (`{label}`)"),
        _ => format!("`{label}`"),
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

fn without_test_scores(ranking: &Ranking<'_>) -> String {
    let headline = ranking.comparison.headline;
    let best = ranking.lines.first().and_then(|line| Some((line, line.validation.as_ref()?)));
    match best {
        Some((line, score)) => format!(
            "None yet: there are no test scores. On validation, which selected the settings and thus favors them, \
             `{}` is first with {} {}.",
            line.row.label,
            estimate(score.mean, score.interval, headline),
            headline.title
        ),
        None => "None: no setting finished all of its runs, so none could be selected.".to_owned(),
    }
}

/// How to read the table, and what is missing from it.
pub(super) fn notes(ranking: &Ranking<'_>) -> Vec<String> {
    let (seeds, same) = ranking.seeds();
    let mut notes = Vec::new();
    let several = if same { "" } else { " (not each row has all of them)" };
    if seeds.len() > 1 {
        let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        notes.push(format!("± of a score is its 95 % t interval over seeds {}{several}.", listed(&seeds)));
    } else if let Some(seed) = seeds.first() {
        notes.push(format!("One seed, {seed}: there are no intervals, and no row can be called better."));
    }
    notes.extend(verdicts(ranking));
    notes.push(tuning(ranking));
    notes.extend(guesses(ranking));
    notes.extend(references(ranking));
    notes.extend(ranking.lines.iter().filter_map(|line| edges(ranking, line)));
    notes.extend(ranking.lines.iter().filter_map(missing_tests));
    notes.extend(
        ranking
            .lines
            .iter()
            .filter(|line| line.setting.is_none())
            .map(|line| format!("`{}` has no setting whose runs all finished, so none is chosen.", line.row.label)),
    );
    notes.extend(ranking.comparison.left_out.iter().map(left_out));
    notes
}

/// How settings were chosen, and whether all rows had the same budget.
fn tuning(ranking: &Ranking<'_>) -> String {
    let rows: Vec<_> = ranking.comparison.rows.iter().filter(|row| !row.is_matched()).collect();
    let most = rows.iter().map(|row| row.settings.len()).max().unwrap_or_default();
    let equal = rows.iter().all(|row| row.settings.len() == most);
    let budget = match most {
        1 if equal => "Nothing was searched: each row has one setting".to_owned(),
        most if equal => format!("Each row tried {most} settings"),
        _ => "Rows **tried different numbers of settings** (see *chosen setting*; more trials help)".to_owned(),
    };
    let seeds: BTreeSet<u64> =
        rows.iter().filter(|row| row.settings.len() > 1).flat_map(|row| &row.trial_seeds).copied().collect();
    let all: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    let trials = match all.as_slice() {
        [] => String::new(),
        [seed] => format!(" on seed {seed}"),
        seeds => format!(" on seeds {}", listed(seeds)),
    };
    let finalists = rows.iter().any(|row| row.settings.iter().any(|setting| setting.trials.len() == 1))
        && rows.iter().any(|row| row.trial_seeds.len() > 1 && row.settings.len() > 1);
    let finalists = if finalists { ", all with the first of them and the best with the others, too" } else { "" };
    let rungs: BTreeSet<u64> =
        rows.iter().flat_map(|row| &row.settings).flat_map(|setting| setting.rungs.keys()).map(|rung| rung.0).collect();
    let rungs: Vec<String> = rungs.iter().map(ToString::to_string).collect();
    let halving = if rungs.is_empty() {
        String::new()
    } else {
        let s = if rungs == ["1"] { "" } else { "s" };
        format!("; **successive halving** stopped the worse ones after {} epoch{s}", listed(&rungs))
    };
    let chose = if seeds.is_empty() { "" } else { "; validation selected" };
    let overlap = seeds.intersection(&ranking.protocol.seeds).count() > 0;
    let overlap =
        if overlap { " Settings were **selected with seeds of the result**, which favors them slightly." } else { "" };
    let matched = ranking.lines.iter().filter(|line| line.row.is_matched());
    let matched: Vec<String> = matched.map(|line| format!("`{}`", line.row.label)).collect();
    let matched = if matched.is_empty() {
        String::new()
    } else {
        format!(
            " Nothing was searched for {}: its learning rate is the effective learning rate of the family's reference halfway \
             through training, divided by the schedule's factor there.",
            listed(&matched)
        )
    };
    format!(
        "{budget}{trials}{finalists}{halving}{chose}.{overlap} The test split is read for the chosen settings only.{matched}"
    )
}

/// What the four verdicts mean.
fn verdicts(ranking: &Ranking<'_>) -> Option<String> {
    let compared = ranking.lines.iter().filter(|line| line.against_reference.is_some()).count();
    let margin = match ranking.protocol.margin {
        Some(margin) => {
            let (margin, title) = (number(Float(margin)), &ranking.comparison.headline.title);
            format!("*equivalent* if the whole interval is within ± {margin} {title}, the configuration's margin; ")
        }
        None => "no row is *equivalent*, because the configuration has no margin; ".to_owned(),
    };
    (compared > 0).then(|| {
        format!(
            "The intervals of the {} hold jointly with 95 % confidence. Verdicts follow from them: *better* and *worse* if the interval \
             excludes 0; {margin}*undecided (edge)* if the best setting of the row or of weight decay is at an edge of the searched \
             range; otherwise *undecided*, with the number of seeds that would find the observed difference, or one as large as the \
             margin, in 80 % of tables.",
            counted(compared, "difference")
        )
    })
}

/// Which settings would take a row from the edge.
fn edges(ranking: &Ranking<'_>, line: &Line<'_>) -> Option<String> {
    let edges = ranking.edges(line).into_iter().map(|edge| format!("`{}`: {}", edge.row, conditions::edge(edge)));
    let edges: Vec<String> = edges.collect();
    (line.verdict == Verdict::Edge).then(|| format!("`{}` is undecided (edge): {}.", line.row.label, listed(&edges)))
}

/// `12 seeds would find a difference of 0.5 AP % in 80 % of tables`.
pub(super) fn power(difference: &Difference, margin: Option<f64>, title: &str) -> String {
    let decides = if margin == Some(difference.decides) {
        number(Float(difference.decides))
    } else {
        significant(difference.decides)
    };
    match difference.seeds {
        Some(seeds) => format!("{seeds} seeds would find a difference of {decides} {title} with a power of 80 %"),
        None => {
            format!("no practical number of seeds would find a difference of {decides} {title} with a power of 80 %")
        }
    }
}

/// The scores of image-blind baselines on the same test split.
fn guesses(ranking: &Ranking<'_>) -> Option<String> {
    let headline = ranking.comparison.headline;
    let means = ranking.tested().next()?.setting?.test_means();
    let guess = |(name, score): (&&str, &f64)| {
        let name = name.strip_prefix(BASELINE)?;
        Some(format!("{} by the {}", significant(score * headline.scale), escape(name)))
    };
    let guesses: Vec<String> = means.iter().filter_map(guess).collect();
    (!guesses.is_empty())
        .then(|| format!("Image-blind baselines have a test {} of {}.", headline.title, listed(&guesses)))
}

/// Which rows the others are compared with.
fn references(ranking: &Ranking<'_>) -> Vec<String> {
    let label = |line: &Line<'_>| format!("`{}`", line.row.label);
    let reference = |family: &str| ranking.lines.iter().find(|line| line.is_reference && line.row.family() == family);
    if let [(family, _)] = ranking.families.as_slice() {
        return match reference(family) {
            Some(line) if line.row.label == REFERENCE => Vec::new(),
            Some(line) => {
                vec![format!(
                    "*Weight decay* is {}, the `{REFERENCE}` row with the best score in the search.",
                    label(line)
                )]
            }
            None => vec![format!("No `{REFERENCE}` row has a chosen setting, so nothing is compared with it.")],
        };
    }
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for (family, optimizers) in &ranking.families {
        match reference(family) {
            Some(line) => with.push(format!("{} for rows of {optimizers}", label(line))),
            None => without.push(format!("Rows of {optimizers} are not compared with weight decay: none of their `{REFERENCE}` rows has a chosen setting.")),
        }
    }
    if !with.is_empty() {
        without.insert(0, format!(
            "A row is compared with weight decay under optimizers of its own family, the `{REFERENCE}` row with the best score in the search \
             there: {}. Across families, compare scores only.",
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
