//! Scenes: that they are what they say, the same everywhere, and refused where their settings make no sense.

use std::collections::BTreeSet;
use std::path::Path;

use data::scenes::{Generator, LEAST_VISIBLE, Scene, Scenes};
use data::{
    Classification, CrowdCounting, Dataset, Detection, Label, Options, Resize, Root, Segmentation, Set, Source, Split,
};
use files::write_atomic;
use image::{GrayImage, ImageFormat};
use sha2::{Digest, Sha256};

use crate::project::{MANIFEST, Project, batch, encode, gray, repository};

const NAME: &str = "fashion-scenes";

fn open<L: Label>(options: Options) -> Set<L> {
    Set::open(&repository(None), NAME, options).unwrap()
}

fn generator(change: impl FnOnce(&mut Scenes)) -> Generator {
    let root = repository(None);
    let mut scenes = match root.manifest(NAME).unwrap().source {
        Source::Scenes(scenes) => Some(scenes),
        Source::Stored(_) => None,
    }
    .unwrap();
    change(&mut scenes);
    Generator::open(&root, NAME, &scenes).unwrap()
}

fn scenes(generator: &Generator, split: Split, count: usize) -> Vec<Scene> {
    (0..count).map(|index| generator.scene(split, index).unwrap()).collect()
}

/// SHA-256 of the pixels, owners and classes of a scene.
fn sha256(scene: &Scene) -> String {
    let classes: Vec<u8> = scene.classes.iter().map(|class| *class as u8).collect();
    let parts = [scene.image.pixels.as_slice(), &scene.owners, &classes];
    files::hex(&Sha256::digest(parts.concat()))
}

#[test]
fn scenes_never_change() {
    // Records name the set by its digest: other bytes need another `VERSION`, and are then pinned here anew.
    assert_eq!(data::scenes::VERSION, 1);
    let generator = generator(|_| {});
    let places = [(Split::Train, 0), (Split::Train, 3999), (Split::Validation, 0), (Split::Test, 599)];
    assert_eq!(places.map(|(split, index)| sha256(&generator.scene(split, index).unwrap())), PINNED);
}

const PINNED: [&str; 4] = [
    "ddd332f223956bcb9fe8b7ff2ef0e2e967eedb7f1480cdf550cea17210fa7cae",
    "31861244c9af0bea59b6318ebae2096e02292f7e50ad173b381e8da4ba0decf5",
    "00bc181931d5bdd31637df50fd7a5265736eb300e793bf48867f1be57a1a0726",
    "84ae8fd0f4b0c69b7060fc532c60b871f999d033c9a696d070e0af55ddd827fd",
];

#[test]
fn the_set_is_for_three_tasks() {
    let lengths = [4000, 300, 600];
    let boxes: Detection = open(Options::default());
    assert_eq!(Split::ALL.map(|split| boxes.len(split)), lengths);
    assert_eq!(boxes.classes(), ["top", "trousers", "dress", "footwear", "bag"]);
    assert_eq!(boxes.uniform_size().unwrap(), (96, 96, 3));
    let masks: Segmentation = open(Options::default());
    assert_eq!(masks.classes(), ["background", "top", "trousers", "dress", "footwear", "bag"]);
    let points: CrowdCounting = open(Options::default());
    assert!(points.classes().is_empty());
    assert!(boxes.digest() == masks.digest() && masks.digest() == points.digest());
    assert!(boxes.warnings().is_empty());

    let mut classes = [0; 5];
    for (split, len) in Split::ALL.into_iter().zip(lengths) {
        for index in 0..len {
            let (boxes, masks, points) = (
                boxes.example(split, index).unwrap(),
                masks.example(split, index).unwrap(),
                points.example(split, index).unwrap(),
            );
            assert!(boxes.image == masks.image && masks.image == points.image);
            assert!((1..=5).contains(&boxes.label.len()) && boxes.label.len() == points.label.len());
            for (object, [x, y]) in boxes.label.iter().zip(&points.label) {
                let [left, top, right, bottom] = object.corners;
                assert!(left < *x && *x < right && top < *y && *y < bottom);
                classes[object.class as usize] += 1;
            }
            let in_mask: BTreeSet<u32> =
                masks.label.classes.iter().filter_map(|class| u32::from(*class).checked_sub(1)).collect();
            assert_eq!(in_mask, boxes.label.iter().map(|object| object.class).collect());
        }
    }
    let total: usize = classes.iter().sum();
    assert!(classes.iter().all(|count| (0.18..0.22).contains(&(*count as f64 / total as f64))), "{classes:?}");

    let error = Classification::open(&repository(None), NAME, Options::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "data set \"fashion-scenes\" is for detection, segmentation, crowd-counting, expected one for classification"
    );
}

#[test]
fn labels_are_what_is_seen() {
    let generator = generator(|_| {});
    let (mut hidden, mut whole, mut least) = (0, 0, 1.0_f64);
    for scene in scenes(&generator, Split::Train, 400) {
        let width = scene.image.width;
        let (objects, points, mask) = (scene.objects(), scene.points(), scene.mask());
        assert_eq!([objects.len(), points.len(), scene.areas.len()], [scene.classes.len(); 3]);
        assert!(scene.owners.iter().all(|owner| usize::from(*owner) <= objects.len()));
        for (index, object) in objects.iter().enumerate() {
            let places: Vec<[usize; 2]> = (0..scene.owners.len())
                .filter(|at| usize::from(scene.owners[*at]) == index + 1)
                .map(|at| [at % width, at / width])
                .collect();
            let ends = |axis: usize| {
                let along = || places.iter().map(move |place| place[axis]);
                (along().min().unwrap() as f32, along().max().unwrap() as f32 + 1.0)
            };
            let ((left, right), (top, bottom)) = (ends(0), ends(1));
            assert_eq!((object.class, object.ignore), (scene.classes[index], false));
            assert_eq!(object.corners, [left, top, right, bottom]);
            for axis in [0, 1] {
                let mean = places.iter().map(|place| place[axis] as f64 + 0.5).sum::<f64>() / places.len() as f64;
                assert!((f64::from(points[index][axis]) - mean).abs() < 1e-4);
            }
            let visible = places.len() as f64 / scene.areas[index] as f64;
            least = least.min(visible);
            hidden += usize::from(visible < 1.0);
            whole += usize::from(visible == 1.0);
        }
        for (class, owner) in mask.classes.iter().zip(&scene.owners) {
            let expected = if *owner == 0 { 0 } else { scene.classes[usize::from(*owner) - 1] as u8 + 1 };
            assert_eq!(*class, expected);
        }
    }
    assert!((LEAST_VISIBLE..LEAST_VISIBLE + 0.1).contains(&least), "{least}");
    assert!(hidden > 100 && whole > 300, "{hidden} partly hidden, {whole} whole");
}

#[test]
fn garments_have_all_sizes_of_the_range() {
    // One at a time nothing is hidden. Garments fill their image in height or in width.
    let generator = generator(|scenes| (scenes.objects, scenes.scale) = ([1, 1], [0.7, 1.8]));
    let sides = scenes(&generator, Split::Train, 300).into_iter().map(|scene| {
        let [left, top, right, bottom] = scene.objects()[0].corners;
        (right - left).max(bottom - top)
    });
    let sides: Vec<f32> = sides.collect();
    assert!(sides.iter().all(|side| (10.0..=50.0).contains(side)), "{sides:?}");
    for decade in [20.0, 30.0, 40.0] {
        assert!(sides.iter().filter(|side| (decade..decade + 10.0).contains(*side)).count() > 30, "{sides:?}");
    }
    let most = self::generator(|scenes| scenes.objects = [6, 6]);
    let counts: Vec<usize> = scenes(&most, Split::Train, 100).iter().map(|scene| scene.classes.len()).collect();
    assert!(counts.iter().filter(|count| **count == 6).count() > 80, "{counts:?}");
}

#[test]
fn neither_memory_nor_threads_nor_order_matter() {
    let all = |memory: u64, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let root = Root { memory, ..repository(None) };
        let options = Options { examples: Some(60), resize: None };
        let set = pool.install(|| Detection::open(&root, NAME, options).unwrap());
        let example = |split, index| set.example(split, index).unwrap().into_owned();
        let mut examples: Vec<_> = (0..60).rev().map(|index| example(Split::Train, index)).collect();
        examples.extend((0..60).rev().map(|index| example(Split::Test, index)));
        (examples, set.mean().to_vec(), set.std().to_vec())
    };
    let base = all(data::MEMORY, 1);
    assert!(base == all(data::MEMORY, 3));
    // Room for training scenes alone, and for none.
    assert!(base == all(60 * 96 * 96 * 3, 2));
    assert!(base == all(0, 1));
}

#[test]
fn options_are_as_for_other_sets() {
    let (few, whole): (Detection, Detection) =
        (open(Options { examples: Some(7), resize: None }), open(Options::default()));
    assert_eq!(Split::ALL.map(|split| few.len(split)), [7, 300, 600]);
    assert_eq!(few.digest(), whole.digest());
    for index in 0..7 {
        assert_eq!(few.example(Split::Train, index).unwrap(), whole.example(Split::Train, index).unwrap());
    }

    let resize = Some(Resize::Exact([48, 192]));
    let half: Detection = open(Options { examples: Some(7), resize });
    assert_eq!(half.uniform_size().unwrap(), (48, 192, 3));
    let (small, large) = (half.example(Split::Train, 0).unwrap(), few.example(Split::Train, 0).unwrap());
    assert_eq!((small.image.height, small.image.width, small.image.pixels.len()), (48, 192, 48 * 192 * 3));
    for (small, large) in small.label.iter().zip(&large.label) {
        let [left, top, right, bottom] = large.corners;
        assert_eq!(small.corners, [left * 2.0, top / 2.0, right * 2.0, bottom / 2.0]);
    }
    let huge = Options { examples: Some(7), resize: Some(Resize::Shorter(60_000)) };
    let error = Detection::open(&repository(None), NAME, huge).unwrap_err().to_string();
    let expected = "expected scenes of at most 200000000 bytes after they were resized, found 60000×60000 pixels";
    assert!(error.contains(expected), "{error}");
    let masks: Segmentation = open(Options { examples: Some(7), resize });
    let mask = &masks.example(Split::Train, 0).unwrap().label;
    assert_eq!((mask.height, mask.width, mask.classes.len()), (48, 192, 48 * 192));
}

/// Scenes of small images that tell by their brightness which they are.
struct Tiny {
    project: Project,
}

const SCENES: &str = r#"title = "Scenes"
licence = "MIT"
citation = "nobody"
home = "https://example.org"

[scenes]
from = "pets"
classes = [{ name = "animal", of = ["cat"] }, { name = "other", of = ["dog"] }]
size = [32, 32]
objects = [1, 2]
scale = [1.0, 2.0]
seed = 0
examples = { train = 40, validation = 10, test = 10 }
"#;

impl Tiny {
    fn new() -> Self {
        // 8 training images, of which 2 are carved for validation, and 2 test images: all bright, each its own.
        let project = Project::new();
        let images = |first: u8, count: u8| (0..count).map(|n| gray(8, 8, first + 12 * n)).collect::<Vec<_>>();
        project.put("train", &batch(&images(100, 8), &[0, 1, 0, 1, 0, 1, 0, 1]));
        project.put("test", &batch(&images(220, 2), &[0, 1]));
        Self { project }
    }

    fn write(&self, name: &str, text: &str) {
        write_atomic(&self.path(name), text.as_bytes()).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.project.path(&format!("datasets/{name}.toml"))
    }

    /// What is said of `SCENES` after a change.
    fn complaint(&self, from: &str, to: &str) -> String {
        assert!(SCENES.contains(from), "{from}");
        self.write("scenes", &SCENES.replace(from, to));
        self.project.tidy(&Detection::open(&self.project.root(), "scenes", Options::default()).unwrap_err())
    }

    fn digest(&self, from: &str, to: &str) -> String {
        assert!(SCENES.contains(from), "{from}");
        self.write("scenes", &SCENES.replace(from, to));
        Dataset::find(&self.project.root(), "scenes").unwrap().digest().unwrap()
    }
}

#[test]
fn splits_share_no_garment() {
    // Squares for training, wide ones for validation, tall ones for the test: boxes tell whose garments they are.
    let tiny = Tiny::new();
    tiny.write("pets", &MANIFEST.replace("{ from = \"train\", fraction = 0.25, seed = 0 }", "\"dev\""));
    tiny.write("scenes", &SCENES.replace("[1, 2]", "[1, 1]"));
    for (split, [height, width]) in [("train", [8, 8]), ("dev", [4, 8]), ("test", [8, 4])] {
        let pixel = |x, y| image::Luma([if x < width && y < height { 200 } else { 0 }]);
        let file = encode(GrayImage::from_fn(8, 8, pixel), ImageFormat::Png);
        tiny.project.put(split, &batch(&[file.clone(), file], &[0, 1]));
    }
    let set = Detection::open(&tiny.project.root(), "scenes", Options::default()).unwrap();
    for (split, expected) in Split::ALL.into_iter().zip([1.0, 2.0, 0.5]) {
        for index in 0..set.len(split) {
            let [left, top, right, bottom] = set.example(split, index).unwrap().label[0].corners;
            let ratio = (right - left) / (bottom - top);
            assert!((0.8..1.25).contains(&(ratio / expected)), "{split}: {ratio}");
        }
    }
}

#[test]
fn small_holes_are_filled_and_large_ones_are_gaps() {
    // Of 16×16 pixels with a dark frame: a hole of one pixel, one of sixteen, and a bright speck beside the garment.
    let pixel = |x: u32, y: u32| {
        let inside = (3..15).contains(&x) && (3..15).contains(&y);
        let hole = (x, y) == (4, 4) || ((8..12).contains(&x) && (8..12).contains(&y));
        image::Luma([if (inside && !hole) || (x, y) == (1, 1) { 200 } else { 0 }])
    };
    let tiny = Tiny::new();
    let file = encode(GrayImage::from_fn(16, 16, pixel), ImageFormat::Png);
    tiny.project.put("train", &batch(&vec![file; 8], &[0, 1, 0, 1, 0, 1, 0, 1]));
    tiny.project.put("test", &batch(&[gray(16, 16, 99), gray(16, 16, 98)], &[0, 1]));
    tiny.write("scenes", &SCENES.replace("[1.0, 2.0]", "[1.0, 1.0]").replace("[1, 2]", "[1, 1]"));
    let set = Segmentation::open(&tiny.project.root(), "scenes", Options::default()).unwrap();
    let boxes = Detection::open(&tiny.project.root(), "scenes", Options::default()).unwrap();
    for index in 0..set.len(Split::Train) {
        let mask = set.example(Split::Train, index).unwrap();
        assert_eq!(mask.label.classes.iter().filter(|class| **class > 0).count(), 12 * 12 - 16);
        let [left, top, right, bottom] = boxes.example(Split::Train, index).unwrap().label[0].corners;
        assert_eq!([right - left, bottom - top], [12.0, 12.0]);
    }
}

#[test]
fn the_digest_covers_settings_and_garments_but_no_prose() {
    let tiny = Tiny::new();
    let base = tiny.digest("", "");
    assert_eq!(base, tiny.digest("", ""));
    assert_eq!(Detection::open(&tiny.project.root(), "scenes", Options::default()).unwrap().digest(), base);
    for (from, to) in [
        ("\"Scenes\"", "\"Other scenes\""),
        ("nobody", "somebody"),
        ("\"animal\"", "\"beast\""),
        ("[scenes]", "caveat = \"none\"\n[scenes]"),
        ("size = [32, 32]\nobjects = [1, 2]", "objects = [1, 2]\nsize = [32, 32] # pixels"),
    ] {
        assert_eq!(tiny.digest(from, to), base, "{to}");
    }
    let mut digests = vec![base];
    for (from, to) in [
        ("[\"cat\"] }, { name = \"other\", of = [\"dog\"] }", "[\"cat\", \"dog\"] }"),
        ("[\"cat\"] }, { name = \"other\", of = [\"dog\"] }", "[\"dog\"] }, { name = \"other\", of = [\"cat\"] }"),
        ("[32, 32]", "[32, 33]"),
        ("[32, 32]", "[33, 32]"),
        ("[1, 2]", "[1, 3]"),
        ("[1, 2]", "[2, 2]"),
        ("[1.0, 2.0]", "[1.0, 1.9]"),
        ("[1.0, 2.0]", "[1.1, 2.0]"),
        ("seed = 0", "seed = 1"),
        ("train = 40", "train = 41"),
        ("validation = 10", "validation = 11"),
        ("test = 10", "test = 11"),
    ] {
        digests.push(tiny.digest(from, to));
    }
    // Other names of the garments' classes, and other garments.
    tiny.write("pets", &MANIFEST.replace("[\"cat\", \"dog\"]", "[\"dog\", \"cat\"]"));
    digests.push(tiny.digest("", ""));
    tiny.write("pets", &MANIFEST.replace("seed = 0", "seed = 1"));
    digests.push(tiny.digest("", ""));
    tiny.write("pets", MANIFEST);
    tiny.project.put("test", &batch(&[gray(8, 8, 99), gray(8, 8, 98)], &[0, 1]));
    digests.push(tiny.digest("", ""));
    let count = digests.len();
    assert_eq!(digests.into_iter().collect::<BTreeSet<_>>().len(), count);
}

#[test]
fn wrong_settings_are_named() {
    let tiny = Tiny::new();
    tiny.write("scenes", SCENES);
    Detection::open(&tiny.project.root(), "scenes", Options::default()).unwrap();
    let same = std::fs::read_to_string(Path::new(&tiny.path("scenes"))).unwrap();
    tiny.write("derived", &same);
    tiny.write(
        "boxes",
        &MANIFEST
            .replace("classification", "detection")
            .replace("label = \"label\"", "boxes = \"b\"\nform = \"xywh\"\ncategory = \"c\""),
    );
    let from = "data set \"scenes\": `scenes.from`: expected a set for classification with files of its own, found ";
    for (wrong, to, expected) in [
        ("\"pets\"", "\"pest\"", format!("{from}\"pest\", which there is not; did you mean \"pets\"?")),
        ("\"pets\"", "\"derived\"", format!("{from}\"derived\", which is derived itself")),
        ("\"pets\"", "\"scenes\"", format!("{from}\"scenes\", which is derived itself")),
        ("\"pets\"", "\"boxes\"", format!("{from}\"boxes\", which is for detection")),
        ("from = \"pets\"", "", "missing field `from`".to_owned()),
        (
            "[\"dog\"]",
            "[\"cow\"]",
            "`scenes.classes`: expected classes of \"pets\" (cat, dog), found \"cow\"".to_owned(),
        ),
        (
            "[\"dog\"]",
            "[\"cat\"]",
            "`scenes.classes`: expected each class of garments once, found \"cat\" twice".to_owned(),
        ),
        (
            "[\"dog\"]",
            "[]",
            "`scenes.classes`: expected at least one class of garments, found none for \"other\"".to_owned(),
        ),
        ("\"other\"", "\"animal\"", "`scenes.classes`: expected different names, found \"animal\" twice".to_owned()),
        ("\"other\"", "\"background\"", "`scenes.classes`: expected names of objects, found \"background\"".to_owned()),
        (
            "classes = [{ name = \"animal\", of = [\"cat\"] }, { name = \"other\", of = [\"dog\"] }]",
            "classes = []",
            "`scenes.classes`: expected 1 to 254 classes, found 0".to_owned(),
        ),
        (
            "[1, 2]",
            "[0, 0]",
            "`scenes.objects`: expected two numbers from 1 to 255, the smaller first, found [0, 0]".to_owned(),
        ),
        (
            "[1, 2]",
            "[6, 1]",
            "`scenes.objects`: expected two numbers from 1 to 255, the smaller first, found [6, 1]".to_owned(),
        ),
        ("[1, 2]", "[1, 256]", "`scenes.objects`: expected two numbers".to_owned()),
        (
            "[1.0, 2.0]",
            "[0.0, 2.0]",
            "`scenes.scale`: expected two factors from 0.1 to 10, the smaller first, found [0.0, 2.0]".to_owned(),
        ),
        ("[1.0, 2.0]", "[1.0, nan]", "`scenes.scale`: expected two factors".to_owned()),
        ("[1.0, 2.0]", "[nan, 1.0]", "`scenes.scale`: expected two factors".to_owned()),
        ("[1.0, 2.0]", "[2.0, 1.0]", "`scenes.scale`: expected two factors".to_owned()),
        ("[1.0, 2.0]", "[1.0, inf]", "`scenes.scale`: expected two factors".to_owned()),
        ("[32, 32]", "[0, 32]", "`scenes.size`: expected sides of 1 to 4096 pixels, found [0, 32]".to_owned()),
        ("[32, 32]", "[32, 5000]", "`scenes.size`: expected sides of 1 to 4096 pixels, found [32, 5000]".to_owned()),
        (
            "[32, 32]",
            "[15, 32]",
            "`scenes.size`: expected at least [16, 16], which garments can have, found [15, 32]".to_owned(),
        ),
        ("train = 40", "train = 0", "`scenes.examples.train`: expected 1 to 16777216 scenes, found 0".to_owned()),
        (", test = 10", ", test = 0", "`scenes.examples.test`: expected 1 to 16777216 scenes, found 0".to_owned()),
        ("seed = 0", "sed = 0", "unknown field `sed`, expected one of `from`, `classes`".to_owned()),
        (
            "[scenes]",
            "[columns]\nimage = \"image\"\n[scenes]",
            "unknown field `columns`, expected one of `title`".to_owned(),
        ),
        ("[scenes]", "task = \"detection\"\n[scenes]", "unknown field `task`, expected one of `title`".to_owned()),
    ] {
        let complaint = tiny.complaint(wrong, to);
        assert!(complaint.contains(&expected), "{to}: {complaint}");
    }

    tiny.write("pets", &format!("channels = 3\n{MANIFEST}"));
    let complaint = tiny.complaint("", "");
    assert!(
        complaint.contains("`scenes.from`: expected a set of gray images, found \"pets\", whose images are RGB"),
        "{complaint}"
    );
    tiny.write("pets", MANIFEST);
    tiny.project.put("test", &batch(&[gray(8, 8, 99), gray(8, 8, 98)], &[0, 0]));
    let complaint = tiny.complaint("", "");
    assert!(complaint.contains("`scenes.classes`: expected a test garment of \"other\", found none"), "{complaint}");
}
