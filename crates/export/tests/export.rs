//! What is exported, read back by other readers than ours.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use export::{Table, Values, tables};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use record::Entry;
use std::path::{Path, PathBuf};
use std::process::Command;

fn records() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/records/classification.jsonl")
}

fn entries() -> Vec<Entry> {
    record::read_entries(&records()).unwrap()
}

fn column<'t>(table: &'t Table, name: &str) -> &'t Values {
    &table.columns.iter().find(|column| column.name == name).unwrap_or_else(|| panic!("no column {name}")).values
}

#[test]
fn tables_say_what_records_say() {
    let entries = entries();
    let [runs, epochs, norms, layers] = tables(&entries).unwrap().try_into().unwrap();
    for table in [&runs, &epochs, &norms, &layers] {
        let names: std::collections::BTreeSet<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names.len(), table.columns.len(), "two columns of one name in {}", table.name);
        assert!(names.contains("step"));
        assert!(table.columns.iter().all(|column| column.values.len() == table.columns[0].values.len()));
    }
    let ids = entries.iter().map(|entry| Some(entry.record.id.to_string()));
    assert_eq!(column(&runs, "id"), &Values::Text(ids.collect()));
    let rates = entries.iter().map(|entry| entry.record.spec.optimizer["lr"].as_f64());
    assert_eq!(column(&runs, "optimizer.lr"), &Values::Number(rates.collect()));
    let decays = entries.iter().map(|entry| entry.record.spec.method.get("decay").and_then(serde_json::Value::as_f64));
    assert_eq!(column(&runs, "method.decay"), &Values::Number(decays.collect()));
    let tests = entries.iter().map(|entry| entry.test.as_ref().map(|test| test.scores["top1"]));
    assert_eq!(column(&runs, "test/top1"), &Values::Number(tests.collect()));
    let steps = entries.iter().flat_map(|entry| entry.record.epochs.iter().map(|row| Some(row.step as i64)));
    assert_eq!(column(&epochs, "step"), &Values::Whole(steps.collect()));
    let norm = entries.iter().flat_map(|entry| entry.record.norms.iter().map(|row| Some(row.filter_norm_median)));
    assert_eq!(column(&norms, "filter_norm_median"), &Values::Number(norm.collect()));
    let names = entries.iter().flat_map(|entry| entry.record.layers.iter().map(|row| Some(row.name.clone())));
    assert_eq!(column(&layers, "layer"), &Values::Text(names.collect()));
}

/// One entry, changed.
fn changed(change: impl FnOnce(&mut record::Record)) -> Entry {
    let mut entry = entries().remove(0);
    change(&mut entry.record);
    entry
}

#[test]
fn values_have_the_type_that_they_were_written_with() {
    let set =
        |key: &str, value: serde_json::Value| changed(|record| drop(record.spec.method.insert(key.to_owned(), value)));
    let column = |entries: &[Entry], name: &str| column(&tables(entries).unwrap()[0], name).clone();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let entries = [set("x", json("true")), set("y", json("1")), set("x", json("false"))];
    assert_eq!(column(&entries, "method.x"), Values::Flag(vec![Some(true), None, Some(false)]));
    let entries = [set("x", json("-3")), set("x", json("4"))];
    assert_eq!(column(&entries, "method.x"), Values::Whole(vec![Some(-3), Some(4)]));
    let entries = [set("x", json("-3")), set("x", json("0.5"))];
    assert_eq!(column(&entries, "method.x"), Values::Number(vec![Some(-3.0), Some(0.5)]));
    let entries = [set("x", json("true")), set("x", json("1"))];
    let words = |words: &[&str]| Values::Text(words.iter().map(|word| Some((*word).to_owned())).collect());
    assert_eq!(column(&entries, "method.x"), words(&["true", "1"]));
    // 0.6 and 0.1 as f32; numbers that are not one are as they are.
    let entries = [set("x", json("0.6000000238418579")), set("x", json("0.123456789012345")), set("x", json("0.1"))];
    assert_eq!(column(&entries, "method.x"), Values::Number(vec![Some(0.6), Some(0.123_456_789_012_345), Some(0.1)]));
    let entries = [set("x", json("[0.10000000149011612, 1e-30]"))];
    assert_eq!(column(&entries, "method.x"), words(&["[0.1,1e-30]"]));

    let entries = [changed(|record| record.spec.seed = 7), changed(|record| record.spec.seed = u64::MAX)];
    assert_eq!(column(&entries[..1], "seed"), Values::Whole(vec![Some(7)]));
    assert_eq!(column(&entries, "seed"), words(&["7", "18446744073709551615"]), "beyond a signed integer");

    let started = |text: &str| [changed(|record| record.provenance.started = text.to_owned())];
    let expected = "2026-01-02T03:04:05Z".parse().unwrap();
    assert_eq!(column(&started("2026-01-02T03:04:05Z"), "started"), Values::Time(vec![Some(expected)]));
    let message = format!("{:#}", tables(&started("yesterday")).unwrap_err());
    assert!(message.contains("expected a time in RFC 3339, found `yesterday`"), "{message}");
}

#[test]
fn runs_are_named_by_row_and_seed() {
    let entry = |name: &str, lr: f64, seed: u64| {
        changed(|record| {
            record.spec.method = [("name".to_owned(), name.into())].into_iter().collect();
            record.spec.optimizer.insert("lr".to_owned(), lr.into());
            record.spec.seed = seed;
        })
    };
    let named = |entries: &[Entry]| -> Vec<String> {
        export::names(entries).into_iter().map(|name| format!("{}/{}", name.group, name.run)).collect()
    };
    let entries = [entry("wrs", 0.1, 0), entry("wrs", 0.1, 1), entry("wrs", 0.2, 0), entry("none", 0.1, 0)];
    assert_eq!(named(&entries), ["wrs lr 0.1/seed 0", "wrs lr 0.1/seed 1", "wrs lr 0.2/seed 0", "none/seed 0"]);
    // Nothing leads out of the folder, and no two are equal.
    let mut other = entry("../a:b", 0.1, 0);
    other.record.spec.dataset = "another".to_owned();
    let entries = [entry("../a:b", 0.1, 0), other, entry("../a:b", 0.1, 0)];
    assert_eq!(named(&entries), ["-a-b/seed 0", "-a-b (2)/seed 0", "-a-b/seed 0 again"]);
}

#[test]
fn csv_is_read_back_to_the_last_bit() {
    for table in tables(&entries()).unwrap() {
        let mut bytes = Vec::new();
        export::csv(&table, &mut bytes).unwrap();
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        assert_eq!(names, table.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        for (index, column) in table.columns.iter().enumerate() {
            let cells = rows.iter().map(|row| Some(&row[index]).filter(|cell| !cell.is_empty()));
            let found = match &column.values {
                Values::Text(_) => Values::Text(cells.map(|cell| cell.map(str::to_owned)).collect()),
                Values::Number(_) => Values::Number(cells.map(|cell| cell.map(|cell| cell.parse().unwrap())).collect()),
                Values::Whole(_) => Values::Whole(cells.map(|cell| cell.map(|cell| cell.parse().unwrap())).collect()),
                Values::Flag(_) => Values::Flag(cells.map(|cell| cell.map(|cell| cell.parse().unwrap())).collect()),
                Values::Time(_) => Values::Time(cells.map(|cell| cell.map(|cell| cell.parse().unwrap())).collect()),
            };
            assert_eq!(found, column.values, "{} of {}", column.name, table.name);
        }
    }
}

#[test]
fn parquet_is_read_back_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    for table in tables(&entries()).unwrap() {
        let path = folder.path().join(table.name);
        let mut bytes = Vec::new();
        export::parquet(&table, &mut bytes).unwrap();
        files::write_atomic(&path, &bytes).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap()).unwrap();
        let batches: Vec<_> = reader.with_batch_size(1 << 20).build().unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.len(), 1);
        for (index, column) in table.columns.iter().enumerate() {
            assert_eq!(batches[0].schema().field(index).name(), &column.name);
            let array = batches[0].column(index);
            let found = match &column.values {
                Values::Text(_) => {
                    Values::Text(array.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
                }
                Values::Number(_) => Values::Number(array.as_primitive::<Float64Type>().iter().collect()),
                Values::Whole(_) => Values::Whole(array.as_primitive::<Int64Type>().iter().collect()),
                Values::Flag(_) => Values::Flag(array.as_boolean().iter().collect()),
                Values::Time(_) => {
                    let times = array.as_primitive::<TimestampMicrosecondType>();
                    assert_eq!(times.timezone(), Some("UTC"));
                    let time = |micros| jiff::Timestamp::from_microsecond(micros).unwrap();
                    Values::Time(times.iter().map(|micros| micros.map(time)).collect())
                }
            };
            assert_eq!(found, column.values, "{} of {}", column.name, table.name);
        }
    }
}

/// Python, with numpy: masked CRC of `crc32c.value(b"...")` as TensorFlow's `masked_crc32c`.
#[test]
fn a_frame_has_its_length_and_checksums() {
    let frame = export::framed(b"123456789");
    assert_eq!(&frame[..8], 9u64.to_le_bytes());
    assert_eq!(&frame[12..21], b"123456789");
    // The check value of CRC-32C, 0xe3069283, masked.
    let masked = 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8);
    assert_eq!(frame[21..], masked.to_le_bytes());
    assert_eq!(frame.len(), 8 + 4 + 9 + 4);
}

/// TensorBoard's own reader, where its Python package is installed.
#[test]
fn tensorboard_reads_the_events() {
    const SCRIPT: &str = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
run = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
run.Reload()
data = plugin_data_pb2.HParamsPluginData.FromString
content = lambda tag: data(run.SummaryMetadata(tag).plugin_data.content)
start, end = content("_hparams_/session_start_info"), content("_hparams_/session_end_info")
value = lambda v: getattr(v, v.WhichOneof("kind"))
print(json.dumps({
    "scalars": {tag: [[e.step, e.value] for e in run.Scalars(tag)] for tag in run.Tags()["scalars"]},
    "hparams": {key: value(v) for key, v in start.session_start_info.hparams.items()},
    "status": end.session_end_info.status,
    "group": start.session_start_info.group_name,
}))
"#;
    let python = std::env::var("WRS_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let installed = Command::new(&python).args(["-c", "import tensorboard"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no package `tensorboard`; $WRS_BENCH_PYTHON may name one that has");
        return;
    }
    let entries = entries();
    let entry = entries.iter().find(|entry| entry.test.is_some()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.out.tfevents.test");
    files::write_atomic(&file, &export::events(entry, "wrs lr 0.1").unwrap()).unwrap();
    let output = Command::new(&python).args(["-c", SCRIPT]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let scalar = |tag: &str| -> Vec<(u64, f32)> {
        let points = seen["scalars"][tag].as_array().unwrap_or_else(|| panic!("no scalar {tag}"));
        points.iter().map(|point| (point[0].as_u64().unwrap(), point[1].as_f64().unwrap() as f32)).collect()
    };
    let record = &entry.record;
    let losses = record.epochs.iter().map(|row| (row.step, row.train_loss as f32));
    assert_eq!(scalar("train_loss"), losses.collect::<Vec<_>>());
    let norms = record.norms.iter().map(|row| (row.step, row.filter_norm_median as f32));
    assert_eq!(scalar("norms/filter_norm_median"), norms.collect::<Vec<_>>());
    let test = entry.test.as_ref().unwrap().scores["top1"] as f32;
    assert_eq!(scalar("test/top1"), [(record.steps, test)]);
    assert_eq!(seen["hparams"]["optimizer.lr"], record.spec.optimizer["lr"]);
    assert_eq!(seen["hparams"]["method.name"], record.spec.method["name"]);
    // The seeds of a group share what is shown of it.
    assert_eq!((&seen["hparams"]["seed"], &seen["group"]), (&serde_json::Value::Null, &"wrs lr 0.1".into()));
    assert_eq!(seen["status"], 1);
}

#[test]
fn nothing_is_overwritten_and_bad_records_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let export = |records: &Path, out: &Path, format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_export"));
        let output = command.arg(records).args(["--format", format, "--out"]).arg(out).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (format, file) in [("csv", "runs.csv"), ("parquet", "norms.parquet")] {
        let out = folder.path().join(format);
        let (code, message) = export(&records(), &out, format);
        assert!(code == Some(0) && out.join(file).is_file(), "{message}");
        let (code, message) = export(&records(), &out, format);
        assert!(code == Some(1) && message.contains("--out: expected a folder that does not exist yet"), "{message}");
    }
    let out = folder.path().join("events");
    assert_eq!(export(&records(), &out, "tensorboard").0, Some(0));
    let files = export::names(&entries())
        .into_iter()
        .map(|name| out.join(name.group).join(name.run).join("events.out.tfevents.wrs-bench"));
    assert!(files.into_iter().all(|file| file.is_file()));
    let broken = folder.path().join("broken.jsonl");
    files::write_atomic(&broken, b"{}\n").unwrap();
    let out = folder.path().join("none");
    let (code, message) = export(&broken, &out, "csv");
    assert!(code == Some(1) && message.contains("broken.jsonl, line 1"), "{message}");
    assert!(!out.exists());
}
