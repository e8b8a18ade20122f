//! The checks of a webhook request before its body is interpreted.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::RequestHead;
use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, header};
use actix_web::web::{self, Bytes, BytesMut};
use futures_util::StreamExt;

use crate::accept::{SecretName, Secrets};
use crate::http::RateLimiter;
use crate::http::peer::{TrustedProxies, network};
use crate::http::rejection::{AuthFailure, Rejection};
use crate::http::unused_deliveries::Sender;
use crate::recorder::{Overloaded, Reservation};

/// The header in which Cloudflare repeats the destination's secret.
pub(super) const SECRET_HEADER: &str = "cf-webhook-auth";

/// Secrets and limits of the webhook. A reload replaces all of them at once.
#[derive(Debug)]
pub struct RequestPolicy {
    /// The valid secrets.
    pub secrets: Secrets,
    /// Maximum size of a request body, in bytes.
    pub max_body_size: usize,
    /// Time limit for reading a request body.
    pub body_timeout: Duration,
    /// Missing and wrong secrets per client (IPv4 address or IPv6 /64) that get 401; further ones get 429.
    pub wrong_secrets: Arc<RateLimiter<IpAddr>>,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: TrustedProxies,
}

impl RequestPolicy {
    /// Checks secret, method and encoding, and returns the name of the secret.
    pub(super) fn check_head(&self, request: &HttpRequest) -> Result<SecretName, Rejection> {
        let secret = self.identify(request.headers()).map_err(|failure| self.unauthenticated(request, failure))?;
        if request.method() != Method::POST {
            return Err(Rejection::Method);
        }
        if is_encoded(request.headers()) {
            return Err(Rejection::Encoding);
        }
        Ok(secret.clone())
    }

    /// Whether the body of a request with this head is read, unless something fails later.
    pub(super) fn reads_body(&self, head: &RequestHead) -> bool {
        let headers = head.headers();
        let too_large = declared_size(headers).is_some_and(|declared| declared > self.max_body_size as u64);
        self.identify(headers).is_ok() && head.method == Method::POST && !is_encoded(headers) && !too_large
    }

    /// The name of the presented secret.
    fn identify(&self, headers: &HeaderMap) -> Result<&SecretName, AuthFailure> {
        let mut presented = headers.get_all(SECRET_HEADER);
        match (presented.next(), presented.next()) {
            (Some(secret), None) => self.secrets.identify(secret.as_bytes()).ok_or(AuthFailure::Wrong),
            (Some(_), Some(_)) => Err(AuthFailure::Repeated),
            (None, _) => Err(AuthFailure::Missing),
        }
    }

    /// Counts a missing or wrong secret for its client.
    fn unauthenticated(&self, request: &HttpRequest, failure: AuthFailure) -> Rejection {
        let failure = if request.method() == Method::POST { failure } else { AuthFailure::Method };
        let client = self.trusted_proxies.client(request).map(network);
        let admitted = client.is_none_or(|client| self.wrong_secrets.admits(&client));
        if admitted { Rejection::Unauthenticated(failure) } else { Rejection::TooManyFailures(failure) }
    }

    /// What is known of the sender of a request, and of the size of its body.
    pub(super) fn sender(&self, request: &HttpRequest, size: Option<u64>) -> Sender {
        let peer = self.trusted_proxies.client(request).map(|client| client.to_canonical());
        Sender { peer, size }
    }

    /// Reads the body within the limits of size, time and memory.
    pub(super) async fn read_body(
        &self,
        request: &HttpRequest,
        payload: &mut web::Payload,
        reservation: &mut Reservation,
    ) -> Result<Bytes, Rejection> {
        let declared = declared_size(request.headers());
        if declared.is_some_and(|declared| declared > self.max_body_size as u64) {
            return Err(Rejection::TooLarge(self.max_body_size));
        }
        // It is not above the limit, which is a `usize`.
        let declared = declared.map_or(0, |declared| usize::try_from(declared).unwrap_or(self.max_body_size));
        let body = collect(payload, declared, self.max_body_size, reservation);
        tokio::time::timeout(self.body_timeout, body).await.unwrap_or(Err(Rejection::Timeout))
    }
}

/// Whether the body is compressed or otherwise encoded.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING);
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The size of the body according to `Content-Length`.
pub(super) fn declared_size(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(
    payload: &mut web::Payload,
    declared: usize,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, Rejection> {
    reservation.grow_to(declared).map_err(|Overloaded| Rejection::OutOfMemory)?;
    let mut body = BytesMut::with_capacity(declared);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Rejection::BrokenOff)?;
        let length = body.len() + chunk.len();
        if length > limit {
            return Err(Rejection::TooLarge(limit));
        }
        if length > body.capacity() {
            // Without a declared length, the capacity grows by doubling.
            reservation.grow_to(2 * length).map_err(|Overloaded| Rejection::OutOfMemory)?;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
