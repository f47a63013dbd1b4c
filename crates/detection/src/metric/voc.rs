//! PASCAL VOC's average precision.

use super::{Boxes, Found, Truth};
use std::collections::{BTreeMap, HashMap};

/// The IoU from which a detection finds an object.
const IOU: f64 = 0.5;

/// Average precision of a class at IoU .5, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Voc {
    /// Area under the curve of precision over recall, made to fall; VOC's measure since 2010.
    pub all_points: f64,
    /// Mean of the best precision at recall 0, 0.1 … 1 or more; VOC's measure until 2009.
    pub eleven_points: f64,
    /// Objects that are not to be ignored, at least one.
    pub positives: usize,
}

/// PASCAL VOC's evaluation of each class that has objects which are not to be ignored, after the devkit of the
/// challenge, where such as are ignored are called difficult.
///
/// Boxes are measured as COCO does: the devkit takes coordinates for indices of pixels, which adds one to each size.
pub fn voc(boxes: &Boxes) -> BTreeMap<u32, Voc> {
    let mut truths: BTreeMap<u32, HashMap<u32, Vec<&Truth>>> = BTreeMap::new();
    for truth in &boxes.truths {
        truths.entry(truth.class).or_default().entry(truth.image).or_default().push(truth);
    }
    let mut found: HashMap<u32, Vec<&Found>> = HashMap::new();
    for detection in &boxes.found {
        found.entry(detection.class).or_default().push(detection);
    }
    let class = |(class, truths)| Some((class, of_class(&truths, found.remove(&class).unwrap_or_default())?));
    truths.into_iter().filter_map(class).collect()
}

fn of_class(truths: &HashMap<u32, Vec<&Truth>>, mut found: Vec<&Found>) -> Option<Voc> {
    let positives = truths.values().flatten().filter(|truth| !truth.ignore).count();
    if positives == 0 {
        return None;
    }
    // Plus 0.0, for -0.0 equals it.
    found.sort_by(|a, b| (b.score + 0.0).total_cmp(&(a.score + 0.0)));
    let mut taken: HashMap<u32, Vec<bool>> = HashMap::new();
    let (mut right, mut ranked) = (0, 0);
    // Recall and precision after each detection that counts.
    let mut curve: Vec<(f64, f64)> = Vec::with_capacity(found.len());
    for detection in found {
        let truths = truths.get(&detection.image).map(Vec::as_slice).unwrap_or_default();
        let taken = taken.entry(detection.image).or_insert_with(|| vec![false; truths.len()]);
        let mut best = None::<(f64, &Truth, &mut bool)>;
        for (truth, taken) in truths.iter().zip(taken) {
            let overlap = iou(truth.bounds, detection.bounds);
            if overlap >= IOU && best.as_ref().is_none_or(|(most, ..)| overlap > *most) {
                best = Some((overlap, truth, taken));
            }
        }
        match best {
            Some((_, truth, _)) if truth.ignore => continue,
            Some((.., taken)) if !*taken => {
                *taken = true;
                right += 1;
            }
            _ => {}
        }
        ranked += 1;
        curve.push((f64::from(right) / positives as f64, f64::from(right) / f64::from(ranked)));
    }
    // A precision is reached at a recall where it is at that recall or a higher one.
    let mut best = 0.0;
    for (_, precision) in curve.iter_mut().rev() {
        best = f64::max(best, *precision);
        *precision = best;
    }
    Some(Voc { all_points: all_points(&curve), eleven_points: eleven_points(&curve), positives })
}

fn all_points(curve: &[(f64, f64)]) -> f64 {
    let before = std::iter::once(0.0).chain(curve.iter().map(|(recall, _)| *recall));
    before.zip(curve).map(|(before, (recall, precision))| (recall - before) * precision).sum()
}

fn eleven_points(curve: &[(f64, f64)]) -> f64 {
    let at =
        |recall: f64| curve.iter().find(|(reached, _)| *reached >= recall).map_or(0.0, |(_, precision)| *precision);
    (0..=10).map(|tenths| at(f64::from(tenths) * 0.1)).sum::<f64>() / 11.0
}

/// Intersection over union of boxes of left, top, width and height; 0 where they do not overlap.
fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let ([ax, ay, aw, ah], [bx, by, bw, bh]) = (a, b);
    let width = (ax + aw).min(bx + bw) - ax.max(bx);
    let height = (ay + ah).min(by + bh) - ay.max(by);
    if width > 0.0 && height > 0.0 {
        let intersection = width * height;
        intersection / (aw * ah + bw * bh - intersection)
    } else {
        0.0
    }
}
