//! Image files of all kinds, and what has only the name of one.

use std::io::Cursor;

use data::{CrowdCounting, Detection, Split};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use import::Options;

use super::{assert_has, complaint, tolerant_complaint, warnings};
use crate::crowd::shanghaitech;
use crate::detection::{coco, yolo};
use crate::images::{camvid, folders};
use crate::project::{Project, gray_png, images, jpeg, names};

fn pixels() -> RgbImage {
    // No more colors than a GIF has.
    RgbImage::from_fn(8, 8, |x, y| Rgb([(x * 30) as u8, (y * 30) as u8, 9]))
}

fn written(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let image = DynamicImage::ImageRgb8(image.clone());
    let image = if format == ImageFormat::Gif { DynamicImage::ImageRgba8(image.to_rgba8()) } else { image };
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

#[test]
fn webp_bmp_tiff_gif_and_jfif_are_read() {
    let mut release = folders();
    for (name, format) in [
        ("train/cat/9.webp", ImageFormat::WebP),
        ("train/cat/10.bmp", ImageFormat::Bmp),
        ("train/dog/11.tif", ImageFormat::Tiff),
        ("train/dog/12.GIF", ImageFormat::Gif),
        ("train/dog/13.jfif", ImageFormat::Jpeg),
        ("train/dog/14.jpg", ImageFormat::WebP),
    ] {
        release.put(name, written(&pixels(), format));
    }
    let project = Project::new();
    let summary = project.import("pets", &release, &Options::default()).unwrap();
    assert_eq!(summary.splits[0], ("train".into(), 9, 0));
    let told =
        summary.warnings.iter().filter(|warning| warning.starts_with("5 images are neither JPEG nor PNG")).count();
    assert_eq!(told, 1, "{summary}");
    let stored = images(&project.rows("pets", "train"), "image");
    for (name, exact) in
        [("9.png", true), ("10.png", true), ("11.png", true), ("12.png", true), ("14.png", true), ("13.jfif", false)]
    {
        let (bytes, _) = stored.iter().find(|(_, own)| own.as_deref() == Some(name)).unwrap();
        if exact {
            assert_eq!(
                image::load_from_memory_with_format(bytes, ImageFormat::Png).unwrap().to_rgb8(),
                pixels(),
                "{name}"
            );
        } else {
            assert_eq!(*bytes, release.0["train/dog/13.jfif"], "a JPEG keeps its bytes");
        }
    }
}

#[test]
fn annotations_find_images_of_any_kind() {
    let webp = |width, height| written(&RgbImage::new(width, height), ImageFormat::WebP);
    let crowd = shanghaitech("", "ground-truth")
        .without("train_data/images/IMG_1.jpg")
        .with("train_data/images/IMG_1.webp", webp(40, 30));
    let project = Project::new();
    assert_eq!(project.import("crowd", &crowd, &Options::default()).unwrap().splits[0], ("train".into(), 2, 3));
    project.carve_half("crowd");
    let set = CrowdCounting::open(&project.root(), "crowd", data::Options::default()).unwrap();
    // The last image may be for validation.
    assert_eq!((set.len(Split::Test), names(&project.rows("crowd", "train"))[0].as_str()), (1, "IMG_1.png"));

    let boxes = yolo().without("images/train/a.jpg").with("images/train/a.webp", webp(40, 30));
    assert_eq!(project.import("yolo", &boxes, &Options::default()).unwrap().splits[0], ("train".into(), 2, 2));
}

#[test]
fn what_is_no_image_is_named_with_a_remedy() {
    for (bytes, expected) in [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n".as_slice(),
            ["a Git LFS pointer", "`git lfs pull`"],
        ),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", ["a web page (HTML)", "get the file again"]),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ["a HEIC image", "convert it to PNG"]),
        (b"\0\0\0\x1cftypavif\0\0\0\0", ["an AVIF image", "convert it to PNG"]),
        (b"%PDF-1.7\n", ["a PDF document", "pdfimages"]),
        (b"PK\x03\x04\x14\0\0\0", ["a zip archive", "unpack it"]),
        (b"\x1f\x8b\x08\0", ["a gzip file", "unpack it"]),
        (b"", ["an empty file", "get the file again"]),
        (&[0; 512], ["nothing but zeros", "get the file again"]),
        (b"\0\x05\x16\x07\0\x02\0\0", ["what a Mac stores beside a file", "delete it"]),
        (b"{\"error\": 1}", ["text such as JSON", "`--tolerate image`"]),
    ] {
        let text = complaint(&folders().with("train/cat/special.jpg", bytes));
        assert_has(
            &text,
            &[
                "train/cat/special.jpg: expected a JPEG, PNG, WebP, BMP, GIF or TIFF image, found ",
                expected[0],
                expected[1],
            ],
        );
    }
    let photo = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".as_slice();
    assert_has(&complaint(&folders().with("train/cat/photo.HEIC", photo)), &["photo.HEIC", "found a HEIC image"]);
}

#[test]
fn a_jpeg_with_data_behind_its_end_is_whole() {
    for behind in
        [b"SEFH trailing".to_vec(), [b"\xff\xda\0\x08".as_slice(), &[7; 40]].concat(), jpeg(8, 8, 9)[..300].to_vec()]
    {
        let file = [jpeg(8, 8, 5), behind].concat();
        let project = Project::new();
        project.import("pets", &folders().with("train/cat/phone.jpg", file.clone()), &Options::default()).unwrap();
        let stored = images(&project.rows("pets", "train"), "image");
        assert!(stored.contains(&(file, Some("phone.jpg".to_owned()))), "it keeps its bytes");
    }
    let cut = jpeg(8, 8, 5);
    let cut = cut[..cut.len() - 2].to_vec();
    assert_has(&complaint(&folders().with("train/cat/cut.jpg", cut)), &["cut.jpg", "found a JPEG that lacks its end"]);
}

/// A JPEG with EXIF data that give its orientation.
fn oriented(width: u32, height: u32, orientation: u8) -> Vec<u8> {
    let file = jpeg(width, height, 3);
    let exif =
        [b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], b"\0\0\0\0\0\0"]
            .concat();
    let segment = [b"\xff\xe1".as_slice(), &(exif.len() as u16 + 2).to_be_bytes(), &exif].concat();
    [&file[..2], &segment, &file[2..]].concat()
}

#[test]
fn exif_data_that_turn_an_image_are_named() {
    let turned = coco().with("train2017/a.jpg", oriented(40, 30, 6));
    let text = tolerant_complaint(&turned);
    assert_has(
        &text,
        &[
            "train2017/a.jpg: expected an image of 40×30",
            "found 30×40",
            "turn it (orientation 6)",
            "exiftool -Orientation=",
        ],
    );
    // An annotation of the upright image fits, and so does one that says no size: that is told.
    let upright = coco().with("train2017/a.jpg", oriented(30, 40, 6));
    let project = Project::new();
    let summary = project.import("set", &upright, &Options::default()).unwrap();
    assert!(
        summary.warnings.iter().any(|warning| warning.starts_with("1 images are turned by their EXIF data")),
        "{summary}"
    );
    project.carve_half("set");
    let set = Detection::open(&project.root(), "set", data::Options::default()).unwrap();
    assert!((0..set.len(Split::Train)).all(|index| set.size(Split::Train, index) == [30, 40]));
    // A mask is never turned.
    let masks = camvid()
        .with("CamVid/train/x_1.png", oriented(3, 2, 8))
        .with("CamVid/trainannot/x_1.png", gray_png(3, 2, &[0; 6]));
    assert_has(&complaint(&masks), &["x_1.png: expected a mask of 2×3", "turn it (orientation 8)"]);
    let whole = yolo().with("images/train/a.jpg", oriented(40, 30, 1));
    assert!(!warnings(&whole).iter().any(|warning| warning.contains("EXIF")), "orientation 1 is upright");
}

#[test]
fn masks_are_png_files() {
    let mask = "CamVid/valannot/x_1.png";
    for (bytes, expected) in [
        (jpeg(3, 2, 1), "expected a PNG, found a JPEG image"),
        (b"RIFF\x10\0\0\0WEBPVP8 ".to_vec(), "found a WebP image"),
    ] {
        assert_has(&complaint(&camvid().with(mask, bytes)), &["valannot/x_1.png: cannot decode the mask: ", expected]);
    }
}
