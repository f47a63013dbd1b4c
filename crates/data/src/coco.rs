//! Annotations and results in COCO's JSON (<https://cocodataset.org/#format-data>,
//! <https://cocodataset.org/#format-results>).
//!
//! Keys that boxes do not need are passed over, outlines among them. Ids and sides may be written as `5.0`, as some
//! programs do, and `iscrowd` as `false`.

use std::fmt;

use serde::de::{Error, IgnoredAny, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{Malformed, json};

/// Images, annotations and categories of a split.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "an object with `images`, `annotations` and `categories`")]
pub struct Instances {
    /// All images, in the order of the file.
    pub images: Vec<Image>,
    /// The objects of all images, in the order of the file.
    pub annotations: Vec<Annotation>,
    /// The classes, in the order of the file.
    pub categories: Vec<Category>,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "an object with the key `id`")]
pub struct Image {
    /// What annotations call it.
    #[serde(deserialize_with = "whole")]
    pub id: i64,
    /// Its file.
    pub file_name: Option<String>,
    /// Columns.
    #[serde(default, deserialize_with = "side")]
    pub width: Option<u32>,
    /// Rows.
    #[serde(default, deserialize_with = "side")]
    pub height: Option<u32>,
}

/// An object.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "an object with the keys `id`, `image_id`, `category_id` and `bbox`")]
pub struct Annotation {
    /// Its own id.
    #[serde(deserialize_with = "whole")]
    pub id: i64,
    /// The image that it is in.
    #[serde(deserialize_with = "whole")]
    pub image_id: i64,
    /// Its class.
    #[serde(deserialize_with = "whole")]
    pub category_id: i64,
    /// Left, top, width, height in pixels.
    #[serde(deserialize_with = "bounds")]
    pub bbox: [f64; 4],
    /// Pixels of its outline, where it has one.
    pub area: Option<f64>,
    /// Whether it is a crowd, which detections are not held against.
    #[serde(default, deserialize_with = "flag")]
    pub iscrowd: bool,
}

/// A class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(expecting = "an object with the key `id`")]
pub struct Category {
    /// What annotations call it. Not all numbers need to be used.
    #[serde(deserialize_with = "whole")]
    pub id: i64,
    /// Its name.
    pub name: Option<String>,
}

/// A detection.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(expecting = "an object with the keys `image_id`, `category_id`, `bbox` and `score`")]
pub struct Detection {
    /// The image that it is in.
    #[serde(deserialize_with = "whole")]
    pub image_id: i64,
    /// Its class.
    #[serde(deserialize_with = "whole")]
    pub category_id: i64,
    /// Left, top, width, height in pixels.
    #[serde(deserialize_with = "bounds")]
    pub bbox: [f64; 4],
    /// How sure the detector is; more is surer.
    pub score: f64,
}

/// The instances in `json`.
///
/// # Errors
///
/// Where it is no such JSON (the message has the way of keys, the line and the column), or an id comes twice.
pub fn instances(json: &[u8]) -> Result<Instances, Malformed> {
    let expected = "an object with `images`, `annotations` and `categories`";
    let instances: Instances = json::parse(json, b'{', expected)?;
    unique("images", instances.images.iter().map(|image| image.id).collect())?;
    unique("annotations", instances.annotations.iter().map(|annotation| annotation.id).collect())?;
    unique("categories", instances.categories.iter().map(|category| category.id).collect())?;
    Ok(instances)
}

/// The detections in `json`.
///
/// # Errors
///
/// Where it is no such JSON; the message has the way of keys, the line and the column.
pub fn detections(json: &[u8]) -> Result<Vec<Detection>, Malformed> {
    json::parse(json, b'[', "a list of detections")
}

fn unique(list: &str, mut ids: Vec<i64>) -> Result<(), Malformed> {
    ids.sort_unstable();
    match ids.array_windows().find(|[a, b]| a == b) {
        Some([id, _]) => Err(Malformed::new(list, "each id once", format!("{id} twice"))),
        None => Ok(()),
    }
}

/// A whole number, which may be written as `5.0`.
struct Whole(i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
                i64::try_from(number).map(Whole).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
                // Above 2⁵³ it would be one of several.
                if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 {
                    Ok(Whole(number as i64))
                } else {
                    Err(E::invalid_value(Unexpected::Float(number), &self))
                }
            }
        }

        deserializer.deserialize_any(Number)
    }
}

fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(Whole::deserialize(deserializer)?.0)
}

/// Pixels; nothing where they are not known, which some programs write as 0.
fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let Some(Whole(side)) = Option::deserialize(deserializer)? else { return Ok(None) };
    let found = || D::Error::invalid_value(Unexpected::Signed(side), &"a number of pixels");
    Ok(Some(u32::try_from(side).map_err(|_| found())?).filter(|side| *side > 0))
}

/// Left, top, width and height.
fn bounds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 4], D::Error> {
    struct Bounds;

    impl<'de> Visitor<'de> for Bounds {
        type Value = [f64; 4];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("4 numbers: left, top, width and height")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<[f64; 4], A::Error> {
            let mut bounds = [0.0; 4];
            for (index, bound) in bounds.iter_mut().enumerate() {
                *bound = numbers.next_element()?.ok_or_else(|| A::Error::invalid_length(index, &self))?;
            }
            let mut length = bounds.len();
            while numbers.next_element::<IgnoredAny>()?.is_some() {
                length += 1;
            }
            if length == bounds.len() { Ok(bounds) } else { Err(A::Error::invalid_length(length, &self)) }
        }
    }

    deserializer.deserialize_seq(Bounds)
}

/// 0 or 1, false or true; nothing is false.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Flag;

    impl Visitor<'_> for Flag {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("0 or 1, false or true")
        }

        fn visit_bool<E: Error>(self, flag: bool) -> Result<bool, E> {
            Ok(flag)
        }

        fn visit_unit<E: Error>(self) -> Result<bool, E> {
            Ok(false)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<bool, E> {
            match number {
                0 | 1 => Ok(number == 1),
                _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
            }
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<bool, E> {
            Err(E::invalid_value(Unexpected::Signed(number), &self))
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<bool, E> {
            if number == 0.0 || number == 1.0 {
                Ok(number == 1.0)
            } else {
                Err(E::invalid_value(Unexpected::Float(number), &self))
            }
        }
    }

    deserializer.deserialize_any(Flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"images": [{"id": 7, "file_name": "a.jpg", "width": 40, "height": 30}],
"annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3.5, 4], "area": null, "iscrowd": 0}],
"categories": [{"id": 3, "name": "cat"}]}"#;

    fn edited(from: &str, to: &str) -> Result<Instances, String> {
        assert!(GOOD.contains(from), "{from}");
        instances(GOOD.replacen(from, to, 1).as_bytes()).map_err(|cause| cause.to_string())
    }

    #[test]
    fn numbers_and_flags_are_read_however_they_are_written() {
        let good = instances(GOOD.as_bytes()).unwrap();
        assert_eq!(good.annotations[0].bbox, [1.0, 2.0, 3.5, 4.0]);
        for (from, to) in [
            ("\"id\": 7", "\"id\": 7.0"),
            ("\"image_id\": 7", "\"image_id\": 7.0"),
            ("\"width\": 40", "\"width\": 40.0"),
            ("\"iscrowd\": 0", "\"iscrowd\": false"),
            ("\"iscrowd\": 0", "\"iscrowd\": null"),
            (", \"iscrowd\": 0", ""),
            ("\"area\": null, ", ""),
            ("{\"images\"", "\u{feff}{\"images\""),
        ] {
            assert_eq!(edited(from, to).unwrap(), good, "{to}");
        }
        assert!(edited("\"iscrowd\": 0", "\"iscrowd\": true").unwrap().annotations[0].iscrowd);
        assert_eq!(edited("\"width\": 40", "\"width\": 0").unwrap().images[0].width, None);
        let utf16: Vec<u8> = std::iter::once(0xfeff).chain(GOOD.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(instances(&utf16).unwrap(), good);
    }

    #[test]
    fn mistakes_are_said_in_words_of_json_with_their_place() {
        for (from, to, key, expected) in [
            (
                "\"image_id\": 7",
                "\"image_id\": \"7\"",
                "annotations[0].image_id (line 2, column ",
                "expected a whole number, found the text \"7\"",
            ),
            (
                "\"image_id\": 7",
                "\"image_id\": 7.5",
                "annotations[0].image_id (line 2, column ",
                "expected a whole number, found the number `7.5`",
            ),
            (
                "[1, 2, 3.5, 4]",
                "[1, 2, 3.5]",
                "annotations[0].bbox (line 2, column ",
                "expected 4 numbers: left, top, width and height, found 3",
            ),
            (
                "[1, 2, 3.5, 4]",
                "[1, 2, \"3.5\", 4]",
                "annotations[0].bbox",
                "expected a number, found the text \"3.5\"",
            ),
            (
                "[1, 2, 3.5, 4]",
                "null",
                "annotations[0].bbox (line 2, column ",
                "expected 4 numbers: left, top, width and height, found null",
            ),
            (
                "[1, 2, 3.5, 4]",
                "[1, 2, NaN, 4]",
                "annotations[0].bbox",
                "expected JSON, which has no NaN, no infinity and no comments, found expected value",
            ),
            (
                "\"iscrowd\": 0",
                "\"iscrowd\": 7",
                "annotations[0].iscrowd (line 2, column ",
                "expected 0 or 1, false or true, found the number `7`",
            ),
            (
                "\"width\": 40",
                "\"width\": -1",
                "images[0].width (line 1, column ",
                "expected a number of pixels, found the number `-1`",
            ),
            (
                "\"bbox\": [1, 2, 3.5, 4], ",
                "",
                "annotations[0] (line 2, column ",
                "expected the key `bbox`, found none",
            ),
            ("\"categories\"", "\"classes\"", "line 3, column ", "expected the key `categories`, found none"),
        ] {
            let complaint = edited(from, to).unwrap_err();
            assert!(complaint.starts_with(key) && complaint.ends_with(&format!(": {expected}")), "{complaint}");
        }
        let twice = edited("{\"id\": 3, \"name\": \"cat\"}", "{\"id\": 3}, {\"id\": 3}").unwrap_err();
        assert_eq!(twice, "categories: expected each id once, found 3 twice");
        for (bytes, expected) in [
            (GOOD.as_bytes().get(..99).unwrap(), "expected a whole JSON file, found its end"),
            (b"[]".as_slice(), "expected an object with `images`, `annotations` and `categories`, found a list"),
            (b"", "found an empty file"),
            (b"<!DOCTYPE html>", "found a web page (HTML)"),
            (b"version https://git-lfs.github.com/spec/v1", "found a Git LFS pointer"),
            (b"\x1f\x8b\x08", "found a gzip file"),
        ] {
            let complaint = instances(bytes).unwrap_err().to_string();
            assert!(complaint.contains(expected), "{complaint}");
        }
        assert!(detections(b"{}").unwrap_err().to_string().contains("expected a list of detections, found an object"));
    }
}
