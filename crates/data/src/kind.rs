//! What a file is, whatever its name says: told by its first bytes.

/// A kind of file, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its name with an article, such as `a WebP image`.
    pub name: &'static str,
    /// What to do where another kind of file is needed; empty where nothing is known.
    pub remedy: &'static str,
    /// Whether a reader of texts could make something of it.
    pub is_text: bool,
}

impl Kind {
    /// The name, and the remedy as a hint on a line of its own.
    pub fn found(self) -> String {
        if self.remedy.is_empty() { self.name.to_owned() } else { format!("{}\n  hint: {}", self.name, self.remedy) }
    }
}

pub(crate) const CONVERT: &str = "convert it to PNG, for example with `magick FILE FILE.png`";
const UNPACK: &str = "unpack it, and give the files that are in it";
const AGAIN: &str = "get the file again";

/// First bytes, where they begin, and what they are the first bytes of.
const MAGIC: [(usize, &[u8], &str, &str); 41] = [
    (0, b"\xff\xd8\xff", "a JPEG image", ""),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image", ""),
    (8, b"WEBPVP8", "a WebP image", CONVERT),
    (0, b"GIF87a", "a GIF image", CONVERT),
    (0, b"GIF89a", "a GIF image", CONVERT),
    (0, b"II*\0", "a TIFF image", CONVERT),
    (0, b"MM\0*", "a TIFF image", CONVERT),
    (0, b"II+\0", "a BigTIFF image", CONVERT),
    (0, b"MM\0+", "a BigTIFF image", CONVERT),
    (4, b"ftypavif", "an AVIF image", CONVERT),
    (4, b"ftypavis", "an AVIF image", CONVERT),
    (4, b"ftypheic", "a HEIC image", CONVERT),
    (4, b"ftypheix", "a HEIC image", CONVERT),
    (4, b"ftypmif1", "a HEIF image", CONVERT),
    (4, b"ftypmsf1", "a HEIF image", CONVERT),
    (4, b"ftyp", "a video (MP4)", "take its pictures out, for example with `ffmpeg`"),
    (0, b"\xff\x0a", "a JPEG XL image", CONVERT),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image", CONVERT),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 image", CONVERT),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image", CONVERT),
    (0, b"8BPS", "a Photoshop image", CONVERT),
    (0, b"\0\0\x01\0", "an icon (ICO)", CONVERT),
    (128, b"DICM", "a DICOM image", CONVERT),
    (0, b"%PDF", "a PDF document", "take its pictures out, for example with `pdfimages`"),
    (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (0, b"\x1f\x8b", "a gzip file", UNPACK),
    (0, b"BZh", "a bzip2 file", UNPACK),
    (0, b"\xfd7zXZ\0", "an xz file", UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard file", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"Rar!", "a RAR archive", UNPACK),
    (257, b"ustar", "a tar archive", UNPACK),
    (0, b"PAR1", "a parquet file", ""),
    (0, b"ARROW1", "an Arrow file", ""),
    (0, b"\x89HDF", "an HDF5 file", ""),
    (0, b"MATLAB 5.0 MAT-file", "a MAT file", ""),
    (0, b"\x93NUMPY", "a NumPy array", ""),
    (0, b"SQLite format 3", "an SQLite database", ""),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document or thumbnail cache of Windows", ""),
    (0, b"\0\x05\x16\x07", "what a Mac stores beside a file (AppleDouble)", "delete it: the image is another file"),
    (0, b"\x7fELF", "a program", ""),
];

/// The beginnings of texts, after white space and in any case.
const TEXTS: [(&[u8], &str, &str, bool); 12] = [
    (
        b"version https://git-lfs",
        "a Git LFS pointer, which stands for the file",
        "`git lfs pull` in the clone that it is from gets the file itself",
        false,
    ),
    (b"<!doctype html", "a web page (HTML)", HTML, false),
    (b"<html", "a web page (HTML)", HTML, false),
    (b"<?xml", "an XML file", "", true),
    (b"<svg", "an SVG drawing", CONVERT, true),
    (b"<error", "an XML answer of a server", AGAIN, true),
    (b"/9j/4", "a JPEG image as text (base64)", BASE64, true),
    (b"iVBORw0KGgo", "a PNG image as text (base64)", BASE64, true),
    (b"data:image/", "an image as text (base64)", "decode what follows the comma, for example with `base64 -d`", true),
    (b"{", "text such as JSON", "", true),
    (b"[", "text such as JSON", "", true),
    (b"http", "an address", "get the file that is there", true),
];

const BASE64: &str = "decode it, for example with `base64 -d`";
const HTML: &str = "a server answered with a page, such as an error or a login: get the file again";

/// What the file with these bytes is, where they tell.
pub fn of(bytes: &[u8]) -> Option<Kind> {
    let kind = |name, remedy, is_text| Some(Kind { name, remedy, is_text });
    if bytes.is_empty() {
        return kind("an empty file", AGAIN, true);
    }
    let has = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if let Some((.., name, remedy)) = MAGIC.iter().find(|(at, magic, ..)| has(*at, magic)) {
        return kind(name, remedy, false);
    }
    // Two letters are few: a size follows that is not longer than the file, and zeros.
    if has(0, b"BM") && has(6, &[0; 4]) {
        return kind("a BMP image", CONVERT, false);
    }
    if bytes.first() == Some(&b'P')
        && bytes.get(1).is_some_and(|digit| (b'1'..=b'7').contains(digit))
        && bytes.get(2).is_some_and(u8::is_ascii_whitespace)
    {
        return kind("a PNM image", CONVERT, true);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    // An answer of a server may have a declaration before it.
    let declaration = text.starts_with(b"<?xml").then(|| text.windows(2).position(|pair| pair == b"?>")).flatten();
    let inner = declaration.and_then(|end| text.get(end + 2..)).unwrap_or(text).trim_ascii_start();
    let is_answer = inner.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case(b"<error"));
    let text = if is_answer { inner } else { text };
    let begins = |start: &[u8]| text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    if let Some((_, name, remedy, is_text)) = TEXTS.iter().find(|(start, ..)| begins(start)) {
        return kind(name, remedy, *is_text);
    }
    if bytes.iter().all(|&byte| byte == 0) {
        return kind("nothing but zeros, as an interrupted copy leaves them", AGAIN, false);
    }
    None
}

/// [`Kind::found`] of the bytes, or what they begin with where they tell no kind.
pub fn found(bytes: &[u8]) -> String {
    of(bytes).map_or_else(
        || {
            let first: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("a file that begins with the bytes {}", first.join(" "))
        },
        Kind::found,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_for_what_they_are() {
        for (bytes, expected) in [
            (b"RIFF\x10\0\0\0WEBPVP8 ".as_slice(), "a WebP image\n  hint: convert it to PNG"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "a Git LFS pointer, which stands for the file\n  hint: `git lfs pull`",
            ),
            (b"\n<!DOCTYPE html><html>", "a web page (HTML)\n  hint: a server answered"),
            (b"\0\0\0\x20ftypheic", "a HEIC image\n  hint: convert"),
            (b"\0\0\0\x20ftypavif", "an AVIF image\n  hint: convert"),
            (b"\0\0\0\x20ftypisom", "a video (MP4)"),
            (b"%PDF-1.7", "a PDF document"),
            (b"PK\x03\x04", "a zip archive\n  hint: unpack it"),
            (b"\x1f\x8b\x08", "a gzip file\n  hint: unpack it"),
            (b"BM\x36\0\0\0\0\0\0\0", "a BMP image"),
            (b"P6 2 2", "a PNM image"),
            (b"", "an empty file\n  hint: get the file again"),
            (&[0; 40], "nothing but zeros"),
            (b"\0\x05\x16\x07\0\x02", "what a Mac stores beside a file"),
            (b"{\"a\": 1}", "text such as JSON"),
            (b"/9j/4AAQSkZJRg", "a JPEG image as text (base64)\n  hint: decode it"),
            (b"<?xml version='1.0'?>\n<Error><Code/></Error>", "an XML answer of a server\n  hint: get the file again"),
            (b"<?xml version='1.0'?>\n<annotation/>", "an XML file"),
            (b"\x01\x02", "a file that begins with the bytes 01 02"),
            (b"BMW is a car", "a file that begins with the bytes 42 4d 57 20 69 73 20 61"),
        ] {
            let found = found(bytes);
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
