//! Choices at the ends of what was tried.

use super::{Comparison, Float, Row, rounded};
use crate::protocol::Protocol;
use record::Entry;
use std::collections::BTreeSet;

/// A chosen value beyond which nothing was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Label of the row.
    pub row: String,
    /// Dotted key of the hyper-parameter, such as `optimizer.lr`.
    pub key: String,
    /// The chosen value.
    pub value: f64,
    /// Whether it is the largest that was tried, and not the smallest.
    pub is_largest: bool,
    /// The next value in that direction: as far beyond, as a ratio, as its neighbor is on the other side.
    pub next: f64,
}

/// Where the choice of a row of the largest comparison in `entries` lies at an end of what was tried.
pub fn edges(entries: &[Entry], protocol: &Protocol) -> Vec<Edge> {
    let rows = Comparison::of(entries, protocol).map(|comparison| comparison.rows).unwrap_or_default();
    rows.iter().flat_map(Row::edges).collect()
}

impl Row<'_> {
    /// Searched hyper-parameters whose chosen value is the smallest or the largest that was tried. Zero is none: below it
    /// there is nothing to try.
    pub fn edges(&self) -> Vec<Edge> {
        let Some(setting) = self.chosen() else { return Vec::new() };
        let edge = |key: &str| {
            let tried: BTreeSet<Float> =
                self.settings.iter().filter_map(|setting| setting.hyper.get(key)).copied().collect();
            let chosen = *setting.hyper.get(key)?;
            let is_largest = tried.last() == Some(&chosen);
            if chosen.0 == 0.0 || !(is_largest || tried.first() == Some(&chosen)) {
                return None;
            }
            let neighbor = if is_largest { tried.iter().rev().nth(1)? } else { tried.iter().nth(1)? };
            let ratio = chosen.0 / neighbor.0;
            let next =
                if ratio.is_finite() && ratio > 0.0 { rounded(chosen.0 * ratio) } else { rounded(2.0 * chosen.0) };
            Some(Edge { row: self.label.clone(), key: key.to_owned(), value: chosen.0, is_largest, next })
        };
        self.searched().into_iter().filter_map(edge).collect()
    }
}
