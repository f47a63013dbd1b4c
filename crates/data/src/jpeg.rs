//! Where a JPEG file ends.

/// Whether a JPEG has its end. The decoder makes pixels that are missing gray, without an error.
///
/// The segments of the file are walked, so that neither the end of a preview in its header counts, nor what follows its
/// end, as phones and cameras write it: a second picture, a video.
pub(crate) fn has_end(file: &[u8]) -> bool {
    match walk(file) {
        Some(whole) => whole,
        // Of a file with wrong lengths nothing is sure, and decoders forgive them: then the last marker decides.
        None => file.windows(2).rfind(|marker| [SCAN, END].contains(marker)) == Some(END),
    }
}

const SCAN: &[u8] = &[0xff, 0xda];
const END: &[u8] = &[0xff, 0xd9];

/// Whether the end comes before another file begins, as where two are in one; nothing where neither comes.
fn walk(file: &[u8]) -> Option<bool> {
    // Behind the start of the image.
    let (mut at, mut in_scan) = (2, false);
    loop {
        // A marker is 0xff, any number of times, and another byte. In compressed pixels 0xff is followed by 0 or a
        // restart marker; the walk passes over both, as over stray bytes.
        let rest = file.get(at..)?;
        let marker = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))?;
        let code = rest[marker + 1];
        at += marker + 2;
        match code {
            0xd9 => return Some(true),
            0xd8 if in_scan => return Some(false),
            // Markers without a segment: restarts, the start of an image, and a private one.
            0x01 | 0xd0..=0xd8 => {}
            _ => {
                let &[high, low] = file.get(at..at + 2)? else { return None };
                at += usize::from(u16::from_be_bytes([high, low]));
                in_scan |= code == 0xda;
            }
        }
    }
}

/// How the pixels are compressed, where it is a way that decoders rarely have.
pub(crate) fn rare_coding(file: &[u8]) -> Option<&'static str> {
    let mut rest = file.get(2..)?;
    while let &[0xff, code, high, low, ref segment @ ..] = rest {
        match code {
            0xc3 | 0xc7 | 0xcb | 0xcf => return Some("lossless coding"),
            0xc9 | 0xca | 0xcd | 0xce => return Some("arithmetic coding"),
            0xc5 | 0xc6 => return Some("hierarchical coding"),
            0xc0..=0xc2 => return segment.first().filter(|bits| **bits > 8).map(|_| "more than 8 bits a channel"),
            _ => rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..)?,
        }
    }
    None
}
