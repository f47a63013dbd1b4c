//! Names of many files at once.

/// Whether `path` is what `pattern` says, in which `*` is any part of a name.
pub fn fits(pattern: &str, path: &str) -> bool {
    let (patterns, names) = (pattern.split('/'), path.split('/'));
    patterns.clone().count() == names.clone().count()
        && patterns.zip(names).all(|(pattern, name)| name_fits(pattern, name))
}

fn name_fits(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(begin) else { return false };
    name.char_indices()
        .map(|(at, _)| at)
        .chain([name.len()])
        .any(|at| name.get(at..).is_some_and(|end| name_fits(rest, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_part_of_a_name() {
        for (pattern, path) in [
            ("data/train-*.parquet", "data/train-00000-of-00002.parquet"),
            ("data/train-*.parquet", "data/train-.parquet"),
            ("*/*-of-*", "a/b-of-c"),
            ("*", "é"),
            ("a*a", "aa"),
            ("a*b*c", "abbcc"),
            ("a[1]?{b}", "a[1]?{b}"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("data/train-*.parquet", "data/train-0.parquet.json"),
            ("data/*.parquet", "data/deep/a.parquet"),
            ("*.parquet", "data/a.parquet"),
            ("a*a", "a"),
            ("a?c", "abc"),
            ("data/*", "data"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
    }
}
