//! A name, in the forms that code needs.

use crate::mistake;
use anyhow::Result;

/// Names that a crate or a module cannot have: keywords of any edition, types and crates of the compiler, and folders that
/// cargo keeps beside the binaries.
const RESERVED: &str = "abstract alloc as async await become box break build const continue core crate deps do dyn else \
    enum examples extern false final fn for gen if impl in incremental let loop macro match mod move mut override priv \
    proc-macro pub ref return self static std struct super test trait true try type typeof unsafe unsized use virtual \
    where while yield bool char str u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f16 f32 f64 f128";

/// The longest name for which the templates stay formatted, nearly.
const LONGEST: usize = 32;

/// A name that was checked.
pub(super) struct Name {
    /// `my-task`
    pub(super) kebab: String,
    /// `my_task`
    pub(super) snake: String,
    /// `MyTask`
    camel: String,
    /// What the templates call it, which makes them plain Rust.
    placeholder: &'static str,
}

impl Name {
    /// Reads `text` as the name of what is made of `templates`, which call it `placeholder`.
    pub(super) fn parse<'a>(
        text: &str,
        placeholder: &'static str,
        templates: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let kebab = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.split('-').all(part);
        if !kebab || text.len() > LONGEST {
            return Err(mistake(format!(
                "expected a name of lower-case words with hyphens between them, at most {LONGEST} characters, such as \
                 pose-estimation; found `{text}`"
            )));
        }
        if RESERVED.split_whitespace().any(|reserved| reserved == text) {
            return Err(mistake(format!(
                "expected a name that a crate or module can have, found `{text}`, which Rust or cargo reserves; \
                 choose another, such as my-{text}"
            )));
        }
        let name = Self::new(text, placeholder);
        if text != placeholder && templates.into_iter().any(|template| uses(template, &name.camel)) {
            return Err(mistake(format!(
                "expected a name that the generated code does not need, found `{text}`: it uses a `{}` already; choose \
                 another, such as my-{text}",
                name.camel
            )));
        }
        Ok(name)
    }

    fn new(kebab: &str, placeholder: &'static str) -> Self {
        let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
        let (snake, camel) = (kebab.replace('-', "_"), kebab.split('-').map(capital).collect());
        Self { kebab: kebab.into(), snake, camel, placeholder }
    }

    /// `template` for this name.
    pub(super) fn fill(&self, template: &str) -> String {
        let of = Self::new(self.placeholder, self.placeholder);
        template.replace(&of.kebab, &self.kebab).replace(&of.snake, &self.snake).replace(&of.camel, &self.camel)
    }
}

/// Whether the code of `template` has the word `word`, comments aside.
fn uses(template: &str, word: &str) -> bool {
    let code = template.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.any(|found| found == word)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const CODE: &str = "// A Word.\nuse train::{Headline, Task};\nstruct ExampleTask;";

    fn parse(text: &str) -> Result<Name> {
        Name::parse(text, "example-task", [CODE])
    }

    #[test]
    fn a_name_has_three_forms() {
        let filled = parse("key-point-2d").unwrap().fill("example-task example_task ExampleTask");
        assert_eq!(filled, "key-point-2d key_point_2d KeyPoint2d");
        assert_eq!(parse("my-example-task").unwrap().fill("example-task"), "my-example-task");
        assert_eq!(parse("example-task").unwrap().fill(CODE), CODE);
    }

    #[test]
    fn names_that_do_not_compile_are_mistakes() {
        let refused = |name: &str| parse(name).err().map(|error| error.to_string());
        for name in ["", "A", "Pose", "pose_estimation", "2d", "-a", "a-", "a--b", "a b", "../a", "é", "a/b"] {
            assert!(refused(name).unwrap().contains("lower-case words"), "{name}");
        }
        assert!(refused(&"a".repeat(LONGEST + 1)).is_some());
        for name in ["test", "std", "core", "self", "fn", "async", "try", "u32", "deps", "proc-macro"] {
            assert!(refused(name).unwrap().contains("reserves"), "{name}");
        }
        assert!(refused("task").unwrap().contains("uses a `Task` already"));
        assert_eq!((refused("word"), refused("train-two"), refused("headlines")), (None, None, None));
    }
}
