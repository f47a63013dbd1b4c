//! The training loss.
//!
//! The minimum of the cross-entropy with soft targets (centerness) is subtracted: gradients are the same, and "one
//! batch can be learned" means the same for every task. Targets do not depend on the network, because otherwise the
//! loss would not have the gradient of its finite differences; hence centerness and not the IoU of the predicted
//! box.

use crate::assign::{Grid, Target, assign, centerness};
use crate::model::Level;
use candle_core::{Result, Tensor, bail};
use data::Object;
use ops::FocalLoss;

/// Logarithm of the largest distance, in strides, that a box's side can have from its pixel.
pub(crate) const LARGEST: f32 = 8.0;

/// The loss of FCOS (arXiv 2006.09214 §3), a scalar: the focal loss of the classes, summed over pixels, for each pixel
/// that is to find an object; over those pixels the mean GIoU loss of the boxes, weighted by centerness; and the mean
/// cross-entropy of the centerness, less the least that it can be. 0 where all is right.
///
/// `objects` are those of each image, in pixels of what the network saw.
///
/// # Errors
///
/// Where there are not as many lists of objects as images, or an object's class is none.
pub fn loss(levels: &[Level], objects: &[Vec<Object>]) -> Result<Tensor> {
    let join = |of: fn(&Level) -> &Tensor| Tensor::cat(&levels.iter().map(of).collect::<Vec<_>>(), 0);
    let (logits, boxes) = (join(|level| &level.classes)?, join(|level| &level.boxes)?);
    let (rows, classes) = logits.dims2()?;
    let pixels: usize = levels.iter().map(|level| level.grid().len()).sum();
    if rows != pixels * objects.len() {
        bail!("loss: expected the objects of {} images, found those of {}", rows / pixels.max(1), objects.len());
    }
    if let Some(object) = objects.iter().flatten().find(|object| object.class as usize >= classes) {
        bail!("loss: expected classes below {classes}, the number of classes; found {}", object.class);
    }
    let targets = Targets::new(levels, objects, classes);

    let (n, device) = (targets.counted.len(), logits.device());
    let counted = match n == rows {
        true => logits.clone(),
        false => logits.index_select(&Tensor::new(targets.counted.as_slice(), device)?, 0)?,
    };
    let one_hot = Tensor::from_vec(targets.one_hot, (n, classes), device)?;
    let focal = ops::sigmoid_focal_loss(&counted, &one_hot, FocalLoss::default())?;
    let found = targets.found.len();
    if found == 0 {
        // Boxes have no loss, but a gradient, of zeros, as in any other step. (Candle's product with a number has none
        // where the number is 0.)
        return focal + (&boxes * boxes.zeros_like()?)?.sum_all()?;
    }
    let boxes = boxes.index_select(&Tensor::new(targets.found.as_slice(), device)?, 0)?;
    let corners = Tensor::from_vec(targets.corners, (found, 4), device)?;
    let giou = ops::generalized_box_iou_loss(&corners_of(&boxes.narrow(1, 0, 4)?)?, &corners)?;
    let entropy: f64 = targets.centerness.iter().copied().map(entropy).sum::<f64>() / found as f64;
    let total: f64 = targets.centerness.iter().copied().map(f64::from).sum();
    let losses = giou.to_vec1::<f32>()?;
    let weighted = losses.iter().zip(&targets.centerness).map(|(loss, by)| f64::from(*loss) * f64::from(*by));
    let weighted = weighted.sum::<f64>() / total;
    let centerness = Tensor::from_vec(targets.centerness, found, device)?;
    // Candle's sums depend on the processor, but not that of zeros, which has the gradient.
    let regression = (((&giou - giou.detach())? * (&centerness / total)?)?.sum_all()? + weighted)?;
    let divergence =
        (ops::binary_cross_entropy_with_logits(&boxes.narrow(1, 4, 1)?.squeeze(1)?, &centerness)? - entropy)?;
    (focal / found as f64)? + regression + divergence
}

/// The boxes around a pixel, in strides, from the logarithms of the distances of their sides: `[n, 4]` both.
fn corners_of(logarithms: &Tensor) -> Result<Tensor> {
    let mut corners = logarithms.flatten_all()?.to_vec1::<f32>()?;
    let mut slopes = corners.clone();
    for (corners, slopes) in corners.as_chunks_mut::<4>().0.iter_mut().zip(slopes.as_chunks_mut::<4>().0) {
        for ((corner, slope), outwards) in corners.iter_mut().zip(slopes).zip([-1.0, -1.0, 1.0, 1.0]) {
            let inside = *corner <= LARGEST;
            *corner = outwards * libm::expf(corner.min(LARGEST));
            *slope = if inside { *corner } else { 0.0 };
        }
    }
    let [corners, slopes] =
        [corners, slopes].map(|values| Tensor::from_vec(values, logarithms.shape(), logarithms.device()));
    // Candle's exponential is the C library's, which differs from machine to machine.
    corners? + ((logarithms - logarithms.detach())? * slopes?)?
}

/// What the rows of a batch's levels are to say. A row is a pixel: level by level, image by image, row by row.
#[derive(Default)]
struct Targets {
    /// The rows whose classes count: all but the ignored.
    counted: Vec<u32>,
    /// Their classes.
    one_hot: Vec<f32>,
    /// The rows that are to find an object.
    found: Vec<u32>,
    /// The object's corners, in strides from the pixel.
    corners: Vec<f32>,
    /// And the pixel's centerness in it.
    centerness: Vec<f32>,
}

impl Targets {
    fn new(levels: &[Level], objects: &[Vec<Object>], classes: usize) -> Self {
        let grids: Vec<Grid> = levels.iter().map(Level::grid).collect();
        let assigned: Vec<Vec<Target>> = objects.iter().map(|objects| assign(&grids, objects)).collect();
        let mut targets = Self::default();
        let (mut row, mut start) = (0, 0);
        for grid in &grids {
            for (objects, assigned) in objects.iter().zip(&assigned) {
                for (pixel, target) in assigned[start..][..grid.len()].iter().enumerate() {
                    targets.push(row, *grid, pixel, *target, objects, classes);
                    row += 1;
                }
            }
            start += grid.len();
        }
        targets
    }

    fn push(&mut self, row: u32, grid: Grid, pixel: usize, target: Target, objects: &[Object], classes: usize) {
        if target == Target::Ignored {
            return;
        }
        self.counted.push(row);
        let start = self.one_hot.len();
        self.one_hot.resize(start + classes, 0.0);
        let Target::Object(object) = target else { return };
        let (object, [x, y]) = (objects[object], grid.place(pixel));
        self.one_hot[start + object.class as usize] = 1.0;
        self.found.push(row);
        let [left, top, right, bottom] = object.corners;
        self.corners.extend([left - x, top - y, right - x, bottom - y].map(|distance| distance / grid.stride as f32));
        self.centerness.push(centerness([x, y], object.corners));
    }
}

/// The least cross-entropy, in nats, against the probability `p`.
fn entropy(p: f32) -> f64 {
    let p = f64::from(p);
    let term = |p: f64| if p > 0.0 { -p * libm::log(p) } else { 0.0 };
    term(p) + term(1.0 - p)
}
