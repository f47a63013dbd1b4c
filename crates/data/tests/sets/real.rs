//! The real sets that `$WRS_BENCH_DATA` may have.

use data::{Classification, CrowdCounting, Detection, Label, Options, Root, Segmentation, Set, Split, VOID};

use crate::project::repository;

/// The set `name`, or nothing where there is no such data.
fn open<L: Label>(name: &str) -> Option<Set<L>> {
    let external = Root::from_env(".").external.filter(|folder| folder.join(name).is_dir());
    let Some(external) = external else {
        println!("skipped: WRS_BENCH_DATA has no {name}");
        return None;
    };
    Some(Set::open(&repository(Some(external)), name, Options::default()).unwrap())
}

fn lengths<L: Label>(set: &Set<L>) -> [usize; 3] {
    assert_eq!(set.warnings(), []);
    Split::ALL.map(|split| set.len(split))
}

#[test]
fn cifar10_jpeg_is_whole() {
    let Some(set): Option<Classification> = open("cifar10-jpeg") else { return };
    assert_eq!(set.uniform_size().unwrap(), (32, 32, 3));
    assert_eq!(lengths(&set), [45_000, 5_000, 10_000]);
    for class in 0..10 {
        let count = |split| (0..set.len(split)).filter(|&index| set.label(split, index) == class).count();
        assert_eq!(Split::ALL.map(count), [4_500, 500, 1_000]);
    }
    // Of CIFAR-10's training images: 0.4914, 0.4822, 0.4465 and 0.2470, 0.2435, 0.2616. JPEG blurs colours.
    let near = |found: &[f32], known: [f32; 3]| found.iter().zip(known).all(|(a, b)| (a - b).abs() < 0.01);
    assert!(near(set.mean(), [0.4914, 0.4822, 0.4465]), "{:?}", set.mean());
    assert!(near(set.std(), [0.2470, 0.2435, 0.2616]), "{:?}", set.std());
}

#[test]
fn bccd_is_whole() {
    let Some(set): Option<Detection> = open("bccd") else { return };
    assert_eq!(lengths(&set), [205, 87, 72]);
    assert_eq!(set.classes(), ["RBC", "WBC", "Platelets"]);
    assert_eq!(set.uniform_size().unwrap(), (480, 640, 3));
    let set = &set;
    let all = |split| (0..set.len(split)).flat_map(move |index| set.example(split, index).unwrap().into_owned().label);
    let objects: Vec<_> = Split::ALL.into_iter().flat_map(all).collect();
    // 4,888 in the original, of which 2 have no area and were dropped.
    assert_eq!(objects.len(), 4_886);
    assert!(objects.iter().all(|object| !object.ignore));
    let first = set.example(Split::Train, 0).unwrap();
    assert_eq!((first.label[0].class, first.label[0].corners), (1, [68.0, 315.0, 286.0, 480.0]));
}

#[test]
fn camvid_is_whole() {
    let Some(set): Option<Segmentation> = open("camvid-240x180") else { return };
    assert_eq!(lengths(&set), [367, 101, 233]);
    assert_eq!(set.uniform_size().unwrap(), (180, 240, 3));
    let mut pixels = [0_usize; 256];
    for index in 0..set.len(Split::Train) {
        let example = set.example(Split::Train, index).unwrap();
        assert_eq!((example.label.height, example.label.width), (180, 240));
        example.label.classes.iter().for_each(|class| pixels[usize::from(*class)] += 1);
    }
    assert!(pixels[..11].iter().all(|count| *count > 0) && pixels[usize::from(VOID)] > 0);
    assert_eq!(pixels[11..255].iter().sum::<usize>(), 0);
}

#[test]
fn shanghaitech_b_is_whole() {
    let Some(set): Option<CrowdCounting> = open("shanghaitech-b-320x240") else { return };
    assert_eq!(lengths(&set), [360, 40, 316]);
    assert_eq!(set.uniform_size().unwrap(), (240, 320, 3));
    let heads = |split| (0..set.len(split)).map(|index| set.example(split, index).unwrap().label.len()).sum::<usize>();
    assert_eq!(heads(Split::Train) + heads(Split::Validation), 49_151);
    assert_eq!(heads(Split::Test), 39_121);
}
