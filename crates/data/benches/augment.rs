//! Speed of augmentation on one core: `cargo bench -p data`.
//!
//! `cifar` is pad-crop-flip of a small image, normalized; `imagenet` is a random resized crop of a 320×240 photograph
//! to 224×224, and `scale` a random scale of 0.5 to 2 with a crop of its size, both with a flip. `jitter` adds all
//! four changes of colors, `decode` the decoding of the JPEG file before. Drawing is always part of it, as each image
//! of a run has its own stream.

use criterion::{Criterion, Throughput};
use data::augment::{Augmentation, Jitter, Normalize, Scale};
use image::{ExtendedColorType, ImageDecoder, ImageEncoder, codecs::jpeg};
use std::hint::black_box;
use std::io::Cursor;

/// Smooth shapes with a little noise, as photographs have: `[h, w, 3]`.
fn photograph([height, width]: [usize; 2]) -> Vec<u8> {
    let value = |at: usize| {
        let (y, x, c) = (at / 3 / width, at / 3 % width, at % 3);
        let wave = libm::sin((x * (c + 2)) as f64 / 37.0) * libm::cos((y * (4 - c)) as f64 / 29.0);
        (128.0 + 100.0 * wave) as u8 ^ (at.wrapping_mul(2_654_435_761) >> 20) as u8 & 7
    };
    (0..height * width * 3).map(value).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let jitter = Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    let plain = Augmentation { flip: true, ..Augmentation::default() };
    let cifar = Augmentation { padding: 4, ..plain };
    let imagenet =
        Augmentation { size: Some([224, 224]), scale: Scale::Area([0.08, 1.0]), aspect: [0.75, 4.0 / 3.0], ..plain };
    let scale = Augmentation { size: Some([240, 320]), scale: Scale::Image([0.5, 2.0]), ..plain };
    let cases = [
        ("cifar/28x28x1", [28, 28], 1, cifar),
        ("cifar/32x32x3", [32, 32], 3, cifar),
        ("cifar/32x32x3/jitter", [32, 32], 3, Augmentation { jitter, ..cifar }),
        ("imagenet/320x240", [240, 320], 3, imagenet),
        ("imagenet/320x240/jitter", [240, 320], 3, Augmentation { jitter, ..imagenet }),
        ("scale/320x240", [240, 320], 3, scale),
        ("scale/320x240/jitter", [240, 320], 3, Augmentation { jitter, ..scale }),
    ];
    let mut group = criterion.benchmark_group("augment");
    group.throughput(Throughput::Elements(1));
    for (name, source, channels, augmentation) in cases {
        let normalize = Normalize::new(&[0.485, 0.456, 0.406][..channels], &[0.229, 0.224, 0.225][..channels]);
        let image = &photograph(source)[..source[0] * source[1] * channels];
        let [height, width] = augmentation.size.unwrap_or(source);
        let mut out = vec![0.0; height * width * channels];
        let mut index = 0;
        let mut next = |image: &[u8]| {
            index += 1;
            let transform = augmentation.draw(source, &mut random::stream(0, "augment", &[index]));
            transform.apply(black_box(image), &normalize, &mut out);
            black_box(&out);
        };
        group.bench_function(name, |bencher| bencher.iter(|| next(image)));
        if name == "scale/320x240/jitter" {
            let mut file = Vec::new();
            let (width, height) = (source[1] as u32, source[0] as u32);
            jpeg::JpegEncoder::new_with_quality(&mut file, 90).write_image(
                image,
                width,
                height,
                ExtendedColorType::Rgb8,
            )?;
            let mut decoded = vec![0; image.len()];
            group.bench_function("scale/320x240/jitter/decode", |bencher| {
                bencher.iter(|| {
                    let decoder = jpeg::JpegDecoder::new(Cursor::new(&file));
                    decoder.and_then(|decoder| decoder.read_image(&mut decoded)).map(|()| next(&decoded))
                });
            });
        }
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
