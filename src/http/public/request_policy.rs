//! The checks of a webhook request before its body is interpreted.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::{Method, header};
use actix_web::web::{self, Bytes, BytesMut};
use futures_util::StreamExt;

use crate::accept::{SecretName, Secrets};
use crate::http::RateLimiter;
use crate::http::peer::{TrustedProxies, network};
use crate::http::rejection::Rejection;
use crate::recorder::{Overloaded, Reservation};

/// The header in which Cloudflare repeats the destination's secret.
const SECRET_HEADER: &str = "cf-webhook-auth";

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
        let mut presented = request.headers().get_all(SECRET_HEADER);
        let secret = match (presented.next(), presented.next()) {
            (Some(secret), None) => self.secrets.identify(secret.as_bytes()),
            _ => None,
        };
        let secret = secret.ok_or_else(|| self.wrong_secret(request))?;
        if request.method() != Method::POST {
            return Err(Rejection::Method);
        }
        let encoded = |encoding: &header::HeaderValue| !encoding.as_bytes().eq_ignore_ascii_case(b"identity");
        if request.headers().get_all(header::CONTENT_ENCODING).any(encoded) {
            return Err(Rejection::Encoding);
        }
        Ok(secret.clone())
    }

    /// Counts a wrong secret for its client.
    fn wrong_secret(&self, request: &HttpRequest) -> Rejection {
        let client = self.trusted_proxies.client(request).map(network);
        let admitted = client.is_none_or(|client| self.wrong_secrets.admits(&client));
        if admitted { Rejection::Secret } else { Rejection::TooManyFailures }
    }

    /// Reads the body within the limits of size, time and memory.
    pub(super) async fn read_body(
        &self,
        request: &HttpRequest,
        payload: &mut web::Payload,
        reservation: &mut Reservation,
    ) -> Result<Bytes, Rejection> {
        let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let declared = declared.and_then(|length| length.parse::<usize>().ok());
        if declared.is_some_and(|declared| declared > self.max_body_size) {
            return Err(Rejection::TooLarge(self.max_body_size));
        }
        let body = collect(payload, declared, self.max_body_size, reservation);
        tokio::time::timeout(self.body_timeout, body).await.unwrap_or(Err(Rejection::Timeout))
    }
}

async fn collect(
    payload: &mut web::Payload,
    declared: Option<usize>,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, Rejection> {
    reservation.grow_to(declared.unwrap_or_default()).map_err(|Overloaded| Rejection::OutOfMemory)?;
    let mut body = BytesMut::with_capacity(declared.unwrap_or_default());
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
