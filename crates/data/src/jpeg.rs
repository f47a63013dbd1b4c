//! Where a JPEG file ends.

/// Whether a JPEG has its end. The decoder makes pixels that are missing gray, without an error.
///
/// The segments of the file are walked, so that neither the end of a preview in its header counts, nor what follows its
/// end, as phones and cameras write it: a second picture, a video.
pub(crate) fn has_end(file: &[u8]) -> bool {
    // Mostly its end is the file's, and no scan begins behind it: then there is nothing to walk.
    file.windows(2).rfind(|marker| [SCAN, END].contains(marker)) == Some(END) || walk(file)
}

const SCAN: &[u8] = &[0xff, 0xda];
const END: &[u8] = &[0xff, 0xd9];

fn walk(file: &[u8]) -> bool {
    // Behind the start of the image.
    let mut at = 2;
    loop {
        // A marker is 0xff, any number of times, and another byte. In compressed pixels 0xff is followed by 0 or a
        // restart marker; the walk passes over both, as over stray bytes.
        let Some(rest) = file.get(at..) else { return false };
        let Some(marker) = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff)) else {
            return false;
        };
        let code = rest[marker + 1];
        at += marker + 2;
        match code {
            0xd9 => return true,
            // Markers without a segment: restarts, the start of an image, and a private one.
            0x01 | 0xd0..=0xd8 => {}
            _ => {
                let Some(&[high, low]) = file.get(at..at + 2) else { return false };
                at += usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
}
