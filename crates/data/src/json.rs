//! JSON files, and what is wrong with them in the words of JSON.

use serde::de::DeserializeOwned;

use crate::{Malformed, kind, text};

/// What a JSON file holds, as `expected` says in words; `start` is what it begins with, `{` or `[`. A byte order mark is
/// passed over.
///
/// # Errors
///
/// Where it is no such JSON. The message has the way of keys, the line and the column.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], start: u8, expected: &str) -> Result<T, Malformed> {
    if let Some(kind) = kind::of(bytes).filter(|kind| !kind.is_text || bytes.is_empty()) {
        return Err(Malformed::new("", format!("JSON: {expected}"), kind.found()));
    }
    let text = text::decode(bytes)?;
    let first = text.trim_start().bytes().next();
    if let Some(found @ (b'{' | b'[')) = first.filter(|&first| first != start) {
        return Err(Malformed::new("", expected, if found == b'{' { "an object" } else { "a list" }));
    }
    // It takes time to know where a mistake is, so that is asked only where there is one.
    serde_json::from_str(&text).or_else(|_| {
        let mut json = serde_json::Deserializer::from_str(&text);
        let parsed = serde_path_to_error::deserialize(&mut json);
        let parsed = parsed.map_err(|error| match error.path().to_string().as_str() {
            "." => explain("", error.inner()),
            key => explain(key, error.inner()),
        })?;
        json.end().map_err(|error| explain("", &error))?;
        Ok(parsed)
    })
}

/// What was expected, what was found and where.
fn explain(key: &str, error: &serde_json::Error) -> Malformed {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let line = format!("line {}, column {}", error.line(), error.column());
    let at = if key.is_empty() { line } else { format!("{key} ({line})") };
    if let Some((found, expected)) = message.split_once(", expected ") {
        let found = ["invalid type: ", "invalid value: ", "invalid length "]
            .iter()
            .find_map(|prefix| found.strip_prefix(prefix))
            .unwrap_or(found);
        Malformed::new(at, plain(expected), plain(found))
    } else if let Some(key) = message.strip_prefix("missing field ") {
        Malformed::new(at, format!("the key {key}"), "none")
    } else if let Some(key) = message.strip_prefix("duplicate field ") {
        Malformed::new(at, format!("the key {key} once"), "it twice")
    } else if error.is_eof() {
        Malformed::new(at, "a whole JSON file", "its end\n  hint: only a part was copied or downloaded: get it again")
    } else {
        Malformed::new(at, "JSON, which has no NaN, no infinity and no comments", message)
    }
}

/// Types of Rust in JSON's words.
fn plain(name: &str) -> String {
    let words = match name {
        "i64" | "u32" => "a whole number",
        "f64" => "a number",
        "a sequence" | "sequence" => "a list",
        "map" => "an object",
        _ => {
            return name
                .replace("floating point ", "the number ")
                .replace("integer ", "the number ")
                .replace("string ", "the text ");
        }
    };
    words.to_owned()
}
