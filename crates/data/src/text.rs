//! Text files as editors and programs of all kinds write them.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use crate::{Malformed, kind};

/// The most bytes that the declaration of an XML file has.
const DECLARATION: usize = 256;

/// The text of a file: UTF-8 with or without a byte order mark, or UTF-16 with one. The mark is not part of it.
///
/// # Errors
///
/// Where the bytes are in another encoding, or no text at all, such as a Git LFS pointer or an HTML page in place of the
/// file.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    if let Some(kind) = kind::of(bytes).filter(|kind| !kind.is_text) {
        return Err(Malformed::new("", "text in UTF-8", kind.found()));
    }
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") {
        return Err(Malformed::new("", "text in UTF-8", "UTF-32\n  hint: save the file in UTF-8"));
    }
    let (encoding, mark) = Encoding::for_bom(bytes).unwrap_or((UTF_8, 0));
    strictly(encoding, bytes.get(mark..).unwrap_or_default(), mark, "UTF-8")
}

/// The text of an XML file in the encoding that its byte order mark or its declaration (`encoding="GBK"`) names, else in
/// UTF-8.
///
/// # Errors
///
/// As [`decode`], and where the encoding is unknown, or the bytes are not in it.
pub fn decode_xml(bytes: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    let declared = declared(bytes).filter(|_| Encoding::for_bom(bytes).is_none());
    let Some(label) = declared else { return decode(bytes) };
    let encoding = Encoding::for_label(label.as_bytes()).ok_or_else(|| {
        let found = format!("encoding={label:?}\n  hint: save the file in UTF-8 and without the attribute");
        Malformed::new("", "an encoding that browsers know, such as UTF-8, GBK or windows-1252", found)
    })?;
    // What is declared in bytes of ASCII is not UTF-16; so the WHATWG has it, too. That takes ASCII for windows-1252, though
    // other bytes in it are mostly of a program that wrote UTF-8.
    let is_ascii = ["ascii", "us-ascii"].iter().any(|name| label.eq_ignore_ascii_case(name));
    let encoding = if is_ascii || [UTF_16LE, UTF_16BE].contains(&encoding) { UTF_8 } else { encoding };
    strictly(encoding, bytes, 0, &format!("{label} as the file declares"))
}

/// The value of `encoding` in an XML declaration.
fn declared(bytes: &[u8]) -> Option<&str> {
    let head = bytes.get(..bytes.len().min(DECLARATION))?;
    let end = head.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(head.get(..end)?).ok()?.trim_start().strip_prefix("<?xml")?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    value.get(1..)?.split(quote).next()
}

/// `bytes`, which begin at `offset` of their file, without any replacement.
fn strictly<'a>(
    encoding: &'static Encoding,
    bytes: &'a [u8],
    offset: usize,
    name: &str,
) -> Result<Cow<'a, str>, Malformed> {
    if encoding == UTF_8 {
        return match std::str::from_utf8(bytes) {
            // UTF-16 of plain letters without a mark would be valid UTF-8 with zeros in it.
            Ok(text) if !text.contains('\0') => Ok(Cow::Borrowed(text)),
            Ok(_) => Err(Malformed::new("", format!("text in {name}"), zeros(bytes))),
            Err(cause) => {
                let at = cause.valid_up_to();
                let line = bytes.iter().take(at).filter(|&&byte| byte == b'\n').count() + 1;
                let byte = bytes.get(at).copied().unwrap_or_default();
                let found = format!("the byte 0x{byte:02x}\n  hint: save the file in UTF-8");
                Err(Malformed::new(format!("line {line}, byte {}", at + offset), format!("text in {name}"), found))
            }
        };
    }
    let decoded = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    decoded.ok_or_else(|| {
        let name = if encoding == UTF_16LE || encoding == UTF_16BE { encoding.name() } else { name };
        Malformed::new("", format!("text in {name}"), "other bytes\n  hint: save the file in UTF-8")
    })
}

fn zeros(bytes: &[u8]) -> String {
    let even = bytes.iter().step_by(2).filter(|&&byte| byte == 0).count();
    let odd = bytes.iter().skip(1).step_by(2).filter(|&&byte| byte == 0).count();
    let most = bytes.len() / 4;
    let what = if even > most || odd > most { "UTF-16 without a byte order mark" } else { "zero bytes" };
    format!("{what}\n  hint: save the file in UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, mark: bool, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter().chain(text.encode_utf16()).flat_map(order).collect()
    }

    #[test]
    fn marks_are_no_text() {
        for bytes in [
            b"cat\n".to_vec(),
            b"\xef\xbb\xbfcat\n".to_vec(),
            utf16("cat\n", true, u16::to_le_bytes),
            utf16("cat\n", true, u16::to_be_bytes),
        ] {
            assert_eq!(decode(&bytes).unwrap(), "cat\n");
            assert_eq!(decode_xml(&bytes).unwrap(), "cat\n");
        }
        assert_eq!(decode(b"").unwrap(), "");
    }

    #[test]
    fn other_encodings_are_named() {
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let complaint = decode(&utf16("cat\n", false, order)).unwrap_err().to_string();
            assert!(complaint.contains("found UTF-16 without a byte order mark\n  hint: save"), "{complaint}");
        }
        for order in [u32::to_le_bytes, u32::to_be_bytes] {
            let utf32: Vec<u8> = "\u{feff}cat\n".chars().flat_map(|letter| order(letter.into())).collect();
            let complaint = decode(&utf32).unwrap_err().to_string();
            assert_eq!(complaint, "expected text in UTF-8, found UTF-32\n  hint: save the file in UTF-8");
        }
        let complaint = decode(b"dog\nk\xe4tzchen\n").unwrap_err().to_string();
        assert!(complaint.starts_with("line 2, byte 5: expected text in UTF-8, found the byte 0xe4"), "{complaint}");
        let complaint = decode(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n").unwrap_err();
        assert!(complaint.to_string().contains("a Git LFS pointer"), "{complaint}");
    }

    #[test]
    fn xml_is_in_the_encoding_that_it_declares() {
        let declared = |encoding: &str, name: &[u8]| {
            [format!("<?xml version='1.0' encoding={encoding}?><name>").as_bytes(), name, b"</name>"].concat()
        };
        let name = |bytes: &[u8]| {
            let text = decode_xml(bytes)?.into_owned();
            Ok::<_, Malformed>(text.split_once("<name>").unwrap().1.strip_suffix("</name>").unwrap().to_owned())
        };
        assert_eq!(name(&declared("\"GBK\"", b"\xc3\xa8")).unwrap(), "猫");
        assert_eq!(name(&declared("'Shift_JIS'", b"\x94\x4c")).unwrap(), "猫");
        assert_eq!(name(&declared("'iso-8859-1'", b"K\xe4fer")).unwrap(), "Käfer");
        assert_eq!(name(&declared("'utf-8'", "猫".as_bytes())).unwrap(), "猫");
        assert_eq!(name(&declared("'utf-16'", "猫".as_bytes())).unwrap(), "猫");
        assert_eq!(name(&declared("'US-ASCII'", "Käfer".as_bytes())).unwrap(), "Käfer");
        let complaint = name(&declared("'ascii'", b"K\xe4fer")).unwrap_err().to_string();
        assert!(complaint.contains("text in ascii as the file declares, found the byte 0xe4"), "{complaint}");
        let complaint = name(&declared("'EBCDIC'", b"x")).unwrap_err().to_string();
        assert!(complaint.contains("found encoding=\"EBCDIC\""), "{complaint}");
        let complaint = name(&declared("'GBK'", b"\xff")).unwrap_err().to_string();
        assert!(complaint.starts_with("expected text in GBK as the file declares"), "{complaint}");
        let complaint = name(&declared("'utf-8'", b"\xe4")).unwrap_err().to_string();
        assert!(complaint.contains("found the byte 0xe4"), "{complaint}");
    }
}
