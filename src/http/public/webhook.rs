//! `POST /webhook`: where the internet is let in, as far as this and no further.
//!
//! Checked in this order, and answered at the first that fails:
//!
//! | check | answer |
//! |---|---|
//! | secret | 401, the same for a missing and a wrong one, before the body is read; 429 after too many |
//! | method | 405 with `Allow` |
//! | content encoding | 415 |
//! | size, by header and while reading | 413 |
//! | time that the body takes | 408 |
//! | a body that breaks off, or whose chunks are none | 400 |
//! | a JSON object | 400 with the position |
//! | room in the queue, durable | 503 with `Retry-After` |
//!
//! Everything well-formed is answered 200 with its outcome: also what is not used, because Cloudflare
//! takes anything else for a failure. Any content type will do: people use curl.

use std::cell::Cell;
use std::sync::{Arc, PoisonError, RwLock};

use actix_web::http::header;
use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};

use super::request_policy::RequestPolicy;
use crate::accept;
use crate::clock::{self, Stopwatch};
use crate::event::Notification;
use crate::http::rejection::Rejection;
use crate::metrics::Exporter;
use crate::recorder::{Delivery, Handle, Outcome};

thread_local! {
    /// Whether this worker is going to wake the recorder.
    static WAKING: Cell<bool> = const { Cell::new(false) };
}

/// The webhook.
pub struct Webhook {
    path: String,
    policy: RwLock<Arc<RequestPolicy>>,
    recorder: Handle,
    metrics: Arc<Exporter>,
}

impl Webhook {
    /// A webhook at this path of the public listener.
    pub fn new(path: String, policy: RequestPolicy, recorder: Handle, metrics: Arc<Exporter>) -> Self {
        Self { path, policy: RwLock::new(Arc::new(policy)), recorder, metrics }
    }

    /// Replaces the policy; requests under way keep the one that they came through.
    pub fn set_policy(&self, policy: RequestPolicy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn policy(&self) -> Arc<RequestPolicy> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn outcome(
        self: &Arc<Self>,
        request: &HttpRequest,
        payload: &mut web::Payload,
    ) -> Result<Outcome, Rejection> {
        let policy = self.policy();
        let secret = policy.check_head(request)?;
        let body = policy.read_body(request, payload).await?;
        let received_at = clock::now();
        let reading = accept::read(&body, received_at)?;
        if reading.lenient {
            self.metrics.lenient.inc();
        }
        let notification = reading.notification;
        // While it waits for the disk, it holds no more than what is going to be kept.
        let body = if matches!(notification, Notification::Ignored(_)) { body } else { Bytes::new() };
        let delivery = Delivery { received_at, secret, notification, body };
        let recorded = self.recorder.submit(delivery).map_err(|_| Rejection::Overloaded)?;
        self.wake_recorder_after_this_turn();
        // The sender is dropped without an answer only when the recorder is gone.
        recorded.await.ok().flatten().ok_or(Rejection::Journal)
    }

    /// What this worker finds to read in one turn of its event loop is recorded together.
    fn wake_recorder_after_this_turn(self: &Arc<Self>) {
        if !WAKING.replace(true) {
            let webhook = self.clone();
            // Everything that is ready now has its turn before.
            actix_web::rt::spawn(async move {
                WAKING.set(false);
                webhook.recorder.wake();
            });
        }
    }
}

/// Receives a notification.
pub(super) async fn receive(request: HttpRequest, mut payload: web::Payload, webhook: Data<Webhook>) -> HttpResponse {
    let stopwatch = Stopwatch::start();
    let answer = match webhook.outcome(&request, &mut payload).await {
        Ok(outcome) => accepted(outcome, webhook.recorder.state_reader().readiness().draining()),
        Err(rejection) => {
            webhook.metrics.rejected.with_label_values(&[rejection.reason()]).inc();
            rejection.response(payload)
        }
    };
    webhook.metrics.request_duration.observe(stopwatch.elapsed().as_secs_f64());
    answer
}

/// 200 with the outcome; the last one on its connection when the daemon is shutting down.
fn accepted(outcome: Outcome, last: bool) -> HttpResponse {
    let body = match outcome {
        Outcome::Recorded => r#"{"outcome":"recorded"}"#,
        Outcome::Duplicate => r#"{"outcome":"duplicate"}"#,
        Outcome::Test => r#"{"outcome":"test"}"#,
        Outcome::Ignored(_) => r#"{"outcome":"ignored"}"#,
    };
    let mut response = HttpResponse::Ok();
    if last {
        response.force_close();
    }
    response.content_type(header::ContentType::json()).body(body)
}
