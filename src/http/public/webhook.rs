//! `POST /webhook`: the only endpoint that accepts data from the internet.
//!
//! [`Rejection`] lists the checks in their order, each with its status: secret, method, content encoding, size, memory,
//! time, JSON, space in the queue, journal. The first check that fails determines the response. The secret is checked
//! before the body is read.
//!
//! Every well-formed notification gets 200 with its outcome, even if it is not used, because Cloudflare treats any
//! other status as a failure. The content type is not checked, because people test with curl. An authenticated body
//! that is not JSON gets 400 and is kept in the journal.

use std::cell::Cell;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use actix_web::dev::RequestHead;
use actix_web::http::header::ContentType;
use actix_web::web::{Bytes, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::timeout;

use super::request_policy::{RequestPolicy, SECRET_HEADER, declared_size};
use crate::accept::{self, Received};
use crate::clock::{self, Stopwatch};
use crate::event::Notification;
use crate::http::connection;
use crate::http::exchange::Access;
use crate::http::rejection::Rejection;
use crate::http::responses::not_found;
use crate::http::unused_deliveries::{Sender, UnusedDeliveries};
use crate::live::PendingChange;
use crate::metrics::Exporter;
use crate::recorder::{Delivery, Handle, Outcome};

/// How long a request waits until its delivery is durable. If the disk hangs, the request is answered 503 after that, and
/// the delivery stays in the queue. It may be recorded later, and the sender's repetition is then a duplicate.
const RECORD_TIMEOUT: Duration = Duration::from_secs(4);

thread_local! {
    /// Whether this worker has scheduled the task that wakes the recorder.
    static WAKE_SCHEDULED: Cell<bool> = const { Cell::new(false) };
}

/// The webhook.
pub struct Webhook {
    path: String,
    policy: RwLock<Arc<RequestPolicy>>,
    recorder: Arc<Handle>,
    metrics: Arc<Exporter>,
    unused: Arc<UnusedDeliveries>,
}

impl Webhook {
    /// Creates a webhook at this path of the public listener. `unused` lists the deliveries that it rejects.
    pub fn new(
        path: String,
        policy: RequestPolicy,
        recorder: Handle,
        metrics: Arc<Exporter>,
        unused: Arc<UnusedDeliveries>,
    ) -> Self {
        let (policy, recorder) = (RwLock::new(Arc::new(policy)), Arc::new(recorder));
        Self { path, policy, recorder, metrics, unused }
    }

    /// Replaces the policy. In-flight requests keep the policy that they started with, and wrong secrets stay counted
    /// unless their limit changes.
    pub fn set_policy(&self, mut policy: RequestPolicy) {
        let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        if policy.wrong_secrets.quota() == current.wrong_secrets.quota() {
            policy.wrong_secrets = current.wrong_secrets.clone();
        }
        *current = Arc::new(policy);
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn policy(&self) -> Arc<RequestPolicy> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn metrics(&self) -> &Arc<Exporter> {
        &self.metrics
    }

    /// Takes a request through all checks. Sets the size of its body once it is known.
    async fn record(
        &self,
        request: &HttpRequest,
        payload: &mut Payload,
        policy: &RequestPolicy,
        size: &mut Option<u64>,
    ) -> Result<Outcome, Rejection> {
        let secret = policy.check_head(request)?;
        let Sender { peer, .. } = policy.sender(request, None);
        connection::present_secret();
        let mut reservation = self.recorder.reservation();
        let body = policy.read_body(request, payload, &mut reservation).await?;
        *size = Some(body.len() as u64);
        let received_at = clock::now();
        let received = Received { at: received_at, latest: received_at.max(clock::wall()) };
        let reading = match accept::read(&body, received) {
            Ok(reading) => reading,
            Err(not_json) => {
                // The sender may not send it again, so it is kept. It may also be a form that a later release reads.
                let notification = Notification::NotJson;
                self.submit(Delivery { received_at, peer, secret, notification, body, kept: None, reservation })
                    .await?;
                return Err(not_json.into());
            }
        };
        if reading.lenient {
            self.metrics.lenient.inc();
        }
        let notification = reading.notification;
        // Only the bodies of ignored notifications are stored. Others are freed before the wait for the disk.
        let body = if matches!(notification, Notification::Ignored(_)) { body } else { Bytes::new() };
        self.submit(Delivery { received_at, peer, secret, notification, body, kept: None, reservation }).await
    }

    /// Queues a delivery and waits until it is durable. Wakes the recorder once per turn of the event loop.
    ///
    /// A worker reads every request that is ready in one turn. If it woke the recorder for each of them, the recorder
    /// would sync the first one alone while the others wait. So the first request of a turn schedules a task, which
    /// the event loop runs after all requests of the turn have been queued, and the recorder writes them in one batch.
    /// Without this, a tenth fewer notifications per second are recorded with 64 connections.
    async fn submit(&self, delivery: Delivery) -> Result<Outcome, Rejection> {
        let change = match &delivery.notification {
            Notification::Event(event) => PendingChange::of(event).map(|change| (event.input_id, change)),
            Notification::Test | Notification::Ignored(_) | Notification::NotJson => None,
        };
        let recorded = self.recorder.queue(delivery).map_err(|_| Rejection::Overloaded)?;
        if !WAKE_SCHEDULED.replace(true) {
            let recorder = self.recorder.clone();
            actix_web::rt::spawn(async move {
                WAKE_SCHEDULED.set(false);
                recorder.wake();
            });
        }
        let Ok(recorded) = timeout(RECORD_TIMEOUT, recorded).await else {
            if let Some((input_id, change)) = change {
                self.recorder.state_reader().note_pending(input_id, change);
            }
            return Err(Rejection::NotInTime);
        };
        // The sender is dropped without an answer only if the recorder has exited.
        recorded.ok().flatten().ok_or_else(|| {
            let spool_full = self.recorder.state_reader().readiness().spool_full();
            if spool_full { Rejection::SpoolFull } else { Rejection::Journal }
        })
    }
}

impl Access for Webhook {
    fn reads_body(&self, head: &RequestHead) -> bool {
        head.uri.path() == self.path && self.policy().reads_body(head)
    }
}

/// Receives a notification.
pub(super) async fn receive(request: HttpRequest, mut payload: Payload, webhook: Data<Webhook>) -> HttpResponse {
    let stopwatch = Stopwatch::start();
    let policy = webhook.policy();
    let mut size = declared_size(request.headers());
    let result = webhook.record(&request, &mut payload, &policy, &mut size).await;
    let sender = || policy.sender(&request, size);
    let response = match result {
        Ok(outcome) => {
            if let Some(reason) = outcome.ignored() {
                webhook.unused.note_ignored(reason, &sender());
            }
            accepted(outcome, webhook.recorder.state_reader().readiness().draining())
        }
        Err(rejection) => {
            webhook.metrics.rejected.with_label_values(&[rejection.reason()]).inc();
            webhook.unused.note_rejected(&rejection, &sender(), clock::now());
            rejection.response()
        }
    };
    webhook.metrics.request_duration.observe(stopwatch.elapsed().as_secs_f64());
    response
}

/// 404. A request with a secret is a delivery to a wrong URL, so it must leave a trace.
pub(super) async fn other_path(request: HttpRequest, webhook: Data<Webhook>) -> HttpResponse {
    if request.headers().contains_key(SECRET_HEADER) {
        let sender = webhook.policy().sender(&request, declared_size(request.headers()));
        webhook.unused.note_other_path(&sender, clock::now());
    }
    not_found().await
}

/// 200 with the outcome. While the daemon is shutting down, it closes the connection.
fn accepted(outcome: Outcome, draining: bool) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if draining {
        response.force_close();
    }
    response.content_type(ContentType::json()).body(format!(r#"{{"outcome":"{}"}}"#, outcome.name()))
}
