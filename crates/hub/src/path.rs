//! Paths of repositories and data sets.

/// Whether `path` is a plain relative path, whose parts all go down: nothing that is read from a manifest or from the
/// hub may name a file elsewhere.
pub(crate) fn is_plain(path: &str) -> bool {
    let good = |part: &str| !matches!(part, "" | "." | "..");
    path.split('/').all(good) && !path.contains(|c: char| c == '\\' || c == ':' || c.is_control())
}

/// What [`is_plain`] expects.
pub(crate) const PLAIN: &str = "a relative path without `..`, empty parts, backslashes and colons";

/// Whether `path` is what `pattern` says, in which `*` is any part of a name.
pub(crate) fn fits(pattern: &str, path: &str) -> bool {
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
    fn paths_that_leave_the_folder_are_not_plain() {
        for path in ["a", "train/0000.parquet", "a/.b/..c", "spaced name/é#?%"] {
            assert!(is_plain(path), "{path}");
        }
        for path in [
            "", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/..", "a/./b", "a\\b", "..\\a", "c:/a", "a\0",
            "a\nb",
        ] {
            assert!(!is_plain(path), "{path}");
        }
    }

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
