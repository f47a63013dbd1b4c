//! The guide in `docs`, and every other page of the repository: links lead somewhere, the table of contents is complete,
//! and quoted code is in the templates.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// How pages of the guide link to files outside of `docs`, which a rendered book does not contain.
const REPOSITORY: &str = "https://github.com/wrs-bench/wrs-bench/blob/main/";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The markdown files of `folder`, and of its folders unless they are hidden or made by tools.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir()
            && !name.starts_with('.')
            && !["target", "runs", "templates", "node_modules"].contains(&name.as_str())
        {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}

/// The targets of the markdown links of a page, outside of blocks of code.
fn links(text: &str) -> Vec<String> {
    let prose: Vec<&str> = text.split("```").step_by(2).collect();
    let targets = prose.iter().flat_map(|part| part.split("](").skip(1));
    targets.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// The anchor that GitHub and mdbook give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Whether `text` has the anchor `name`.
fn has_anchor(text: &str, name: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#')));
    headings.into_iter().any(|heading| heading == name) || text.contains(&format!("id=\"{name}\""))
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages(&root()) {
        let text = read(&page);
        for link in links(&text) {
            let (path, fragment) = link.split_once('#').unwrap_or((link.as_str(), ""));
            let target = match path.strip_prefix(REPOSITORY) {
                Some(path) => root().join(path),
                None if path.contains("://") || path.starts_with("mailto:") => continue,
                None if path.is_empty() => page.clone(),
                None => page.parent().unwrap().join(path),
            };
            let is_there = target.exists()
                && (fragment.is_empty()
                    || target.extension().is_none_or(|e| e != "md")
                    || has_anchor(&read(&target), fragment));
            if !is_there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn chapters_are_in_the_table_of_contents_and_link_within_the_book() {
    let docs = root().join("docs");
    let contents = links(&read(&docs.join("SUMMARY.md")));
    for page in pages(&docs) {
        let name = page.strip_prefix(&docs).unwrap().to_string_lossy().into_owned();
        assert!(name == "SUMMARY.md" || contents.contains(&name), "docs/SUMMARY.md does not link to {name}");
        let outside = links(&read(&page)).into_iter().find(|link| link.starts_with("../"));
        assert_eq!(outside, None, "{name}: a link out of the book; write {REPOSITORY}… instead");
    }
}

#[test]
fn quoted_code_is_that_of_the_templates() {
    let templates = root().join("xtask/templates");
    let mut quotes = 0;
    for page in pages(&root().join("docs")) {
        for block in read(&page).split("```rust,ignore,template=").skip(1) {
            let (name, rest) = block.split_once('\n').unwrap();
            let code = rest.split("```").next().unwrap();
            let lines =
                |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
            let template = lines(&read(&templates.join(name)));
            assert!(template.contains(&lines(code)), "{}: {name} has no such code:\n{code}", page.display());
            quotes += 1;
        }
    }
    assert!(quotes > 0, "expected quotes of templates in the guide");
}
