//! Query parameters of the API. A typing error must not go unnoticed, so unknown parameters are errors too.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use actix_web::http::StatusCode;
use actix_web::web::Query;
use actix_web::{HttpRequest, HttpResponse};
use thiserror::Error;

use crate::http::responses::text;

/// Maximum number of characters of a value that an error repeats.
const MAX_REPEATED: usize = 100;

/// The parameters of a request, each at most once.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("query parameter {:?} with value {:?}: {problem}", repeated(.name), repeated(.value))]
pub(super) struct InvalidParameter {
    name: String,
    value: String,
    problem: String,
}

impl Parameters {
    /// The parameters of a request. Those that are not `allowed` are an error.
    pub(super) fn of(request: &HttpRequest, allowed: &[&str]) -> Result<Self, InvalidParameter> {
        Self::parse(request.query_string(), allowed)
    }

    /// The same for the query of an address.
    pub(super) fn parse(query: &str, allowed: &[&str]) -> Result<Self, InvalidParameter> {
        let Query(pairs) =
            Query::<Vec<(String, String)>>::from_query(query).map_err(|error| invalid("", query, error.to_string()))?;
        for (index, (name, value)) in pairs.iter().enumerate() {
            if !allowed.contains(&name.as_str()) {
                let names = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                return Err(invalid(name, value, format!("unknown (allowed: {names})")));
            }
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(invalid(name, value, "given more than once (allowed: once)".to_owned()));
            }
        }
        Ok(Self(pairs))
    }

    /// A text; `None` if it is not given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// What one of these values means; `None` if the parameter is not given or empty, as a form sends it.
    pub(super) fn choice<T: Copy>(&self, name: &str, allowed: &[(&str, T)]) -> Result<Option<T>, InvalidParameter> {
        let Some(value) = self.text(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let chosen = allowed.iter().find(|(choice, _)| *choice == value).map(|(_, meaning)| Some(*meaning));
        let names = || allowed.iter().map(|(choice, _)| *choice).collect::<Vec<_>>().join(", ");
        chosen.ok_or_else(|| invalid(name, value, format!("not allowed (allowed: {})", names())))
    }

    /// A text of at most this many characters; empty if it is not given.
    pub(super) fn short_text(&self, name: &str, max: usize) -> Result<&str, InvalidParameter> {
        let value = self.text(name).unwrap_or_default();
        let problem = || format!("too long (allowed: at most {max} characters)");
        if value.chars().count() > max { Err(invalid(name, value, problem())) } else { Ok(value) }
    }

    /// A number; `None` if it is not given.
    pub(super) fn number<T: FromStr + PartialOrd + fmt::Display>(
        &self,
        name: &str,
        allowed: RangeInclusive<T>,
    ) -> Result<Option<T>, InvalidParameter> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let number = value.parse::<T>().ok().filter(|number| allowed.contains(number));
        let problem = || format!("not allowed (allowed: a whole number from {} to {})", allowed.start(), allowed.end());
        number.map(Some).ok_or_else(|| invalid(name, value, problem()))
    }
}

impl InvalidParameter {
    /// 400 with the problem.
    pub(super) fn response(&self) -> HttpResponse {
        text(StatusCode::BAD_REQUEST, &self.to_string())
    }
}

fn invalid(name: &str, value: &str, problem: String) -> InvalidParameter {
    InvalidParameter { name: name.to_owned(), value: value.to_owned(), problem }
}

fn repeated(text: &str) -> String {
    text.chars().take(MAX_REPEATED).collect()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn limit(query: &str) -> Result<Option<usize>, InvalidParameter> {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        Parameters::of(&request, &["limit"])?.number("limit", 1..=1000)
    }

    #[test]
    fn number_within_its_range_is_returned() {
        for (query, number) in [("", None), ("limit=1", Some(1)), ("limit=1000", Some(1000)), ("lim%69t=%37", Some(7))]
        {
            assert_eq!(limit(query), Ok(number), "{query}");
        }
    }

    #[test]
    fn unusable_parameter_is_reported_with_name_and_value() {
        for (query, name, value) in [
            ("limit=abc", "limit", "abc"),
            ("limit=", "limit", ""),
            ("limit", "limit", ""),
            ("limit=0", "limit", "0"),
            ("limit=1001", "limit", "1001"),
            ("limit=-1", "limit", "-1"),
            ("limit=1.5", "limit", "1.5"),
            ("limit=++5", "limit", "  5"),
            ("limit=99999999999999999999", "limit", "99999999999999999999"),
            ("limit=1&limit=1", "limit", "1"),
            ("limit=1&offset=5", "offset", "5"),
            ("Limit=1", "Limit", "1"),
            ("limit=%ff", "limit", "\u{fffd}"),
            ("=5", "", "5"),
        ] {
            let error = limit(query).unwrap_err();
            assert_eq!((error.name.as_str(), error.value.as_str()), (name, value), "{query}");
        }
    }

    #[test]
    fn choice_and_short_text_accept_what_a_form_sends_and_nothing_else() {
        let parameters = |query: &str| {
            let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
            Parameters::of(&request, &["a"]).unwrap()
        };
        for (query, chosen) in [("", Ok(None)), ("a=", Ok(None)), ("a=one", Ok(Some(1))), ("a=One", Err("One"))] {
            let choice = parameters(query).choice("a", &[("one", 1), ("two", 2)]);
            assert_eq!(choice.map_err(|error| error.value), chosen.map_err(ToOwned::to_owned), "{query}");
        }
        for (query, text) in [("", Ok("")), ("a=%C3%A9t", Ok("ét")), ("a=too", Err("too"))] {
            let parameters = parameters(query);
            let read = parameters.short_text("a", 2);
            assert_eq!(read.map_err(|error| error.value), text.map_err(ToOwned::to_owned), "{query}");
        }
    }

    #[test]
    fn error_repeats_a_short_escaped_beginning_of_the_value() {
        let error = limit(&format!("limit=%0a{}", "x".repeat(1000))).unwrap_err().to_string();
        assert!(error.len() < 300 && !error.contains('\n'), "{error}");
    }
}
