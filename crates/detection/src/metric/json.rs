//! Annotations and results in COCO's JSON.

use super::{Boxes, Found, Truth};
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::de::{DeserializeOwned, Error, IgnoredAny, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// What a file of annotations and one of results say.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    /// The objects and the detections.
    pub boxes: Boxes,
    /// The ids of the categories, ascending: a class is an index into them.
    pub categories: Vec<i64>,
    /// Width and height in pixels of each image, where the file has them.
    pub sizes: Vec<Option<[f64; 2]>>,
}

/// Reads objects from the file `annotations` and detections of them from `results`, both as COCO has them
/// (<https://cocodataset.org/#format-data>, <https://cocodataset.org/#format-results>); keys that boxes do not need are
/// passed over.
///
/// # Errors
///
/// Where a file cannot be read, is not such JSON, has an id twice, names an image or a category that `annotations`
/// does not list, or has a box of negative size.
pub fn read(annotations: &Path, results: &Path) -> Result<Files> {
    let (instances, detections) = rayon::join(
        || parse::<Instances>(annotations, b'{', "an object with `images`, `annotations` and `categories`"),
        || parse::<Vec<Detected>>(results, b'[', "a list of detections"),
    );
    let (instances, detections) = (instances?, detections?);
    let ids = Ids::of(&instances).with_context(|| annotations.display().to_string())?;
    let mut truths = Vec::with_capacity(instances.annotations.len());
    for (index, annotation) in instances.annotations.iter().enumerate() {
        let truth = ids.truth(annotation);
        let place = || format!("{}: annotations[{index}] (id {})", annotations.display(), annotation.id.0);
        truths.push(truth.with_context(place)?);
    }
    let mut found = Vec::with_capacity(detections.len());
    for (index, detection) in detections.iter().enumerate() {
        found.push(ids.found(detection).with_context(|| format!("{}: [{index}]", results.display()))?);
    }
    let images = u32::try_from(ids.images.len()).context("too many images")?;
    let mut categories: Vec<i64> = instances.categories.iter().map(|category| category.id.0).collect();
    categories.sort_unstable();
    let mut listed: Vec<&Image> = instances.images.iter().collect();
    listed.sort_unstable_by_key(|image| image.id.0);
    let size = |image: &Image| Some([image.width.0?, image.height.0?]);
    let sizes = listed.into_iter().map(size).collect();
    Ok(Files { boxes: Boxes { images, truths, found }, categories, sizes })
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Instances {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with the key `id`")]
struct Image {
    id: Id,
    #[serde(default)]
    width: Side,
    #[serde(default)]
    height: Side,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with the key `id`")]
struct Category {
    id: Id,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with the keys `id`, `image_id`, `category_id` and `bbox`")]
struct Annotation {
    id: Id,
    image_id: Id,
    category_id: Id,
    bbox: Bounds,
    area: Option<f64>,
    #[serde(default)]
    iscrowd: Flag,
}

#[derive(Deserialize)]
#[serde(expecting = "an object with the keys `image_id`, `category_id`, `bbox` and `score`")]
struct Detected {
    image_id: Id,
    category_id: Id,
    bbox: Bounds,
    score: f64,
}

/// A whole number, which some programs write as 139.0.
struct Id(i64);

/// Pixels, where it is a number above 0. Scores do not depend on it, so that anything else is passed over.
#[derive(Default)]
struct Side(Option<f64>);

/// Left, top, width and height.
struct Bounds([f64; 4]);

/// 0 or 1, false or true.
#[derive(Default)]
struct Flag(bool);

/// Images and categories by their ids, counted in the order of the ids.
struct Ids {
    images: HashMap<i64, u32>,
    categories: HashMap<i64, u32>,
}

impl Ids {
    fn of(instances: &Instances) -> Result<Self> {
        count("annotations", instances.annotations.iter().map(|annotation| annotation.id.0).collect())?;
        Ok(Self {
            images: count("images", instances.images.iter().map(|image| image.id.0).collect())?,
            categories: count("categories", instances.categories.iter().map(|category| category.id.0).collect())?,
        })
    }

    fn truth(&self, annotation: &Annotation) -> Result<Truth> {
        let bounds @ [_, _, width, height] = sized(&annotation.bbox)?;
        let area = annotation.area.unwrap_or(width * height);
        ensure!(area >= 0.0, "area: expected 0 or more, found {area}");
        let (image, class) = (self.image(annotation.image_id.0)?, self.category(annotation.category_id.0)?);
        Ok(Truth { image, class, bounds, area, ignore: annotation.iscrowd.0 })
    }

    fn found(&self, detection: &Detected) -> Result<Found> {
        let (image, class) = (self.image(detection.image_id.0)?, self.category(detection.category_id.0)?);
        Ok(Found { image, class, bounds: sized(&detection.bbox)?, score: detection.score })
    }

    fn image(&self, id: i64) -> Result<u32> {
        let expected = || anyhow!("image_id: expected the id of an image of the annotations, found {id}");
        self.images.get(&id).copied().ok_or_else(expected)
    }

    fn category(&self, id: i64) -> Result<u32> {
        let expected = || anyhow!("category_id: expected the id of a category of the annotations, found {id}");
        self.categories.get(&id).copied().ok_or_else(expected)
    }
}

fn count(list: &str, mut ids: Vec<i64>) -> Result<HashMap<i64, u32>> {
    ids.sort_unstable();
    if let Some([id, _]) = ids.array_windows().find(|[a, b]| a == b) {
        return Err(anyhow!("{list}: expected each id once, found {id} twice"));
    }
    Ok(ids.into_iter().zip(0..).collect())
}

fn sized(&Bounds(bounds @ [_, _, width, height]): &Bounds) -> Result<[f64; 4]> {
    let expected = "bbox: expected left, top, width and height, both of 0 or more, found";
    ensure!(width >= 0.0 && height >= 0.0, "{expected} {bounds:?}");
    Ok(bounds)
}

/// Parses the file `path`, which is to hold `expected`, something that starts with `start`.
fn parse<T: DeserializeOwned>(path: &Path, start: u8, expected: &str) -> Result<T> {
    let file = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {file}"))?;
    let text = record::text::utf8(&bytes).map_err(|reason| anyhow!("{file}: {reason}"))?;
    let found = text.trim_start().bytes().next();
    if found.is_none() {
        bail!("{file}: expected {expected}, found an empty file");
    }
    if let Some(found @ (b'{' | b'[')) = found.filter(|&found| found != start) {
        let found = if found == b'{' { "an object" } else { "a list" };
        bail!("{file}: expected {expected}, found {found}");
    }
    // It takes time to know where a mistake is, so that is asked only where there is one.
    serde_json::from_str(text).or_else(|_| {
        let mut json = serde_json::Deserializer::from_str(text);
        let parsed = serde_path_to_error::deserialize(&mut json);
        let parsed = parsed.map_err(|error| match error.path().to_string().as_str() {
            "." => anyhow!("{file}: {}", explain(error.inner())),
            key => anyhow!("{file}: {key}: {}", explain(error.inner())),
        })?;
        json.end().map_err(|error| anyhow!("{file}: {}", explain(&error)))?;
        Ok(parsed)
    })
}

/// What was expected, what was found and where.
fn explain(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let place = format!("line {}, column {}", error.line(), error.column());
    if let Some((found, expected)) = message.rsplit_once(", expected ") {
        let found = found.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ");
        let found = found.trim_start_matches("invalid length ");
        format!("expected {}, found {} ({place})", plain(expected), value(found))
    } else if let Some(key) = message.strip_prefix("missing field ") {
        format!("expected the key {key}, found none ({place})")
    } else if error.is_data() {
        format!("{message} ({place})")
    } else {
        format!("expected JSON, which has no NaN and no infinity: {message} ({place})")
    }
}

/// A type of Rust in JSON's words.
fn plain(name: &str) -> &str {
    match name {
        "i64" => "a whole number",
        "f64" => "a number",
        "a sequence" | "sequence" => "a list",
        "map" => "an object",
        _ => name,
    }
}

/// A value as serde describes it, in JSON's words.
fn value(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "boolean", number)) => number.trim_matches('`').to_owned(),
        Some(("floating", number)) => number.trim_start_matches("point ").trim_matches('`').to_owned(),
        _ => plain(found).to_owned(),
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Id, E> {
        Ok(Id(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Id, E> {
        i64::try_from(number).map(Id).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Id, E> {
        /// Beyond it, not every whole number is one of these.
        const EXACT: f64 = (1u64 << 53) as f64;
        match number.fract() == 0.0 && number.abs() <= EXACT {
            true => Ok(Id(number as i64)),
            false => Err(E::invalid_type(Unexpected::Float(number), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Side {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Value::deserialize(deserializer)?.as_f64();
        Ok(Self(number.filter(|number| *number > 0.0)))
    }
}

impl<'de> Deserialize<'de> for Bounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundsVisitor)
    }
}

struct BoundsVisitor;

impl<'de> Visitor<'de> for BoundsVisitor {
    type Value = Bounds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("4 numbers: left, top, width and height")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Bounds, A::Error> {
        let mut bounds = [0.0; 4];
        for (index, bound) in bounds.iter_mut().enumerate() {
            *bound = numbers.next_element()?.ok_or_else(|| A::Error::invalid_length(index, &self))?;
        }
        let mut length = bounds.len();
        while numbers.next_element::<IgnoredAny>()?.is_some() {
            length += 1;
        }
        if length == bounds.len() { Ok(Bounds(bounds)) } else { Err(A::Error::invalid_length(length, &self)) }
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlagVisitor)
    }
}

struct FlagVisitor;

impl Visitor<'_> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0 or 1")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Flag, E> {
        Ok(Flag(flag))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Flag, E> {
        match number {
            0 | 1 => Ok(Flag(number == 1)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Flag, E> {
        match number {
            0.0 | 1.0 => Ok(Flag(number == 1.0)),
            _ => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }
}
