//! The loss of boxes.

use crate::values::{check, recorded, with_values};
use candle_core::{Device, Result, Tensor, bail};

/// Keeps quotients finite for boxes without area; torchvision's.
const EPS: f64 = 1e-7;

/// The generalized IoU loss (arXiv 1902.09630) `1 − GIoU`, 0 to 2, of each of `boxes` against the box of the same row
/// in `targets`: both `[n, 4]`, left, top, right, bottom, with right ≥ left and bottom ≥ top; the result is `[n]`.
///
/// As `torchvision.ops.generalized_box_iou_loss`. Computed in `f64`; finite for finite boxes, also those without
/// area. Targets are constants: they get no gradient.
///
/// # Errors
///
/// Where a shape is another.
pub fn generalized_box_iou_loss(boxes: &Tensor, targets: &Tensor) -> Result<Tensor> {
    const NAME: &str = "generalized_box_iou_loss";
    check(NAME, "boxes", boxes, "[n, 4]", 2)?;
    check(NAME, "targets", targets, "[n, 4]", 2)?;
    if boxes.dims() != targets.dims() || boxes.dims()[1] != 4 {
        bail!("{NAME}: expected boxes and targets [n, 4], found {:?} and {:?}", boxes.dims(), targets.dims());
    }
    let (boxes, device) = (recorded(boxes), boxes.device());
    let n = boxes.dims()[0];
    let (mut losses, mut slopes) = (Vec::with_capacity(n), Vec::with_capacity(4 * n));
    let on_host = |tensor: &Tensor| tensor.detach().to_device(&Device::Cpu);
    with_values(NAME, &on_host(&boxes)?, |boxes| {
        with_values(NAME, &on_host(targets)?, |targets| {
            for (of, target) in boxes.as_chunks::<4>().0.iter().zip(targets.as_chunks::<4>().0) {
                let (loss, slope) = generalized(of.map(f64::from), target.map(f64::from));
                losses.push(loss as f32);
                slopes.extend(slope.map(|slope| slope as f32));
            }
        })
    })??;
    let (losses, slopes) = (Tensor::from_vec(losses, n, device)?, Tensor::from_vec(slopes, (n, 4), device)?);
    // 0 with the gradient `slopes`, on any device.
    let moved = ((&boxes - boxes.detach())? * slopes)?;
    losses + moved.sum(1)?
}

/// The loss of a box, and its derivatives by the box's four numbers.
fn generalized([x0, y0, x1, y1]: [f64; 4], [u0, v0, u1, v1]: [f64; 4]) -> (f64, [f64; 4]) {
    let (width, height) = (x1 - x0, y1 - y0);
    let common = [x1.min(u1) - x0.max(u0), y1.min(v1) - y0.max(v0)].map(|side| side.max(0.0));
    let hull = [x1.max(u1) - x0.min(u0), y1.max(v1) - y0.min(v0)];
    let intersection = common[0] * common[1];
    let union = width * height + (u1 - u0) * (v1 - v0) - intersection;
    let enclosing = hull[0] * hull[1];
    let loss = 1.0 - intersection / (union + EPS) + (enclosing - union) / (enclosing + EPS);

    // By the areas: of the intersection, of the box, of the enclosing box.
    let square = |value: f64| value * value;
    let by_union = intersection / square(union + EPS) - 1.0 / (enclosing + EPS);
    let by_intersection = -1.0 / (union + EPS) - by_union;
    let by_enclosing = (union + EPS) / square(enclosing + EPS);
    // Share of a side's end in a minimum or maximum: all, none, or half where both are equal, as torch has it.
    let share = |inner: f64, outer: f64| (f64::from(inner > outer) + f64::from(inner >= outer)) / 2.0;
    let overlaps = f64::from(intersection > 0.0);
    let slope = |end: f64, inside: f64, side: f64, common: f64, hull: f64| {
        end * (by_union * side + overlaps * by_intersection * common * inside + by_enclosing * hull * (1.0 - inside))
    };
    let slopes = [
        slope(-1.0, share(x0, u0), height, common[1], hull[1]),
        slope(-1.0, share(y0, v0), width, common[0], hull[0]),
        slope(1.0, share(u1, x1), height, common[1], hull[1]),
        slope(1.0, share(v1, y1), width, common[0], hull[0]),
    ];
    (loss, slopes)
}
