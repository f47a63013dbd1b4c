//! Names that are near to one that is not known.

/// The one of `known` that is a few typing mistakes away from `name`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let all = known.into_iter().map(|other| (strsim::damerau_levenshtein(name, other), other));
    all.min().filter(|(distance, _)| *distance <= 1 + name.chars().count() / 3).map(|(_, other)| other)
}

/// The same as the middle of a sentence, ``, did you mean `…`?``; nothing where none is near.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}
