//! What a comparison of regularizers needs before it can say anything.

use super::ranking::{Line, Ranking};
use super::section::Section;
use super::table::{Cell, Table};
use super::words::{NOTHING, number, significant};
use study::{Edge, Float, last};

/// Largest share of the validation loss that the training loss may be where the data is overfitted.
const OVERFITTED: f64 = 0.5;
/// Fewest e-folding times after which weight decay has shown what it does.
const EFOLDS: f64 = 3.0;

/// One of them, as the comparison has it.
pub(super) struct Condition {
    /// What is needed.
    what: &'static str,
    found: Cell,
    /// `None` where the records cannot tell.
    pub(super) is_met: Option<bool>,
    /// Why the comparison cannot tell, where it is not met.
    pub(super) because: String,
}

/// The three conditions, for each row that the others are compared with.
pub(super) fn of(ranking: &Ranking<'_>) -> Vec<(String, Vec<Condition>)> {
    let of_line = |line: &Line<'_>| (line.row.label.clone(), vec![overfitted(line), relaxed(line), inside(line)]);
    ranking.references().map(of_line).collect()
}

fn overfitted(line: &Line<'_>) -> Condition {
    let [training, validation] = losses(line);
    let (found, is_met, because) = match (training, validation) {
        (Some(training), Some(validation)) => (
            Cell::text(format!("training loss {}, validation loss {}", significant(training), significant(validation))),
            Some(training <= OVERFITTED * validation),
            format!(
                "nothing overfits (training loss {}, validation loss {})",
                significant(training),
                significant(validation)
            ),
        ),
        _ => (Cell::text("the records have no validation loss"), None, String::new()),
    };
    Condition { what: "The data is overfitted: training loss at most half the validation loss", found, is_met, because }
}

/// Mean training and validation loss at the end of the chosen setting's runs.
pub(super) fn losses(line: &Line<'_>) -> [Option<f64>; 2] {
    let mean = |of: fn(&record::Record) -> Option<f64>| line.setting?.mean(|entry| of(&entry.record));
    [mean(record::Record::training_loss), mean(record::Record::validation_loss)]
}

fn relaxed(line: &Line<'_>) -> Condition {
    let efolds = line.setting.and_then(|setting| setting.mean(|entry| entry.record.decay_efolds));
    Condition {
        what: "The training is long enough for weight decay: at least 3 e-folding times of ‖w‖⁴",
        found: efolds.map_or(Cell::text("not recorded"), |efolds| Cell::number(efolds, significant)),
        is_met: efolds.map(|efolds| efolds >= EFOLDS),
        because: efolds.map_or(String::new(), |efolds| {
            format!("the training has only {} e-folding times of weight decay", significant(efolds))
        }),
    }
}

fn inside(line: &Line<'_>) -> Condition {
    let edges: Vec<String> = line.edges.iter().map(edge).collect();
    Condition {
        what: "Weight decay's best setting is inside the searched range",
        found: Cell::text(match edges.as_slice() {
            _ if line.row.settings.len() < 2 => "nothing was searched".to_owned(),
            [] => "inside".to_owned(),
            edges => edges.join(", "),
        }),
        is_met: (line.row.settings.len() > 1).then_some(edges.is_empty()),
        because: format!("weight decay's best setting is at an edge ({})", edges.join(", ")),
    }
}

/// `lr 0.2 is the largest tried`.
pub(super) fn edge(edge: &Edge) -> String {
    let which = if edge.is_largest { "largest" } else { "smallest" };
    format!("{} {} is the {which} tried", last(&edge.key), number(Float(edge.value)))
}

pub(super) fn render(ranking: &Ranking<'_>) -> Option<Section> {
    let of = of(ranking);
    let several = of.len() > 1;
    let rows = of.into_iter().flat_map(|(label, conditions)| {
        conditions.into_iter().map(move |condition| {
            let is_met = match condition.is_met {
                Some(true) => Cell::text("yes"),
                Some(false) => Cell::text("no").strong(),
                None => Cell::text(NOTHING),
            };
            let label = several.then(|| Cell::text(label.clone()));
            label.into_iter().chain([Cell::text(condition.what), condition.found, is_met]).collect()
        })
    });
    let header = several.then_some("for").into_iter().chain(["condition", "found", "met"]);
    let table = Table::new(header, rows);
    (!table.is_empty()).then(|| {
        let text = "A comparison of regularizers is meaningful if three conditions are met:";
        Section::default().text(text).table(table)
    })
}
