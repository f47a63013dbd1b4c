//! Parquet files of all four tasks. The first byte chooses the task, so that mutations keep to one; what follows is the
//! file of each split.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use data::{Label, Options, Root, Set, Split};

const TASKS: [(&str, &str); 4] = [
    ("classification", "label = \"label\"\n"),
    ("detection", "boxes = \"objects.bbox\"\nform = \"xywh\"\ncategory = \"objects.category\"\n"),
    ("segmentation", "mask = \"mask\"\nvoid = [255]\n"),
    ("crowd-counting", "points = \"points\"\n"),
];

/// A project whose four sets are the file of the input.
static PROJECT: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    // libFuzzer's hook ends the process at any panic. The parquet crate has some, which `data` turns into errors; those
    // that nobody catches still end the process.
    std::panic::set_hook(Box::new(|_| {}));
    let folder = tempfile::tempdir().unwrap();
    for (task, columns) in TASKS {
        let classes = if task == "crowd-counting" { "" } else { "classes = [\"a\", \"b\", \"c\"]\n" };
        let manifest = format!(
            "title = \"T\"\ntask = \"{task}\"\nlicence = \"\"\ncitation = \"\"\nhome = \"\"\n{classes}[columns]\nimage = \
             \"image\"\n{columns}[splits]\ntrain = \"train\"\nvalidation = \"validation\"\ntest = \"test\"\n"
        );
        write(&folder.path().join(format!("datasets/{task}.toml")), manifest.as_bytes());
        for split in ["train", "validation", "test"] {
            let split = folder.path().join(format!("datasets/{task}/default/{split}"));
            std::fs::create_dir_all(&split).unwrap();
            std::os::unix::fs::symlink(folder.path().join("input"), split.join("0000.parquet")).unwrap();
        }
    }
    let input = folder.path().join("input");
    (folder, input)
});

fn write(path: &std::path::Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((task, file)) = input.split_first() else { return };
    let (folder, path) = &*PROJECT;
    std::fs::write(path, file).unwrap();
    let root = Root { folder: folder.path().to_path_buf(), external: None, memory: 1 << 20 };
    match task % 4 {
        0 => read::<u32>(&root, 0),
        1 => read::<Vec<data::Object>>(&root, 1),
        2 => read::<data::Mask>(&root, 2),
        _ => read::<Vec<data::Point>>(&root, 3),
    }
});

fn read<L: Label>(root: &Root, task: usize) {
    let Ok(set) = Set::<L>::open(root, TASKS[task].0, Options::default()) else { return };
    for split in Split::ALL {
        for index in 0..set.len(split) {
            let _ = set.example(split, index);
        }
    }
}
