//! Paths of repositories and data sets.

/// Whether `path` is a plain relative path, whose parts all go down: nothing that is read from a manifest or from the
/// hub may name a file elsewhere.
pub(crate) fn is_plain(path: &str) -> bool {
    let good = |part: &str| !matches!(part, "" | "." | "..");
    path.split('/').all(good) && !path.contains(|c: char| c == '\\' || c == ':' || c.is_control())
}

/// What [`is_plain`] expects.
pub(crate) const PLAIN: &str = "a relative path without `..`, empty parts, backslashes and colons";

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
}
