//! The bodies that were not understood: their list, and one of them as text.
//!
//! A connection of its own reads them, on a thread for blocking work. A disk can hang longer than a page may take, so
//! reads have a deadline, and few run at a time.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::fragment::Fragment;
use super::layout::Page;
use super::time::Time;
use super::{actions, problem};
use crate::clock;
use crate::event::IgnoredReason;
use crate::http::advice;
use crate::http::private::Private;
use crate::http::private::correction_policy::CorrectionPolicy;
use crate::http::private::parameters::Parameters;
use crate::recorder::{JournalError, KeptBodies, KeptBody, KeptBodySummary};
use crate::text::{escaped, escaped_lines};

/// How long a page waits for the journal.
const DEADLINE: Duration = Duration::from_secs(5);
/// Number of reads at a time. One that hangs keeps its place.
static READS: Semaphore = Semaphore::const_new(2);
/// Number of bodies on a page of the list.
const LISTED: usize = 100;
/// Number of bytes of a body that its page shows: more than Cloudflare's notifications have.
const SHOWN: usize = 256 << 10;
/// SQLite's numbers are signed.
const MAX_NUMBER: u64 = i64::MAX as u64;

const TITLE: &str = "Bodies that were not understood";

#[derive(Template)]
#[template(path = "unrecognized.html", config = "src/http/private/page/askama.toml")]
struct List {
    rows: Vec<Row>,
    /// The number before which the next page begins.
    older: Option<u64>,
}

struct Row {
    number: u64,
    at: Time,
    reason: String,
    size: u64,
}

#[derive(Template)]
#[template(path = "unrecognized_body.html", config = "src/http/private/page/askama.toml")]
struct Body {
    number: u64,
    at: Time,
    reason: String,
    advice: &'static str,
    size: usize,
    /// Only the beginning is shown.
    is_cut: bool,
    text: String,
}

/// `GET /unrecognized`: the newest bodies, or those before a number.
pub(in crate::http::private) async fn list(request: HttpRequest, private: Data<Private>) -> HttpResponse {
    let query = Parameters::of(&request, &["before", "done"]);
    let query =
        query.and_then(|query| Ok((query.number("before", 1..=MAX_NUMBER)?, actions::notice(query.text("done")))));
    let (before, notice) = match query {
        Ok((before, notice)) => (before.unwrap_or(MAX_NUMBER), notice),
        Err(invalid) => return invalid.response(),
    };
    match read(&private, move |bodies, cancelled| bodies.newest(before, LISTED, cancelled)).await {
        Ok(bodies) => {
            let older = bodies.last().filter(|_| bodies.len() == LISTED).map(|oldest| oldest.number);
            let list = List { rows: bodies.into_iter().map(row).collect(), older };
            let fragments = notice.into_iter().chain([Fragment::new("unrecognized", &list)]).collect();
            respond(&private, ".", TITLE.to_owned(), fragments)
        }
        Err(problem) => respond_problem(&private, ".", StatusCode::SERVICE_UNAVAILABLE, problem),
    }
}

/// `GET /unrecognized/{number}`: a body as text.
pub(in crate::http::private) async fn body(
    request: HttpRequest,
    number: Path<String>,
    private: Data<Private>,
    policy: Data<CorrectionPolicy>,
) -> HttpResponse {
    let kept = match number.parse() {
        Ok(number) => read(&private, move |bodies, cancelled| bodies.body(number, cancelled)).await,
        Err(_) => Ok(None),
    };
    match kept {
        Ok(Some(kept)) => {
            let title = format!("Body {}", kept.number);
            let permission = policy.check_page(&request).map(drop);
            let actions = actions::of_body("..", kept.number, &permission);
            let fragments = vec![Fragment::new("unrecognized", &shown(&kept)), actions];
            respond(&private, "..", title, fragments)
        }
        Ok(None) => {
            let problem = "No body with this number is kept. It was replayed, or newer ones have displaced it.";
            respond_problem(&private, "..", StatusCode::NOT_FOUND, problem)
        }
        Err(problem) => respond_problem(&private, "..", StatusCode::SERVICE_UNAVAILABLE, problem),
    }
}

/// Reads from the journal, or says why that is not possible.
async fn read<T: Send + 'static>(
    private: &Private,
    read: impl FnOnce(&KeptBodies, Arc<AtomicBool>) -> Result<T, JournalError> + Send + 'static,
) -> Result<T, &'static str> {
    let place = READS.try_acquire().map_err(|_| "Other pages are waiting for the journal. Try again.")?;
    let (bodies, cancelled) = (private.kept_bodies.clone(), Arc::<AtomicBool>::default());
    let read = web::block({
        let cancelled = cancelled.clone();
        move || {
            let _held = place;
            read(&bodies, cancelled)
        }
    });
    let Ok(read) = timeout(DEADLINE, read).await else {
        cancelled.store(true, Ordering::Relaxed);
        return Err("The journal could not be read in time: the disk is slow or hangs.");
    };
    let read = read.map_err(|_| "The journal could not be read; the log has the reason.")?;
    read.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%error, cause, "bodies that were not understood cannot be shown");
        "The journal could not be read; the log has the reason."
    })
}

fn respond(private: &Private, root: &'static str, title: String, fragments: Vec<Fragment>) -> HttpResponse {
    let (status, now) = (StatusCode::OK, clock::wall());
    super::respond(private, Page { status, title, root, now, address: None, notice: None, fragments })
}

fn respond_problem(private: &Private, root: &'static str, status: StatusCode, problem: &str) -> HttpResponse {
    super::respond(private, problem::page(status, root, TITLE, problem))
}

fn row(kept: KeptBodySummary) -> Row {
    let KeptBodySummary { number, received_at, reason, size } = kept;
    Row { number, at: Time(received_at), reason: escaped(&reason).into_owned(), size }
}

fn shown(kept: &KeptBody) -> Body {
    let advice = match IgnoredReason::from_label(&kept.reason) {
        Some(reason) => advice::after_ignoring(reason),
        None => "Cloudflare sends JSON: look for a proxy or another program that sends to the webhook",
    };
    let is_cut = kept.body.len() > SHOWN;
    Body {
        number: kept.number,
        at: Time(kept.received_at),
        reason: escaped(&kept.reason).into_owned(),
        advice,
        size: kept.body.len(),
        is_cut,
        text: as_text(&kept.body[..kept.body.len().min(SHOWN)]),
    }
}

/// A body as text, in which bytes that are no text, and characters that change how others are shown, are escape
/// sequences.
fn as_text(body: &[u8]) -> String {
    let mut text = String::new();
    for chunk in body.utf8_chunks() {
        text.push_str(&escaped_lines(chunk.valid()));
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a String does not fail");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Timestamp;

    #[test]
    fn bytes_and_characters_that_are_no_plain_text_are_escape_sequences() {
        for (body, text) in [
            (&b"{\"a\":\n1}"[..], "{\"a\":\n1}"),
            ("caf\u{e9}\u{202e}\u{1b}[2K".as_bytes(), "caf\u{e9}\\u202e\\u001b[2K"),
            (b"\xff\xfe\0a\xc3", "\\xff\\xfe\\u0000a\\xc3"),
            (b"", ""),
        ] {
            assert_eq!(as_text(body), text);
        }
    }

    #[test]
    fn body_is_escaped_and_a_long_one_is_cut() {
        let kept = |body: &[u8]| KeptBody {
            number: 7,
            received_at: Timestamp::EPOCH,
            reason: "<i>\u{202e}".to_owned(),
            body: body.to_owned(),
        };
        let html = shown(&kept(b"<script>alert(1)</script>&amp;")).render().unwrap();
        assert!(!html.contains("<script") && !html.contains("<i>") && !html.contains('\u{202e}'), "{html}");
        assert!(html.contains("&#60;script&#62;alert(1)&#60;/script&#62;&#38;amp;"), "{html}");
        let long = shown(&kept(&[b'x'; SHOWN + 1]));
        assert_eq!((long.text.len(), long.size, long.is_cut), (SHOWN, SHOWN + 1, true));
        assert!(!shown(&kept(&[b'x'; SHOWN])).is_cut);
    }
}
