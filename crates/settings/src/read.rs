//! Reads structs from tables. What `serde_json` does too, but its errors are texts: here they stay a [`Mistake`], and
//! know their key.

use crate::mistake::{Mistake, one_of};
use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value, map};

/// Reads a `T` from `table`.
///
/// # Errors
///
/// Where a key is unknown or missing, or a value is not of the kind that is expected.
pub fn read<T: DeserializeOwned>(table: impl Into<Value>) -> Result<T, Mistake> {
    T::deserialize(Reader(table.into()))
}

struct Reader(Value);

impl<'de> Deserializer<'de> for Reader {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::String(value) => visitor.visit_string(value),
            Value::Object(table) => visitor.visit_map(Keys::of(table)),
            Value::Array(values) => {
                let count = values.len();
                let mut values = Values(values.into_iter());
                let read = visitor.visit_seq(&mut values)?;
                match values.0.len() {
                    0 => Ok(read),
                    rest => Err(Mistake::invalid_length(count, &format!("{} values", count - rest).as_str())),
                }
            }
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (_, _, Some(value)) => visitor.visit_f64(value),
                _ => Err(Mistake::invalid_type(Unexpected::Other("a number out of range"), &visitor)),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let wrong = |found: String| {
            let known: Vec<String> = variants.iter().map(|variant| format!("`{variant}`")).collect();
            Err(Mistake::of_all(one_of(&known), found))
        };
        match self.0 {
            Value::String(variant) => visitor.visit_enum(Variant { variant, settings: None }),
            Value::Object(table) if table.len() == 1 => {
                let mut entries = table.into_iter();
                match entries.next() {
                    Some((variant, settings)) => visitor.visit_enum(Variant { variant, settings: Some(settings) }),
                    None => wrong("nothing".into()),
                }
            }
            Value::Object(table) => wrong(format!("a table of {} keys", table.len())),
            other => wrong(other.to_string()),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Mistake> for Reader {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Values(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for Values {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        self.0.next().map(|value| seed.deserialize(Reader(value))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Keys {
    entries: map::IntoIter,
    /// The key that was read last, and its value.
    entry: Option<(String, Value)>,
}

impl Keys {
    fn of(table: Map<String, Value>) -> Self {
        Self { entries: table.into_iter(), entry: None }
    }
}

impl<'de> MapAccess<'de> for Keys {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        self.entry = self.entries.next();
        let key = self.entry.as_ref().map(|(key, _)| StringDeserializer::<Mistake>::new(key.clone()));
        key.map(|key| seed.deserialize(key)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        match self.entry.take() {
            Some((key, value)) => seed.deserialize(Reader(value)).map_err(|mistake| mistake.inside(&key)),
            None => Err(Mistake::custom("a value without a key")),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

struct Variant {
    variant: String,
    settings: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Mistake;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Mistake> {
        let variant = seed.deserialize(StringDeserializer::<Mistake>::new(self.variant.clone()))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.settings {
            None | Some(Value::Null) => Ok(()),
            Some(found) => Err(Mistake::new(&self.variant, "the name alone", found)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mistake> {
        match self.settings {
            Some(settings) => seed.deserialize(Reader(settings)).map_err(|mistake| mistake.inside(&self.variant)),
            None => Err(Mistake::new(self.variant, "its value", "the name alone")),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        self.struct_variant(&[], visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Mistake> {
        match self.settings {
            Some(settings) => {
                Reader(settings).deserialize_any(visitor).map_err(|mistake| mistake.inside(&self.variant))
            }
            None => Err(Mistake::new(self.variant, "a table of settings", "the name alone")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        model: Model,
        #[serde(default)]
        size: Option<[usize; 2]>,
        #[serde(default)]
        flip: bool,
        #[serde(default)]
        rate: f64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    enum Model {
        Linear,
        Constant(f64),
        Resnet {
            depth: usize,
            #[serde(default)]
            width: usize,
        },
    }

    #[test]
    fn tables_are_read_as_serde_json_reads_them() {
        for table in [
            json!({"model": "linear"}),
            json!({"model": {"constant": 3}, "size": [1, 2], "flip": true, "rate": 1}),
            json!({"model": {"resnet": {"depth": 20}}, "size": null, "rate": -0.5}),
        ] {
            assert_eq!(read::<Config>(table.clone()).unwrap(), serde_json::from_value(table).unwrap());
        }
    }

    #[test]
    fn a_mistake_has_its_key() {
        let mistakes = [
            json!({"model": {"resnet": {"dpeth": 20}}}),
            json!({"model": {"resnet": {"width": 20}}}),
            json!({"model": {"resnet": {"depth": -1}}}),
            json!({"model": {"resnet": {"depth": 2.5}}}),
            json!({"model": "resnet"}),
            json!({"model": {"linear": 1}}),
            json!({"model": {"constant": "x"}}),
            json!({"model": "linaer"}),
            json!({"model": 3}),
            json!({"model": {}}),
            json!({"model": "linear", "size": [1]}),
            json!({"model": "linear", "size": [1, 2, 3]}),
            json!({"model": "linear", "size": 1}),
            json!({"model": "linear", "flip": "yes"}),
            json!({"model": "linear", "rate": null}),
            json!({"model": "linear", "weight": 1}),
            json!({}),
        ];
        let mistakes = mistakes.map(|table| read::<Config>(table).unwrap_err().to_string());
        insta::assert_snapshot!(mistakes.join("\n"), @r#"
        `model.resnet.dpeth`: expected the key `depth` or `width`, found one that is not known
          hint: did you mean `depth`?
        `model.resnet`: expected a key `depth`, found none
        `model.resnet.depth`: expected a whole number of at least 0, found -1
        `model.resnet.depth`: expected a whole number of at least 0, found 2.5
        `model.resnet`: expected a table of settings, found the name alone
        `model.linear`: expected the name alone, found 1
        `model.constant`: expected a number, found "x"
        `model`: expected `linear`, `constant` or `resnet`, found `linaer`
          hint: did you mean `linear`?
        `model`: expected `linear`, `constant` or `resnet`, found 3
        `model`: expected `linear`, `constant` or `resnet`, found a table of 0 keys
        `size`: expected an array of length 2, found 1 values
        `size`: expected 2 values, found 3 values
        `size`: expected an array of length 2, found 1
        `flip`: expected true or false, found "yes"
        `rate`: expected a number, found none
        `weight`: expected the key `model`, `size`, `flip` or `rate`, found one that is not known
        expected a key `model`, found none
        "#);
    }
}
