//! Names that are near to one that is not known.

/// A suggestion, where one of `known` is a few typing mistakes away from `name`.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|other| (strsim::damerau_levenshtein(name, other), other)).min();
    match nearest {
        Some((distance, best)) if distance <= 1 + name.chars().count() / 3 => format!(", did you mean `{best}`?"),
        _ => String::new(),
    }
}
