//! CIFAR-10 and CIFAR-100, binary version.

use data::{Image, Split, TaskKind};

use super::{Layout, names};
use crate::error::{Error, InFile, Malformed, Result, or_kind};
use crate::release::{Item, Label, Part, Picture, Release};
use crate::tree::Tree;
use formats::cifar::{SIDE, parse};

pub(super) const CIFAR10: Layout = Layout {
    name: "cifar-10",
    looks_like: "data_batch_1.bin to data_batch_5.bin, test_batch.bin, batches.meta.txt",
    matches: |tree| tree.has("data_batch_1.bin") && tree.has("batches.meta.txt"),
    near: |tree| of_python(tree, "data_batch_1", "cifar-10-binary.tar.gz"),
    read: |tree, _| {
        let batches: Vec<String> = (1..=5).map(|batch| format!("data_batch_{batch}.bin")).collect();
        read(tree, "batches.meta.txt", 1, &batches, "test_batch.bin")
    },
};

pub(super) const CIFAR100: Layout = Layout {
    name: "cifar-100",
    looks_like: "train.bin, test.bin, fine_label_names.txt",
    matches: |tree| tree.has("train.bin") && tree.has("fine_label_names.txt"),
    near: |tree| if tree.has("meta") { of_python(tree, "train", "cifar-100-binary.tar.gz") } else { None },
    read: |tree, _| read(tree, "fine_label_names.txt", 2, &["train.bin".to_owned()], "test.bin"),
};

/// The version for Python has pickles.
fn of_python(tree: &Tree, file: &str, other: &str) -> Option<String> {
    tree.has(file).then(|| format!("{file} is of the version for Python: get the binary version, {other}"))
}

fn read(tree: &Tree, meta: &str, labels: usize, train: &[String], test: &str) -> Result<Release> {
    let classes = names(&tree.text(meta)?);
    let part = |split, files: &[String]| {
        let mut items = Vec::new();
        for file in files {
            append(tree, file, labels, classes.len(), &mut items)?;
        }
        Ok::<_, Error>(Part { split, items })
    };
    let parts = vec![part(Split::Train, train)?, part(Split::Test, &[test.to_owned()])?];
    Ok(Release { task: TaskKind::Classification, classes, void: Vec::new(), parts, notes: Vec::new() })
}

fn append(tree: &Tree, file: &str, labels: usize, classes: usize, items: &mut Vec<Item>) -> Result<()> {
    let shown = tree.shown(file);
    let bytes = tree.read(file)?;
    let records = parse(&bytes, labels).map_err(|cause| or_kind(cause, &bytes).of(&shown))?;
    for (record, number) in records.into_iter().zip(1..) {
        let at = format!("record {number}");
        if usize::from(record.label) >= classes {
            let expected = format!("a label from 0 to {}", classes.saturating_sub(1));
            return Err(Malformed::new(at, expected, record.label.to_string()).of(shown));
        }
        let image = Image { height: SIDE, width: SIDE, channels: 3, pixels: record.pixels };
        let picture = Picture::Pixels { place: format!("{shown}: {at}"), image };
        let label = Label::Class(u32::from(record.label));
        items.push(Item { id: items.len() as i64, picture, size: None, label });
    }
    Ok(())
}
