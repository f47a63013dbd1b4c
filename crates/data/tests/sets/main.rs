//! Data sets from files to pixels: what is read where all is well, and what is said where not.

#![expect(clippy::unwrap_used, reason = "clippy allows it in tests, but not in what they share")]

mod awkward;
mod cases;
mod labels;
mod project;
mod real;
mod scenes;

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, StructArray, UInt8Array};
use data::{Classification, Dataset, Options, Root, Split};
use files::write_atomic;
use image::{ImageFormat, Rgb, RgbImage};

use project::{MANIFEST, Project, batch, columns, encode, gray, grays, images, named_parquet, parquet, repository};

fn pixels(set: &Classification, split: Split, index: usize) -> Vec<u8> {
    set.example(split, index).unwrap().image.pixels.clone()
}

/// The first bytes and the labels of all images in `split`.
fn contents(set: &Classification, split: Split) -> Vec<(u8, u32)> {
    (0..set.len(split)).map(|index| (pixels(set, split, index)[0], set.label(split, index))).collect()
}

#[test]
fn reads_what_was_written() {
    let set = Project::new().open().unwrap();
    assert_eq!(set.uniform_size().unwrap(), (2, 3, 1));
    assert_eq!(set.classes(), ["cat", "dog"]);
    assert_eq!(pixels(&set, Split::Test, 1), [9; 6]);
    assert_eq!(contents(&set, Split::Test), [(8, 0), (9, 1)]);

    let (train, validation) = (contents(&set, Split::Train), contents(&set, Split::Validation));
    assert_eq!(validation.iter().map(|row| row.1).sum::<u32>(), 1, "one of each class: {validation:?}");
    assert!(train.is_sorted(), "in the order of the file: {train:?}");
    let mut all = [train.clone(), validation].concat();
    all.sort_unstable();
    assert_eq!(all, (0..8).map(|row| (row, u32::from(row) % 2)).collect::<Vec<_>>());

    let mean = train.iter().map(|row| f64::from(row.0)).sum::<f64>() / 6.0;
    let variance = train.iter().map(|row| (f64::from(row.0) - mean) * (f64::from(row.0) - mean)).sum::<f64>() / 6.0;
    assert_eq!(set.mean(), [(mean / 255.0) as f32]);
    assert!((f64::from(set.std()[0]) - variance.sqrt() / 255.0).abs() < 1e-9);
}

#[test]
fn files_follow_one_another_by_name() {
    let project = Project::bare(&MANIFEST.replace("{ from = \"train\", fraction = 0.25, seed = 0 }", "\"dev\""));
    project.put("train", &batch(&grays(0..3), &[0, 1, 0]));
    let second = parquet(&batch(&grays(3..5), &[1, 0]));
    write_atomic(&project.file("train").with_file_name("0001.parquet"), &second).unwrap();
    write_atomic(&project.file("train").with_file_name("README.md"), b"no data").unwrap();
    project.put("dev", &batch(&grays(5..6), &[1]));
    project.put("test", &batch(&grays(6..7), &[0]));
    let set = project.open().unwrap();
    assert_eq!(contents(&set, Split::Train), [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]);
    assert_eq!(contents(&set, Split::Validation), [(5, 1)]);
    assert_eq!(contents(&set, Split::Test), [(6, 0)]);
}

#[test]
fn plain_binary_and_small_integers_are_accepted() {
    let project = Project::new();
    let files = grays(8..10);
    let files: ArrayRef = Arc::new(BinaryArray::from_iter_values(&files));
    let labels: [ArrayRef; 2] = [Arc::new(UInt8Array::from(vec![1, 0])), Arc::new(Int32Array::from(vec![1, 0]))];
    for labels in labels {
        project.put("test", &columns([("label", labels), ("image", files.clone())]));
        assert_eq!(contents(&project.open().unwrap(), Split::Test), [(8, 1), (9, 0)]);
    }
}

#[test]
fn channels_are_kept_or_converted() {
    let color = || RgbImage::from_fn(3, 2, |x, _| Rgb([10, 20, x as u8]));
    let project = Project::new();
    project.put("test", &batch(&[encode(color(), ImageFormat::Png)], &[0]));
    assert_eq!(
        project.complaint(),
        "~/datasets/pets/default/test/0000.parquet: row 0, column \"image\": expected a gray image as the first \
         training image, found RGB\n  hint: `channels = 1` or `channels = 3` in the manifest converts all images"
    );

    let project = Project::with(&format!("channels = 3\n{MANIFEST}"));
    project.put("test", &batch(&[encode(color(), ImageFormat::Png), gray(3, 2, 7)], &[0, 1]));
    let set = project.open().unwrap();
    assert_eq!((set.uniform_size().unwrap(), set.mean().len()), ((2, 3, 3), 3));
    assert_eq!(pixels(&set, Split::Test, 0), *color().as_raw());
    assert_eq!(pixels(&set, Split::Test, 1), [7; 18]);

    let project = Project::with(&format!("channels = 1\n{MANIFEST}"));
    project.put("test", &batch(&[encode(color(), ImageFormat::Jpeg)], &[0]));
    let set = project.open().unwrap();
    assert_eq!((set.uniform_size().unwrap(), pixels(&set, Split::Test, 0).len()), ((2, 3, 1), 6));
}

#[test]
fn wrong_rows_are_named() {
    let good = grays(8..10);
    let cut = &good[1][..40];
    let jpeg = encode(RgbImage::new(3, 2), ImageFormat::Jpeg);
    let endless = &jpeg[..jpeg.len() - 2];
    let lacks_end = format!("\"image\": cannot decode the image ({} bytes): a JPEG that lacks its end", endless.len());
    let place = "~/datasets/pets/default/test/0000.parquet: row 1, column";
    for (files, labels, expected) in [
        (
            vec![&good[0], b"GIF89a".as_slice()],
            vec![Some(0), Some(1)],
            "\"image\": cannot decode the image (6 bytes): ",
        ),
        (vec![&good[0], cut], vec![Some(0), Some(1)], "\"image\": cannot decode the image (40 bytes): "),
        (vec![&good[0], endless], vec![Some(0), Some(1)], &lacks_end),
        (vec![&good[0], b"".as_slice()], vec![Some(0), Some(1)], "\"image\": cannot decode the image (0 bytes): "),
        (vec![&good[0], &good[1]], vec![Some(0), Some(2)], "\"label\": expected a label from 0 to 1, found 2"),
        (vec![&good[0], &good[1]], vec![Some(0), Some(-1)], "\"label\": expected a label from 0 to 1, found -1"),
        (vec![&good[0], &good[1]], vec![Some(0), None], "\"label\": expected a label, found null"),
    ] {
        let project = Project::new();
        let files = images(files.into_iter().map(Some).collect());
        project.put("test", &columns([("image", files), ("label", Arc::new(Int64Array::from(labels)))]));
        let complaint = project.complaint();
        assert!(complaint.starts_with(&format!("{place} {expected}")), "{complaint}");
    }

    let project = Project::new();
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
    project.put("test", &columns([("image", images(vec![Some(&good[0]), None])), ("label", labels)]));
    assert_eq!(project.complaint(), format!("{place} \"image\": expected the bytes of an image, found null"));
}

#[test]
fn sizes_may_differ_but_one_can_be_asked_for() {
    let project = Project::new();
    project.put("test", &batch(&[gray(3, 2, 0), gray(2, 3, 0)], &[0, 1]));
    let set = project.open().unwrap();
    assert_eq!((set.size(Split::Test, 0), set.size(Split::Test, 1)), ([2, 3], [3, 2]));
    assert_eq!(
        project.tidy(&set.uniform_size().unwrap_err()),
        "~/datasets/pets/default/test/0000.parquet: row 1, column \"image\": expected an image of 2×3 pixels (height × \
         width) as the first training image, found 3×2"
    );
}

#[test]
fn wrong_columns_are_named() {
    let file = "~/datasets/pets/default/test/0000.parquet";
    let files = grays(8..10);
    let files = images(files.iter().map(|file| Some(file.as_slice())).collect());
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["cat", "dog"]));
    let no_bytes: ArrayRef = Arc::new(StructArray::try_from(vec![("path", texts.clone())]).unwrap());
    for (batch, expected) in [
        (
            columns([("img", files.clone()), ("label", labels.clone())]),
            format!(
                "{file}: there is no column \"image\", the columns are \"img\", \"label\"\n  hint: name it in \
                 `[columns]` of the manifest"
            ),
        ),
        (
            columns([("image", files), ("label", texts.clone())]),
            format!(
                "{file}: column \"label\": expected a column of integers, found Utf8\n  hint: write numbers in place of \
                     texts, such as the place of the name in the list of classes, from 0"
            ),
        ),
        (
            columns([("image", texts), ("label", labels.clone())]),
            format!("{file}: column \"image\": expected struct<bytes: binary, path: string> or binary, found Utf8"),
        ),
        (
            columns([("image", no_bytes), ("label", labels)]),
            format!(
                "{file}: column \"image\": expected struct<bytes: binary, path: string> or binary, found \
                 Struct(\"path\": non-null Utf8)"
            ),
        ),
    ] {
        let project = Project::new();
        project.put("test", &batch);
        assert_eq!(project.complaint(), expected);
    }
}

#[test]
fn names_of_classes_agree_wherever_they_are() {
    let without = MANIFEST.replace("classes = [\"cat\", \"dog\"]\n", "");
    let project = |manifest: &str, train: &[&str], test: &[&str]| {
        let project = Project::bare(manifest);
        let rows = batch(&grays(0..8), &[0, 1, 0, 1, 0, 1, 0, 1]);
        write_atomic(&project.file("train"), &named_parquet(&rows, train)).unwrap();
        write_atomic(&project.file("test"), &named_parquet(&rows, test)).unwrap();
        project
    };
    let (cats, dogs) = (["cat", "dog"], ["dog", "cat"]);
    assert_eq!(project(&without, &dogs, &dogs).open().unwrap().classes(), dogs);
    assert_eq!(project(MANIFEST, &["Cat", "Dog"], &["Cat", "Dog"]).open().unwrap().classes(), cats);

    let test = "~/datasets/pets/default/test/0000.parquet: the classes in the `huggingface` key: expected";
    assert_eq!(
        project(&without, &cats, &dogs).complaint(),
        format!("{test} [\"cat\", \"dog\"] as in the first file, found [\"dog\", \"cat\"]")
    );
    let train = test.replace("test", "train");
    assert_eq!(
        project(MANIFEST, &dogs, &dogs).complaint(),
        format!("{train} [\"cat\", \"dog\"] as in the manifest, found [\"dog\", \"cat\"]")
    );
    assert_eq!(project(&without, &[], &[]).complaint(), format!("{train} at least 2 classes, found []"));
    let unnamed = Project::with(&without).complaint();
    assert!(unnamed.contains("there are no names of the classes of \"label\""), "{unnamed}");
}

#[test]
fn empty_splits_are_errors() {
    let project = Project::new();
    project.put("test", &batch(&[], &[]));
    assert_eq!(project.complaint(), "the test split of data set \"pets\" has no examples: expected at least one");

    // A quarter of one image of each class is none.
    let project = Project::new();
    project.put("train", &batch(&grays(0..2), &[0, 1]));
    assert_eq!(project.complaint(), "the validation split of data set \"pets\" has no examples: expected at least one");

    let error =
        Classification::open(&Project::new().root(), "pets", Options { examples: Some(0), resize: None }).unwrap_err();
    assert_eq!(error.to_string(), "expected a limit of at least 1 training example, found 0");
}

#[test]
fn a_part_of_a_file_is_an_error() {
    let project = Project::new();
    let file = std::fs::read(project.file("test")).unwrap();
    for length in (0..file.len()).step_by(7) {
        write_atomic(&project.file("test"), &file[..length]).unwrap();
        let complaint = project.complaint();
        assert!(
            complaint.starts_with("cannot read ~/datasets/pets/default/test/0000.parquet as parquet: "),
            "{length} bytes: {complaint}"
        );
    }
    write_atomic(&project.file("test"), b"label,image\n0,cat.png\n").unwrap();
    assert!(project.complaint().contains("hint: the file may be damaged or only a part"));
}

#[test]
fn no_damaged_byte_panics() {
    let project = Project::new();
    let file = std::fs::read(project.file("test")).unwrap();
    let mut complaints = 0;
    for position in 0..file.len() {
        let mut damaged = file.clone();
        damaged[position] ^= 0x15;
        write_atomic(&project.file("test"), &damaged).unwrap();
        complaints += usize::from(project.open().is_err());
    }
    // Much of a file is metadata that nobody needs.
    assert!(complaints > file.len() / 5, "{complaints} complaints about {} bytes", file.len());
}

#[test]
fn files_are_held_against_the_manifest() {
    let manifest = |rows: u64, sha256: &str| {
        format!(
            "{MANIFEST}\n[[files]]\npath = \"train/0000.parquet\"\nrows = {rows}\n\n[[files]]\npath = \
             \"test/0000.parquet\"\nsha256 = \"{sha256}\"\n"
        )
    };
    let sha256 = {
        use sha2::Digest;
        files::hex(&sha2::Sha256::digest(std::fs::read(Project::new().file("test")).unwrap()))
    };
    let project = Project::with(&manifest(8, &sha256));
    project.open().unwrap();

    project.put("test", &batch(&grays(8..10), &[1, 1]));
    let complaint = project.complaint();
    let expected = format!(
        "~/datasets/pets/default/test/0000.parquet is damaged or another version: expected sha256 {sha256}, found "
    );
    assert!(complaint.starts_with(&expected), "{complaint}");

    assert_eq!(
        Project::with(&manifest(9, &sha256)).complaint(),
        "~/datasets/pets/default/train/0000.parquet: expected 9 rows as in the manifest, found 8"
    );

    let project = Project::with(&manifest(8, &sha256));
    let extra = project.file("train").with_file_name("0001.parquet");
    write_atomic(&extra, &parquet(&batch(&grays(0..1), &[0]))).unwrap();
    assert_eq!(
        project.complaint(),
        "the manifest does not list ~/datasets/pets/default/train/0001.parquet\n  hint: add it to `[[files]]`, or \
         move it away"
    );

    let project = Project::with(&format!("{}\n[[files]]\npath = \"train/0001.parquet\"\n", manifest(8, &sha256)));
    assert_eq!(
        project.complaint(),
        "the manifest lists ~/datasets/pets/default/train/0001.parquet, which is not there\n  hint: get the set again"
    );
}

#[test]
fn the_digest_covers_bytes_names_and_the_way_of_reading() {
    let digest = |project: &Project| Dataset::find(&project.root(), "pets").unwrap().digest().unwrap();
    let base = digest(&Project::new());
    assert_eq!(base, digest(&Project::new()), "the same in another folder");
    assert_eq!(base, Project::new().open().unwrap().digest());
    assert_eq!(base.len(), 64);

    let project = Project::new();
    let mut bytes = std::fs::read(project.file("test")).unwrap();
    bytes[40] ^= 1;
    write_atomic(&project.file("test"), &bytes).unwrap();
    let one_byte = digest(&project);

    let project = Project::new();
    write_atomic(&project.file("test").with_file_name("0001.parquet"), b"").unwrap();
    let one_file = digest(&project);

    let other_seed = digest(&Project::with(&MANIFEST.replace("seed = 0", "seed = 1")));
    let prose = digest(&Project::with(&MANIFEST.replace("Pets", "Animals")));
    assert_eq!(base, prose);
    let mut all = vec![base, one_byte, one_file, other_seed];
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4);
}

#[test]
fn unknown_names_answer_with_known_ones() {
    let project = Project::new();
    write_atomic(&project.path("datasets/cifar10-jpeg.toml"), b"").unwrap();
    let complaint =
        |name: &str| project.tidy(&Classification::open(&project.root(), name, Options::default()).unwrap_err());
    assert_eq!(
        complaint("cifar10"),
        "there is no data set \"cifar10\"; did you mean \"cifar10-jpeg\"?\n  known data sets: cifar10-jpeg, pets"
    );
    assert_eq!(complaint("xyz"), "there is no data set \"xyz\"\n  known data sets: cifar10-jpeg, pets");
    assert!(complaint("..").starts_with("there is no data set \"..\""));
    assert!(complaint("../datasets/pets").starts_with("there is no data set"));
    assert!(complaint("").starts_with("there is no data set"));

    write_atomic(&project.path("datasets/dogs/default/train/0000.parquet"), b"").unwrap();
    assert_eq!(
        complaint("dogs"),
        "data set \"dogs\" has files in ~/datasets/dogs/default, but no manifest\n  hint: describe it in \
         ~/datasets/dogs.toml; the manifests beside it are examples"
    );
}

#[test]
fn a_wrong_manifest_is_shown_with_its_line() {
    let project = Project::bare(&MANIFEST.replace("licence", "license"));
    let complaint = project.complaint();
    assert!(
        complaint.starts_with(
            "cannot read the manifest ~/datasets/pets.toml: TOML parse error at line 3, column 1\n  |\n3 | license = \
             \"MIT\"\n  | ^^^^^^^\nunknown field `license`"
        ),
        "{complaint}"
    );
}

#[test]
fn files_come_from_the_first_place_that_has_any() {
    let project = Project::bare(MANIFEST);
    assert_eq!(
        project.complaint(),
        "data set \"pets\" has a manifest, but no parquet files; looked for <split>/*.parquet in\n    \
         ~/datasets/pets/default (no such folder)\n    ~/datasets/.cache/pets/default (no such folder)\n  hint: \
         `cargo xtask import pets DIR` makes it of an official release; or set WRS_BENCH_DATA to a folder that has pets/default/<split>/*.parquet in it"
    );

    let root = Root { external: Some(project.path("disk")), ..project.root() };
    let error = project.tidy(&Classification::open(&root, "pets", Options::default()).unwrap_err());
    assert!(error.contains("in\n    ~/disk/pets/default (no such folder)\n    ~/datasets/pets"), "{error}");
    assert!(error.contains("or WRS_BENCH_DATA is ~/disk: put the files there as pets/default/"), "{error}");

    for (place, brightness) in [("datasets/.cache", 30), ("datasets", 20), ("disk", 10)] {
        for (split, labels) in [("train", vec![0, 0, 0, 1, 1, 1]), ("test", vec![0; 6])] {
            let file = parquet(&batch(&grays(brightness..brightness + 6), &labels));
            write_atomic(&project.path(&format!("{place}/pets/default/{split}/0000.parquet")), &file).unwrap();
        }
        let set = Classification::open(&root, "pets", Options::default()).unwrap();
        assert_eq!(pixels(&set, Split::Test, 0)[0], brightness, "{place} comes before those that were written earlier");
    }

    std::fs::remove_file(project.path("disk/pets/default/test/0000.parquet")).unwrap();
    let error = project.tidy(&Classification::open(&root, "pets", Options::default()).unwrap_err());
    assert!(
        error.starts_with("the test split has no parquet files: expected ~/disk/pets/default/test/*.parquet"),
        "{error}"
    );
}

#[test]
fn limits_nest_and_threads_do_not_matter() {
    let root = repository(None);
    let open = |threads: usize, limit: Option<usize>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let options = Options { examples: limit, resize: None };
        pool.install(|| Classification::open(&root, "fashion-mnist-12k", options).unwrap())
    };
    let images = |set: &Classification, split: Split| -> Vec<Vec<u8>> {
        (0..set.len(split)).map(|index| pixels(set, split, index)).collect()
    };
    let (one, three) = (open(1, Some(1000)), open(3, Some(1000)));
    for split in Split::ALL {
        assert_eq!(images(&one, split), images(&three, split));
        assert_eq!(contents(&one, split), contents(&three, split));
    }
    assert_eq!((one.mean(), one.std()), (three.mean(), three.std()));

    let few = open(2, Some(100));
    assert_eq!(few.len(Split::Train), 100);
    assert_eq!((few.len(Split::Validation), few.len(Split::Test)), (1200, 5000));
    assert_eq!(few.digest(), one.digest());
    let all: std::collections::BTreeSet<_> = images(&one, Split::Train).into_iter().collect();
    assert!(images(&few, Split::Train).iter().all(|image| all.contains(image)));
    for class in 0..10 {
        assert_eq!((0..100).filter(|&index| few.label(Split::Train, index) == class).count(), 10);
    }
    assert_eq!(open(2, Some(1_000_000)).len(Split::Train), 10_800);
}

#[test]
fn the_embedded_set_is_whole() {
    let set = Classification::open(&repository(None), "fashion-mnist-12k", Options::default()).unwrap();
    assert_eq!((set.uniform_size().unwrap(), set.classes().len()), ((28, 28, 1), 10));
    for (split, each) in [(Split::Train, 1080), (Split::Validation, 120), (Split::Test, 500)] {
        assert_eq!(set.len(split), 10 * each);
        for class in 0..10 {
            assert_eq!((0..set.len(split)).filter(|&index| set.label(split, index) == class).count(), each);
        }
    }
    // Of all 60,000 training images: 0.2860 and 0.3530.
    assert!((set.mean()[0] - 0.286).abs() < 0.002 && (set.std()[0] - 0.353).abs() < 0.002);
    assert!(set.manifest().caveat.as_deref().is_some_and(|caveat| caveat.contains("not comparable")));
}

#[test]
fn every_manifest_can_be_read() {
    let root = repository(None);
    let names = root.names().unwrap();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        root.manifest(&name).unwrap();
    }
}
