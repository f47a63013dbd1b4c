//! JPEG and PNG files.
#![no_main]

use std::sync::LazyLock;

use data::{Channels, decode};

/// libFuzzer's hook ends the process at any panic. The JPEG decoder has some, which `data` turns into errors; those that
/// nobody catches still end the process.
static QUIET: LazyLock<()> = LazyLock::new(|| std::panic::set_hook(Box::new(|_| {})));

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    *QUIET;
    if let Ok((height, width, _)) = decode::header(file) {
        for channels in [Channels::Gray, Channels::Rgb] {
            if let Ok(image) = decode::image(file, channels) {
                assert_eq!((image.height, image.width), (height, width));
                assert_eq!(image.pixels.len(), height * width * channels.count());
            }
        }
    }
});
