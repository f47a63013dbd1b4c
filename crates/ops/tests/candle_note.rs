//! `docs/candle.md` quotes `examples/candle_bugs.rs`, which compiles and runs: what it shows is what is there.

const NOTE: &str = include_str!("../../../docs/candle.md");
const EXAMPLE: &str = include_str!("../examples/candle_bugs.rs");

/// The content of the note's blocks of code in `language`.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    NOTE.split(&opening).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_note_shows_the_reproductions_as_they_are() {
    let blocks = blocks("rust");
    assert!(blocks.len() > 18, "a reproduction for each entry, and the beginning");
    for item in blocks.iter().flat_map(|block| block.split("\n\n")) {
        assert!(EXAMPLE.contains(item.trim()), "not in the example:\n{item}");
    }
}

#[test]
fn the_note_has_a_result_for_each_reproduction() {
    let results = blocks("text").concat();
    let cases = EXAMPLE.split("const CASES").nth(1).unwrap_or_default();
    let titles: Vec<_> = cases.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next()).collect();
    assert!(titles.len() > 30);
    for title in titles {
        assert!(results.lines().any(|line| line == title), "no result of `{title}`");
    }
}
