//! Labels of YOLO: a text file an image, and `data.yaml` with the classes.

use data::Malformed;

/// An object, a line of a label file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object {
    /// Index into the classes.
    pub class: u32,
    /// Middle (x, y), width and height of its box as parts of the image's.
    pub numbers: [f64; 4],
    /// The line, from 1.
    pub line: usize,
}

/// The objects of a label file: on each line a class and the box's middle (x, y), width and height
/// as parts of the image's.
///
/// # Errors
///
/// Where a line has something else, such as an outline. The message has the line.
pub fn parse_labels(text: &str) -> Result<Vec<Object>, Malformed> {
    let lines = text.lines().zip(1..).filter(|(text, _)| !text.trim().is_empty());
    lines.map(|(text, line)| object(text, line)).collect()
}

/// The classes in `data.yaml`: the value of `names`, as a list or with numbers from 0 as keys, on
/// lines of its own or in brackets. Nothing else of YAML is understood, and nothing else in the
/// file is read.
///
/// # Errors
///
/// Where there is no `names`, or it has another form. The message has the line.
pub fn parse_yaml(text: &str) -> Result<Vec<String>, Malformed> {
    let mut lines = text.lines().zip(1_usize..).map(|(text, line)| (without_comment(text), line));
    let Some((first, line)) = lines.find_map(|(text, line)| Some((text.strip_prefix("names:")?.trim(), line))) else {
        return Err(Malformed::new("", "a key `names` at the beginning of a line", "none"));
    };
    let entries = match first.chars().next() {
        None => {
            let block = lines.filter(|(text, _)| !text.trim().is_empty());
            let inner = block.take_while(|(text, _)| text.starts_with([' ', '-']));
            inner.map(|(text, line)| (text.trim().to_owned(), line)).collect()
        }
        Some('[' | '{') => {
            let rest = lines.map(|(text, _)| text.trim());
            in_brackets(first, rest, line)?
        }
        Some(_) => return Err(Malformed::new(format!("line {line}"), "a list of names", format!("{first:?}"))),
    };
    let names = entries.iter().enumerate().map(|(index, (entry, line))| name(entry, index, *line));
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(Malformed::new(format!("line {line}"), "at least 1 name", "none"));
    }
    let count = text.lines().zip(1_usize..).find_map(|(text, line)| Some((text.strip_prefix("nc:")?, line)));
    match count.map(|(count, line)| (without_comment(count).trim().parse::<usize>(), line)) {
        Some((Ok(count), line)) if count != names.len() => {
            Err(Malformed::new(format!("line {line}"), format!("`nc` of the {} names", names.len()), count.to_string()))
        }
        _ => Ok(names),
    }
}

fn object(text: &str, line: usize) -> Result<Object, Malformed> {
    let expected = "a class and 4 numbers: middle x, middle y, width, height";
    let malformed = |found: String| Malformed::new(format!("line {line}"), expected, found);
    let words: Vec<&str> = text.split_whitespace().collect();
    let [class, numbers @ ..] = words.as_slice() else { return Err(malformed("nothing".to_owned())) };
    // Some programs write all numbers alike: `3.0`.
    let class = class.strip_suffix(".0").unwrap_or(class).parse().map_err(|_| malformed(format!("class {class:?}")))?;
    let number = |word: &&str| word.parse::<f64>().ok().filter(|number| number.is_finite());
    let parsed: Option<Vec<f64>> = numbers.iter().map(number).collect();
    match parsed.as_deref() {
        Some(&[x, y, width, height]) => Ok(Object { class, numbers: [x, y, width, height], line }),
        Some(others) => {
            let what = match others.len() {
                5 => ": a fifth is the score of a detection, not of a label",
                8 => ": the corners of a turned box",
                count if count > 5 && count % 2 == 0 => ": an outline\n  hint: export boxes",
                _ => "",
            };
            Err(malformed(format!("{} numbers after the class{what}", others.len())))
        }
        None => Err(malformed(format!("{:?}", text.trim()))),
    }
}

/// The entries of a list or map in brackets, which may go over several lines.
fn in_brackets<'a>(
    first: &'a str,
    rest: impl Iterator<Item = &'a str>,
    line: usize,
) -> Result<Vec<(String, usize)>, Malformed> {
    let mut entries = vec![String::new()];
    let (mut quote, mut escaped) = (None, false);
    let text = std::iter::once(first).chain(rest).flat_map(|line| line.chars().chain([' ']));
    for letter in text.skip(1) {
        let plain = !escaped;
        escaped = plain && quote == Some('"') && letter == '\\';
        match (quote, letter) {
            (None, ']' | '}') => {
                let entries = entries.into_iter().map(|entry| entry.trim().to_owned());
                return Ok(entries.filter(|entry| !entry.is_empty()).map(|entry| (entry, line)).collect());
            }
            (None, ',') => {
                entries.push(String::new());
                continue;
            }
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter && plain => quote = None,
            _ => {}
        }
        if let Some(entry) = entries.last_mut() {
            entry.push(letter);
        }
    }
    Err(Malformed::new(format!("line {line}"), "a closing bracket", "the end of the file"))
}

/// The name in `- name`, `3: name` or `name`, the entry with this index.
fn name(entry: &str, index: usize, line: usize) -> Result<String, Malformed> {
    let malformed = |expected: &str, found: &str| {
        Err(Malformed::new(format!("line {line}"), expected.to_owned(), format!("{found:?}")))
    };
    let key = entry.split_once(':').filter(|(key, _)| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()));
    let name = match (entry.strip_prefix('-'), key) {
        (Some(name), _) => name,
        (None, Some((key, name))) if key.parse() == Ok(index) => name,
        (None, Some((key, _))) => return malformed(&format!("the key {index}"), key),
        (None, None) => entry,
    };
    let name = name.trim();
    let inner = |quote: char| name.strip_prefix(quote)?.strip_suffix(quote);
    let name = match (inner('\''), inner('"')) {
        (Some(inner), _) => Some(inner.replace("''", "'")),
        (None, Some(inner)) => unescaped(inner),
        // Else it is no plain name: `- name: cat` is a map.
        (None, None) => Some(name.to_owned()).filter(|name| {
            !name.starts_with(['[', '{', '&', '*', '|', '>', '\'', '"']) && !name.contains(": ") && !name.ends_with(':')
        }),
    };
    name.filter(|name| !name.is_empty()).map_or_else(|| malformed("a plain name", entry), Ok)
}

/// What stands in double quotes; nothing where it has another escape than programs write in names.
fn unescaped(text: &str) -> Option<String> {
    let (mut plain, mut letters) = (String::new(), text.chars());
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        let digits = match letters.next()? {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            same @ ('"' | '\\' | '/' | ' ') => {
                plain.push(same);
                continue;
            }
            _ => return None,
        };
        let code: String = letters.by_ref().take(digits).collect();
        plain.push(char::from_u32(u32::from_str_radix(&code, 16).ok().filter(|_| code.len() == digits)?)?);
    }
    Some(plain)
}

/// A line up to a comment that is not in quotes.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut escaped) = (None, false);
    let mut before = ' ';
    for (index, letter) in line.char_indices() {
        let plain = !escaped;
        escaped = plain && quote == Some('"') && letter == '\\';
        match (quote, letter) {
            (None, '#') if before.is_whitespace() => return line.get(..index).unwrap_or(line).trim_end(),
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter && plain => quote = None,
            _ => {}
        }
        before = letter;
    }
    line.trim_end()
}
