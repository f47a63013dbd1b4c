//! Average precision of a network in evaluation, image by image.

use super::{Boxes, Detection, Found, STATISTICS, Truth, coco};
use data::Object;
use record::Scores;
use std::collections::BTreeMap;

/// Collects detections and objects, and scores them as COCO does; see [`coco`].
#[derive(Debug, Clone, Default)]
pub struct AveragePrecision {
    boxes: Boxes,
}

impl AveragePrecision {
    /// Adds an image: what was found in it, in any order, and what is in it.
    ///
    /// Of equal scores, the one in the earlier image, or earlier in `detections`, ranks higher. A score that is not a
    /// number ranks lowest, and a box with a corner that is not finite is one without extent, which is nowhere; so a
    /// network that diverges is scored like one that finds nothing. The area of an object is that of its box.
    pub fn observe(&mut self, detections: &[Detection], objects: &[Object]) {
        let image = self.boxes.images;
        self.boxes.images += 1;
        self.boxes.found.extend(detections.iter().map(|found| {
            let score = if found.score.is_nan() { f64::NEG_INFINITY } else { found.score.into() };
            Found { image, class: found.class, bounds: bounds(found.corners), score }
        }));
        self.boxes.truths.extend(objects.iter().map(|object| {
            let bounds @ [_, _, width, height] = bounds(object.corners);
            Truth { image, class: object.class, bounds, area: width * height, ignore: object.ignore }
        }));
    }

    /// COCO's statistics of all that was observed, by their names in [`STATISTICS`].
    ///
    /// A statistic of objects that do not occur, such as `APl` where none is large, is left out. `AP` and `AP50` are
    /// always there: 0 where there was nothing to be found.
    pub fn scores(self) -> Scores {
        let statistics = STATISTICS.into_iter().zip(coco(&self.boxes).statistics);
        let mut scores = Scores::from([("AP".to_owned(), 0.0), ("AP50".to_owned(), 0.0)]);
        scores.extend(statistics.filter_map(|(name, value)| Some((name.to_owned(), value?))));
        scores
    }

    /// COCO's AP of each class that has objects which are not to be ignored.
    pub fn per_class(&self) -> BTreeMap<u32, f64> {
        coco(&self.boxes).per_class
    }
}

/// Left, top, width and height; zeros where a corner is not finite.
fn bounds(corners: [f32; 4]) -> [f64; 4] {
    if corners.iter().all(|corner| corner.is_finite()) {
        let [left, top, right, bottom] = corners.map(f64::from);
        [left, top, right - left, bottom - top]
    } else {
        [0.0; 4]
    }
}
