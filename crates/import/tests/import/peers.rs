//! What others read of the files: Hugging Face's `datasets`, where its Python package is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use import::Options;
use serde_json::{Value, json};

use crate::crowd::shanghaitech;
use crate::detection::coco;
use crate::images::{camvid, folders};
use crate::project::Project;

/// Prints for each file, or folder with a card, the types of its columns, in order, and the first row; images as their modes and sizes.
const SCRIPT: &str = r#"
import json, sys
import datasets, pyarrow.parquet
datasets.disable_progress_bars()
def plain(value):
    if hasattr(value, "mode"):
        return [value.mode, *value.size]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
def kind(feature):
    if isinstance(feature, dict):
        return [[key, kind(item)] for key, item in feature.items()]
    if isinstance(feature, datasets.ClassLabel):
        return ["ClassLabel", *feature.names]
    if isinstance(feature, datasets.Value):
        return feature.dtype
    inner = getattr(feature, "feature", None)
    return type(feature).__name__ if inner is None else [type(feature).__name__, kind(inner)]
for path in sys.argv[2:]:
    if path.endswith(".parquet"):
        rows = datasets.load_dataset("parquet", data_files=path, cache_dir=sys.argv[1], split="train")
        features = datasets.Features.from_arrow_schema(pyarrow.parquet.read_schema(path))
        assert rows.features == features, (rows.features, features)
    else:
        rows = datasets.load_dataset(path, cache_dir=sys.argv[1], split="test")
    print(json.dumps({"features": kind(dict(rows.features)), "row": plain(rows[0]), "rows": len(rows)}))
"#;

/// What `datasets` reads of each file, or nothing where it is not installed.
fn read(files: &[PathBuf], scratch: &Path) -> Option<Vec<Value>> {
    let python = std::env::var("WRS_BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let installed = Command::new(&python).args(["-c", "import datasets, PIL"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no packages `datasets` and `pillow`; $WRS_BENCH_PYTHON may name one that has");
        return None;
    }
    let mut command = Command::new(&python);
    command.args(["-c", SCRIPT]).arg(scratch).args(files).env("HF_HUB_OFFLINE", "1").env("HF_HOME", scratch);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn datasets_reads_imported_sets_as_images_and_classes() {
    let project = Project::new();
    for (name, release) in
        [("pets", folders()), ("boxes", coco()), ("masks", camvid()), ("crowd", shanghaitech("", "ground-truth"))]
    {
        project.import(name, &release, &Options::default()).unwrap();
    }
    let files = ["pets", "boxes", "masks", "crowd"].map(|name| project.file(name, "train"));
    let Some(seen) = read(&files, &project.path("scratch")) else { return };
    assert_eq!(seen[0]["features"], json!([["image", "Image"], ["label", ["ClassLabel", "cat", "dog"]]]));
    assert_eq!(seen[0]["row"], json!({"image": ["RGB", 8, 8], "label": 0}));
    let objects = json!([
        ["id", ["List", "int64"]],
        ["area", ["List", "float64"]],
        ["bbox", ["List", ["List", "float32"]]],
        ["category", ["List", ["ClassLabel", "person", "car", "toothbrush"]]],
        ["iscrowd", ["List", "bool"]],
    ]);
    assert_eq!(seen[1]["features"][4], json!(["objects", objects]));
    assert_eq!(seen[1]["row"]["image"], json!(["RGB", 40, 30]));
    assert_eq!(
        seen[1]["row"]["objects"],
        json!({"id": [101], "area": [12.5], "bbox": [[0.0, 0.0, 40.0, 30.0]], "category": [1], "iscrowd": [true]})
    );
    assert_eq!(seen[2]["row"], json!({"image": ["RGB", 3, 2], "annotation": ["L", 3, 2]}));
    assert_eq!(seen[3]["features"][1], json!(["points", ["List", ["List", "float32"]]]));
    assert_eq!(seen[3]["row"]["points"], json!([[10.5, 3.25], [11.5, 3.25]]));
}

#[test]
fn datasets_reads_the_embedded_set_as_images_and_classes() {
    let project = Project::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/fashion-mnist-12k");
    let manifest = data::Manifest::read(&folder.with_extension("toml")).unwrap();
    let Some(seen) = read(&[folder], &project.path("scratch")) else { return };
    let classes: Vec<&str> =
        seen[0]["features"][1][1].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(classes[..1], ["ClassLabel"]);
    assert_eq!(classes[1..], manifest.stored().unwrap().classes);
    assert_eq!(seen[0]["features"][0], json!(["image", "Image"]));
    assert_eq!((&seen[0]["row"], &seen[0]["rows"]), (&json!({"image": ["L", 28, 28], "label": 8}), &json!(5000)));
}

#[test]
fn the_types_are_in_the_arrow_schema_in_the_order_of_the_fields() {
    let project = Project::new();
    project.import("boxes", &coco(), &Options::default()).unwrap();
    let file = std::fs::File::open(project.file("boxes", "train")).unwrap();
    let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let text = builder.schema().metadata().get("huggingface").unwrap();
    let entries = builder.metadata().file_metadata().key_value_metadata().unwrap();
    assert!(entries.iter().any(|entry| entry.key == "huggingface" && entry.value.as_deref() == Some(text)));
    let places = ["image_id", "image\"", "width", "height", "objects", "\"id\"", "area", "bbox", "category", "iscrowd"]
        .map(|name| text.find(name).unwrap_or_else(|| panic!("{name} in {text}")));
    assert!(places.is_sorted(), "{text}");
}
