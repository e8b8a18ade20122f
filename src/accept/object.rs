//! JSON objects of which a few members matter.
//!
//! serde's derived structs are too strict and too lax for a notification: they refuse an object for
//! a member of another type or one that is repeated, and take an array for an object. Here every
//! member is optional, of any type, in any order; of a repeated one the last counts; and an array is
//! no object. Members stay slices of the body until they are asked for.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Declares a struct of optional raw members, read from an object by their names.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($member:ident: $key:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $member: Option<&'a serde_json::value::RawValue>,)+
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

/// The member as an object; `None` when it is absent or something else.
pub(super) fn object_in<'a, T: Deserialize<'a>>(member: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(member?.get()).ok()
}

/// The member as a text; `None` when it is absent or something else.
pub(super) fn text_in(member: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    serde_json::from_str(member?.get()).ok().map(|Text(text)| text)
}

/// The member as a whole number; `None` when it is absent or something else.
pub(super) fn integer_in(member: Option<&RawValue>) -> Option<i64> {
    serde_json::from_str(member?.get()).ok()
}
