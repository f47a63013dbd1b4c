//! Lists of named things: what configurations, the command line, errors and pages know of them.

use crate::base::{Base, OPTIMIZERS};
use crate::error::Error;
use crate::method::METHODS;
use crate::settings::Table;
use serde::Serialize;
use serde_json::{Value, json};

/// What a list says of one method or optimizer.
#[derive(Debug, Clone, Copy)]
pub struct Info<T> {
    /// Name in configurations.
    pub name: &'static str,
    /// One line.
    pub description: &'static str,
    /// The rule, in the notation of [`crate::methods`].
    pub formula: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Where its assumptions fail, or what to know before use.
    pub limits: &'static str,
    /// What keys may be instead of their default.
    pub choices: Choices,
    /// Reads its settings: the table without `name`.
    pub read: fn(Table) -> Result<T, Error>,
}

/// Keys, each with values as TOML writes them.
pub type Choices = &'static [(&'static str, &'static [&'static str])];

/// The entry `name` of `list`; a name that comes from code is in its list, which tests check.
pub(crate) fn info_of<T>(list: &'static [Info<T>], name: &str) -> &'static Info<T> {
    list.iter().find(|info| info.name == name).unwrap_or(&list[0])
}

/// Reads the settings in `rest` as the entry `name` of `list`.
pub(crate) fn read_named<T>(kind: &'static str, list: &[Info<T>], name: &str, rest: Table) -> Result<T, Error> {
    match list.iter().find(|info| info.name == name) {
        Some(info) => (info.read)(rest),
        None => {
            let known = list.iter().map(|info| info.name).collect();
            Err(Error::Unknown { kind, name: name.into(), known })
        }
    }
}

/// All methods and optimizers as JSON: `{"methods": […], "optimizers": […], "page": "…"}`, each with name,
/// description, formula, source, limits, a table of defaults, and its part of the page, [`crate::methods`].
///
/// # Errors
///
/// None in practice: where a list holds an entry that cannot be read without settings.
pub fn catalogue() -> Result<Value, Error> {
    let methods = entries(METHODS, |method| method.to_table())?;
    let optimizers = entries(OPTIMIZERS, |rule| Base::from(rule).to_table())?;
    let parts = [parts(&methods), OPTIMIZERS_TITLE.to_owned(), parts(&optimizers), PEERS.to_owned()].concat();
    let page = format!("{INTRODUCTION}\n## Methods\n{parts}");
    Ok(json!({"methods": methods, "optimizers": optimizers, "page": page}))
}

const INTRODUCTION: &str = "\
# Methods and optimizers

Everything that `regularize` implements: rule, defaults as a configuration writes them, source, and what to know before
use. Written by `cargo xtask methods --markdown`; an alternative to a default stands behind it.

`w` is a weight and `f` one of its filters, a row of dimension 0 with `n` values; `w₀`, `f₀` are those at the start.
`∇L` is the gradient of the loss, `g` what the rule makes of it, `u` the update of the base optimizer without learning
rate and decay. `η` is the learning rate with the schedule applied, `λ` the decay, `μ` the momentum, `t` the step, `·`
between two vectors their inner product, `[…]` 1 where the condition holds and else 0. `m̂`, `v̂` and `ŝ` are corrected
for their start at 0.
";

const OPTIMIZERS_TITLE: &str = "
## Optimizers

All of them take two more keys, which are not set by default: `clip_norm`, the global norm that gradients are scaled
down to, and `sam_rho`, the radius ρ of sharpness-aware minimization (SAM, arXiv 2010.01412; .05 in the paper).
";

const PEERS: &str = "\

## Definitions that differ from peers

Compared step by step by tools/peers/optimizers.py, or file by file by tools/peers/coco_random.py, where nothing else is
said. Versions: adamp 0.3.0, timm 1.0.31, pytorch_optimizer 4.1.0.

- **`sgdp` without Nesterov's momentum** projects the momentum buffer itself, as adamp does, where update and buffer are
  one tensor. timm and pytorch_optimizer project a copy and keep the buffer, so that what was taken off comes back in
  the next steps: after 30 steps of random gradients at `lr` 0.1, δ 0.1 and momentum 0.9, parameters are 24 to 71 % of
  their largest value apart. With Nesterov's momentum all four agree.
- **`adamp`** adds ε behind the correction of the second moment, as adamp and timm; pytorch_optimizer adds it before.
- **`weight-decay` of the form `corrected`** scales the decay of scale-invariant weights alone, for which arXiv 2506.02285
  derives it; other parameters have decoupled decay. `corrected_weight_decay` of timm scales that of all parameters that
  decay.
- **`weight-standardization`** divides by the deviation with n − 1 and adds 1e-5 to it, as the code of the paper.
  `StdConv2d` of timm divides by the square root of the variance with n and 1e-6 added: its filters are
  √(n/(n − 1)) times as long, 2 % for 3×3 filters of 3 channels and less for larger ones.
- **`cargo xtask eval detection --style voc`**, though no method: sizes of boxes are right − left and bottom − top, as COCO has
  them. The devkit of Pascal VOC takes coordinates for indices of pixels and adds 1 to both, which changes the IoU of small
  boxes, and so which detections find an object.
";

/// An entry of the catalogue.
#[derive(Serialize)]
struct Entry {
    name: &'static str,
    description: &'static str,
    formula: &'static str,
    source: &'static str,
    limits: &'static str,
    defaults: Table,
    page: String,
}

/// The entries of `list`, with defaults as `table` writes them.
fn entries<T>(list: &[Info<T>], table: impl Fn(T) -> Table) -> Result<Vec<Entry>, Error> {
    let entry = |info: &Info<T>| {
        let mut defaults = table((info.read)(Table::new())?);
        defaults.remove("name");
        let Info { name, description, formula, source, limits, choices, .. } = *info;
        let toml = toml(name, &defaults, choices);
        let page = format!(
            "### {name}\n\n{}\n\n```text\n{formula}\n```\n\n```toml\n{toml}```\n\nSource: {source}.\n\nLimits: {limits}.\n",
            sentence(description),
        );
        Ok(Entry { name, description, formula, source, limits, defaults, page })
    };
    list.iter().map(entry).collect()
}

/// The parts of the page of `entries`.
fn parts(entries: &[Entry]) -> String {
    entries.iter().map(|entry| format!("\n{}", entry.page)).collect()
}

/// `text` with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

/// Settings as a configuration writes them: a key a line, what else it may be in a comment.
fn toml(name: &str, defaults: &Table, choices: Choices) -> String {
    let line = |(key, value): (&String, &Value)| {
        let others =
            choices.iter().find(|(of, _)| of == key).map(|(_, values)| format!("  # or {}", values.join(", ")));
        match value {
            Value::Null => format!("# {key} is not set\n"),
            value => format!("{key} = {}{}\n", inline(value), others.unwrap_or_default()),
        }
    };
    format!("name = \"{name}\"\n{}", defaults.iter().map(line).collect::<String>())
}

/// A value on one line of TOML.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let keys: Vec<String> = table.iter().map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            format!("{{ {} }}", keys.join(", "))
        }
        // Texts, numbers and flags are written alike in JSON and TOML.
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_page_is_up_to_date() {
        let page = catalogue().unwrap()["page"].as_str().unwrap().to_owned();
        let stale = "METHODS.md is stale: `cargo xtask methods --markdown > crates/regularize/METHODS.md`";
        assert!(page == include_str!("../METHODS.md"), "{stale}");
    }

    /// A TOML table, less its name.
    fn parsed(text: &str) -> Table {
        let mut table: Table = toml::from_str(text).unwrap();
        table.remove("name").unwrap();
        table
    }

    fn check<T>(list: &[Info<T>], table: impl Fn(T) -> Table) {
        for (info, Entry { name, mut defaults, .. }) in list.iter().zip(entries(list, &table).unwrap()) {
            let text = super::toml(name, &defaults, info.choices);
            defaults.retain(|_, value| !value.is_null());
            assert_eq!(parsed(&text), defaults, "{text}");
            for (key, values) in info.choices {
                for value in *values {
                    let settings = parsed(&format!("name = \"{name}\"\n{key} = {value}"));
                    let read = table((info.read)(settings.clone()).unwrap());
                    assert_eq!(read[*key], settings[*key]);
                    assert_ne!(read[*key], defaults[*key]);
                }
            }
        }
    }

    #[test]
    fn defaults_and_choices_are_toml_that_reads_back() {
        check(METHODS, |method| method.to_table());
        check(OPTIMIZERS, |rule| Base::from(rule).to_table());
    }
}
