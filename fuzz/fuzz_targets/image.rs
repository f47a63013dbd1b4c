//! JPEG and PNG files.
#![no_main]

use data::{Channels, decode};

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    if let Ok((height, width, _)) = decode::header(file) {
        for channels in [Channels::Grey, Channels::Rgb] {
            if let Ok(image) = decode::image(file, channels) {
                assert_eq!((image.height, image.width), (height, width));
                assert_eq!(image.pixels.len(), height * width * channels.count());
            }
        }
    }
});
