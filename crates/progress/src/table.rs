//! The table of a terminal: a row a setting, and a line for all of them.

use super::runs::{Run, Runs, State};
use super::words::{duration, number};
use console::{Alignment, measure_text_width, pad_str, truncate_str};

/// Columns of the table.
const LABEL: usize = 0;
const SCORE: usize = 2;
const SPEED: usize = 3;
const LEFT: usize = 4;
const COLUMNS: usize = 5;

/// Labels are not cut below this before columns are left out.
const LABEL_WIDTH: usize = 16;

/// Cells of the bar.
const BAR: usize = 20;

/// The state of `runs` at `now` (seconds since they began) on a terminal of `width` columns and `height` lines, in at
/// most `height - 1` lines, but at least one, none wider than `width`.
///
/// Where there are more settings than lines, those that run are shown, then those that ended last, then those
/// that are next.
pub(super) fn lines(runs: &Runs, now: f64, width: usize, height: usize) -> Vec<String> {
    let (room, settings) = (height.saturating_sub(1), runs.settings().len());
    let of = |setting: usize| runs.all().iter().filter(move |run| run.setting == setting);
    let mut order: Vec<usize> = (0..settings).collect();
    if settings + 2 > room {
        let urgency = |setting: &usize| {
            let ended = of(*setting).filter_map(Run::ended).max_by(f64::total_cmp);
            let running = of(*setting).any(Run::is_running);
            let waiting = of(*setting).any(Run::is_waiting);
            (!running, ended.is_none(), ended.map(|ended| (-1e3 * ended) as i64), !waiting)
        };
        order.sort_by_key(urgency);
    }
    // Besides rows: the head, the others, all.
    let shown = if settings + 2 > room { room.saturating_sub(3) } else { settings };
    let (shown, others) = order.split_at_mut(shown.min(settings));
    shown.sort_unstable();
    let mut lines = Vec::new();
    if !shown.is_empty() {
        let rows = shown
            .iter()
            .map(|setting| cells(runs, &runs.settings()[*setting].label, &of(*setting).collect::<Vec<_>>(), now));
        lines = grid(head(runs), rows.collect(), width);
        if !others.is_empty() {
            let hidden: Vec<&Run> = others.iter().flat_map(|setting| of(*setting)).collect();
            let plural = if others.len() == 1 { "" } else { "s" };
            lines.push(format!("and {} more setting{plural}: {}", others.len(), states(&hidden)));
        }
    }
    lines.push(total(runs, now, width));
    lines.iter().map(|line| truncate_str(line, width, "…").into_owned()).collect()
}

fn head(runs: &Runs) -> [String; COLUMNS] {
    let score = runs.headline().map_or("score", |headline| &headline.title);
    let images = runs.all().iter().all(|run| runs.batch(run).is_some());
    ["setting", "state", score, if images { "images/s" } else { "steps/s" }, "left"].map(str::to_owned)
}

/// Of a setting: what its runs do, the mean of their last scores, and the speed of those that run and the time that
/// they need.
fn cells(runs: &Runs, label: &str, of: &[&Run], now: f64) -> [String; COLUMNS] {
    let scores: Vec<f64> = of.iter().filter_map(|run| runs.score(run)).collect();
    let score = (!scores.is_empty()).then(|| number(scores.iter().sum::<f64>() / scores.len() as f64));
    let speeds: Vec<f64> = of.iter().filter_map(|run| Some(run.speed()? * runs.batch(run).unwrap_or(1.0))).collect();
    let speed = (!speeds.is_empty()).then(|| match speeds.iter().sum::<f64>() {
        speed @ 10.0.. => format!("{speed:.0}"),
        speed => format!("{speed:.1}"),
    });
    let left = of.iter().filter_map(|run| run.left(now)).max_by(f64::total_cmp).map(duration);
    [label.to_owned(), states(of), score.unwrap_or_default(), speed.unwrap_or_default(), left.unwrap_or_default()]
}

/// The states of some runs: `running 40 %` of one, `1 running 40 %, 2 finished` of several.
fn states(runs: &[&Run]) -> String {
    let words = State::ALL.iter().filter_map(|state| {
        let found: Vec<_> = runs.iter().filter(|run| run.state == *state).collect();
        let name = if *state == State::Missing { "queued" } else { state.name() };
        let fractions: Vec<f64> = found.iter().filter_map(|run| run.fraction()).collect();
        let percent = match state {
            State::Running if !fractions.is_empty() => {
                format!(" {:.0} %", 100.0 * fractions.iter().sum::<f64>() / fractions.len() as f64)
            }
            _ => String::new(),
        };
        match (found.len(), runs.len()) {
            (0, _) => None,
            (1, 1) => Some(format!("{name}{percent}")),
            (count, _) => Some(format!("{count} {name}{percent}")),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

/// Aligned rows below their head. Columns without content are left out, and where `width` does not suffice, labels are
/// cut and then the columns that matter least left out.
fn grid(head: [String; COLUMNS], rows: Vec<[String; COLUMNS]>, width: usize) -> Vec<String> {
    let mut columns: Vec<usize> =
        (0..COLUMNS).filter(|column| rows.iter().any(|row| !row[*column].is_empty())).collect();
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let wide = |column: usize| rows.iter().map(|row| measure_text_width(&row[column])).max().unwrap_or(0);
    let others = |columns: &[usize]| columns.iter().filter(|c| **c != LABEL).map(|c| 2 + wide(*c)).sum::<usize>();
    for least in [SPEED, LEFT, SCORE] {
        if wide(LABEL).min(LABEL_WIDTH) + others(&columns) > width {
            columns.retain(|column| *column != least);
        }
    }
    let label = wide(LABEL).min(width.saturating_sub(others(&columns)).max(LABEL_WIDTH));
    let line = |row: &[String; COLUMNS]| {
        let cells = columns.iter().map(|column| match *column {
            LABEL => pad_str(&row[LABEL], label, Alignment::Left, Some("…")),
            SCORE | SPEED | LEFT => pad_str(&row[*column], wide(*column), Alignment::Right, None),
            column => pad_str(&row[column], wide(column), Alignment::Left, None),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// How far all runs are.
fn total(runs: &Runs, now: f64, width: usize) -> String {
    let (done, of) = (runs.all().iter().filter(|run| run.state.is_recorded()).count(), runs.all().len());
    let fraction = runs.fraction();
    let left = match runs.left(now) {
        Some(left) => format!(", about {} left", duration(left)),
        None if runs.is_going() => ", time left unknown".into(),
        None => String::new(),
    };
    let percent = (100.0 * fraction).floor();
    let words = format!("{done} of {of} runs, {percent:.0} %, {} spent{left}", duration(now));
    let filled = ((fraction * BAR as f64) as usize).min(BAR);
    let bar = format!("[{}{}] ", "=".repeat(filled), " ".repeat(BAR - filled));
    if bar.len() + measure_text_width(&words) > width { words } else { bar + &words }
}
