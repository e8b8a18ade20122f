//! Deserializes JSON objects of which only a few members matter.
//!
//! Structs with serde's derive reject an object if a member has another type or is repeated, and accept an array in
//! place of an object. Here every member is optional and may have any type and position. If a member is repeated, the
//! last one counts. An array is not accepted. Nested objects are parsed at once; other members stay slices of the body
//! until they are needed. Only strings with escapes allocate memory.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A member of any type, and its value.
pub(super) type Raw<'a> = &'a RawValue;

/// A member that should be an object.
///
/// It is parsed at once instead of being kept as a slice: to find the end of a nested value, serde_json allocates a
/// stack.
pub(super) enum Nested<T> {
    /// An object.
    Object(T),
    /// A value of another type.
    Other,
}

impl<T> Nested<T> {
    /// The object, or `None` for a value of another type.
    pub(super) fn object(&self) -> Option<&T> {
        match self {
            Self::Object(object) => Some(object),
            Self::Other => None,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything(PhantomData))
    }
}

/// Accepts any value.
struct Anything<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Anything<T> {
    type Value = Nested<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Nested<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Nested::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Nested<T>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Nested::Other)
    }

    fn visit_unit<E>(self) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Nested<T>, E> {
        Ok(Nested::Other)
    }
}

/// Declares a struct of optional members with their JSON names.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($member:ident: $kind:ty = $key:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $member: Option<$kind>,)+
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[serde(field_identifier)]
                #[expect(non_camel_case_types, reason = "the variants are named like the members")]
                enum Key {
                    $(#[serde(rename = $key)] $member,)+
                    #[serde(other)]
                    unused,
                }

                struct Members;
                impl<'de> serde::de::Visitor<'de> for Members {
                    type Value = $name<'de>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut members = $name::default();
                        while let Some(key) = map.next_key()? {
                            match key {
                                $(Key::$member => members.$member = Some(map.next_value()?),)+
                                Key::unused => drop(map.next_value::<serde::de::IgnoredAny>()?),
                            }
                        }
                        Ok(members)
                    }
                }
                deserializer.deserialize_map(Members)
            }
        }
    };
}
pub(super) use object;

/// The member as a string, or `None` if it is missing or has another type.
pub(super) fn text_in(member: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    serde_json::from_str(member?.get()).ok().map(|Text(text)| text)
}

/// The member as an integer, or `None` if it is missing or has another type.
pub(super) fn integer_in(member: Option<&RawValue>) -> Option<i64> {
    serde_json::from_str(member?.get()).ok()
}
