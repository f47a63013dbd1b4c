//! What holds for every view and every example.

use crate::noise;
use data::augment::{Augmentation, Follow, Jitter, Normalize, Scale, Transform, View};
use data::{Mask, Object, Point};
use proptest::prelude::*;

fn views() -> impl Strategy<Value = View> {
    let sizes = |longest: usize| [1..longest, 1..longest];
    (sizes(24), sizes(60), [-12_i64..40, -12_i64..40], sizes(30), any::<bool>())
        .prop_map(|(source, scaled, offset, size, flip)| View { source, scaled, offset, size, flip })
}

/// A corner and a size in whole pixels inside of an image of size `[h, w]`, from numbers in `[0, 1)`.
fn rectangle([height, width]: [usize; 2], [y, x, h, w]: [f64; 4]) -> [usize; 4] {
    let part = |length: usize, share: f64| (length as f64 * share) as usize;
    let (top, left) = (part(height, y), part(width, x));
    [left, top, left + 1 + part(width - left - 1, w), top + 1 + part(height - top - 1, h)]
}

fn augmentations() -> impl Strategy<Value = Augmentation> {
    let range = |most: f64| (1e-4..most, 1e-4..most).prop_map(|(a, b)| [f64::min(a, b), f64::max(a, b)]);
    let scale = prop_oneof![
        range(3.0).prop_map(Scale::Image),
        range(3.0).prop_map(Scale::Fit),
        range(1.0).prop_map(Scale::Area),
        Just(Scale::Image([1.0, 1.0])),
    ];
    let jitter = [0.0..2.0, 0.0..2.0, 0.0..2.0, 0.0..0.5].prop_map(|[brightness, contrast, saturation, hue]| Jitter {
        brightness,
        contrast,
        saturation,
        hue,
    });
    let unscaled = prop_oneof![Just(0.0), Just(0.5)];
    (prop::option::of([1_usize..40, 1_usize..40]), scale, range(50.0), unscaled, 0_usize..9, any::<bool>(), jitter)
        .prop_map(|(size, scale, aspect, unscaled, padding, flip, jitter)| Augmentation {
            size,
            scale,
            aspect,
            unscaled,
            padding,
            flip,
            jitter,
        })
        .prop_filter("refused", |augmentation| augmentation.check().is_ok())
}

proptest! {
    #[test]
    fn the_identity_changes_nothing(
        (size, channels) in ([1_usize..20, 1_usize..20], prop::sample::select(vec![1_usize, 3])),
        share in [0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0_f64],
    ) {
        let view = View::identity(size);
        let image = noise(size, channels, 0);
        prop_assert_eq!(&Transform::from(view).image(&image), &image);
        let mask = Mask { height: size[0], width: size[1], classes: noise(size, 1, 1).pixels };
        prop_assert_eq!(&mask.follow(&view), &mask);
        let corners = rectangle(size, share).map(|corner| corner as f32);
        let objects = vec![Object { class: 1, corners, ignore: false }];
        prop_assert_eq!(&objects.follow(&view), &objects);
        let points: Vec<Point> = vec![[corners[0], corners[1]], [(corners[2] + corners[0]) / 2.0, corners[1]]];
        prop_assert_eq!(&points.follow(&view), &points);
    }

    #[test]
    fn a_flip_undoes_a_flip(
        (size, channels) in ([1_usize..20, 1_usize..20], prop::sample::select(vec![1_usize, 3])),
        share in [0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0_f64],
    ) {
        let flip = View { flip: true, ..View::identity(size) };
        let image = noise(size, channels, 0);
        let twice = |image| Transform::from(flip).image(&Transform::from(flip).image(image));
        prop_assert_eq!(&twice(&image), &image);
        let mask = Mask { height: size[0], width: size[1], classes: noise(size, 1, 1).pixels };
        prop_assert_eq!(&mask.follow(&flip).follow(&flip), &mask);
        let corners = rectangle(size, share).map(|corner| corner as f32);
        let objects = vec![Object { class: 1, corners, ignore: false }];
        prop_assert_eq!(&objects.follow(&flip).follow(&flip), &objects);
        let points: Vec<Point> = vec![[corners[0] + 0.5, corners[1]]];
        prop_assert_eq!(&points.follow(&flip).follow(&flip), &points);
    }

    /// A rectangle as an object, as a mask, as an image, and as the points of its pixels: they stay one rectangle.
    #[test]
    fn image_and_labels_stay_together(view in views(), share in [0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0_f64]) {
        let [height, width] = view.source;
        let [left, top, right, bottom] = rectangle(view.source, share);
        let painted = (0..height * width).map(|at| {
            let inside = (top..bottom).contains(&(at / width)) && (left..right).contains(&(at % width));
            u8::from(inside)
        });
        let mask = Mask { height, width, classes: painted.collect() };
        let image = data::Image { height, width, channels: 1, pixels: mask.classes.iter().map(|c| c * 255).collect() };
        let corners = [left, top, right, bottom].map(|corner| corner as f32);
        let objects = vec![Object { class: 0, corners, ignore: false }].follow(&view);
        let (mask, image) = (mask.follow(&view), Transform::from(view).image(&image));

        for (at, &class) in mask.classes.iter().enumerate() {
            let [x, y] = [at % mask.width, at / mask.width].map(|place| place as f32 + 0.5);
            // How far the center is inside of the object. On the edge itself, either class is right.
            let depth = |object: &Object| {
                let [left, top, right, bottom] = object.corners;
                [x - left, right - x, y - top, bottom - y].into_iter().fold(f32::INFINITY, f32::min)
            };
            let depth = objects.iter().map(depth).fold(f32::NEG_INFINITY, f32::max);
            prop_assert!(depth.abs() < 1e-3 || (class == 1) == (depth > 0.0), "({}, {}): {} {:?}", x, y, class, objects);
        }
        // Where nothing shrinks, the source's pixel under a center has half of the weight or more along either axis.
        if view.scaled[0] >= height && view.scaled[1] >= width {
            for (&class, &brightness) in mask.classes.iter().zip(&image.pixels) {
                let expected = match class {
                    1 => 62..=255,
                    0 => 0..=129,
                    _ => 0..=0,
                };
                prop_assert!(expected.contains(&brightness), "{} of class {}", brightness, class);
            }
        }
        let points: Vec<Point> = (top..bottom)
            .flat_map(|y| (left..right).map(move |x| [x as f32 + 0.5, y as f32 + 0.5]))
            .collect();
        for [x, y] in points.follow(&view) {
            prop_assert!(0.0 <= x && x < view.size[1] as f32 && 0.0 <= y && y < view.size[0] as f32);
            let inside = objects.iter().any(|object| {
                let [left, top, right, bottom] = object.corners;
                left <= x && x <= right && top <= y && y <= bottom
            });
            prop_assert!(inside, "{} {}: {:?}", x, y, objects);
        }
    }

    #[test]
    fn whatever_is_drawn_is_finite_and_inside(
        augmentation in augmentations(),
        (source, channels) in ([1_usize..30, 1_usize..30], prop::sample::select(vec![1_usize, 3])),
        seed in 0_u64..1000,
        share in [0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0_f64],
    ) {
        let image = noise(source, channels, seed);
        let transform = augmentation.draw(source, &mut random::stream(seed, "augment", &[]));
        prop_assert_eq!(&transform, &augmentation.draw(source, &mut random::stream(seed, "augment", &[])));
        let [height, width] = transform.view.size;
        prop_assert_eq!([height, width], augmentation.size.unwrap_or(transform.view.scaled));
        let normalize = Normalize::new(&[0.5; 3][..channels], &[0.25; 3][..channels]);
        let mut out = vec![f32::NAN; height * width * channels];
        transform.apply(&image.pixels, &normalize, &mut out);
        prop_assert!(out.iter().all(|value| (-2.0..=2.0).contains(value)));

        let corners = rectangle(source, share).map(|corner| corner as f32);
        let objects = vec![Object { class: 5, corners, ignore: false }];
        for object in objects.follow(&transform.view) {
            let [left, top, right, bottom] = object.corners;
            prop_assert!(0.0 <= left && left < right && right <= width as f32);
            prop_assert!(0.0 <= top && top < bottom && bottom <= height as f32);
            prop_assert_eq!(object.class, 5);
        }
        prop_assert!(Vec::<Object>::new().follow(&transform.view).is_empty());
        let mask = Mask { height: source[0], width: source[1], classes: vec![3; source[0] * source[1]] };
        let mask = mask.follow(&transform.view);
        prop_assert_eq!((mask.height, mask.width, mask.classes.len()), (height, width, height * width));
    }
}
