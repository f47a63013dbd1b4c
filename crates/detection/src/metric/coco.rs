//! COCO's average precision and recall.

use super::{Boxes, Found, Truth};
use hotcoco::params::IouType;
use hotcoco::{Annotation, COCO, COCOeval, Dataset};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The names of COCO's statistics, in the order of `pycocotools`: average precision over IoU .50:.05:.95 (the one that
/// ranks), at .50, at .75, of objects up to 32², up to 96² and above 96² square pixels; average recall with at most 1,
/// 10 and 100 detections an image and class, and of the three sizes.
pub const STATISTICS: [&str; 12] =
    ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"];

/// What COCO's evaluation says of boxes.
#[derive(Debug, Clone, PartialEq)]
pub struct Coco {
    /// In the order of [`STATISTICS`], from 0 to 1; none where nothing of that kind is to be found.
    pub statistics: [Option<f64>; 12],
    /// AP of each class that has objects which are not to be ignored.
    pub per_class: BTreeMap<u32, f64>,
}

/// COCO's evaluation of boxes (<https://cocodataset.org/#detection-eval>), with the numbers of `pycocotools`.
///
/// The same bits for any number of threads.
pub fn coco(boxes: &Boxes) -> Coco {
    // Classes without objects have no average precision, and no part in the mean.
    let classes: BTreeSet<u32> = boxes.truths.iter().map(|truth| truth.class).collect();
    // hotcoco compares all of an image's detections with all objects before it leaves any out, which takes memory.
    let beyond: BTreeSet<usize> = beyond(boxes).into_iter().collect();
    let counted = boxes.found.iter().enumerate().filter(|(index, _)| !beyond.contains(index)).map(|(_, found)| found);
    let found = counted.filter(|found| classes.contains(&found.class));
    let truths = dataset(boxes.truths.iter().map(annotation_of_truth));
    let mut evaluation = COCOeval::new(truths, dataset(found.map(annotation_of_found)), IouType::Bbox);
    evaluation.params.img_ids = (0..boxes.images).map(u64::from).collect();
    evaluation.params.cat_ids = classes.iter().copied().map(u64::from).collect();
    // Only masks could be at fault.
    if evaluation.evaluate().is_ok() {
        evaluation.accumulate();
        evaluation.summarize_lines();
    }
    let mut statistics = [None; 12];
    for (statistic, &value) in statistics.iter_mut().zip(evaluation.stats().unwrap_or_default()) {
        *statistic = computed(value);
    }
    Coco { statistics, per_class: per_class(&evaluation, &classes) }
}

/// Detections of an image and class that count: those with the highest scores, of equal ones the earlier.
pub const MOST: usize = 100;

/// The indices of the detections that do not count, because there are [`MOST`] better ones of their image and class.
pub fn beyond(boxes: &Boxes) -> Vec<usize> {
    let of = |index: &usize| (boxes.found[*index].image, boxes.found[*index].class);
    let mut counts: HashMap<(u32, u32), usize> = HashMap::new();
    for index in 0..boxes.found.len() {
        *counts.entry(of(&index)).or_default() += 1;
    }
    let many = |index: &usize| counts.get(&of(index)).is_some_and(|count| *count > MOST);
    let mut indices: Vec<usize> = (0..boxes.found.len()).filter(many).collect();
    indices.sort_by_key(of);
    let mut beyond = Vec::new();
    for group in indices.chunk_by_mut(|one, other| of(one) == of(other)) {
        // Plus 0.0, for -0.0 equals it.
        let score = |index: &usize| boxes.found[*index].score + 0.0;
        group.sort_by(|one, other| score(other).total_cmp(&score(one)));
        beyond.extend(&group[MOST..]);
    }
    beyond
}

/// What is none was told as -1.
fn computed(value: f64) -> Option<f64> {
    (value >= 0.0).then_some(value)
}

/// Means of the precision at all thresholds of IoU and recall, for objects of any size and the most detections.
fn per_class(evaluation: &COCOeval, classes: &BTreeSet<u32>) -> BTreeMap<u32, f64> {
    let Some(curves) = evaluation.accumulated() else { return BTreeMap::new() };
    let (shape, area, most) = (curves.shape, evaluation.params.all_area_idx(), evaluation.params.max_det_idx());
    let mean = |class: usize| {
        let thresholds = (0..shape.t).flat_map(|iou| (0..shape.r).map(move |recall| (iou, recall)));
        let precision =
            thresholds.filter_map(|(t, r)| curves.precision.get(curves.precision_idx(t, r, class, area, most)));
        let (sum, count) = precision.filter_map(|&p| computed(p)).fold((0.0, 0), |(sum, n), p| (sum + p, n + 1));
        (count > 0).then(|| sum / f64::from(count))
    };
    classes.iter().enumerate().filter_map(|(index, &class)| Some((class, mean(index)?))).collect()
}

fn dataset(annotations: impl Iterator<Item = Annotation>) -> COCO {
    let annotations = (1..).zip(annotations).map(|(id, annotation)| Annotation { id, ..annotation }).collect();
    COCO::from_dataset(Dataset { annotations, ..Dataset::default() })
}

fn annotation_of_truth(truth: &Truth) -> Annotation {
    Annotation {
        image_id: truth.image.into(),
        category_id: truth.class.into(),
        bbox: Some(truth.bounds),
        area: Some(truth.area),
        iscrowd: truth.ignore,
        ..Annotation::default()
    }
}

fn annotation_of_found(found: &Found) -> Annotation {
    let [_, _, width, height] = found.bounds;
    Annotation {
        image_id: found.image.into(),
        category_id: found.class.into(),
        bbox: Some(found.bounds),
        area: Some(width * height),
        score: Some(found.score),
        ..Annotation::default()
    }
}
