//! Whether the spec of a record is still the one that the run's id is the hash of.

use crate::agreement::{Disagreement, difference};
use crate::run::Record;
use crate::spec::{RunId, Spec, canonical};

/// The id that the spec of `record` has; another than the record's where the record was altered.
pub fn address(record: &Record) -> RunId {
    address_of(record, &canonical(&record.spec))
}

/// What was altered in the spec of `record`: where, and the values now and before. What was before is taken from
/// `others`, where one of them has the record's id, else searched one byte (replaced, added or taken away) from what there
/// is; `None` where it is not found.
pub fn alteration(record: &Record, others: &[Spec]) -> Option<Disagreement> {
    let before = others.iter().map(canonical).find(|text| address_of(record, text) == record.id);
    let before =
        before.or_else(|| neighbors(&canonical(&record.spec)).find(|text| address_of(record, text) == record.id));
    let [now, before] = [canonical(&record.spec), before?].map(|text| serde_json::from_str(&text).ok());
    difference(now.as_ref(), before.as_ref())
}

fn address_of(record: &Record, canonical: &str) -> RunId {
    RunId::of_canonical(&record.task, record.task_version, &record.provenance.dataset_digest, canonical)
}

/// All texts one printable byte away from `text`.
fn neighbors(text: &str) -> impl Iterator<Item = String> {
    let edit = move |start: usize, end: usize, byte: &str| match (text.get(..start), text.get(end..)) {
        (Some(before), Some(after)) => Some([before, byte, after].concat()),
        // Inside of a character.
        _ => None,
    };
    let printable = || (b' '..=b'~').map(|byte| char::from(byte).to_string());
    (0..=text.len()).flat_map(move |at| {
        let replaced = printable().filter_map(move |byte| edit(at, at + 1, &byte));
        let added = printable().filter_map(move |byte| edit(at, at, &byte));
        edit(at, at + 1, "").into_iter().chain(replaced).chain(added)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use serde_json::json;

    #[test]
    fn one_byte_is_found_and_two_are_looked_up() {
        let record = fixture::entries().remove(0).record;
        assert_eq!((address(&record), alteration(&record, &[])), (record.id.clone(), None));
        let altered = |alter: &dyn Fn(&mut Spec), others: &[Spec]| {
            let mut altered = record.clone();
            alter(&mut altered.spec);
            assert_ne!(address(&altered), record.id);
            alteration(&altered, others).map(|found| found.to_string())
        };
        let seed = |seed: u64| altered(&|spec| spec.seed = seed, &[]);
        assert_eq!(seed(1).unwrap(), "`seed`: 1 and 0");
        assert_eq!(seed(10).unwrap(), "`seed`: 10 and 0");
        assert_eq!(seed(11), None);
        let rate = |spec: &mut Spec| drop(spec.optimizer.insert("lr".into(), json!(0.2)));
        assert_eq!(altered(&rate, &[]).unwrap(), "`optimizer.lr`: 0.2 and 0.1");
        let renamed = |spec: &mut Spec| drop(spec.method.insert("name".into(), json!("über")));
        assert_eq!(altered(&renamed, &[]), None);
        let others = [Spec { seed: 7, ..record.spec.clone() }, record.spec.clone()];
        assert_eq!(altered(&renamed, &others).unwrap(), "`method.name`: \"über\" and \"none\"");
    }
}
