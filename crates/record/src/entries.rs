//! The file of records that a report is made from: `reports/records/<name>.jsonl`.

use crate::agreement::{Disagreement, disagreements};
use crate::run::{Entry, Provenance, SCHEMAS};
use crate::spec::{RunId, canonical_json};
use files::FileError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The letters of a line that is no entry which are shown.
const SHOWN: usize = 40;

/// What is wrong with a file of entries.
#[derive(Debug, thiserror::Error)]
pub enum EntriesError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is no entry.
    #[error(
        "{}, line {line}: expected a record and its test scores as one line of JSON, found: {problem}\n  \
         hint: restore the line from version control, or write the file anew with `cargo xtask bench`",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the parser saw.
        problem: String,
    },
    /// An entry was written by another version of the code.
    #[error(
        "{}, line {line}: expected a schema from {} to {}, found schema {found}\n  \
         hint: use the version of the code that wrote it, or train these runs again",
        path.display(), SCHEMAS.start(), SCHEMAS.end()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What the entry says.
        found: u64,
    },
    /// Two records of a run disagree.
    #[error("{}, {conflict}", path.display())]
    Conflict {
        /// The file.
        path: PathBuf,
        /// The disagreement.
        conflict: Box<Conflict>,
    },
}

/// Two records of one run, which is deterministic, that disagree about its result.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} and {}: expected two records of run {id} to agree, found {disagreement}\n  \
     hint: `cargo xtask verify {id}` trains it again and says which of them is right; remove the other",
    places[0], places[1]
)]
pub struct Conflict {
    /// The run.
    pub id: RunId,
    /// Where they differ first.
    pub disagreement: Disagreement,
    /// Where the two come from: line, kernels, processor, threads and commit.
    pub places: [String; 2],
}

/// The entries of the file at `path`, sorted by id. Lines that agree about a run count once, which
/// lets two branches' files be merged by keeping the lines of both.
pub fn read_entries(path: &Path) -> Result<Vec<Entry>, EntriesError> {
    let entries = read_lines(path)?.into_iter().map(|(line, entry)| (format!("line {line}"), entry)).collect();
    merge(entries).map_err(|conflict| EntriesError::Conflict { path: path.to_path_buf(), conflict })
}

/// The entry of each line of the file at `path`, by number from 1, whether or not they agree.
pub fn read_lines(path: &Path) -> Result<Vec<(usize, Entry)>, EntriesError> {
    let fail = |source| FileError::new("read", path, source);
    let file = File::open(path).map_err(fail)?;
    let mut entries = Vec::new();
    // The text of ten thousand records is larger than what it says.
    for (line, bytes) in (1..).zip(BufReader::new(file).split(b'\n')) {
        let bytes = bytes.map_err(fail)?;
        let text = decode(&bytes).map_err(|problem| EntriesError::Line { path: path.to_path_buf(), line, problem })?;
        if !text.is_empty() {
            entries.push((line, parse(path, line, text)?));
        }
    }
    Ok(entries)
}

/// The text of a line, without the byte order mark that editors put before the first one.
fn decode(bytes: &[u8]) -> Result<&str, String> {
    let is_utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    let other = if is_utf16 { "text in UTF-16" } else { "bytes that are not UTF-8" };
    let text = std::str::from_utf8(bytes).map_err(|_| other)?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() || text.starts_with('{') {
        return Ok(text);
    }
    let begin: String = text.chars().take(SHOWN).collect();
    Err(match begin.get(..7) {
        Some("<<<<<<<" | "=======" | ">>>>>>>") => {
            format!("`{begin}`, which a merge left; keep the lines of both sides, and delete those that begin so")
        }
        _ => format!("a line that begins with {begin:?}"),
    })
}

/// `entries` sorted by id, one of each. Two records of a run agree when all is equal but where and when it was
/// computed, seconds and the words of `about`; the one that started first is kept, with the test scores of either.
pub fn merge_entries(entries: impl IntoIterator<Item = Entry>) -> Result<Vec<Entry>, Box<Conflict>> {
    merge((1..).zip(entries).map(|(i, entry)| (format!("entry {i}"), entry)).collect())
}

/// One line of JSON an entry, with sorted keys, sorted by id: the same bytes for the same entries
/// in any order. Equal lines are written once.
pub fn entries_to_jsonl(entries: &[Entry]) -> String {
    let mut lines: Vec<(&RunId, String)> = entries
        .iter()
        // An entry is plain data with string keys, which always has a JSON form.
        .map(|entry| (&entry.record.id, canonical_json(&serde_json::to_value(entry).unwrap_or_default())))
        .collect();
    lines.sort();
    lines.dedup();
    lines.into_iter().fold(String::new(), |text, (_, line)| text + &line + "\n")
}

fn parse(path: &Path, line: usize, text: &str) -> Result<Entry, EntriesError> {
    #[derive(Deserialize)]
    struct Version {
        schema: u64,
    }
    #[derive(Deserialize)]
    struct Versions {
        record: Version,
        test: Option<Version>,
    }
    let problem = |problem| EntriesError::Line { path: path.to_path_buf(), line, problem };
    // The parser sees one line and calls it the first.
    let json = |error: serde_json::Error| problem(error.to_string().replace(" at line 1 column ", " at column "));
    // The version first: a line of another version may not have the fields of this one.
    let versions: Versions = serde_json::from_str(text).map_err(json)?;
    for version in [Some(versions.record), versions.test].into_iter().flatten() {
        if !SCHEMAS.into_iter().any(|known| u64::from(known) == version.schema) {
            return Err(EntriesError::Schema { path: path.to_path_buf(), line, found: version.schema });
        }
    }
    let entry: Entry = serde_json::from_str(text).map_err(json)?;
    match &entry.test {
        Some(test) if test.id != entry.record.id || test.weights != entry.record.weights => {
            Err(problem(format!("test scores of other weights than those of run {}", entry.record.id)))
        }
        _ => Ok(entry),
    }
}

fn merge(entries: Vec<(String, Entry)>) -> Result<Vec<Entry>, Box<Conflict>> {
    let mut merged: BTreeMap<RunId, (String, Entry)> = BTreeMap::new();
    for (place, mut entry) in entries {
        let Some((first, kept)) = merged.get_mut(&entry.record.id) else {
            merged.insert(entry.record.id.clone(), (place, entry));
            continue;
        };
        if let Some(disagreement) = disagreements(kept, &entry).into_iter().next() {
            let described = |place: &str, entry: &Entry| format!("{place} ({})", entry.record.provenance.line());
            return Err(Box::new(Conflict {
                id: entry.record.id.clone(),
                disagreement,
                places: [described(first, kept), described(&place, &entry)],
            }));
        }
        // The order of the input decides nothing.
        let tests = [kept.test.take(), entry.test.take()].into_iter().flatten();
        kept.test = tests.min_by_key(|test| age(&test.provenance, test));
        if age(&entry.record.provenance, &entry.record) < age(&kept.record.provenance, &kept.record) {
            kept.record = entry.record;
        }
    }
    Ok(merged.into_values().map(|(_, entry)| entry).collect())
}

/// Orders by start; what started at the same time by content.
fn age(provenance: &Provenance, content: &impl Serialize) -> (String, String) {
    (provenance.started.clone(), canonical_json(&serde_json::to_value(content).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use files::write_atomic;

    /// The file's text read back, with the folder's name taken out of an error.
    fn read(text: &str) -> Result<Vec<Entry>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.jsonl");
        write_atomic(&path, text.as_bytes()).unwrap();
        read_entries(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "c.jsonl"))
    }

    #[test]
    fn written_entries_are_read_back_bit_by_bit() {
        let entries = merge_entries(fixture::entries()).unwrap();
        let text = entries_to_jsonl(&entries);
        assert_eq!(read(&text).unwrap(), entries);
        assert_eq!(text.lines().count(), entries.len());
        let mut shuffled = fixture::entries();
        shuffled.reverse();
        shuffled.extend(fixture::entries());
        assert_eq!(entries_to_jsonl(&shuffled), text);
        assert_eq!(entries_to_jsonl(&[]), "");
        assert_eq!(read("\n").unwrap(), []);
    }

    #[test]
    fn records_from_before_tasks_drew_stay_as_they_are() {
        let mut old = fixture::entries().remove(0);
        old.record.about.pictures = None;
        let text = entries_to_jsonl(std::slice::from_ref(&old));
        assert!(!text.contains("pictures"), "{text}");
        assert_eq!(read(&text).unwrap(), [old]);
    }

    #[test]
    fn records_from_before_engines_were_named_stay_as_they_are() {
        let mut old = fixture::entries().into_iter().find(|entry| entry.test.is_some()).unwrap();
        let test = old.test.as_mut().unwrap();
        (old.record.schema, test.schema) = (2, 2);
        (old.record.provenance.kernels, test.provenance.kernels) = (None, None);
        (old.record.tensors, old.record.losses) = (None, None);
        let text = entries_to_jsonl(std::slice::from_ref(&old));
        assert!(!["kernels", "tensors", "losses"].iter().any(|key| text.contains(&format!("\"{key}\""))), "{text}");
        assert_eq!(read(&text).unwrap(), [old]);
    }

    #[test]
    fn editors_leave_marks_and_other_ends_of_lines() {
        let entries = merge_entries(fixture::entries()).unwrap();
        let text = entries_to_jsonl(&entries);
        assert_eq!(read(&format!("\u{feff}{}", text.replace('\n', "\r\n"))).unwrap(), entries);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.jsonl");
        let utf16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        write_atomic(&path, &utf16).unwrap();
        assert!(read_entries(&path).unwrap_err().to_string().contains("line 1: expected a record"));
        assert!(read_entries(&path).unwrap_err().to_string().contains("found: text in UTF-16"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_entries(Path::new("no/such.jsonl")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read no/such.jsonl: "), "{error}");
    }

    #[test]
    fn what_is_no_entry_is_an_error_with_its_line() {
        let good = entries_to_jsonl(&fixture::entries()[..1]);
        insta::assert_snapshot!(read(&format!("{good}<<<<<<< HEAD\n")).unwrap_err(), @r"
        c.jsonl, line 2: expected a record and its test scores as one line of JSON, found: `<<<<<<< HEAD`, which a merge left; keep the lines of both sides, and delete those that begin so
          hint: restore the line from version control, or write the file anew with `cargo xtask bench`
        ");
        insta::assert_snapshot!(read("version https://git-lfs.github.com/spec/v1\n").unwrap_err(), @r#"
        c.jsonl, line 1: expected a record and its test scores as one line of JSON, found: a line that begins with "version https://git-lfs.github.com/spec/"
          hint: restore the line from version control, or write the file anew with `cargo xtask bench`
        "#);
        let other = good.replace("\"schema\":5", "\"schema\":1");
        insta::assert_snapshot!(read(&format!("{good}\n{other}")).unwrap_err(), @r"
        c.jsonl, line 3: expected a schema from 2 to 5, found schema 1
          hint: use the version of the code that wrote it, or train these runs again
        ");
        let mut mixed = fixture::entries().into_iter().find(|entry| entry.test.is_some()).unwrap();
        mixed.record.weights = "others".into();
        insta::assert_snapshot!(read(&entries_to_jsonl(&[mixed])).unwrap_err(), @r"
        c.jsonl, line 1: expected a record and its test scores as one line of JSON, found: test scores of other weights than those of run 60d382468027fa7b
          hint: restore the line from version control, or write the file anew with `cargo xtask bench`
        ");
    }

    #[test]
    fn records_of_one_run_that_agree_are_one() {
        let tested = fixture::entries().into_iter().find(|entry| entry.test.is_some()).unwrap();
        let mut earlier = tested.clone();
        earlier.test = None;
        earlier.record.provenance.started = "2025-01-01T00:00:00Z".into();
        earlier.record.provenance.cpu = "another".into();
        earlier.record.provenance.kernels = Some("portable".into());
        earlier.record.provenance.threads = 7;
        earlier.record.seconds.forward += 1.0;
        earlier.record.about.method = "in other words".into();
        for entries in [[tested.clone(), earlier.clone()], [earlier.clone(), tested.clone()]] {
            let merged = merge_entries(entries).unwrap();
            assert_eq!(merged, [Entry { record: earlier.record.clone(), test: tested.test.clone() }]);
        }
    }

    #[test]
    fn records_of_one_run_that_disagree_are_an_error() {
        let one = fixture::entries().remove(0);
        let mut other = one.clone();
        other.record.epochs[3].train_loss += 1e-9;
        other.record.provenance.commit = "feedbeef".into();
        other.record.provenance.kernels = Some("avx2".into());
        other.record.provenance.ended = "2027-01-01T00:00:00Z".into();
        let text = entries_to_jsonl(&[one]) + &entries_to_jsonl(&[other]);
        insta::assert_snapshot!(read(&text).unwrap_err(), @r"
        c.jsonl, line 1 (avx512 kernels, AMD EPYC 9R14, 2 threads, commit 0123456789abcdef0123456789abcdef01234567) and line 2 (avx2 kernels, AMD EPYC 9R14, 2 threads, commit feedbeef): expected two records of run 60d382468027fa7b to agree, found `epochs.train_loss` of step 279: 0.31832310975501593 and 0.31832311075501596
          hint: `cargo xtask verify 60d382468027fa7b` trains it again and says which of them is right; remove the other
        ");
    }
}
