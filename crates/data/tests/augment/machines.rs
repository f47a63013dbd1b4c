//! The same bits on every machine.

use crate::noise;
use data::augment::{Augmentation, Jitter, Normalize, Scale};
use data::{Channels, Image, decode};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{CpuExtensions, FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::path::Path;

/// What `extensions` make of the part `[left, top, width, height]` of `image`, with the options of a transform.
fn resized<P: PixelTrait>(
    image: &Image,
    [left, top, width, height]: [f64; 4],
    size: [u32; 2],
    extensions: CpuExtensions,
) -> Vec<u8> {
    let from = TypedImageRef::<P>::from_buffer(image.width as u32, image.height as u32, &image.pixels).unwrap();
    let mut pixels = vec![0; size[0] as usize * size[1] as usize * image.channels];
    let mut to = TypedImage::<P>::from_buffer(size[1], size[0], &mut pixels).unwrap();
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, width, height)
        .use_alpha(false);
    let mut resizer = Resizer::new();
    #[expect(unsafe_code, reason = "only extensions that this machine has are asked for")]
    // SAFETY: The caller has asked `is_supported`.
    unsafe {
        resizer.set_cpu_extensions(extensions);
    }
    resizer.resize_typed(&from, &mut to, &options).unwrap();
    pixels
}

fn all_extensions() -> Vec<CpuExtensions> {
    let all = [
        #[cfg(target_arch = "x86_64")]
        CpuExtensions::Sse4_1,
        #[cfg(target_arch = "x86_64")]
        CpuExtensions::Avx2,
        #[cfg(target_arch = "aarch64")]
        CpuExtensions::Neon,
    ];
    all.into_iter().filter(CpuExtensions::is_supported).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn resizing_does_not_depend_on_instructions(
        source in [1_usize..160, 1_usize..160], size in [1_u32..200, 1_u32..200], colors in any::<bool>(),
        part in [0.0..1.0, 0.0..1.0, 0.01..1.0, 0.01..1.0_f64], seed in any::<u64>(),
    ) {
        let image = noise(source, if colors { 3 } else { 1 }, seed);
        let sides = source.map(|side| side as f64);
        let (left, top) = (part[0] * 0.9 * sides[1], part[1] * 0.9 * sides[0]);
        let part = [left, top, part[2] * (sides[1] - left), part[3] * (sides[0] - top)];
        let by = |extensions| match colors {
            true => resized::<U8x3>(&image, part, size, extensions),
            false => resized::<U8>(&image, part, size, extensions),
        };
        let expected = by(CpuExtensions::None);
        for extensions in all_extensions() {
            prop_assert!(by(extensions) == expected, "{extensions:?} {part:?}");
        }
    }
}

/// A PNG of a picture with edges and gradients.
fn png([height, width]: [usize; 2], channels: usize) -> Vec<u8> {
    let value = |index: usize| {
        let (pixel, channel) = (index / channels, index % channels);
        let (row, column) = (pixel / width, pixel % width);
        (row * row + 2 * row * column + 40 * channel + if (row / 7 + column / 5) % 2 == 0 { 90 } else { 0 }) as u8
    };
    let pixels: Vec<u8> = (0..height * width * channels).map(value).collect();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(if channels == 3 { png::ColorType::Rgb } else { png::ColorType::Grayscale });
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    file
}

/// Decoded and augmented examples are the same on every machine: their digest is part of the repository.
///
/// The JPEG decoder (zune-jpeg 0.5.15) chooses its instructions itself. Its scalar and its AVX2 code were compared on 100,000 random files of
/// all ways to subsample colors, baseline and progressive, of 1 to 150 pixels a side: all pixels were equal. This test
/// says whether they are on another processor.
#[test]
fn examples_never_change() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 8);
    let mut files: Vec<Vec<u8>> = files.into_iter().map(|path| std::fs::read(path).unwrap()).collect();
    files.extend([png([53, 71], 3), png([67, 41], 1)]);
    let plain = Augmentation { padding: 4, flip: true, ..Augmentation::default() };
    let strong = Augmentation {
        size: Some([45, 51]),
        scale: Scale::Area([0.08, 1.0]),
        aspect: [0.75, 4.0 / 3.0],
        jitter: Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 },
        ..plain
    };
    let jittered = Augmentation { size: Some([64, 64]), scale: Scale::Fit([0.1, 2.0]), ..strong };
    let mut digest = Sha256::new();
    for (index, file) in files.iter().enumerate() {
        for channels in [Channels::Rgb, Channels::Gray] {
            let image = decode::image(file, channels).unwrap();
            digest.update(&image.pixels);
            let count = image.channels;
            let normalize = Normalize::new(&[0.485, 0.456, 0.406][..count], &[0.229, 0.224, 0.225][..count]);
            for (kind, augmentation) in [plain, strong, jittered].into_iter().enumerate() {
                let mut rng = random::stream(0, "augment", &[index as u64, kind as u64]);
                let transform = augmentation.draw([image.height, image.width], &mut rng);
                for value in transform.pixels(&image, &normalize) {
                    digest.update(value.to_le_bytes());
                }
            }
        }
    }
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "6c722dfa4610149648e477e7002685b2273543e788b64d477af0ec4beea3d9a6");
}
