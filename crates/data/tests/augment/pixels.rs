//! What becomes of pixels.

use crate::noise;
use data::Image;
use data::augment::{Adjustment, Augmentation, Normalize, Transform, View};
use proptest::prelude::*;
use rand::RngExt;
use sha2::Digest;

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn normalize(channels: usize) -> Normalize {
    Normalize::new(&MEAN[..channels], &STD[..channels])
}

fn applied(transform: &Transform, image: &Image) -> Vec<f32> {
    let [height, width] = transform.view.size;
    let mut out = vec![f32::NAN; height * width * image.channels];
    transform.apply(&image.pixels, &normalize(image.channels), &mut out);
    out
}

/// Cuts out, flips and normalizes one value at a time.
fn naive(view: &View, image: &Image) -> Vec<f32> {
    let mut out = Vec::new();
    for y in 0..view.size[0] {
        for x in 0..view.size[1] {
            let x = if view.flip { view.size[1] - 1 - x } else { x };
            let (y, x) = (y as i64 + view.offset[0], x as i64 + view.offset[1]);
            for c in 0..image.channels {
                let inside = (0..image.height as i64).contains(&y) && (0..image.width as i64).contains(&x);
                let place = || (y as usize * image.width + x as usize) * image.channels + c;
                let byte = if inside { image.pixels[place()] } else { 0 };
                out.push(((f64::from(byte) / 255.0 - f64::from(MEAN[c])) / f64::from(STD[c])) as f32);
            }
        }
    }
    out
}

#[test]
fn every_offset_agrees_with_the_naive_loop() {
    for (source, channels) in [([5, 4], 3), ([3, 6], 1), ([2, 3], 2)] {
        let image = noise(source, channels, 0);
        for size in [source, [1, 1], [4, 7]] {
            for (top, left) in (-8..8).flat_map(|top| (-8..8).map(move |left| (top, left))) {
                for flip in [false, true] {
                    let view = View { offset: [top, left], size, flip, ..View::identity(source) };
                    assert_eq!(applied(&view.into(), &image), naive(&view, &image), "{view:?}");
                }
            }
        }
    }
}

/// Records name seeds: what a seed makes of an image must not change.
#[test]
fn values_of_pad_crop_flip_never_change() {
    let pinned = [
        ([28, 28], 1, 2, true, "4d11996fee331e1a"),
        ([32, 32], 3, 4, true, "0b3757c85781b84c"),
        ([9, 5], 3, 0, true, "256476393eb7b5a8"),
        ([7, 8], 1, 3, false, "d989e02193d36bcc"),
    ];
    for (size, channels, padding, flip, expected) in pinned {
        let image = noise(size, channels, 0);
        let augmentation = Augmentation { padding, flip, ..Augmentation::default() };
        let mut hash = sha2::Sha256::new();
        for index in 0..100 {
            let mut rng = random::stream(1, "augment", &[index]);
            for value in applied(&augmentation.draw(size, &mut rng), &image) {
                hash.update(value.to_le_bytes());
            }
            hash.update(rng.random::<u64>().to_le_bytes());
        }
        let found: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, expected, "{size:?}");
    }
}

#[test]
fn colors_change_before_padding_and_after_resizing() {
    let image = Image { height: 1, width: 2, channels: 1, pixels: vec![100, 200] };
    let view = View { source: [1, 2], scaled: [2, 4], offset: [0, 2], size: [1, 3], flip: true };
    let color = vec![Adjustment::Contrast(0.0), Adjustment::Brightness(0.5)];
    // The mean of what is seen, 175 and 200, and not of what is not.
    assert_eq!(Transform { view, color }.image(&image).pixels, [0, 93, 93]);
}

/// Contrast would divide by the number of pixels.
#[test]
fn nothing_seen_is_black() {
    let image = noise([3, 4], 3, 0);
    let view = View { offset: [0, 40], scaled: [6, 8], size: [2, 2], ..View::identity([3, 4]) };
    let transform = Transform { view, color: vec![Adjustment::Contrast(1.5)] };
    assert_eq!(transform.image(&image).pixels, [0; 12]);
}

proptest! {
    /// Bytes and normalized values are the same image.
    #[test]
    fn both_ways_agree(
        (source, scaled, size) in ([1_usize..20, 1_usize..20], [1_usize..30, 1_usize..30], [1_usize..20, 1_usize..20]),
        offset in [-9_i64..20, -9_i64..20],
        (flip, channels, hue) in (any::<bool>(), prop::sample::select(vec![1_usize, 3]), -0.5..0.5),
    ) {
        let image = noise(source, channels, 1);
        let view = View { source, scaled, offset, size, flip };
        let transform = Transform { view, color: vec![Adjustment::Hue(hue), Adjustment::Contrast(1.3)] };
        let mut bytes = vec![f32::NAN; size[0] * size[1] * channels];
        normalize(channels).apply(&transform.image(&image).pixels, &mut bytes);
        prop_assert_eq!(applied(&transform, &image), bytes);
    }

    /// A window of the resized image is the resized image's window: nothing is lost by computing only what is seen.
    #[test]
    fn a_window_is_part_of_the_whole(
        (source, scaled) in ([1_usize..40, 1_usize..40], [1_usize..60, 1_usize..60]),
        offset in [-9_i64..40, -9_i64..40],
    ) {
        let image = noise(source, 3, 2);
        let whole = Transform::from(View::resize(source, scaled)).image(&image);
        let view = View { offset, size: [13, 11], ..View::resize(source, scaled) };
        let expected = Transform::from(View { offset, size: [13, 11], ..View::identity(scaled) }).image(&whole);
        let found = Transform::from(view).image(&image);
        for (a, b) in found.pixels.iter().zip(&expected.pixels) {
            prop_assert!(a.abs_diff(*b) <= 1, "{} {}", a, b);
        }
    }
}
