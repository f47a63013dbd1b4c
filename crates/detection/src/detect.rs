//! From what the head says to detections.

use crate::config::Suppression;
use crate::loss::LARGEST;
use crate::metric::Detection;
use crate::model::Level;
use candle_core::Result;
use candle_transformers::object_detection::{Bbox, iou, non_maximum_suppression};

/// Detections of no higher score are dropped: they come last, and would not change the average precision by much.
const LOWEST_SCORE: f32 = 0.05;
/// Of each image's level at most so many detections are considered, those of the highest scores.
const CONSIDERED: usize = 1000;
/// At most so many are made an image: what COCO's metric counts.
const DETECTIONS: usize = 100;

/// The detections in each of `images` images, best first, in pixels of what the network saw, which is `size` (height
/// and width). The score is the geometric mean of the class's probability and the centerness.
///
/// # Errors
///
/// Where tensors cannot be read.
pub fn detect(
    levels: &[Level],
    images: usize,
    size: [usize; 2],
    suppression: Suppression,
) -> Result<Vec<Vec<Detection>>> {
    let mut found = vec![Vec::new(); images];
    for level in levels {
        let (classes, boxes) = (level.classes.flatten_all()?.to_vec1::<f32>()?, level.boxes.flatten_all()?.to_vec1()?);
        let pixels = level.grid().len();
        let (per_image, classes_of) = (pixels.max(1), level.classes.dims()[1].max(1));
        let images = classes.chunks(per_image * classes_of).zip(boxes.chunks(per_image * 5));
        for ((classes, boxes), found) in images.zip(&mut found) {
            let mut candidates = candidates(level, classes, boxes, size);
            best_first(&mut candidates, CONSIDERED);
            found.extend(candidates);
        }
    }
    Ok(found.into_iter().map(|candidates| suppress(candidates, suppression)).collect())
}

fn candidates(level: &Level, classes: &[f32], boxes: &[f32], [height, width]: [usize; 2]) -> Vec<Detection> {
    let (grid, count) = (level.grid(), level.classes.dims()[1].max(1));
    let mut candidates = Vec::new();
    let sigmoid = |x: f32| 1.0 / (1.0 + libm::expf(-x));
    for (pixel, (logits, pixel_box)) in classes.chunks_exact(count).zip(boxes.as_chunks::<5>().0).enumerate() {
        let [left, top, right, bottom, centerness] = *pixel_box;
        let ([x, y], centerness) = (grid.place(pixel), sigmoid(centerness));
        for (class, logit) in logits.iter().enumerate() {
            let score = (sigmoid(*logit) * centerness).sqrt();
            if score.is_nan() || score <= LOWEST_SCORE {
                continue;
            }
            let [left, top, right, bottom] =
                [left, top, right, bottom].map(|distance| libm::expf(distance.min(LARGEST)) * grid.stride as f32);
            let within = |place: f32, length: usize| place.clamp(0.0, length as f32);
            let corners = [
                within(x - left, width),
                within(y - top, height),
                within(x + right, width),
                within(y + bottom, height),
            ];
            if corners.iter().all(|corner| corner.is_finite()) {
                candidates.push(Detection { class: class as u32, score, corners });
            }
        }
    }
    candidates
}

/// The `most` of the highest scores; of equal ones the earlier.
fn best_first(detections: &mut Vec<Detection>, most: usize) {
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    detections.truncate(most);
}

fn suppress(candidates: Vec<Detection>, suppression: Suppression) -> Vec<Detection> {
    let classes = candidates.iter().map(|detection| detection.class as usize + 1).max().unwrap_or(0);
    let mut by_class: Vec<Vec<Bbox<()>>> = vec![Vec::new(); classes];
    for detection in &candidates {
        by_class[detection.class as usize].push(to_bbox(detection));
    }
    match suppression {
        Suppression::Nms { iou } => non_maximum_suppression(&mut by_class, iou),
        Suppression::SoftNms { sigma } => by_class.iter_mut().for_each(|boxes| soft(boxes, sigma)),
    }
    let detections = by_class.iter().enumerate().flat_map(|(class, boxes)| {
        boxes.iter().map(move |of| Detection { class: class as u32, score: of.confidence, corners: corners(of) })
    });
    let mut detections: Vec<Detection> = detections.collect();
    best_first(&mut detections, DETECTIONS);
    detections
}

/// Soft non-maximum suppression with a Gaussian (arXiv 1704.04503, figure 2): the best of the boxes that are left is
/// taken, and lowers the scores of the others. Candle's own lowers each score by the last of the better boxes alone, and
/// keeps the order of the first scores.
fn soft(boxes: &mut Vec<Bbox<()>>, sigma: f32) {
    let mut left = std::mem::take(boxes);
    while let Some(best) = (0..left.len()).reduce(|a, b| if left[b].confidence > left[a].confidence { b } else { a }) {
        let best = left.remove(best);
        for other in &mut left {
            let overlap = iou(&best, other);
            other.confidence *= libm::expf(-overlap * overlap / sigma);
        }
        left.retain(|other| other.confidence > LOWEST_SCORE);
        boxes.push(best);
    }
}

/// Candle counts pixels of which the last is part of the box, and adds 1 to each side: next to nothing at this scale.
const SCALE: f32 = 4096.0;

fn to_bbox(Detection { score, corners, .. }: &Detection) -> Bbox<()> {
    let [xmin, ymin, xmax, ymax] = corners.map(|corner| corner * SCALE);
    Bbox { xmin, ymin, xmax, ymax, confidence: *score, data: () }
}

fn corners(of: &Bbox<()>) -> [f32; 4] {
    [of.xmin, of.ymin, of.xmax, of.ymax].map(|corner| corner / SCALE)
}
