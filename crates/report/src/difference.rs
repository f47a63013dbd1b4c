//! Where two texts differ, for `report --check`.

use similar::{DiffOp, DiffTag, TextDiff};

/// Lines shown before the first difference.
const CONTEXT: usize = 2;
/// Differing lines shown.
const SHOWN: usize = 8;
/// Characters of a long line shown around the first that differs.
const WIDTH: usize = 120;

/// The first lines in which `found` (in a file) differs from `expected` (from the records), with
/// the lines before them; `None` where the texts are equal.
pub fn difference(expected: &str, found: &str) -> Option<String> {
    // Not `lines()`, which hides the end of the last line and carriage returns.
    let [expected, found] = [expected, found].map(|text| text.split('\n').collect::<Vec<&str>>());
    let diff = TextDiff::from_slices(&found, &expected);
    let mut changes = diff.ops().iter().filter(|op| op.tag() != DiffTag::Equal);
    let first = changes.next()?;
    let [before, after] = [&found[first.old_range()], &expected[first.new_range()]];

    let start = first.old_range().start;
    let mut text = format!("line {} (- in the file, + from the records)\n", start + 1);
    for line in &found[start.saturating_sub(CONTEXT)..start] {
        text += &format!("  {}\n", window(line, 0));
    }
    let column = |i: usize| match (before.get(i), after.get(i)) {
        (Some(a), Some(b)) => a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    };
    for (sign, side) in [('-', before), ('+', after)] {
        for (i, line) in side.iter().enumerate().take(SHOWN) {
            text += &format!("{sign} {}\n", window(line, column(i)));
        }
    }
    let lines = |op: &DiffOp| op.old_range().len().max(op.new_range().len());
    let more = lines(first).saturating_sub(SHOWN) + changes.map(lines).sum::<usize>();
    match more {
        0 => {}
        1 => text += "  … and 1 more line differs\n",
        more => text += &format!("  … and {more} more lines differ\n"),
    }
    Some(text)
}

/// The part of `line` around character `column`, with invisible characters made visible.
fn window(line: &str, column: usize) -> String {
    let characters: Vec<char> = line.chars().collect();
    let start = if characters.len() <= WIDTH { 0 } else { column.saturating_sub(WIDTH / 2) };
    let end = characters.len().min(start + WIDTH);
    let mut text = String::new();
    if start > 0 {
        text.push('…');
    }
    for character in &characters[start..end] {
        match character {
            control if control.is_control() => text.extend(control.escape_default()),
            other => text.push(*other),
        }
    }
    if end < characters.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_none() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
    }

    #[test]
    fn the_first_differing_lines_are_shown_with_context() {
        let expected = "one\ntwo\nthree\nfour\nfive\nsix\n";
        let found = "one\ntwo\nthree\n4\nfive\nsix\n";
        insta::assert_snapshot!(difference(expected, found).unwrap(), @r"
        line 4 (- in the file, + from the records)
          two
          three
        - 4
        + four
        ");
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        insta::assert_snapshot!(difference("one\ntwo\n", "one\r\ntwo").unwrap(), @r"
        line 1 (- in the file, + from the records)
        - one\r
        + one
          … and 1 more line differs
        ");
    }

    #[test]
    fn a_line_more_is_no_difference_below_it() {
        insta::assert_snapshot!(difference("one\ntwo\nthree\n", "one\nthree\n").unwrap(), @r"
        line 2 (- in the file, + from the records)
          one
        + two
        ");
    }

    #[test]
    fn long_lines_are_cut_around_the_difference() {
        let line = |digit: char| format!("{}{digit}{}", "a".repeat(300), "b".repeat(300));
        let text = difference(&line('1'), &line('2')).unwrap();
        assert!(text.contains("a1b") && text.contains("a2b"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() < WIDTH + 8), "{text}");
    }
}
