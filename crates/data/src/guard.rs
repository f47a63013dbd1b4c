//! What the parquet crate believes of a damaged file, checked before it is asked.
//!
//! A parquet file describes itself in Thrift structures: a footer, and a header before each page. The parquet crate
//! skips what it does not know element by element, however many there are said to be, and makes room for as many bytes
//! as a page is said to have, and for as many values. So a few wrong bytes could take hours, or all memory. Here each structure is walked with
//! at most as many elements as it has bytes, and each page's size is held against a limit.
//!
//! Sources: the compact protocol of Apache Thrift, and `parquet.thrift` of the parquet format.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Bytes that a page may decompress to. Writers make pages of about one MiB, or of one value where it is larger.
const LARGEST_PAGE: i64 = 256 << 20;
/// Values that a column may have in a row group. A few bytes can stand for any number of equal ones.
const MOST_VALUES: i64 = 1 << 24;
/// Structures in structures, at most.
const DEPTH: usize = 16;

/// Says what is wrong with the footer of `file`, if anything.
pub(crate) fn footer(file: &mut File) -> io::Result<Result<(), String>> {
    let wrong = |what: &str| Ok(Err(what.to_owned()));
    let length = file.seek(SeekFrom::End(0))?;
    let Some(end) = length.checked_sub(8) else { return wrong("a file of less than 8 bytes") };
    let tail = read(file, end, 8)?;
    let Some((size, b"PAR1")) = tail.split_first_chunk::<4>() else {
        return wrong("it does not end as a parquet file does");
    };
    let size = u64::from(u32::from_le_bytes(*size));
    let Some(start) = end.checked_sub(size) else { return wrong("its footer is longer than the file") };
    let footer = read(file, start, size)?;
    match (Walk { bytes: &footer, at: 0, elements: footer.len() }).structure(DEPTH) {
        Some(_) => Ok(Ok(())),
        None => wrong("its footer contradicts itself"),
    }
}

/// Says what is wrong with the headers of the pages in the `length` bytes from `at`, if anything.
pub(crate) fn pages(file: &mut File, mut at: u64, length: u64) -> io::Result<Result<(), String>> {
    let end = file.seek(SeekFrom::End(0))?.min(at.saturating_add(length));
    let mut values = 0_i64;
    while at < end {
        let wrong = |what: &str| Ok(Err(format!("the page at byte {at} {what}")));
        // A header has some tens of bytes, and more only where it holds the smallest and largest value.
        let mut room = 1 << 10;
        let (header, length) = loop {
            let bytes = read(file, at, room.min(end - at))?;
            let mut walk = Walk { bytes: &bytes, at: 0, elements: bytes.len() };
            match walk.structure(DEPTH) {
                Some(header) => break (header, walk.at as u64),
                None if room >= end - at || room >= 1 << 24 => return wrong("contradicts itself"),
                None => room *= 8,
            }
        };
        let (Some(unpacked), Some(packed)) = (header.integer(2), header.integer(3)) else {
            return wrong("has no size");
        };
        if !(0..=LARGEST_PAGE).contains(&unpacked) {
            return wrong(&format!("has {unpacked} bytes, expected at most {LARGEST_PAGE}"));
        }
        // The headers of a page of data, of a dictionary, and of a page of the second version.
        let counts = [5, 7, 8].map(|kind| header.field(kind).and_then(|kind| kind.integer(1)).unwrap_or(0));
        values = counts.into_iter().fold(values, |sum, count| sum.saturating_add(count.max(0)));
        if values > MOST_VALUES {
            return wrong(&format!(
                "ends at value {values} of its column, expected at most {MOST_VALUES} in a row group"
            ));
        }
        let Ok(packed) = u64::try_from(packed) else { return wrong("has a negative size") };
        at = at.saturating_add(length).saturating_add(packed);
    }
    Ok(Ok(()))
}

fn read(file: &mut File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A Thrift value; of those that nothing is asked of, nothing is kept.
enum Value {
    Integer(i64),
    Structure(Vec<(i16, Value)>),
    Other,
}

impl Value {
    /// Field `id` of a structure: the last, as the parquet crate has it.
    fn field(&self, id: i16) -> Option<&Self> {
        match self {
            Self::Structure(fields) => fields.iter().rfind(|field| field.0 == id).map(|field| &field.1),
            _ => None,
        }
    }

    fn integer(&self, id: i16) -> Option<i64> {
        match self.field(id)? {
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }
}

/// Reads values of the compact protocol one after the other.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Elements of lists that may still come: not more than there are bytes, in all lists together.
    elements: usize,
}

impl Walk<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, length: usize) -> Option<Value> {
        self.at = self.at.checked_add(length).filter(|at| *at <= self.bytes.len())?;
        Some(Value::Other)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn structure(&mut self, depth: usize) -> Option<Value> {
        let mut fields = Vec::new();
        let mut id = 0_i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(Value::Structure(fields));
            }
            id = match head >> 4 {
                0 => i16::try_from(self.zigzag()?).ok()?,
                step => id.checked_add(i16::from(step))?,
            };
            fields.push((id, self.value(head & 0xf, depth)?));
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Option<Value> {
        match kind {
            // A truth value is in its kind. So it is in lists, for the parquet crate, and takes no byte there.
            1 | 2 => Some(Value::Other),
            3 => self.skip(1),
            4..=6 => self.zigzag().map(Value::Integer),
            7 => self.skip(8),
            8 => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.skip(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => usize::try_from(self.varint()?).ok()?,
                    count => usize::from(count),
                };
                self.spend(count)?;
                let depth = depth.checked_sub(1)?;
                for _ in 0..count {
                    self.value(head & 0xf, depth)?;
                }
                Some(Value::Other)
            }
            11 => {
                let count = usize::try_from(self.varint()?).ok()?;
                self.spend(count)?;
                let depth = depth.checked_sub(1)?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.value(kinds >> 4, depth)?;
                    self.value(kinds & 0xf, depth)?;
                }
                Some(Value::Other)
            }
            12 => self.structure(depth.checked_sub(1)?),
            13 => self.skip(16),
            _ => None,
        }
    }

    fn spend(&mut self, elements: usize) -> Option<()> {
        self.elements = self.elements.checked_sub(elements)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn checked(footer: &[u8]) -> Result<(), String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"PAR1").unwrap();
        file.write_all(footer).unwrap();
        file.write_all(&(footer.len() as u32).to_le_bytes()).unwrap();
        file.write_all(b"PAR1").unwrap();
        super::footer(&mut file).unwrap()
    }

    #[test]
    fn lists_are_not_longer_than_their_bytes() {
        // Field 1, a list of two truth values; and of 2³¹ - 1.
        assert_eq!(checked(&[0x19, 0x21, 0x00, 0x00]), Ok(()));
        let endless = checked(&[0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00]);
        assert_eq!(endless, Err("its footer contradicts itself".to_owned()));
    }

    #[test]
    fn pages_are_not_larger_than_the_limit() {
        // Kind 0, 2³⁰ bytes, 0 packed; and before it a page of 3 bytes.
        let small = [0x15, 0x00, 0x15, 0x06, 0x15, 0x06, 0x00, b'a', b'b', b'c'];
        let large = [0x15, 0x00, 0x15, 0x80, 0x80, 0x80, 0x80, 0x08, 0x15, 0x00, 0x00];
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b"PAR1", small.as_slice(), &large].concat()).unwrap();
        assert_eq!(pages(&mut file, 4, 10).unwrap(), Ok(()));
        let expected = "the page at byte 14 has 1073741824 bytes, expected at most 268435456";
        assert_eq!(pages(&mut file, 4, 21).unwrap(), Err(expected.to_owned()));
        // Two pages of data with 2²³ + 1 values each.
        let many = [0x15, 0x00, 0x15, 0x00, 0x15, 0x00, 0x2c, 0x15, 0x82, 0x80, 0x80, 0x08, 0x00, 0x00];
        file.seek(SeekFrom::Start(100)).unwrap();
        file.write_all(&[many, many].concat()).unwrap();
        assert_eq!(pages(&mut file, 100, 14).unwrap(), Ok(()));
        let expected =
            "the page at byte 114 ends at value 16777218 of its column, expected at most 16777216 in a row group";
        assert_eq!(pages(&mut file, 100, 28).unwrap(), Err(expected.to_owned()));
        assert_eq!(pages(&mut file, 16, 50).unwrap(), Err("the page at byte 16 has no size".to_owned()));
    }
}
