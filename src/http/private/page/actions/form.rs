//! The fields of a form.

use actix_web::http::header::HeaderMap;
use actix_web::web::Query;

use super::failure::Failure;
use crate::http::private::correction::has_content_type;

const TYPE: &str = "application/x-www-form-urlencoded";

/// The fields of a form, each at most once.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// The fields of a body. Others than these are an error; `names` has them for people.
    pub(super) fn of(headers: &HeaderMap, body: &[u8], names: &'static str) -> Result<Self, Failure> {
        if !has_content_type(headers, TYPE) {
            return Err(Failure::NotForm);
        }
        let text = str::from_utf8(body).map_err(|_| Failure::Fields(names))?;
        let fields = Query::<Vec<(String, String)>>::from_query(text).map_err(|_| Failure::Fields(names))?;
        let Query(fields) = fields;
        for (index, (name, _)) in fields.iter().enumerate() {
            let is_known = names.split(", ").any(|known| known == name);
            if !is_known || fields[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Failure::Fields(names));
            }
        }
        Ok(Self(fields))
    }

    /// The value of a field; empty if it is missing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(given, _)| given == name).map_or("", |(_, value)| value.as_str())
    }
}

#[cfg(test)]
impl From<&[(&str, &str)]> for Form {
    fn from(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{CONTENT_TYPE, HeaderValue};

    use super::*;

    fn reason(content_type: &'static str, body: &[u8]) -> Result<String, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Form::of(&headers, body, "token, reason").map(|form| form.text("reason").to_owned())
    }

    #[test]
    fn fields_are_decoded() {
        for (body, expected) in [
            ("", ""),
            ("token=x", ""),
            ("reason=", ""),
            ("reason=a+b%26c%C3%A9", "a b&c\u{e9}"),
            ("token=x&reason=r", "r"),
        ] {
            assert_eq!(reason(TYPE, body.as_bytes()), Ok(expected.to_owned()), "{body}");
        }
        let with_charset = "Application/X-WWW-form-urlencoded; charset=UTF-8";
        assert_eq!(reason(with_charset, b"reason=r"), Ok("r".to_owned()));
    }

    #[test]
    fn form_with_other_fields_or_of_another_type_is_refused() {
        for body in ["other=1", "reason=a&reason=b", "Reason=a", "=a"] {
            assert_eq!(reason(TYPE, body.as_bytes()), Err(Failure::Fields("token, reason")), "{body}");
        }
        assert_eq!(reason(TYPE, b"reason=\xff"), Err(Failure::Fields("token, reason")));
        for content_type in ["application/json", "multipart/form-data; boundary=x", "text/plain", ""] {
            assert_eq!(reason(content_type, b"reason=a"), Err(Failure::NotForm), "{content_type}");
        }
    }
}
