//! Sums over rows of values: in `f32` over few values a lane, then in `f64`.

/// Values that are summed in `f32` before they go into the sum in `f64`: 32 a lane.
pub(crate) const BLOCK: usize = 2048;
pub(crate) const LANES: usize = 64;

/// Below this norm a direction is noise.
pub(crate) const SMALLEST: f64 = 1e-12;

/// Sum over `f(a, b)`.
#[inline(always)]
fn fold(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = [0.0f32; LANES];
        let (a_body, b_body) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let tail = a_body.remainder().iter().zip(b_body.remainder());
        let tail: f64 = tail.map(|(a, b)| f64::from(f(*a, *b))).sum();
        for (a, b) in a_body.zip(b_body) {
            for lane in 0..LANES {
                lanes[lane] += f(a[lane], b[lane]);
            }
        }
        total += sum_lanes(lanes) + tail;
    }
    total
}

/// The sum of `lanes`.
#[inline(always)]
pub(crate) fn sum_lanes(mut lanes: [f32; LANES]) -> f64 {
    let mut width = LANES / 2;
    while width >= 4 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[..4].iter().map(|lane| f64::from(*lane)).sum()
}

/// `a·b`.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    fold(a, b, |a, b| a * b)
}

/// `‖a‖²`.
#[inline(always)]
pub(crate) fn square(a: &[f32]) -> f64 {
    fold(a, a, |a, _| a * a)
}

/// The mean of `a`.
#[inline(always)]
pub(crate) fn mean(a: &[f32]) -> f64 {
    fold(a, a, |a, _| a) / a.len().max(1) as f64
}

/// `[a·b, ‖a‖², ‖b‖²]`, reading both once.
#[inline(always)]
pub(crate) fn products(a: &[f32], b: &[f32]) -> [f64; 3] {
    let mut totals = [0.0; 3];
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut lanes = [[0.0f32; LANES]; 3];
        let (a_body, b_body) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        for (a, b) in a_body.remainder().iter().zip(b_body.remainder()) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            totals = [totals[0] + a * b, totals[1] + a * a, totals[2] + b * b];
        }
        for (a, b) in a_body.zip(b_body) {
            for lane in 0..LANES {
                lanes[0][lane] += a[lane] * b[lane];
                lanes[1][lane] += a[lane] * a[lane];
                lanes[2][lane] += b[lane] * b[lane];
            }
        }
        for (total, lanes) in totals.iter_mut().zip(lanes) {
            *total += sum_lanes(lanes);
        }
    }
    totals
}
