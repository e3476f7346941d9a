//! Deserialization of structs from objects with named keys only.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Struct that is only read from a map.
///
/// The `Deserialize` that serde derives for a struct also takes an array as the struct's fields in
/// their order, so that `["A","B",1,1,1]` would be a packet and `fault = [["close"]]` a fault.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Keyed<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Keyed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FromMap(PhantomData))
    }
}

/// Visitor that accepts nothing but maps.
struct FromMap<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FromMap<T> {
    type Value = Keyed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with named keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Keyed<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Keyed)
    }
}

/// Reads a list of structs, each of them from a map.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let keyed: Vec<Keyed<T>> = Vec::deserialize(deserializer)?;
    Ok(keyed.into_iter().map(|Keyed(value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, PartialEq, Debug)]
    struct Point {
        x: i32,
        #[serde(default)]
        y: i32,
    }

    #[test]
    fn only_maps_are_read() {
        let read = serde_json::from_str::<Keyed<Point>>;
        assert_eq!(read(r#"{"x":1}"#).unwrap(), Keyed(Point { x: 1, y: 0 }));
        for other in ["[1,2]", "[1]", "[]", "null", "1", r#""x""#] {
            let error = read(other).unwrap_err().to_string();
            assert!(error.contains("expected an object with named keys"), "{other}: {error}");
        }
        assert!(read(r#"{"x":1,"x":2}"#).unwrap_err().to_string().contains("duplicate field `x`"));
    }
}
