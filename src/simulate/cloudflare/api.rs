//! The API: tokens, limits, faults, and the way to each endpoint.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::json;

use super::account::Account;
use super::alerting::AlertingRequest;
use super::destinations::SaveAndTest;
use super::fault::Fault;
use super::graphql::{self, QueryError};
use super::message::{MockRequest, MockResponse, Refusal, Reply, Success, enveloped, split};
use super::quality::{self, QUERIES_PER_WINDOW};
use super::rate_limit::{REQUESTS_PER_WINDOW, RateLimit, whole_seconds};
use super::token::{Permission, Token};
use crate::event::{AccountId, Timestamp};

/// The API, with all its accounts.
#[derive(Debug)]
pub struct Api {
    /// The tokens that it accepts. If there are none, it accepts every token for everything.
    pub tokens: Vec<Token>,
    /// Requests of a token in five minutes, before it is blocked.
    pub limit: u32,
    /// How far its clock is ahead, or behind.
    pub clock_skew: ClockSkew,
    /// Tests a new or changed destination. By default every test is answered 2xx.
    pub save_and_test: SaveAndTest,
    seed: u64,
    accounts: BTreeMap<AccountId, Account>,
    faults: VecDeque<(String, Fault)>,
    limits: BTreeMap<String, RateLimit>,
    query_limits: BTreeMap<String, RateLimit>,
    requests: u64,
}

/// The difference between the API's clock and that of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockSkew {
    /// The API's clock is ahead by this time.
    Ahead(Duration),
    /// It is behind by this time.
    Behind(Duration),
}

impl ClockSkew {
    fn applied(self, at: Timestamp) -> Timestamp {
        match self {
            Self::Ahead(skew) => at.plus(skew),
            Self::Behind(skew) => at.minus(skew),
        }
    }
}

impl Api {
    /// An API without accounts. All choices follow from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            tokens: Vec::new(),
            limit: REQUESTS_PER_WINDOW,
            clock_skew: ClockSkew::Ahead(Duration::ZERO),
            save_and_test: SaveAndTest::new(|_, _| true),
            seed,
            accounts: BTreeMap::new(),
            faults: VecDeque::new(),
            limits: BTreeMap::new(),
            query_limits: BTreeMap::new(),
            requests: 0,
        }
    }

    /// The account, which is added if it is not there.
    pub fn account(&mut self, id: AccountId) -> &mut Account {
        let seed = self.seed;
        self.accounts.entry(id).or_insert_with(|| Account::new(seed))
    }

    /// The next request whose path contains this text gets an answer with this fault. Several faults apply to as many
    /// requests.
    pub fn inject(&mut self, path: impl Into<String>, fault: Fault) {
        self.faults.push_back((path.into(), fault));
    }

    /// Removes the faults that did not apply yet.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// Number of requests, including those that were refused.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Answers a request.
    pub fn respond(&mut self, request: &MockRequest<'_>, now: Timestamp) -> MockResponse {
        self.requests += 1;
        let mut response = self.counted(request, now);
        let fault = self.faults.iter().position(|(path, _)| request.path.contains(path.as_str()));
        if let Some((_, fault)) = fault.and_then(|index| self.faults.remove(index)) {
            response = fault.applied(response);
        }
        response.headers.push(("date", http_date(self.clock_skew.applied(now))));
        response
    }

    /// Answers a request within the limit.
    fn counted(&mut self, request: &MockRequest<'_>, now: Timestamp) -> MockResponse {
        let Some(token) = bearer(request) else {
            let refusal = request.authorization.map_or(Refusal::NO_HEADER, |_| Refusal::MALFORMED_HEADER);
            return enveloped(&Err(refusal));
        };
        let limit = self.limits.entry(token.to_owned()).or_insert_with(|| RateLimit::new(self.limit));
        let (allowed, headers) = (limit.count(now), limit.headers(now));
        let mut response = match allowed {
            Ok(()) if is_query(request) => self.query(request, token, now),
            Ok(()) => enveloped(&self.reply(request, token, now)),
            Err(wait) => {
                let mut response = enveloped(&Err(Refusal::RATE_LIMITED));
                response.headers.push(("retry-after", whole_seconds(wait).to_string()));
                response
            }
        };
        response.headers.extend(headers);
        response
    }

    fn reply(&mut self, request: &MockRequest<'_>, token: &str, now: Timestamp) -> Reply {
        let (parts, query) = split(request.path);
        match (request.method, parts.as_slice()) {
            ("GET", ["user", "tokens", "verify"]) => self.verify(token, None),
            ("GET", ["accounts", account, "tokens", "verify"]) => self.verify(token, Some(account)),
            ("GET", ["user", "tokens", id]) => self.token_details(token, None, id),
            ("GET", ["accounts", account, "tokens", id]) => self.token_details(token, Some(account), id),
            ("GET", ["accounts", account, "stream", "live_inputs"]) => {
                self.allowed(token, account, Permission::StreamRead)?.list(query)
            }
            ("GET", ["accounts", account, "stream", "live_inputs", id]) => {
                let skew = self.clock_skew;
                let account = self.allowed(token, account, Permission::StreamRead)?;
                account.details(id, now, |at| skew.applied(at))
            }
            (method, ["accounts", account, "alerting", "v3", parts @ ..]) => {
                let reads = method == "GET";
                let needed = if reads { Permission::NotificationsRead } else { Permission::NotificationsEdit };
                let id = self.authorized(token, account, needed)?;
                let account = self.accounts.get_mut(&id).ok_or(Refusal::FORBIDDEN)?;
                let request = AlertingRequest { method, parts, query, body: request.body };
                account.alerting.reply(&request, &mut self.save_and_test, self.clock_skew.applied(now))
            }
            _ => Err(Refusal::NO_ROUTE),
        }
    }

    /// The answer to a query, which has no envelope.
    fn query(&mut self, request: &MockRequest<'_>, token: &str, now: Timestamp) -> MockResponse {
        let limit = self.query_limits.entry(token.to_owned()).or_insert_with(|| RateLimit::new(QUERIES_PER_WINDOW));
        if limit.count(now).is_err() {
            return MockResponse::json(200, &QueryError::BUDGET.answer());
        }
        let find = |id: &str| {
            let id = self.authorized(token, id, Permission::AccountAnalyticsRead).ok()?;
            self.accounts.get(&id)
        };
        let answer = graphql::parsed(request.body).and_then(|query| quality::answer(&query, find));
        MockResponse::json(200, &answer.unwrap_or_else(QueryError::answer))
    }

    fn allowed(&mut self, token: &str, account: &str, permission: Permission) -> Result<&mut Account, Refusal> {
        let id = self.authorized(token, account, permission)?;
        self.accounts.get_mut(&id).ok_or(Refusal::FORBIDDEN)
    }

    /// The account's id, if the token has the permission.
    fn authorized(&self, token: &str, account: &str, permission: Permission) -> Result<AccountId, Refusal> {
        let id: AccountId = account.parse().map_err(|_| Refusal::NO_ROUTE)?;
        if !self.tokens.is_empty() {
            let known = self.tokens.iter().find(|known| known.value == token && known.status == "active");
            if !known.ok_or(Refusal::UNAUTHENTICATED)?.allows(permission, id) {
                return Err(Refusal::FORBIDDEN);
            }
        }
        Ok(id)
    }

    /// The token and its id, at the endpoint of its owner.
    fn find(&self, token: &str, account: Option<&str>) -> Result<(String, &Token), Refusal> {
        let account: Option<AccountId> = account.map(str::parse).transpose().map_err(|_| Refusal::NO_ROUTE)?;
        let ids = (1_u32..).map(|number| format!("{number:032x}"));
        let mut found = ids.zip(&self.tokens).filter(|(_, known)| known.value == token && known.owner == account);
        found.next().ok_or(Refusal::INVALID_TOKEN)
    }

    fn verify(&self, token: &str, account: Option<&str>) -> Reply {
        let verified = match self.find(token, account) {
            Ok((id, known)) => known.verified(&id),
            Err(_) if self.tokens.is_empty() => Token::new(token, []).verified(&format!("{:032x}", 1)),
            Err(refusal) => return Err(refusal),
        };
        let message = json!({ "code": 10000, "message": "This API Token is valid and active", "type": null });
        Ok(Success { messages: json!([message]), ..Success::new(verified) })
    }

    /// Everything about the token of the request, if it may read tokens.
    fn token_details(&self, token: &str, account: Option<&str>, wanted: &str) -> Reply {
        let (id, known) = self.find(token, account).map_err(|_| Refusal::FORBIDDEN)?;
        if id != wanted || !known.permissions.contains(&Permission::TokensRead) {
            return Err(Refusal::FORBIDDEN);
        }
        Ok(Success::new(known.details(&id)))
    }
}

fn is_query(request: &MockRequest<'_>) -> bool {
    request.method == "POST" && split(request.path).0 == ["graphql"]
}

/// The token of a request.
fn bearer<'a>(request: &MockRequest<'a>) -> Option<&'a str> {
    let token = request.authorization?.strip_prefix("Bearer ")?.trim();
    (!token.is_empty()).then_some(token)
}

fn http_date(at: Timestamp) -> String {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&at.to_jiff()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
