//! A mock of Cloudflare's API, with the truth about its live inputs.
//!
//! [`Api`] is pure: requests and the time come in as arguments. Tests call it directly, or over HTTP with [`serve()`].
//! It answers in every form that is documented or was seen, and with a [`Fault`] on request. Stream keys in its answers
//! contain [`STREAM_KEY`], so that tests can search for it where no stream key may be.
//!
//! ```text
//! request ─▶ fault? ─▶ token ─▶ rate limit ─▶ route ─▶ account ─▶ response
//! ```
//!
//! Like the rest of the simulator, it does not use the code that it tests.
//! Source: <https://developers.cloudflare.com/api/>.

mod account;
mod alerting;
mod api;
mod destinations;
mod fault;
mod graphql;
mod history;
mod ingest;
mod inputs;
mod message;
mod policies;
mod quality;
mod rate_limit;
mod serve;
mod status;
mod token;

pub use account::Account;
pub use alerting::Alerting;
pub use api::{Api, ClockSkew};
pub use destinations::{Destination, Destinations, SaveAndTest};
pub use fault::Fault;
pub use history::{BodyForm, History};
pub use ingest::Ingest;
pub use inputs::{Counts, Listing, LiveInput, Pages, STREAM_KEY};
pub use message::{MockRequest, MockResponse, Transfer};
pub use policies::{Policies, Silences};
pub use rate_limit::REQUESTS_PER_WINDOW;
pub use serve::{Served, serve};
pub use status::StatusForm;
pub use token::{Permission, Token};
