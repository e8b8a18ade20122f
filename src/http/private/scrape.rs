//! `/metrics`.

use std::cmp::Reverse;
use std::iter;

use actix_web::http::Method;
use actix_web::http::header::{self, AcceptEncoding, Quality};
use actix_web::mime::Mime;
use actix_web::web::{Data, Header};
use actix_web::{HttpRequest, HttpResponse};

use super::Private;
use super::streaming::Compressor;
use crate::http::connection;
use crate::http::responses::restoring;
use crate::metrics::{Exposition, Format};

/// Streams all metrics in the scraper's preferred format.
pub(super) async fn metrics(
    request: HttpRequest,
    private: Data<Private>,
    compressor: Data<Compressor>,
    accept: Option<Header<header::Accept>>,
    encodings: Option<Header<AcceptEncoding>>,
) -> HttpResponse {
    let format = accept.map_or(Format::Text, |Header(accept)| preferred(&accept));
    if request.method() == Method::HEAD {
        // It shows no values, so it does not count as a scrape.
        let restored = private.state_reader.view().is_some();
        let head = || compressor.respond(format.content_type(), encodings.as_ref(), None, iter::empty());
        return if restored { head() } else { restoring() };
    }
    let hold = connection::hold(&private.state_reader);
    let Some(view) = private.state_reader.scrape().await else { return restoring() };
    let exposition = Exposition::new(view, &private.metrics, format);
    compressor.respond(format.content_type(), encodings.as_ref(), hold, exposition)
}

/// The preferred format. It is text if the header prefers neither or accepts none, because a scraper can use an
/// unexpected format better than an error.
fn preferred(accept: &header::Accept) -> Format {
    if preference(accept, Format::OpenMetrics) > preference(accept, Format::Text) {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

/// How much the header prefers a format; `None` if it does not accept it. The most specific range that matches a format
/// determines its quality. Among formats with equal quality, the one with the more specific range is preferred, then the
/// one that is listed first.
fn preference(accept: &header::Accept, format: Format) -> Option<impl Ord> {
    let ranges = accept.iter().enumerate().filter_map(|(index, range)| {
        specificity(&range.item, format).map(|specificity| (specificity, range.quality, Reverse(index)))
    });
    let (specificity, quality, position) = ranges.max()?;
    (quality > Quality::ZERO).then_some((quality, specificity, position))
}

/// How specifically a media range of an `Accept` header names a format; `None` if it does not match.
fn specificity(range: &Mime, format: Format) -> Option<u8> {
    let (of_type, subtype, version) = match format {
        Format::Text => ("text", "plain", "0.0.4"),
        Format::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
    };
    match (range.type_().as_str(), range.subtype().as_str(), range.get_param("version")) {
        ("*", "*", _) => Some(0),
        (range, "*", _) if range == of_type => Some(1),
        (range, subrange, None) if (range, subrange) == (of_type, subtype) => Some(2),
        (range, subrange, Some(wanted)) if (range, subrange) == (of_type, subtype) && wanted == version => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::Header;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn format_follows_the_accept_header() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.2", Format::Text),
            ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily,text/plain;q=0.5", Format::Text),
            ("application/openmetrics-text;version=2.0.0,*/*;q=0.1", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("text/html", Format::Text),
            ("*/*", Format::Text),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                Format::OpenMetrics,
            ),
            (
                "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,\
                 application/openmetrics-text;version=1.0.0;q=0.4",
                Format::Text,
            ),
            // Zero forbids a format, also if a wider range allows it.
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=0,*/*", Format::Text),
            ("application/openmetrics-text;q=0.0,text/plain;q=0.1", Format::Text),
            ("application/openmetrics-text;version=1.0.0;q=0,application/openmetrics-text", Format::Text),
            ("text/plain;q=0,*/*", Format::OpenMetrics),
            ("text/*;q=0,*/*;q=0.1", Format::OpenMetrics),
            ("*/*;q=0", Format::Text),
            // The more specific range counts, then the order.
            ("*/*;q=0.9,application/openmetrics-text;q=0.5", Format::Text),
            ("text/*;q=0.9,application/*;q=0.5", Format::Text),
            ("application/*,text/plain;q=0.9", Format::OpenMetrics),
            ("text/plain,application/openmetrics-text", Format::Text),
            ("application/openmetrics-text,text/plain", Format::OpenMetrics),
            ("*/*,application/openmetrics-text", Format::OpenMetrics),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Text),
            ("application/openmetrics-text;q=0.3;version=1.0.0,text/plain;q=0.5", Format::Text),
            ("APPLICATION/OpenMetrics-Text; Version=1.0.0; Q=0.9, text/plain; q=0.8", Format::OpenMetrics),
            ("nonsense, application/openmetrics-text;q=2, text/plain;q=0.5", Format::Text),
            ("", Format::Text),
        ] {
            let request = TestRequest::default().insert_header((header::ACCEPT, accept)).to_http_request();
            assert_eq!(preferred(&header::Accept::parse(&request).unwrap()), format, "{accept}");
        }
    }
}
