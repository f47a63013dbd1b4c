//! Where two texts differ, for `report --check`.

/// Lines shown before the first difference.
const CONTEXT: usize = 2;
/// Differing lines shown.
const SHOWN: usize = 8;
/// Characters of a long line shown around the first that differs.
const WIDTH: usize = 120;

/// The first lines in which `found` (in a file) differs from `expected` (from the records), with
/// the lines before them; `None` where the texts are equal.
pub fn difference(expected: &str, found: &str) -> Option<String> {
    if expected == found {
        return None;
    }
    // Not `lines()`, which hides the end of the last line and carriage returns.
    let expected: Vec<&str> = expected.split('\n').collect();
    let found: Vec<&str> = found.split('\n').collect();
    let equal = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
    let head = equal(&mut expected.iter().zip(&found));
    let most = expected.len().min(found.len()) - head;
    let tail = equal(&mut expected.iter().rev().zip(found.iter().rev())).min(most);
    let expected_lines = &expected[head..expected.len() - tail];
    let found_lines = &found[head..found.len() - tail];

    let mut text = format!("line {} (- in the file, + from the records)\n", head + 1);
    for line in &expected[head.saturating_sub(CONTEXT)..head] {
        text += &format!("  {}\n", window(line, 0));
    }
    let lines = expected_lines.len().max(found_lines.len());
    let column = |i: usize| match (expected_lines.get(i), found_lines.get(i)) {
        (Some(a), Some(b)) => a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    };
    for (sign, side) in [('-', found_lines), ('+', expected_lines)] {
        for (i, line) in side.iter().enumerate().take(SHOWN) {
            text += &format!("{sign} {}\n", window(line, column(i)));
        }
    }
    if lines > SHOWN {
        text += &format!("  … and up to {} more lines differ\n", lines - SHOWN);
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
        - two
        + one
        + two
        +
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
