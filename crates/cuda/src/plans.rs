//! Tables of plans: which engine runs which convolution, as it was measured on a device.
//!
//! Text, one line each: `cudnn 91900`, `arch 90`, then
//! `n h w c k size stride padding dilation arithmetic direction engine knobs microseconds`, knobs as `type=value,…` or `-`.
//! A table holds for its cuDNN and architecture only; which card it was measured on is in its name.

use crate::error::{Error, Result};
use crate::shape::{Arithmetic, Conv, Direction};
use std::collections::BTreeMap;
use std::fmt::Write;

/// An engine with its knobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The engine's index.
    pub engine: i64,
    /// Type and value of each knob.
    pub knobs: Vec<(u32, i64)>,
}

/// Plans for one version of cuDNN and one architecture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plans {
    /// cuDNN's version, 91900 for 9.19.0.
    pub cudnn: usize,
    /// 90 for compute capability 9.0.
    pub arch: i32,
    choices: BTreeMap<(Conv, Arithmetic, Direction), (Choice, f32)>,
}

/// The tables that were measured.
const TABLES: &[(&str, &str)] = &[("h200-cudnn-91900", include_str!("../plans/h200-cudnn-91900.txt"))];

impl Plans {
    /// No plans, for `cudnn` and `arch`.
    pub fn new(cudnn: usize, arch: i32) -> Self {
        Self { cudnn, arch, choices: BTreeMap::new() }
    }

    /// The plans that were measured with `cudnn` on `arch`; none for others, where heuristics choose.
    ///
    /// # Errors
    ///
    /// Where a table of this crate is broken.
    pub fn measured(cudnn: usize, arch: i32) -> Result<Self> {
        for (name, text) in TABLES {
            let plans = Self::parse(name, text)?;
            if (plans.cudnn, plans.arch) == (cudnn, arch) {
                return Ok(plans);
            }
        }
        Ok(Self::new(cudnn, arch))
    }

    /// Reads a table.
    ///
    /// # Errors
    ///
    /// Where a line is none of a table's.
    pub fn parse(table: &str, text: &str) -> Result<Self> {
        let mut plans = Self::default();
        for (index, line) in text.lines().enumerate() {
            let error = |expected| Error::Plans { table: table.into(), line: index + 1, expected, found: line.into() };
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] | ["#", ..] => {}
                ["cudnn", version] => plans.cudnn = version.parse().map_err(|_| error("a version"))?,
                ["arch", arch] => plans.arch = arch.parse().map_err(|_| error("an architecture"))?,
                words if words.len() == 14 => {
                    let (key, value) = entry(words).ok_or_else(|| error("a plan"))?;
                    plans.choices.insert(key, value);
                }
                _ => return Err(error("`cudnn`, `arch`, or a plan of 14 words")),
            }
        }
        Ok(plans)
    }

    /// The table.
    pub fn text(&self) -> String {
        let mut text = format!("cudnn {}\narch {}\n", self.cudnn, self.arch);
        for ((conv, arithmetic, direction), (choice, microseconds)) in &self.choices {
            let knobs: Vec<String> = choice.knobs.iter().map(|(knob, value)| format!("{knob}={value}")).collect();
            let knobs = if knobs.is_empty() { "-".to_owned() } else { knobs.join(",") };
            let (arithmetic, direction, engine) = (arithmetic.name(), direction.name(), choice.engine);
            // Writing to a string does not fail.
            let _ = writeln!(text, "{conv} {arithmetic} {direction} {engine} {knobs} {microseconds:.2}");
        }
        text
    }

    /// The engine of a convolution.
    pub fn get(&self, conv: &Conv, arithmetic: Arithmetic, direction: Direction) -> Option<&Choice> {
        self.choices.get(&(*conv, arithmetic, direction)).map(|(choice, _)| choice)
    }

    /// Sets the engine of a convolution and the time it took.
    pub fn insert(
        &mut self,
        conv: Conv,
        arithmetic: Arithmetic,
        direction: Direction,
        choice: Choice,
        microseconds: f32,
    ) {
        self.choices.insert((conv, arithmetic, direction), (choice, microseconds));
    }

    /// How many plans there are.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// All plans, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (&Conv, Arithmetic, Direction, &Choice)> {
        self.choices.iter().map(|((conv, arithmetic, direction), (choice, _))| (conv, *arithmetic, *direction, choice))
    }
}

type Entry = ((Conv, Arithmetic, Direction), (Choice, f32));

fn entry(words: &[&str]) -> Option<Entry> {
    let numbers: Vec<usize> = words[..9].iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let knob = |word: &str| {
        let (knob, value) = word.split_once('=')?;
        Some((knob.parse().ok()?, value.parse().ok()?))
    };
    let knobs = match words[12] {
        "-" => Vec::new(),
        knobs => knobs.split(',').map(knob).collect::<Option<_>>()?,
    };
    let choice = Choice { engine: words[11].parse().ok()?, knobs };
    let key = (Conv::from_numbers(&numbers)?, Arithmetic::from_name(words[9])?, Direction::from_name(words[10])?);
    Some((key, (choice, words[13].parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_as_it_was_written() {
        let conv = Conv { n: 2, h: 8, w: 9, c: 3, k: 5, size: 3, stride: 2, padding: 1, dilation: 1 };
        let mut plans = Plans::new(91900, 90);
        let knobs = vec![(2, 17), (31, -1)];
        plans.insert(conv, Arithmetic::Bf16, Direction::Weight, Choice { engine: 57, knobs }, 12.25);
        plans.insert(conv, Arithmetic::F32, Direction::Forward, Choice { engine: 0, knobs: vec![] }, 1.0);
        assert_eq!(Plans::parse("table", &plans.text()).unwrap(), plans);
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = Plans::parse("h100", "cudnn 91900\n64 32").unwrap_err().to_string();
        assert_eq!(error, "h100, line 2: expected `cudnn`, `arch`, or a plan of 14 words, found `64 32`");
    }

    #[test]
    fn measured_tables_are_tables() {
        for (name, text) in TABLES {
            assert!(!Plans::parse(name, text).unwrap().is_empty(), "{name}");
        }
    }
}
