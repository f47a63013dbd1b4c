//! Files of other programs, by their first bytes.

/// The text in `bytes`, without the byte order mark that some editors put at the beginning.
///
/// # Errors
///
/// What the bytes are in place of UTF-8, and what to do.
pub fn utf8(bytes: &[u8]) -> Result<&str, String> {
    if let Some(encoding) = wide(bytes) {
        return Err(format!(
            "expected text in UTF-8, found {encoding}\n  hint: `iconv -f {encoding} -t UTF-8 OLD > NEW` converts it"
        ));
    }
    if let Some(found) = foreign(bytes) {
        return Err(format!("expected text, found {found}"));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(text).map_err(|error| {
        let before = &text[..error.valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let byte = text.get(before.len()).copied().unwrap_or_default();
        format!(
            "line {line}: expected text in UTF-8, found the byte {byte:#04x}\n  hint: `iconv -f ENCODING -t UTF-8 OLD > NEW` \
             converts it, where ENCODING is what the file was written in, such as LATIN1 or GBK"
        )
    })
}

/// The encoding of text whose characters take several bytes each; also where the byte order mark is missing.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        [first, 0, 0, 0, ..] if *first != 0 => Some("UTF-32LE"),
        [0, 0, 0, last, ..] if *last != 0 => Some("UTF-32BE"),
        [first, 0, third, 0, ..] if *first != 0 && *third != 0 => Some("UTF-16LE"),
        [0, second, 0, fourth, ..] if *second != 0 && *fourth != 0 => Some("UTF-16BE"),
        _ => None,
    }
}

/// What `bytes` begin, where files of that kind often lie in the place of others, and what to do about it.
pub fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let start = bytes.trim_ascii_start();
    let word = |word: &[u8]| start.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
    Some(match bytes {
        _ if bytes.starts_with(b"version https://git-lfs") => {
            "a Git LFS pointer\n  hint: `git lfs pull` in the repository that it is from fetches the file itself"
        }
        _ if word(b"<!doctype html") || word(b"<html") => {
            "an HTML page, such as a server's message in place of a file\n  hint: download the file again"
        }
        [0x1f, 0x8b, ..] => "a gzip file\n  hint: `gunzip` unpacks it",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive\n  hint: `unzip` unpacks it",
        [0xff, 0xd8, 0xff, ..] => "a JPEG image",
        [0x89, b'P', b'N', b'G', ..] => "a PNG image",
        [b'G', b'I', b'F', b'8', ..] => "a GIF image",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "a WebP image",
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "a TIFF image",
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => "a BMP image",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_text() {
        assert_eq!(utf8("\u{feff}größe,2\n".as_bytes()), Ok("größe,2\n"));
        assert_eq!(utf8(b""), Ok(""));
        assert_eq!(utf8(b"a"), Ok("a"));
    }

    #[test]
    fn other_encodings_are_named() {
        let text = "[{\"a\": 1}]";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let wide: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for (bytes, name) in [
            (&little, "UTF-16LE"),
            (&big, "UTF-16BE"),
            (&[&b"\xff\xfe"[..], &little].concat(), "UTF-16"),
            (&[&b"\xfe\xff"[..], &big].concat(), "UTF-16"),
            (&wide, "UTF-32LE"),
            (&[&b"\xff\xfe\0\0"[..], &wide].concat(), "UTF-32"),
        ] {
            let message = utf8(bytes).unwrap_err();
            assert!(message.starts_with(&format!("expected text in UTF-8, found {name}\n")), "{message}");
            assert!(message.contains(&format!("`iconv -f {name} -t UTF-8 OLD > NEW`")), "{message}");
        }
        let message = utf8(b"a,b\n1,M\xfcnchen\n").unwrap_err();
        assert!(message.starts_with("line 2: expected text in UTF-8, found the byte 0xfc\n"), "{message}");
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (bytes, name) in [
            (&b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n"[..], "a Git LFS pointer"),
            (b"\n <!DOCTYPE html><html>", "an HTML page"),
            (b"<html lang=\"en\">", "an HTML page"),
            (b"\x1f\x8b\x08\x00", "a gzip file"),
            (b"PK\x03\x04\x14\x00", "a ZIP archive"),
            (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "a WebP image"),
            (b"\xff\xd8\xff\xe0", "a JPEG image"),
            (b"BM\x46\x00\x00\x00\x00\x00\x00\x00", "a BMP image"),
        ] {
            let message = utf8(bytes).unwrap_err();
            assert!(message.starts_with(&format!("expected text, found {name}")), "{message}");
        }
        assert_eq!(foreign(b"BMI,truth,prediction"), None);
    }
}
