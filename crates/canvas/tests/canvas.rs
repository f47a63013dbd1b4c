//! What is drawn, and where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use canvas::{Canvas, Color, Line, beside, sheet};
use data::{Channels, Image, decode};
use proptest::prelude::*;

/// Height of a line of text.
const STRIP: usize = 18;

fn gray(height: usize, width: usize) -> Image {
    Image { height, width, channels: 1, pixels: vec![0x80; height * width] }
}

/// The picture as whoever opens its file sees it.
fn seen(picture: &Canvas) -> Image {
    let image = decode::image(&picture.png().unwrap(), Channels::Rgb).unwrap();
    assert_eq!(picture.size(), [image.width as u32, image.height as u32]);
    image
}

fn pixel(image: &Image, x: usize, y: usize) -> [u8; 3] {
    let start = (y * image.width + x) * 3;
    image.pixels[start..start + 3].try_into().unwrap()
}

/// One character for each square of 8 pixels: the color of its upper left one.
fn art(image: &Image) -> String {
    let letter = |pixel: [u8; 3]| match pixel {
        [0x80, 0x80, 0x80] => '.',
        pixel if pixel == Color::BLUE.rgb() => 'B',
        pixel if pixel == Color::ORANGE.rgb() => 'O',
        pixel if pixel == Color::GREEN.rgb() => 'G',
        _ => '?',
    };
    let row = |y: usize| (0..image.width).step_by(8).map(|x| letter(pixel(image, x, y))).collect::<String>();
    (0..image.height).step_by(8).map(row).collect::<Vec<_>>().join("\n")
}

/// Left, top, right and bottom of the pixels of a color.
fn extent(image: &Image, color: Color) -> Option<[usize; 4]> {
    let all = (0..image.height).flat_map(|y| (0..image.width).map(move |x| (x, y)));
    all.filter(|(x, y)| pixel(image, *x, *y) == color.rgb()).fold(None, |extent, (x, y)| {
        let [left, top, right, bottom] = extent.unwrap_or([x, y, x + 1, y + 1]);
        Some([left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)])
    })
}

#[test]
fn an_image_is_enlarged_by_whole_numbers_until_its_longer_side_has_256_pixels() {
    for (height, width, expected) in
        [(28, 28, [280, 280]), (1, 1, [256, 256]), (240, 320, [320, 240]), (255, 100, [200, 510]), (16, 256, [256, 16])]
    {
        assert_eq!(Canvas::of(&gray(height, width)).size(), expected);
    }
    let checks = Image { height: 2, width: 2, channels: 3, pixels: vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] };
    let large = seen(&Canvas::of(&checks));
    for (y, x) in (0..256).flat_map(|y| (0..256).map(move |x| (y, x))) {
        let first = (y / 128 * 2 + x / 128) as u8 * 3 + 1;
        assert_eq!(pixel(&large, x, y), [first, first + 1, first + 2]);
    }
}

#[test]
fn a_small_drawing() {
    let mut picture = Canvas::of(&gray(16, 32));
    picture.rectangle([2.0, 2.0, 14.0, 14.0], Color::BLUE, Line::Solid, "");
    picture.rectangle([18.0, 2.0, 30.0, 14.0], Color::GREEN, Line::Dashed, "");
    picture.caption("", Color::ORANGE);
    let image = seen(&picture);
    assert_eq!([image.width, image.height], [256, 128 + STRIP]);
    let expected = "\
................................
................................
..BBBBBBBBBBBBB...G.G.G.G.G.G.G.
..B...........B.................
..B...........B...G...........G.
..B...........B.................
..B...........B...G...........G.
..B...........B.................
..B...........B...G...........G.
..B...........B.................
..B...........B...G...........G.
..B...........B.................
..B...........B...G...........G.
..B...........B.................
..BBBBBBBBBBBBB...G.G.G.G.G.G.G.
................................
OOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOO
OOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOO
OOOOOOOOOOOOOOOOOOOOOOOOOOOOOOOO";
    assert_eq!(art(&image), expected, "found\n{}", art(&image));
}

/// The pixels of a color in a picture of 256×256 pixels with dots on it.
fn dotted(dots: &[[f32; 2]], color: Color) -> Option<[usize; 4]> {
    let mut picture = Canvas::of(&gray(256, 256));
    dots.iter().for_each(|place| picture.dot(*place, Color::ORANGE));
    picture.caption("", Color::WHITE);
    extent(&seen(&picture), color)
}

#[test]
fn a_dot_lies_around_its_place_with_a_rim() {
    assert_eq!(dotted(&[[100.0, 50.0]], Color::ORANGE), Some([98, 48, 102, 52]));
    assert_eq!(dotted(&[[100.0, 50.0]], Color::BLACK), Some([97, 47, 103, 53]));
    // Of an image that is enlarged eight times, the middle of the second pixel.
    let mut picture = Canvas::of(&gray(32, 16));
    picture.dot([1.5, 0.5], Color::BLUE);
    assert_eq!(extent(&seen(&picture), Color::BLUE), Some([10, 2, 14, 6]));
}

#[test]
fn a_dot_ends_where_the_image_does() {
    let corners =
        [([0.0, 0.0], [0, 0, 2, 2]), ([256.0, 256.0], [254, 254, 256, 256]), ([0.0, 256.0], [0, 254, 2, 256])];
    for (place, expected) in corners {
        assert_eq!(dotted(&[place], Color::ORANGE), Some(expected), "{place:?}");
    }
    let nowhere = [[-4.0, 9.0], [9.0, 260.0], [f32::NAN, 9.0], [9.0, f32::NAN], [f32::INFINITY, 9.0], [9.0, -f32::MAX]];
    assert_eq!((dotted(&nowhere, Color::ORANGE), dotted(&nowhere, Color::BLACK)), (None, None));
    let mut empty = Canvas::of(&Image { height: 0, width: 0, channels: 1, pixels: vec![] });
    empty.dot([0.0, 0.0], Color::BLUE);
    assert_eq!(empty.size(), [0, 0]);
}

#[test]
fn a_label_stays_in_the_image_at_every_border_and_corner() {
    let places = [0.0, 10.0, 150.0, 290.0, 320.0];
    for (x, y, line) in places
        .iter()
        .flat_map(|x| places.iter().map(move |y| (*x, *y)))
        .flat_map(|(x, y)| [Line::Solid, Line::Dashed].map(|line| (x, y, line)))
    {
        let mut with = Canvas::of(&gray(320, 320));
        with.rectangle([x, y, x, y], Color::BLUE, line, "eight ch");
        with.caption("below", Color::WHITE);
        let image = seen(&with);
        // Ink on the strip: white on blue.
        let [left, top, right, bottom] = extent(&image, Color::BLUE).unwrap();
        assert!(right <= 320 && bottom <= 320, "the strip at {x}, {y} leaves the image");
        assert!(right - left >= 70 && bottom - top >= STRIP, "the strip at {x}, {y} is cut off");
        let free = if line == Line::Solid { y > 20.0 } else { y < 300.0 };
        if free {
            let above = (top as f32) < y - 10.0;
            assert_eq!(above, line == Line::Solid, "at {x}, {y} the strip is from {top} to {bottom}");
        }
    }
}

#[test]
fn a_label_can_be_read_and_what_the_font_has_not_is_a_question_mark() {
    let label = |text: &str| {
        let mut picture = Canvas::of(&gray(320, 320));
        picture.rectangle([100.0, 100.0, 200.0, 200.0], Color::ORANGE, Line::Solid, text);
        seen(&picture)
    };
    assert_ne!(label("cat"), label("dog"));
    assert_ne!(label("é"), label("?"));
    assert_eq!(label("猫 cat\u{1f408}"), label("? cat?"));
    assert_eq!(label("a\nb\tc\u{7f}"), label("a?b?c?"));
    // Of a long one, what fits.
    let [left, _, right, _] = extent(&label(&"m".repeat(1000)), Color::ORANGE).unwrap();
    assert!(left < 10 && right > 310, "{left} to {right}");
}

#[test]
fn a_caption_goes_on_in_the_next_line() {
    let height = |text: &str| {
        let mut picture = Canvas::of(&gray(256, 256));
        picture.caption(text, Color::WHITE);
        (picture.size()[1] as usize - 256) / STRIP
    };
    // 31 characters fit.
    assert_eq!(height(""), 1);
    assert_eq!(height(&"m".repeat(31)), 1);
    assert_eq!(height(&"m".repeat(32)), 2);
    assert_eq!(height("four words of a caption that is long"), 2);
    assert_eq!(height(&format!("{} {}", "m".repeat(20), "m".repeat(63))), 4);
    let captioned = |texts: &[&str]| {
        let mut picture = Canvas::of(&gray(256, 256));
        texts.iter().for_each(|text| picture.caption(text, Color::WHITE));
        picture
    };
    let (first, second) = ("a caption that is exactly there", "and goes on");
    assert_eq!(captioned(&[&format!("{first} {second}")]), captioned(&[first, second]));
}

#[test]
fn a_sheet_has_its_pictures_in_even_rows_below_the_heading() {
    let pictures: Vec<Canvas> = (0..6).map(|_| Canvas::of(&gray(28, 28))).collect();
    let image = seen(&sheet(&["title", "legend"], &pictures));
    assert_eq!([image.width, image.height], [12 + 3 * 292, 12 + 2 * STRIP + 2 * 292 + 12]);
    for (row, column) in (0..2).flat_map(|row| (0..3).map(move |column| (row, column))) {
        let (x, y) = (12 + column * 292, 12 + 2 * STRIP + 12 + row * 292);
        assert_eq!([pixel(&image, x, y), pixel(&image, x + 279, y + 279)], [[0x80; 3]; 2]);
        assert_eq!([pixel(&image, x - 1, y), pixel(&image, x + 280, y + 280)], [[0xff; 3]; 2]);
    }
    // Of other sizes, and of nothing.
    let mixed = [Canvas::of(&gray(100, 300)), Canvas::of(&gray(300, 20))];
    assert_eq!(sheet(&[], &mixed).size(), [12 + 2 * 312, 12 + 312 + 12]);
    assert_eq!(sheet(&[], &[Canvas::of(&gray(10, 4000))]).size()[0], 4024);
    assert!(sheet(&["nothing"], &[]).png().is_ok());
}

#[test]
fn the_same_picture_is_the_same_file() {
    let draw = || {
        let mut picture = Canvas::of(&gray(28, 28));
        picture.rectangle([3.0, 3.0, 20.0, 20.0], Color::VERMILION, Line::Dashed, "boot 0.51");
        sheet(&["title"], &[picture]).png().unwrap()
    };
    assert_eq!(draw(), draw());
}

#[test]
fn an_image_that_is_not_what_it_says_is_drawn_in_black() {
    let short = Image { height: 2, width: 2, channels: 3, pixels: vec![9; 3] };
    let image = seen(&Canvas::of(&short));
    assert_eq!((pixel(&image, 0, 0), pixel(&image, 255, 255)), ([9; 3], [0; 3]));
    let mut empty = Canvas::of(&Image { height: 0, width: 0, channels: 1, pixels: vec![] });
    empty.rectangle([0.0, 0.0, 1.0, 1.0], Color::BLUE, Line::Solid, "x");
    empty.caption("nothing", Color::WHITE);
    assert!(empty.png().is_err());
}

#[test]
fn pictures_stand_beside_each_other_on_white() {
    let panels = [gray(16, 256), gray(256, 16), gray(256, 8)].map(|image| Canvas::of(&image));
    let all = seen(&beside(&panels));
    assert_eq!([all.width, all.height], [256 + 12 + 16 + 12 + 8, 256]);
    let is_gray = |x: usize, y: usize| pixel(&all, x, y) == [0x80; 3];
    assert!(is_gray(0, 0) && is_gray(255, 15) && is_gray(268, 255) && is_gray(303, 255));
    for (x, y) in [(0, 16), (256, 0), (267, 255), (284, 0), (295, 100)] {
        assert_eq!(pixel(&all, x, y), [0xff; 3], "{x}, {y}");
    }
    assert_eq!(beside(&[]).size(), [0, 0]);
}

#[test]
fn a_legend_names_every_color_in_as_many_lines_as_that_takes() {
    let mut picture = Canvas::of(&gray(16, 256));
    picture.legend(&[]);
    assert_eq!(picture.size(), [256, 16]);
    // Each takes 8 pixels a letter, 6 of margin and 10 to the next: two of ten letters fit.
    let colors = [Color::BLUE, Color::ORANGE, Color::GREEN];
    picture.legend(&colors.map(|color| (color, "ten letter")));
    let image = seen(&picture);
    assert_eq!(image.height, 16 + 2 * STRIP);
    let expected = [[0, 16, 86, 34], [96, 16, 182, 34], [0, 34, 86, 52]];
    assert_eq!(colors.map(|color| extent(&image, color).unwrap()), expected);
    // A name that is longer than a line is cut off, and one that is none has a color still.
    let mut picture = Canvas::of(&gray(16, 256));
    picture.legend(&[(Color::BLUE, &"m".repeat(99)), (Color::GREEN, "")]);
    let image = seen(&picture);
    assert_eq!(extent(&image, Color::BLUE), Some([0, 16, 8 * 31 + 6, 34]));
    assert_eq!(extent(&image, Color::GREEN), Some([0, 34, 6, 52]));
}

fn any_corner() -> impl Strategy<Value = f32> {
    prop_oneof![
        -50.0f32..120.0,
        proptest::num::f32::ANY,
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(f32::NEG_INFINITY),
        Just(f32::MAX)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn no_dot_panics_or_leaves_the_image(place in [any_corner(), any_corner()], (height, width) in (1usize..60, 1usize..60)) {
        let mut picture = Canvas::of(&gray(height, width));
        let below = picture.size()[1] as usize;
        picture.caption("caption", Color::ORANGE);
        let before = seen(&picture);
        picture.dot(place, Color::BLUE);
        let after = seen(&picture);
        prop_assert_eq!(&after.pixels[below * after.width * 3..], &before.pixels[below * after.width * 3..]);
        let inside = |value: f32, side: usize| (0.0..=side as f32).contains(&value);
        let drawn = extent(&after, Color::BLUE).is_some();
        prop_assert!(drawn || !(inside(place[0], width) && inside(place[1], height)));
    }

    /// Nor is anything outside of the image drawn on: the caption that was there stays.
    #[test]
    fn no_rectangle_panics(
        corners in [any_corner(), any_corner(), any_corner(), any_corner()],
        (height, width) in (1usize..60, 1usize..60),
        dashed: bool,
        label in ".{0,40}",
    ) {
        let mut picture = Canvas::of(&gray(height, width));
        let below = picture.size()[1] as usize;
        picture.caption("caption", Color::ORANGE);
        let before = seen(&picture);
        let line = if dashed { Line::Dashed } else { Line::Solid };
        picture.rectangle(corners, Color::BLUE, line, &label);
        let after = seen(&picture);
        prop_assert_eq!(&after.pixels[below * after.width * 3..], &before.pixels[below * after.width * 3..]);
        let [left, top, right, bottom] = corners;
        let outside = |one: f32, other: f32, side: usize| one.max(other) < -1.0 || one.min(other) > side as f32 + 1.0;
        let nowhere = outside(left, right, width) || outside(top, bottom, height);
        if nowhere || corners.iter().any(|corner| corner.is_nan()) {
            prop_assert_eq!(after, before);
        }
    }
}
