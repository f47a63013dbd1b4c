//! Settings: what is refused, what is drawn, and the line of reports.

use data::augment::{Augmentation, Jitter, Scale};
use std::collections::BTreeMap;

fn parse(text: &str) -> Augmentation {
    toml::from_str(text).unwrap()
}

#[test]
fn settings_survive_being_written() {
    let text = "
        size = [224, 200]
        scale = { area = [0.08, 1] }
        aspect = [0.75, 1.5]
        unscaled = 0.25
        flip = true
        jitter = { brightness = 0.4, hue = 0.1 }";
    let expected = Augmentation {
        size: Some([224, 200]),
        scale: Scale::Area([0.08, 1.0]),
        aspect: [0.75, 1.5],
        unscaled: 0.25,
        flip: true,
        jitter: Jitter { brightness: 0.4, hue: 0.1, ..Jitter::default() },
        ..Augmentation::default()
    };
    assert_eq!(parse(text), expected);
    assert_eq!(parse(&toml::to_string(&expected).unwrap()), expected);
    assert_eq!(serde_json::from_str::<Augmentation>(&serde_json::to_string(&expected).unwrap()).unwrap(), expected);
    assert_eq!(parse(""), Augmentation::default());
    assert!(!toml::to_string(&Augmentation::default()).unwrap().contains("unscaled"));
    for unknown in ["padd = 1", "scale = { size = [1, 2] }", "jitter = { gamma = 1 }"] {
        toml::from_str::<Augmentation>(unknown).unwrap_err();
    }
}

#[test]
fn settings_without_sense_are_refused() {
    for fine in ["", "size = [1, 65535]", "scale = { image = [0.5, 0.5] }", "jitter = { brightness = 2, hue = 0.5 }"] {
        assert_eq!(parse(fine).check(), Ok(()));
    }
    let faults = [
        ("size = [0, 4]", "`size`: expected height and width from 1 to 65535, found [0, 4]"),
        ("size = [4, 65536]", "`size`"),
        (
            "scale = { image = [0, 1] }",
            "`scale.image`: expected two numbers above 0 and at most 100, the smaller first",
        ),
        ("scale = { image = [2, 1] }", "found [2, 1]"),
        ("scale = { image = [nan, 1] }", "found [NaN, 1]"),
        ("scale = { image = [1, inf] }", "`scale.image`"),
        ("size = [4, 4]\nscale = { area = [0.5, 1.1] }", "`scale.area`: expected two numbers above 0 and at most 1,"),
        ("scale = { fit = [1, 1] }", "`scale.fit`: expected a `size` beside it, found none"),
        ("scale = { area = [1, 1] }", "`scale.area`: expected a `size`"),
        ("aspect = [-1, 1]", "`aspect`"),
        ("unscaled = 1.5", "`unscaled`: expected 0 to 1, found 1.5"),
        ("unscaled = nan", "`unscaled`"),
        ("padding = 70000", "`padding`: expected 0 to 65535, found 70000"),
        ("jitter = { brightness = -0.1 }", "`jitter.brightness`: expected a number of at least 0, found -0.1"),
        ("jitter = { contrast = nan }", "`jitter.contrast`"),
        ("jitter = { saturation = inf }", "`jitter.saturation`"),
        ("jitter = { hue = 0.6 }", "`jitter.hue`: expected 0 to 0.5, found 0.6"),
        ("jitter = { hue = nan }", "`jitter.hue`"),
    ];
    for (settings, expected) in faults {
        let fault = parse(settings).check().unwrap_err().to_string();
        assert!(fault.contains(expected), "{settings}: {fault}");
    }
}

#[test]
fn lines_for_reports() {
    for (settings, line) in [
        ("", "no augmentation"),
        ("flip = true", "random flip"),
        ("padding = 4", "random crop from a border of 4"),
        ("padding = 4\nflip = true", "random crop from a border of 4, random flip"),
        (
            "size = [64, 48]\nscale = { fit = [0.5, 2] }\nflip = true\njitter = { hue = 0.1 }",
            "random scale of 0.5 to 2 times what fits, random crop of 64×48, random flip, random hue ±0.1",
        ),
        ("scale = { image = [0.5, 2] }\nunscaled = 0.25", "random scale of 0.5 to 2, no change of size for 25 %"),
        (
            "size = [64, 64]\nscale = { area = [0.08, 1] }\naspect = [0.75, 1.33333]",
            "random share of 0.08 to 1 of the area, random aspect of 0.75 to 1.33, random crop of 64×64",
        ),
    ] {
        assert_eq!(parse(settings).to_string(), line);
    }
}

#[test]
fn draws_cover_every_offset_and_both_directions() {
    // The same nine places: in a border, inside of the image, and of the image inside of the window.
    for (settings, first) in
        [("padding = 1", [-1, -1]), ("size = [3, 2]", [0, 0]), ("size = [7, 6]", [-2, -2])].map(|(s, f)| (parse(s), f))
    {
        let augmentation = Augmentation { flip: true, ..settings };
        let mut seen = BTreeMap::new();
        for index in 0..18_000 {
            let draw = || augmentation.draw([5, 4], &mut random::stream(0, "augment", &[index])).view;
            assert_eq!(draw(), draw());
            *seen.entry((draw().offset, draw().flip)).or_insert(0) += 1;
        }
        let places = [0, 1, 2].map(|y| [0, 1, 2].map(|x| [first[0] + y, first[1] + x]));
        let expected: Vec<_> = places.iter().flatten().flat_map(|&place| [(place, false), (place, true)]).collect();
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), expected);
        // Expected 1000 each; 6 standard deviations.
        assert!(seen.values().all(|count: &i32| (count - 1000).abs() < 185), "{seen:?}");
    }
}

#[test]
fn draws_stay_in_their_ranges() {
    let source = [240, 320];
    let draws = |settings: &str| {
        let augmentation = parse(settings);
        (0..2000).map(move |index| augmentation.draw(source, &mut random::stream(0, "augment", &[index])))
    };
    let spread = |values: Vec<f64>| {
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
    };
    let within = |(low, high): (f64, f64), [least, most]: [f64; 2]| {
        let room = 0.02 * (most - least);
        assert!(low >= least - room && low < least + room, "{low} {least}");
        assert!(high <= most + room && high > most - room, "{high} {most}");
    };

    let views = || draws("scale = { image = [0.5, 2] }\naspect = [0.8, 1.25]").map(|drawn| drawn.view);
    let scales = |view: data::augment::View| [0, 1].map(|axis| view.scaled[axis] as f64 / source[axis] as f64);
    within(spread(views().map(|view| scales(view).iter().product::<f64>().sqrt()).collect()), [0.5, 2.0]);
    within(spread(views().map(|view| scales(view)[1] / scales(view)[0]).collect()), [0.8, 1.25]);
    assert!(views().all(|view| view.size == view.scaled));

    let views = || draws("size = [100, 100]\nscale = { fit = [0.5, 1] }").map(|drawn| drawn.view);
    within(spread(views().map(|view| view.scaled[1] as f64).collect()), [50.0, 100.0]);

    let settings = "size = [64, 64]\nscale = { area = [0.08, 1] }\naspect = [0.75, 1.3333]";
    let seen = |view: data::augment::View| {
        [0, 1].map(|axis| view.size[axis] as f64 * source[axis] as f64 / view.scaled[axis] as f64)
    };
    let views = || draws(settings).map(|drawn| drawn.view);
    within(spread(views().map(|view| seen(view)[1] / seen(view)[0]).collect()), [0.75, 1.3333]);
    let (least, most) = spread(views().map(|view| seen(view).iter().product::<f64>() / (240.0 * 320.0)).collect());
    assert!(least > 0.079 && least < 0.1 && most > 0.9 && most < 1.01, "{least} {most}");
    for view in views() {
        for axis in [0, 1] {
            assert!(view.offset[axis] >= 0 && view.offset[axis] as usize + view.size[axis] <= view.scaled[axis]);
        }
    }

    let views = draws("scale = { image = [0.5, 0.9] }\nunscaled = 0.25").map(|drawn| drawn.view);
    let unscaled = views.filter(|view| view.scaled == source).count();
    // Expected 500; 6 standard deviations.
    assert!(unscaled.abs_diff(500) < 117, "{unscaled}");

    let orders: std::collections::BTreeSet<String> =
        draws("jitter = { brightness = 0.1, contrast = 0.1, saturation = 0.1, hue = 0.1 }")
            .map(|drawn| drawn.color.iter().map(|step| format!("{step:?}").remove(0)).collect())
            .collect();
    assert_eq!(orders.len(), 24, "{orders:?}");
    assert!(draws("").all(|drawn| drawn.color.is_empty()));
}

/// Where no such part is inside of the image, the largest part of the nearest aspect ratio is seen.
#[test]
fn long_images_have_a_part_of_the_right_aspect() {
    let augmentation = parse("size = [10, 10]\nscale = { area = [1, 1] }\naspect = [0.5, 2]");
    let view = augmentation.draw([10, 100], &mut random::stream(0, "augment", &[])).view;
    assert_eq!(view.scaled, [10, 50]);
}
