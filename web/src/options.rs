//! Options objects, which refuse fields that they do not know.

use js_sys::{Error as JsError, Object, Reflect};
use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use wasm_bindgen::{JsCast, JsValue};

use crate::error::{Result, refuse};

/// Reads the argument `what`, an object. Without one, all options have their defaults.
///
/// # Errors
/// `Option` with the name of a field that is unknown or has another type.
pub fn read<T: DeserializeOwned + Default>(value: &JsValue, what: &str) -> Result<T> {
    if value.is_undefined() || value.is_null() { Ok(T::default()) } else { required(value, what) }
}

/// Reads the argument `what`, an object that must be there.
///
/// # Errors
/// `Option` with the name of a field that is missing or unknown, or has another type.
pub fn required<T: DeserializeOwned>(value: &JsValue, what: &str) -> Result<T> {
    match value.dyn_ref::<Object>().filter(|_| !value.is_function()) {
        Some(object) => T::deserialize(Fields { what, object, names: [].iter(), next: None })
            .or_else(|error| {
                let error = error.to_string();
                // A missing field does not name the object.
                refuse(if error.starts_with(what) { error } else { format!("{what}: {error}") })
            }),
        None => refuse(format!("{what} should be an object, got {}", describe(value))),
    }
}

/// Reads the argument `what`, a value of a plain type, such as a number or a bigint as `u64`.
/// Without one it is the default.
///
/// # Errors
/// `Option` for a value of another type.
pub fn plain<T: DeserializeOwned + Default>(value: &JsValue, what: &str) -> Result<T> {
    if value.is_undefined() || value.is_null() {
        return Ok(T::default());
    }
    serde_wasm_bindgen::from_value(value.clone())
        .or_else(|error| refuse(format!("{what}: {}", text(error))))
}

/// Returns the text of an error.
fn text(error: serde_wasm_bindgen::Error) -> String {
    JsValue::from(error).unchecked_into::<JsError>().message().into()
}

/// Returns a value, or its type, for an error text.
pub fn describe(value: &JsValue) -> String {
    match (value.as_string(), value.dyn_ref::<Object>()) {
        (Some(text), _) => format!("{text:?}"),
        (None, Some(object)) => object.constructor().name().into(),
        // Debug prints JsValue(NaN).
        (None, None) => {
            let debug = format!("{value:?}");
            debug.trim_start_matches("JsValue(").trim_end_matches(')').to_owned()
        }
    }
}

/// The fields of an object, for a struct that knows their names.
struct Fields<'a> {
    what: &'a str,
    object: &'a Object,
    names: std::slice::Iter<'static, &'static str>,
    next: Option<(&'static str, JsValue)>,
}

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let known = |key: &String| names.contains(&key.as_str());
        let keys = Object::keys(self.object);
        let mut keys = keys.iter().filter_map(|key| key.as_string());
        if let Some(key) = keys.find(|key| !known(key)) {
            let (what, known) = (self.what, names.join(", "));
            return Err(Error::custom(format!("{what} has no field '{key}'; it has {known}")));
        }
        visitor.visit_map(Self { names: names.iter(), ..self })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        unreachable!("options are structs")
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.next = self.names.find_map(|&name| {
            let value = Reflect::get(self.object, &name.into()).unwrap_or_default();
            (!value.is_undefined()).then_some((name, value))
        });
        let Some((name, _)) = self.next else { return Ok(None) };
        let key: StrDeserializer<'_, Error> = name.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, value) = self.next.take().unwrap_or_default();
        seed.deserialize(serde_wasm_bindgen::Deserializer::from(value))
            .map_err(|error| Error::custom(format!("{}.{name}: {}", self.what, text(error))))
    }
}
