//! `/metrics`.

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::http::header::{self, AcceptEncoding, ContentEncoding, Encoding};
use actix_web::web::{Bytes, Data, Header};
use futures_util::stream::{self, Stream};

use super::Private;
use crate::http::responses::restoring;
use crate::metrics::{Exposition, Format};

/// Streams all metrics in the scraper's preferred format.
pub(super) async fn metrics(
    private: Data<Private>,
    accept: Option<Header<header::Accept>>,
    encodings: Option<Header<AcceptEncoding>>,
) -> HttpResponse {
    let format = accept.map_or(Format::Text, |Header(accept)| preferred(&accept));
    let Some(view) = private.state_reader.scrape().await else { return restoring() };
    let exposition = Exposition::new(view, &private.metrics, format);
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, format.content_type()));
    if private.compression && encodings.is_some_and(|Header(encodings)| prefers_gzip(&encodings)) {
        // The middleware does not compress responses that already have a content encoding.
        response.insert_header(ContentEncoding::Gzip).insert_header((header::VARY, "accept-encoding"));
        response.streaming(chunks(exposition.compressed()))
    } else {
        response.streaming(chunks(exposition))
    }
}

fn chunks(exposition: Exposition) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::iter(exposition.map(Ok))
}

/// Whether the scraper prefers gzip to no compression.
fn prefers_gzip(encodings: &AcceptEncoding) -> bool {
    let gzip = Encoding::gzip();
    encodings.negotiate([&gzip, &Encoding::identity()].into_iter()) == Some(gzip.clone())
}

/// The most preferred format that is supported, or text if there is none.
fn preferred(accept: &header::Accept) -> Format {
    let known = accept.ranked().into_iter().find_map(|mime| match (mime.type_().as_str(), mime.subtype().as_str()) {
        ("application", "openmetrics-text") => {
            let version = mime.get_param("version");
            version.is_none_or(|version| version == "1.0.0").then_some(Format::OpenMetrics)
        }
        ("text", "plain" | "*") | ("*", "*") => Some(Format::Text),
        _ => None,
    });
    known.unwrap_or(Format::Text)
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
        ] {
            let request = TestRequest::default().insert_header((header::ACCEPT, accept)).to_http_request();
            assert_eq!(preferred(&header::Accept::parse(&request).unwrap()), format, "{accept}");
        }
    }
}
