//! Numbers of a configuration that no setting can have.

use settings::Mistake;
use toml::de::{DeTable, DeValue};

/// The first number of `toml` that is infinite or none: where it begins, and what is wrong with it.
pub(crate) fn mistake(toml: &str) -> Option<(usize, Mistake)> {
    DeTable::parse(toml)
        .ok()?
        .get_ref()
        .iter()
        .find_map(|(key, value)| find(key.get_ref(), key.span().start, value.get_ref()))
}

fn find(key: &str, start: usize, value: &DeValue<'_>) -> Option<(usize, Mistake)> {
    match value {
        DeValue::Float(number) => {
            let number = number.as_str().trim_start_matches(['+', '-']);
            ["nan", "inf"].contains(&number).then(|| (start, Mistake::new(key, "a finite number", number)))
        }
        DeValue::Table(table) => {
            table.iter().find_map(|(key, value)| find(key.get_ref(), key.span().start, value.get_ref()))
        }
        DeValue::Array(values) => values.iter().find_map(|value| find(key, value.span().start, value.get_ref())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::mistake;

    #[test]
    fn numbers_that_are_none_are_found_wherever_they_are() {
        for (toml, expected) in [
            ("a = 1\nlr = nan\n", Some((6, "`lr`: expected a finite number, found nan"))),
            ("[optimizer]\nlr = -inf\n", Some((12, "`lr`: expected a finite number, found inf"))),
            (
                "[[method]]\nsearch = { \"optimizer.lr\" = [0.1, nan] }\n",
                Some((45, "`optimizer.lr`: expected a finite number, found nan")),
            ),
            ("[[method]]\nname = \"nan\"\nlr = 1e300\n", None),
            ("no toml", None),
        ] {
            let found = mistake(toml).map(|(start, mistake)| (start, mistake.to_string()));
            assert_eq!(found, expected.map(|(start, message)| (start, message.to_owned())), "{toml}");
        }
    }
}
