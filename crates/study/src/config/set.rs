//! Values over others.

use record::{Spec, Table};
use serde_json::Value;
use settings::{Mistake, nearest};

/// `over` merged into `under`, table by table.
pub(super) fn merged(under: &Table, over: &Table) -> Table {
    let mut result = under.clone();
    for (key, value) in over {
        let value = match (result.get(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => Value::Object(merged(under, over)),
            _ => value.clone(),
        };
        result.insert(key.clone(), value);
    }
    result
}

/// Sets the value at the dotted `key` of a spec.
pub(super) fn set(spec: &mut Spec, key: &str, value: Value) -> Result<(), Mistake> {
    const SECTIONS: [&str; 5] = ["task", "train", "optimizer", "schedule", "method"];
    let wrong = |expected: &str| Err(Mistake::new(key, expected, &value));
    let no_key = |known: &str| Mistake::new(key, known, "one that is not known");
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    let table = match (section, rest) {
        ("dataset", "") => match value.as_str() {
            Some(name) => {
                spec.dataset = name.into();
                return Ok(());
            }
            None => return wrong("a text"),
        },
        ("rest_decay", "") => match value.as_f64() {
            Some(decay) => {
                spec.rest_decay = decay;
                return Ok(());
            }
            None => return wrong("a number"),
        },
        ("task", _) => &mut spec.task,
        ("train", _) => &mut spec.train,
        ("optimizer", _) => &mut spec.optimizer,
        ("schedule", _) => &mut spec.schedule,
        ("method", _) if rest.split('.').next() == Some("optimizer") => {
            return Err(no_key("a key of the method").with_hint("a method's optimizer is set as optimizer.lr"));
        }
        ("method", _) => &mut spec.method,
        _ => {
            let near = nearest(section, SECTIONS.into_iter().chain(["dataset", "rest_decay"]));
            let mistake =
                no_key(&format!("dataset, rest_decay, or a key in {}, such as optimizer.lr", SECTIONS.join(", ")));
            return Err(Mistake { hint: near.map(|near| format!("did you mean `{near}`?")), ..mistake });
        }
    };
    let mut parts: Vec<&str> = rest.split('.').collect();
    let Some(last) = parts.pop().filter(|last| !last.is_empty()) else {
        return Err(Mistake::new(key, format!("a key in it, such as {key}.name"), "the table itself"));
    };
    let mut table = table;
    for part in parts {
        match table.entry(part).or_insert_with(|| Value::Object(Table::new())) {
            Value::Object(inner) => table = inner,
            found => return Err(Mistake::new(key, format!("a table in `{part}`"), found)),
        }
    }
    table.insert(last.into(), value);
    Ok(())
}
