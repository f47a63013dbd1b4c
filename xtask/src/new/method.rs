//! `new method`: a file, its entry in the list of methods, and its part of their page.

use super::name::Name;
use crate::workspace::Workspace;
use crate::{mistake, say};
use anyhow::Result;
use files::{read_text, read_text_if_present, write_atomic};
use std::process::ExitCode;

const TEMPLATE: &str = include_str!("../../templates/method.rs");
const PART: &str = include_str!("../../templates/method.md");
/// What these call the method.
const PLACEHOLDER: &str = "example-method";

const LIST: &str = "crates/regularize/src/method/list.rs";
const PAGE: &str = "crates/regularize/METHODS.md";
/// Lines above which something is added.
const MODULES: &str = "// `cargo xtask new method` adds modules above this line.";
const ENTRIES: &str = "    // `cargo xtask new method` adds entries above this line.";
const OPTIMIZERS: &str = "## Optimizers";

pub(super) fn new(name: &str) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let name = Name::parse(name, PLACEHOLDER, [TEMPLATE])?;
    let (kebab, snake) = (&name.kebab, &name.snake);
    let file = format!("crates/regularize/src/method/list/{snake}.rs");
    let (text, part) = (name.fill(TEMPLATE), name.fill(PART));
    let [list, page] = [LIST, PAGE].map(|path| read_text(&workspace.root.join(path)));
    let (list, page) = (list?, page?);
    let taken = |by: &str| Err(mistake(format!("`{kebab}` is taken: {by}; choose another name, or move it away")));
    let listed = list.lines().any(|line| line == format!("mod {snake};"));
    // The list uses a module `settings` itself.
    if listed || snake == "settings" || list.contains(&format!("name: \"{kebab}\"")) {
        return taken(&format!("{LIST} has it"));
    }
    if page.contains(&format!("### {kebab}\n")) && !page.contains(&part) {
        return taken(&format!("{PAGE} has it"));
    }
    if read_text_if_present(&workspace.root.join(&file))?.is_some_and(|present| present != text) {
        return taken(&format!("expected nothing at {file}, found something else than what would be written"));
    }
    // The list is the last: until the file is in it, it is none of the compiler's business, and the same command goes on.
    let files = [(file.as_str(), text), (PAGE, with_part(&page, &part)?), (LIST, with_entry(&list, snake)?)];
    for (path, text) in files {
        write_atomic(&workspace.root.join(path), text.as_bytes())?;
        say(path);
    }
    eprintln!(
        "wrote the method {kebab}, its entry in the list, and its section of the page\n\
         a `[[method]]` with `name = \"{kebab}\"` in a configuration compares it\n\
         next:\n  \
         cargo test -p regularize    its test, and those that every method passes\n  \
         {file}    its settings and its rule; after a change, regenerate the page:\n  \
         cargo xtask methods --markdown > {PAGE}"
    );
    Ok(ExitCode::SUCCESS)
}

/// The list with the module `snake` and what it says of its method.
fn with_entry(list: &str, snake: &str) -> Result<String> {
    let (module, entry) = (format!("mod {snake};"), format!("    {snake}::INFO,"));
    let mut lines: Vec<&str> = list.lines().collect();
    let end = find(&lines, LIST, MODULES, "below the modules")?;
    lines.insert(end, &module);
    let begin = lines[..end].iter().rposition(|line| !line.starts_with("mod ")).map_or(0, |before| before + 1);
    // As rustfmt has them.
    lines[begin..=end].sort_unstable();
    let end = find(&lines, LIST, ENTRIES, "at the end of `METHODS`")?;
    lines.insert(end, &entry);
    Ok(lines.join("\n") + "\n")
}

/// The page with `part` behind the other methods, as `cargo xtask methods --markdown` would write it.
fn with_part(page: &str, part: &str) -> Result<String> {
    if page.contains(part) {
        return Ok(page.into());
    }
    let mut lines: Vec<&str> = page.lines().collect();
    let end = find(&lines, PAGE, OPTIMIZERS, "between methods and optimizers")?;
    lines.splice(end..end, part.lines().chain([""]));
    Ok(lines.join("\n") + "\n")
}

/// Where the line `mark` is in the file at `path`, whose place is `place`.
fn find(lines: &[&str], path: &str, mark: &str, place: &str) -> Result<usize> {
    lines.iter().position(|line| *line == mark).ok_or_else(|| {
        let mark = mark.trim();
        mistake(format!(
            "{path}: expected the line `{mark}` {place}, found none; put it back and run the command again"
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn entries_go_above_their_marks() {
        let list = |modules: &str, entries: &str| {
            format!("//! Methods.\n\n{modules}{MODULES}\n\nconst METHODS: &[Info] = &[\n{entries}{ENTRIES}\n];\n")
        };
        let before = list("mod b;\n", "    b::INFO,\n");
        let after = list("mod a;\nmod b;\nmod c;\n", "    b::INFO,\n    c::INFO,\n    a::INFO,\n");
        assert_eq!(with_entry(&with_entry(&before, "c").unwrap(), "a").unwrap(), after);
        for (mark, place) in [(MODULES, "below the modules"), (ENTRIES, "at the end of `METHODS`")] {
            let error = with_entry(&before.replace(mark, ""), "a").unwrap_err();
            assert!(error.is::<crate::Mistake>());
            assert!(error.to_string().contains(mark.trim()) && error.to_string().contains(place), "{error}");
        }
    }

    #[test]
    fn a_part_goes_behind_the_other_methods_once() {
        let page = with_part("### a\n\nA.\n\n## Optimizers\n\n### sgd\n", "### b\n\nB.\n").unwrap();
        assert_eq!(page, "### a\n\nA.\n\n### b\n\nB.\n\n## Optimizers\n\n### sgd\n");
        assert_eq!(with_part(&page, "### b\n\nB.\n").unwrap(), page);
        assert!(with_part("### a\n", "### b\n").unwrap_err().to_string().contains("METHODS.md: expected the line"));
    }
}
