//! `--partition I/N`: a part of the runs for each of several machines that know nothing of each other.

use record::RunId;
use std::str::FromStr;

/// One of `of` parts. To which part a run belongs depends on its id alone, so that it does not change with what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partition {
    /// From 0.
    index: u64,
    of: u64,
}

impl Partition {
    pub(crate) fn has(self, id: &RunId) -> bool {
        // An id is 16 hexadecimal digits of a hash.
        u64::from_str_radix(id.as_str(), 16).unwrap_or_default() % self.of == self.index
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Self { index: index - 1, of }),
            _ => Err("expected I/N with I from 1 to N, such as 1/3".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_in_one_part() {
        let parts: Vec<Partition> = ["1/3", "2/3", "3/3"].iter().map(|text| text.parse().unwrap()).collect();
        let mut counts = [0; 3];
        for run in 0..300u64 {
            let id = format!("{:016x}", run.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let id: RunId = serde_json::from_value(id.into()).unwrap();
            let of: Vec<usize> = (0..3).filter(|part| parts[*part].has(&id)).collect();
            assert_eq!(of.len(), 1);
            counts[of[0]] += 1;
        }
        assert!(counts.iter().all(|count| *count > 70), "{counts:?}");
        for wrong in ["", "3", "0/3", "4/3", "1/0", "a/3", "1/3/5", "-1/3"] {
            assert!(wrong.parse::<Partition>().is_err(), "{wrong}");
        }
    }
}
