//! What reading a set needs to know, and what it found to be wrong.

use std::fmt;
use std::path::Path;
use std::sync::Mutex;

use crate::error::Cell;
use crate::spool::Span;
use crate::{Channels, Error, Fault, Result, Stored};

/// A set that is being read, with labels in columns `C`.
pub struct Reading<'a, C> {
    pub(crate) name: &'a str,
    pub(crate) manifest: &'a Stored,
    pub(crate) columns: &'a C,
    pub(crate) classes: &'a [String],
    /// All files; rows name them by their index.
    pub(crate) files: &'a [&'a Path],
    pub(crate) faults: &'a Faults,
}

/// A row of a set, before it is decoded.
#[derive(Debug, Clone)]
pub struct Row<R> {
    /// Index of the file, and row in it.
    pub(crate) place: (usize, usize),
    /// `[height, width]` of the image in the file.
    pub(crate) size: [usize; 2],
    pub(crate) channels: Channels,
    pub(crate) image: Span,
    pub(crate) raw: R,
}

impl<C> Reading<'_, C> {
    /// Where `row` has `column`, for messages.
    pub(crate) fn cell<R>(&self, row: &Row<R>, column: &str) -> Cell {
        let (file, row) = row.place;
        let file = self.files.get(file).map(|file| file.to_path_buf()).unwrap_or_default();
        Cell { file, row, column: column.to_owned() }
    }

    /// Counts `count` faults in `row` where the manifest tolerates them, else fails.
    pub(crate) fn tolerate<R>(
        &self,
        fault: Fault,
        count: usize,
        row: &Row<R>,
        error: impl FnOnce() -> Error,
    ) -> Result<()> {
        if !self.manifest.tolerates(fault) {
            return Err(error());
        }
        self.faults.add(fault, count, row.place, error);
        Ok(())
    }
}

/// What was tolerated so far. Rows are decoded in parallel, so it is kept in no order.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<(Warning, (usize, usize))>>);

impl Faults {
    pub(crate) fn add(&self, fault: Fault, count: usize, place: (usize, usize), error: impl FnOnce() -> Error) {
        let Ok(mut all) = self.0.lock() else { return };
        match all.iter_mut().find(|(warning, _)| warning.fault == fault) {
            None => all.push((Warning { fault, count, first: error().to_string() }, place)),
            Some((warning, first)) => {
                warning.count += count;
                if place < *first {
                    *first = place;
                    warning.first = error().to_string();
                }
            }
        }
    }

    pub(crate) fn warnings(self) -> Vec<Warning> {
        let mut all = self.0.into_inner().unwrap_or_default();
        all.sort_by_key(|(_, place)| *place);
        all.into_iter().map(|(warning, _)| warning).collect()
    }
}

/// Something wrong with a set that its manifest tolerates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What is wrong.
    pub fault: Fault,
    /// How many images, boxes, points, or pixels of masks.
    pub count: usize,
    /// The first of them in the order of files and rows: where it is, what was expected and what was found.
    pub first: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, done) = match self.fault {
            Fault::Image => ("images", "left out"),
            Fault::Box => ("boxes", "cut off at the border or left out"),
            Fault::Mask => ("pixels of masks", "taken as void"),
            Fault::Point => ("points", "left out"),
        };
        write!(f, "{} {what} {done}, as the manifest tolerates; the first: {}", self.count, self.first)
    }
}
