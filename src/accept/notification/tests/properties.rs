//! Properties of any body.

use proptest::prelude::*;

use super::*;

fn received_at() -> Timestamp {
    Timestamp::from_seconds(RECEIVED_AT)
}

/// Any JSON. Relevant members occur among others.
fn json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        "data",
        "ts",
        "text",
        "uid",
        "readyToStream",
        "alert_type",
        "input_id",
        "event_type",
        "updated_at",
        "live_input_errored",
        "error",
        "code",
        ".{0,4}"
    ];
    let text = prop_oneof![
        Just(INPUT.to_owned()),
        Just("2026-11-20T18:00:00Z".to_owned()),
        "live_input\\.(connected|disconnected|errored|other)",
        "stream_live_notifications",
        "[/*,\\]}\"\\\\ a]{0,8}",
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e15..1e15).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(key.clone(), inner, 0..6).prop_map(Value::from_iter),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    json().prop_filter("an object", Value::is_object)
}

/// Fragments of strict and lenient JSON in any order.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        " ",
        "\n",
        "//",
        "/*",
        "*/",
        "/",
        "*",
        "\"",
        "\\",
        "\"text\"",
        "\"a\"",
        "1",
        "-1e9",
        "true",
        "null",
        "{\"text\":\"a\"",
        "[1,",
        "\u{feff}",
        "\u{2028}",
        "é",
    ]);
    proptest::collection::vec(fragment, 0..24).prop_map(|fragments| fragments.concat())
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&body, received_at());
    }

    #[test]
    fn every_json_object_is_strict(object in object()) {
        let body = serde_json::to_vec(&object).unwrap();
        prop_assert!(!read(&body, received_at()).unwrap().lenient);
    }

    #[test]
    fn trailing_commas_and_comments_do_not_change_the_result(
        object in object(),
        pretty in any::<bool>(),
        choices in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let body = if pretty { serde_json::to_vec_pretty(&object) } else { serde_json::to_vec(&object) }.unwrap();
        let mut choices = choices.iter().cycle();
        let (lenient, differs) = leniency::lenient(&body, || *choices.next().unwrap());
        let expected = Reading { lenient: differs, ..read(&body, received_at()).unwrap() };
        prop_assert_eq!(read(&lenient, received_at()), Ok(expected), "{}", String::from_utf8_lossy(&lenient));
        let document = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
        prop_assert_eq!(document(&leniency::strict(&lenient)), document(&body));
    }

    #[test]
    fn encoding_that_a_byte_order_mark_names_does_not_change_the_result(object in object(), encoding in 0..3) {
        let text = object.to_string();
        let encoded = match encoding {
            0 => utf_16(&text, u16::to_le_bytes),
            1 => utf_16(&text, u16::to_be_bytes),
            _ => format!("\u{feff}{text}").into_bytes(),
        };
        let expected = Reading { lenient: true, ..read(text.as_bytes(), received_at()).unwrap() };
        prop_assert_eq!(read(&encoded, received_at()), Ok(expected));
    }

    #[test]
    fn invalid_bytes_in_a_text_do_not_change_what_is_not_in_it(object in object(), at in any::<prop::sample::Index>()) {
        let strict = format!("{{\"name\":\"0123456789\",\"data\":{object}}}").into_bytes();
        let mut body = strict.clone();
        body[10 + at.index(9)] = 0xfc;
        let expected = Reading { lenient: true, ..read(&strict, received_at()).unwrap() };
        prop_assert_eq!(read(&body, received_at()), Ok(expected));
    }

    #[test]
    fn leniency_covers_only_encoding_commas_and_comments(
        mut body in fragments().prop_map(String::into_bytes),
        invalid in proptest::option::of(any::<(prop::sample::Index, u8)>()),
    ) {
        if let Some((at, byte)) = invalid.filter(|_| !body.is_empty()) {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if let Ok(reading) = read(&body, received_at()) {
            let strict = read(&leniency::strict(&body), received_at());
            prop_assert_eq!(strict, Ok(Reading { lenient: false, ..reading }));
        }
    }
}
