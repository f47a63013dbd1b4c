//! From what the head says to detections.

use crate::config::Suppression;
use crate::loss::LARGEST;
use crate::metric::Detection;
use crate::model::Level;
use candle_core::Result;

/// Detections of no higher score are dropped: they come last, and would not change the average precision by much.
const LOWEST_SCORE: f32 = 0.05;
/// Of each image's level at most so many detections are considered, those of the highest scores.
const CONSIDERED: usize = 1000;
/// At most so many are made an image: what COCO's metric counts.
const DETECTIONS: usize = 100;

/// The detections in each of `images` images, best first, in pixels of what the network saw, which is `size` (height
/// and width). The score is the geometric mean of the class's probability and the centre-ness.
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
        let [left, top, right, bottom, centre_ness] = *pixel_box;
        let ([x, y], centre_ness) = (grid.place(pixel), sigmoid(centre_ness));
        for (class, logit) in logits.iter().enumerate() {
            let score = (sigmoid(*logit) * centre_ness).sqrt();
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
    let mut by_class: Vec<Vec<Detection>> = vec![Vec::new(); classes];
    for detection in candidates {
        by_class[detection.class as usize].push(detection);
    }
    let kept = by_class.into_iter().flat_map(|candidates| match suppression {
        Suppression::Nms { iou } => hard(candidates, iou),
        Suppression::SoftNms { sigma } => soft(candidates, sigma),
    });
    let mut detections = kept.collect();
    best_first(&mut detections, DETECTIONS);
    detections
}

/// Non-maximum suppression: drops each box of one class that overlaps a better one that was kept by more than `threshold`.
fn hard(mut candidates: Vec<Detection>, threshold: f32) -> Vec<Detection> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for candidate in candidates {
        if !kept.iter().any(|better| iou(&better.corners, &candidate.corners) > threshold) {
            kept.push(candidate);
        }
    }
    kept
}

/// Soft non-maximum suppression of one class with a Gaussian (arXiv 1704.04503, figure 2): takes the best of the remaining
/// boxes, and lowers the scores of the others.
fn soft(mut candidates: Vec<Detection>, sigma: f32) -> Vec<Detection> {
    let mut kept = Vec::new();
    let best = |of: &[Detection]| (0..of.len()).reduce(|a, b| if of[b].score > of[a].score { b } else { a });
    while let Some(best) = best(&candidates) {
        let best = candidates.remove(best);
        for other in &mut candidates {
            let overlap = iou(&best.corners, &other.corners);
            other.score *= libm::expf(-overlap * overlap / sigma);
        }
        candidates.retain(|other| other.score > LOWEST_SCORE);
        kept.push(best);
    }
    kept
}

/// Intersection over union of two boxes, given by their corners. Boxes are measured in cells of 1/4096 of a pixel and include
/// their last cell, so that a box without area has one.
fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    const CELLS: f32 = 4096.0;
    let side = |low: f32, high: f32| high * CELLS - low * CELLS + 1.0;
    let area = |[left, top, right, bottom]: &[f32; 4]| side(*left, *right) * side(*top, *bottom);
    let width = side(a[0].max(b[0]), a[2].min(b[2])).max(0.0);
    let height = side(a[1].max(b[1]), a[3].min(b[3])).max(0.0);
    let intersection = width * height;
    intersection / (area(a) + area(b) - intersection)
}
