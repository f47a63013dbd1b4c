//! Images of another size, and labels that follow.

use data::Resize;
use image::{GenericImageView, ImageFormat};
use import::Options;

use crate::crowd::shanghaitech;
use crate::detection::{objects, voc};
use crate::images::camvid;
use crate::project::{Project, Release, gray_png, images, integers, nested, picture};

fn to(width: usize, height: usize) -> Options {
    Options { resize: Some(Resize::Exact([height, width])), ..Options::default() }
}

#[test]
fn boxes_follow() {
    let project = Project::new();
    project.import("voc", &voc(), &to(20, 60)).unwrap();
    assert_eq!(objects(&project, "voc", "train")[1].0, [[0.0, 0.0, 20.0, 60.0], [1.0, 6.0, 4.0, 22.0]]);
    let rows = project.rows("voc", "train");
    assert_eq!((integers(&rows, "width"), integers(&rows, "height")), (vec![20, 20], vec![60, 60]));
    for (file, _) in images(&rows, "image") {
        assert_eq!(image::guess_format(&file).unwrap(), ImageFormat::Jpeg);
        assert_eq!(image::load_from_memory(&file).unwrap().dimensions(), (20, 60));
    }
    let caveat = project.root().manifest("voc").unwrap().caveat;
    assert_eq!(caveat.as_deref(), Some("images resized to 20×60 pixels (width × height)"));
}

#[test]
fn points_follow_and_the_original_size_is_kept() {
    let project = Project::new();
    let longer = Options { resize: Some(Resize::Longer(20)), ..Options::default() };
    project.import("crowd", &shanghaitech("part_B/", "ground-truth"), &longer).unwrap();
    let rows = project.rows("crowd", "train");
    assert_eq!(nested(rows.column_by_name("points").unwrap())[0], [[5.25, 1.625], [5.75, 1.625]]);
    assert_eq!((integers(&rows, "orig_width"), integers(&rows, "orig_height")), (vec![40, 40], vec![30, 30]));
    assert_eq!(image::load_from_memory(&images(&rows, "image")[0].0).unwrap().dimensions(), (20, 15));
}

#[test]
fn masks_keep_their_classes() {
    let project = Project::new();
    // Each pixel becomes three columns of three rows.
    let release = camvid().with("CamVid/trainannot/x_1.png", gray_png(3, 2, &[0, 1, 2, 3, 4, 5]));
    project.import("camvid", &release, &to(9, 6)).unwrap();
    let rows = project.rows("camvid", "train");
    let mask = image::load_from_memory(&images(&rows, "annotation")[0].0).unwrap().into_luma8();
    let row = |first: u8| (0..9).map(move |x| first + x / 3);
    let expected: Vec<u8> = (0..6).flat_map(|y| row(if y < 3 { 0 } else { 3 })).collect();
    assert_eq!((mask.dimensions(), mask.into_raw()), ((9, 6), expected));
    let (file, _) = images(&rows, "image").remove(0);
    assert_eq!(image::guess_format(&file).unwrap(), ImageFormat::Png);

    project.import("small", &release, &to(1, 1)).unwrap();
    let mask = images(&project.rows("small", "train"), "annotation").remove(0).0;
    assert_eq!(image::load_from_memory(&mask).unwrap().into_luma8().into_raw(), [4], "the pixel in the middle");
}

#[test]
fn an_image_of_the_size_stays_as_it_is() {
    let project = Project::new();
    let release = shanghaitech("part_B/", "ground-truth");
    project.import("same", &release, &to(40, 30)).unwrap();
    let file = &release.0["part_B/train_data/images/IMG_1.jpg"];
    assert_eq!(images(&project.rows("same", "train"), "image")[0].0, *file);
}

#[test]
fn a_smaller_image_is_the_mean_of_what_it_covers() {
    let mut release = Release::default();
    for name in ["train/a/x.png", "train/b/y.png", "test/a/z.png"] {
        release.put(name, picture(40, 20, 100, ImageFormat::Png));
    }
    let project = Project::new();
    project.import("mean", &release, &to(1, 1)).unwrap();
    let rows = project.rows("mean", "train");
    let pixel = image::load_from_memory(&images(&rows, "image")[0].0).unwrap().into_rgb8().get_pixel(0, 0).0;
    // Columns count 0, 3, …, 117 and rows 0, 5, …, 95: their means are 58.5 and 47.5.
    assert!(pixel[0] == 100 && pixel[1].abs_diff(58) <= 1 && pixel[2].abs_diff(47) <= 1, "{pixel:?}");
}

#[test]
fn whole_images_are_resized() {
    let cover = Options { resize: Some(Resize::Cover([8, 6])), ..Options::default() };
    let expected = "expected a size that whole images get, found 6×8 pixels (width × height), cropped\n  hint: a set is \
                    read with this size, not imported";
    assert_eq!(Project::new().complaint("voc", &voc(), &cover), expected);
    for release in [voc(), camvid()] {
        let complaint = Project::new().complaint("empty", &release, &to(0, 6));
        assert!(complaint.starts_with("~/release-empty/"), "{complaint}");
    }
}

#[test]
fn images_do_not_become_larger_than_memory() {
    let release =
        shanghaitech("", "ground-truth").with("train_data/images/IMG_1.jpg", crate::project::jpeg(1, 30_000, 1));
    let shorter = Options { resize: Some(Resize::Shorter(300)), ..Options::default() };
    let complaint = Project::new().complaint("crowd", &release, &shorter);
    let expected =
        "IMG_1.jpg: expected at most 200000000 bytes of pixels when resized, found 300×9000000 pixels (width × height)";
    assert!(complaint.ends_with(expected), "{complaint}");
}
