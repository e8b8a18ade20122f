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
/// stack. `None` is a value of another type.
pub(super) struct Nested<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything(PhantomData))
    }
}

macro_rules! visit_scalars {
    ($($visit:ident($type:ty)),+) => {
        $(fn $visit<E>(self, _: $type) -> Result<Nested<T>, E> {
            Ok(Nested(None))
        })+
    };
}

/// Accepts any value.
struct Anything<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Anything<T> {
    type Value = Nested<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Nested<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|object| Nested(Some(object)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Nested<T>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Nested(None))
    }

    fn visit_unit<E>(self) -> Result<Nested<T>, E> {
        Ok(Nested(None))
    }

    visit_scalars! { visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str) }
}

/// Declares a struct of optional members with their JSON names. `and` names a field that says whether the object has
/// other members.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident $(and $has_others:ident)? { $($member:ident: $kind:ty = $key:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $member: Option<$kind>,)+
            $(pub(super) $has_others: bool,)?
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
                                Key::unused => {
                                    $(members.$has_others = true;)?
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
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

/// The member as a string, or `None` if it is missing or has another type. Half a surrogate pair, as in a text that was
/// cut off within an emoji, becomes U+FFFD.
pub(super) fn text_in(member: Option<&RawValue>) -> Option<Cow<'_, str>> {
    struct Text<'a>(Cow<'a, str>);

    struct TextVisitor;
    impl<'de> Visitor<'de> for TextVisitor {
        type Value = Text<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_borrowed_bytes<E>(self, text: &'de [u8]) -> Result<Text<'de>, E> {
            Ok(Text(String::from_utf8_lossy(text)))
        }

        fn visit_bytes<E>(self, text: &[u8]) -> Result<Text<'de>, E> {
            Ok(Text(Cow::Owned(String::from_utf8_lossy(text).into_owned())))
        }
    }
    impl<'de> Deserialize<'de> for Text<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_bytes(TextVisitor)
        }
    }
    serde_json::from_str(member?.get()).ok().map(|Text(text)| text)
}

/// The member as an integer, or `None` if it is missing or has another type.
pub(super) fn integer_in(member: Option<&RawValue>) -> Option<i64> {
    serde_json::from_str(member?.get()).ok()
}

/// The member as an object, or `None` if it is missing or has another type.
pub(super) fn object_in<T>(member: Option<&Nested<T>>) -> Option<&T> {
    member?.0.as_ref()
}
