//! A request to the API.

use serde_json::Value;

/// A request to the API, without base URL and token.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The kind of request.
    pub endpoint: Endpoint,
    /// The HTTP method.
    pub method: Method,
    /// Path and query below the base URL, from the leading slash on: `/accounts/{account_id}/stream/live_inputs`.
    pub path: String,
    /// The body, as JSON.
    pub body: Option<Value>,
}

/// The HTTP methods that the API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or queries GraphQL.
    Post,
    /// Replaces.
    Put,
    /// Deletes.
    Delete,
}

labelled! {
    /// The kinds of requests: the label `endpoint` of `stream_live_exporter_cloudflare_requests_total`.
    Endpoint {
        /// Whether the token is valid.
        Token = "token",
        /// The list of live inputs.
        Inputs = "inputs",
        /// One live input.
        Input = "input",
        /// Webhook destinations.
        Destinations = "destinations",
        /// Notification policies.
        Policies = "policies",
        /// The types of notifications, and their filters.
        AvailableAlerts = "available_alerts",
        /// Silences of policies.
        Silences = "silences",
        /// Notifications that were sent.
        History = "history",
        /// Ingest quality.
        Quality = "quality",
    }
}

impl Request {
    /// A request that reads.
    pub fn get(endpoint: Endpoint, path: impl Into<String>) -> Self {
        Self { endpoint, method: Method::Get, path: path.into(), body: None }
    }
}
