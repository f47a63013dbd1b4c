//! MATLAB's MAT files of level 5, as `save -v6` and `-v7` write them.
//!
//! A file is a list of *elements*: type, length, data. Variables are elements of type *matrix*, or
//! such an element compressed by zlib. Both byte orders are read; numbers of any class become `f64`.
//! Source: MathWorks, *MAT-File Format*, chapter 1.

use std::fmt;
use std::io::Read;

use flate2::read::ZlibDecoder;

use data::Malformed;

/// The most that the compressed elements of a file may hold together, in bytes: a hundred times the
/// largest annotation of a crowd.
pub const DECOMPRESSED_LIMIT: u64 = 1 << 24;

/// How deeply cells and structs may be nested.
const DEPTH_LIMIT: usize = 16;

/// The longest name of a field, in bytes.
const NAME_LIMIT: usize = 64;

/// A variable of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// A value. What has several dimensions is stored column by column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Numbers or truth values; the imaginary part of complex ones is left out.
    Numeric {
        /// Length of each dimension.
        dims: Vec<usize>,
        /// As many as the dimensions say.
        values: Vec<f64>,
    },
    /// Text.
    Char(String),
    /// Values of any kind.
    Cell {
        /// Length of each dimension.
        dims: Vec<usize>,
        /// As many as the dimensions say.
        items: Vec<Value>,
    },
    /// Records of the same fields.
    Struct {
        /// Length of each dimension.
        dims: Vec<usize>,
        /// Names of the fields.
        fields: Vec<String>,
        /// For each record the values of its fields in order.
        items: Vec<Value>,
    },
    /// A class that is not read: sparse, object, function.
    Other(&'static str),
}

impl Value {
    /// The only item of a cell.
    pub fn only_item(&self) -> Option<&Self> {
        match self {
            Self::Cell { items, .. } => {
                if let [item] = items.as_slice() {
                    Some(item)
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    /// A field of a single record.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Struct { fields, items, .. } if items.len() == fields.len() => {
                items.get(fields.iter().position(|field| field == name)?)
            }
            _ => None,
        }
    }

    /// A single number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Numeric { values, .. } => {
                if let [value] = values.as_slice() {
                    Some(*value)
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    /// The rows of a matrix of two columns, where there may be none.
    pub fn pairs(&self) -> Option<Vec<[f64; 2]>> {
        match self {
            Self::Numeric { dims, values } => match dims.as_slice() {
                [rows, 2] => {
                    let (first, second) = values.split_at_checked(*rows)?;
                    Some(first.iter().zip(second).map(|(&a, &b)| [a, b]).collect())
                }
                _ if values.is_empty() => Some(Vec::new()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Class and dimensions, such as `cell 1×1 of struct 1×1 {location: numeric 3×2, number: numeric 1×1}`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |dims: &[usize]| dims.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
        match self {
            Self::Numeric { dims, .. } => write!(f, "numeric {}", size(dims)),
            Self::Char(_) => f.write_str("char"),
            Self::Other(class) => f.write_str(class),
            Self::Cell { dims, items } => {
                write!(f, "cell {}", size(dims))?;
                items.first().map_or(Ok(()), |first| write!(f, " of {first}"))
            }
            Self::Struct { dims, fields, items } => {
                let described: Vec<String> = if items.len() == fields.len() {
                    fields.iter().zip(items).map(|(field, value)| format!("{field}: {value}")).collect()
                } else {
                    fields.clone()
                };
                write!(f, "struct {} {{{}}}", size(dims), described.join(", "))
            }
        }
    }
}

/// The variables of a file.
///
/// # Errors
///
/// Where it is no MAT file of level 5, truncated, nested too deeply, or holds more than
/// [`DECOMPRESSED_LIMIT`] when decompressed. The message has the byte.
pub fn parse(file: &[u8]) -> Result<Vec<Variable>, Malformed> {
    let hint = "\n  hint: save it with `-v7` or `-v6`";
    let expected = "a MAT file of level 5";
    if file.starts_with(b"\x89HDF") || file.starts_with(b"MATLAB 7.3") {
        return Err(Malformed::new("", expected, format!("one of MATLAB 7.3 (HDF5){hint}")));
    }
    let (Some(order), Some(elements)) = (file.get(126..128), file.get(128..)) else {
        return Err(Malformed::new(
            "",
            format!("{expected}, whose header has 128 bytes"),
            format!("{} bytes", file.len()),
        ));
    };
    let order = match order {
        b"IM" => Order::Little,
        b"MI" => Order::Big,
        _ => return Err(Malformed::new("byte 126", format!("{expected} with `IM` or `MI`"), "other bytes")),
    };
    let mut reader = Reader { bytes: elements, at: 128, order };
    let (mut variables, mut room) = (Vec::new(), DECOMPRESSED_LIMIT);
    while !reader.bytes.is_empty() {
        let at = reader.at;
        let element = reader.element(Padding::Matrices)?;
        let variable = match element.kind {
            kind::MATRIX => element.reader(order).matrix(0)?,
            kind::COMPRESSED => {
                let bytes = decompress(element.data, at, &mut room)?;
                // Bytes of what was compressed count from its own beginning.
                let inside = |cause: Malformed| Malformed {
                    at: format!("compressed element at byte {at}: {}", cause.at),
                    ..cause
                };
                let inner = Reader { bytes: &bytes, at: 0, order }.element(Padding::All).map_err(inside)?;
                if inner.kind != kind::MATRIX {
                    continue;
                }
                inner.reader(order).matrix(0).map_err(inside)?
            }
            _ => continue,
        };
        variables.push(Variable { name: variable.0, value: variable.1 });
    }
    Ok(variables)
}

/// Types of elements.
mod kind {
    pub(super) const INT8: u32 = 1;
    pub(super) const UINT8: u32 = 2;
    pub(super) const INT16: u32 = 3;
    pub(super) const UINT16: u32 = 4;
    pub(super) const INT32: u32 = 5;
    pub(super) const UINT32: u32 = 6;
    pub(super) const SINGLE: u32 = 7;
    pub(super) const DOUBLE: u32 = 9;
    pub(super) const INT64: u32 = 12;
    pub(super) const UINT64: u32 = 13;
    pub(super) const MATRIX: u32 = 14;
    pub(super) const COMPRESSED: u32 = 15;
    pub(super) const UTF8: u32 = 16;
    pub(super) const UTF16: u32 = 17;
    pub(super) const UTF32: u32 = 18;
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// Which elements are filled up to a multiple of 8 bytes: at the top level, compressed ones are not.
#[derive(Clone, Copy, PartialEq)]
enum Padding {
    All,
    Matrices,
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// Where `bytes` begins, for messages.
    at: usize,
    order: Order,
}

struct Element<'a> {
    kind: u32,
    data: &'a [u8],
    /// Where `data` begins.
    at: usize,
}

impl<'a> Element<'a> {
    fn reader(&self, order: Order) -> Reader<'a> {
        Reader { bytes: self.data, at: self.at, order }
    }
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or_else(|| self.malformed(format!("{count} bytes of {what}"), format!("{}", self.bytes.len())))?;
        self.bytes = rest;
        self.at += count;
        Ok(taken)
    }

    fn element(&mut self, padding: Padding) -> Result<Element<'a>, Malformed> {
        let first = self.word()?;
        // Up to 4 bytes are kept in the tag itself: length, type, data.
        let small = (first >> 16) as usize;
        if small != 0 {
            if small > 4 {
                return Err(self.malformed("at most 4 bytes in a small element", small.to_string()));
            }
            let at = self.at;
            let data = self.take(4, "a small element")?;
            return Ok(Element { kind: first & 0xffff, data: data.get(..small).unwrap_or(data), at });
        }
        let length = self.word()? as usize;
        let at = self.at;
        let data = self.take(length, "an element")?;
        if padding == Padding::All || first != kind::COMPRESSED {
            // The last element may lack its padding.
            let fill = (length.next_multiple_of(8) - length).min(self.bytes.len());
            self.take(fill, "padding")?;
        }
        Ok(Element { kind: first, data, at })
    }

    fn word(&mut self) -> Result<u32, Malformed> {
        let order = self.order;
        let bytes = self.take(4, "a tag")?;
        Ok(integers(bytes, order).next().unwrap_or(0))
    }

    /// The name and value of a matrix whose data this reads.
    fn matrix(mut self, depth: usize) -> Result<(String, Value), Malformed> {
        if self.bytes.is_empty() {
            // How an empty item of a cell is written.
            return Ok((String::new(), Value::Numeric { dims: vec![0, 0], values: Vec::new() }));
        }
        if depth > DEPTH_LIMIT {
            return Err(self.malformed(format!("cells and structs nested at most {DEPTH_LIMIT} deep"), "more"));
        }
        let order = self.order;
        let flags = self.element(Padding::All)?;
        let class = integers(flags.data, order).next().unwrap_or(0) & 0xff;
        if class == 17 {
            // An opaque object has neither dimensions nor a name of this form.
            return Ok((String::new(), Value::Other("object")));
        }
        let dims = self.element(Padding::All)?;
        let dims: Vec<usize> = integers(dims.data, order).map(|length| length as usize).collect();
        let name = self.element(Padding::All)?;
        let name = String::from_utf8_lossy(name.data).into_owned();
        let count = dims.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
        let count = count.ok_or_else(|| self.malformed("dimensions that can be multiplied", format!("{dims:?}")))?;
        let value = match class {
            1 => Value::Cell { items: self.items(count, depth)?, dims },
            2 => {
                let fields = self.fields()?;
                let total = count.saturating_mul(fields.len());
                Value::Struct { items: self.items(total, depth)?, dims, fields }
            }
            3 | 18 => Value::Other("object"),
            4 => {
                let text = self.element(Padding::All)?;
                Value::Char(characters(&text, order))
            }
            5 => Value::Other("sparse"),
            6..=15 => Value::Numeric { values: self.numbers(count)?, dims },
            16 => Value::Other("function"),
            _ => return Err(self.malformed("a class from 1 to 18", class.to_string())),
        };
        Ok((name, value))
    }

    fn items(&mut self, count: usize, depth: usize) -> Result<Vec<Value>, Malformed> {
        // Each has a tag of 8 bytes at least.
        if count > self.bytes.len() / 8 {
            return Err(self.malformed(format!("{count} items"), format!("{} bytes", self.bytes.len())));
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            let at = self.at;
            let item = self.element(Padding::All)?;
            if item.kind != kind::MATRIX {
                return Err(Malformed::new(
                    format!("byte {at}"),
                    "a matrix",
                    format!("an element of type {}", item.kind),
                ));
            }
            items.push(item.reader(self.order).matrix(depth + 1)?.1);
        }
        Ok(items)
    }

    fn fields(&mut self) -> Result<Vec<String>, Malformed> {
        let order = self.order;
        let length = self.element(Padding::All)?;
        let length = integers(length.data, order).next().unwrap_or(0) as usize;
        let names = self.element(Padding::All)?;
        // A name has a character and a zero.
        if !(2..=NAME_LIMIT).contains(&length) {
            return Err(self.malformed(format!("names of fields of 2 to {NAME_LIMIT} bytes"), length.to_string()));
        }
        let text = |name: &[u8]| {
            let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
            String::from_utf8_lossy(name.get(..end).unwrap_or(name)).into_owned()
        };
        Ok(names.data.chunks_exact(length).map(text).collect())
    }

    fn numbers(&mut self, count: usize) -> Result<Vec<f64>, Malformed> {
        let order = self.order;
        let element = self.element(Padding::All)?;
        let (at, data) = (element.at, element.data);
        macro_rules! as_f64 {
            ($number:ty) => {
                data.as_chunks()
                    .0
                    .iter()
                    .map(|&bytes| match order {
                        Order::Little => <$number>::from_le_bytes(bytes) as f64,
                        Order::Big => <$number>::from_be_bytes(bytes) as f64,
                    })
                    .collect()
            };
        }
        let values: Vec<f64> = match element.kind {
            kind::INT8 => as_f64!(i8),
            kind::UINT8 => as_f64!(u8),
            kind::INT16 => as_f64!(i16),
            kind::UINT16 => as_f64!(u16),
            kind::INT32 => as_f64!(i32),
            kind::UINT32 => as_f64!(u32),
            kind::SINGLE => as_f64!(f32),
            kind::DOUBLE => as_f64!(f64),
            kind::INT64 => as_f64!(i64),
            kind::UINT64 => as_f64!(u64),
            other => {
                return Err(Malformed::new(format!("byte {at}"), "numbers", format!("an element of type {other}")));
            }
        };
        if values.len() != count {
            let found = values.len().to_string();
            return Err(Malformed::new(format!("byte {at}"), format!("{count} numbers as the dimensions say"), found));
        }
        Ok(values)
    }

    fn malformed(&self, expected: impl Into<String>, found: impl Into<String>) -> Malformed {
        Malformed::new(format!("byte {}", self.at), expected, found)
    }
}

fn integers(bytes: &[u8], order: Order) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(move |&word| match order {
        Order::Little => u32::from_le_bytes(word),
        Order::Big => u32::from_be_bytes(word),
    })
}

fn characters(element: &Element<'_>, order: Order) -> String {
    match element.kind {
        kind::UINT16 | kind::UTF16 => {
            let units = element.data.as_chunks().0.iter().map(|&unit| match order {
                Order::Little => u16::from_le_bytes(unit),
                Order::Big => u16::from_be_bytes(unit),
            });
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        kind::UTF32 => {
            let points = integers(element.data, order);
            points.map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        kind::UTF8 => String::from_utf8_lossy(element.data).into_owned(),
        _ => element.data.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// What `data` holds, of which `room` may be used up.
fn decompress(data: &[u8], at: usize, room: &mut u64) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::new();
    let malformed = |expected: &str, found: String| Malformed::new(format!("byte {at}"), expected, found);
    let read = ZlibDecoder::new(data)
        .take(*room + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| malformed("an element compressed by zlib", cause.to_string()))?;
    *room = room
        .checked_sub(read as u64)
        .ok_or_else(|| malformed("a small file", format!("one that holds more than {DECOMPRESSED_LIMIT} bytes")))?;
    Ok(bytes)
}
