//! Answers of simple queries: texts, row by row.

use std::borrow::Cow;
use std::pin::pin;
use std::str::FromStr;
use std::task::{Context, Waker};
use std::vec;

use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::error::PostgresError;
use super::session::Session;
use super::text::unescape;
use crate::event::{Record, Timestamp};
use crate::journal::BatchId;
use crate::journal::columns::{Columns, Unreadable, read_record};

/// The columns of a record, as the codec numbers them.
pub(super) const RECORD_COLUMNS: &str = "position, recorded_at, shown_until, received_at, sent_at, updated_at, \
    input_id, kind, note, code, message, video_codec, audio_codec, data";

/// The rows of each statement that has a result.
#[derive(Default)]
pub(super) struct Answers(vec::IntoIter<Vec<Row>>);

/// A row.
pub(super) struct Row(SimpleQueryRow);

/// The answer is not what the statement asks for.
const UNEXPECTED: &str = "it is not what a journal has";

impl Answers {
    /// Rows of the next statement; none if there is no such statement.
    pub(super) fn rows(&mut self) -> Vec<Row> {
        self.0.next().unwrap_or_default()
    }

    /// The first row of the next statement.
    pub(super) fn row(&mut self) -> Result<Row, &'static str> {
        self.rows().into_iter().next().ok_or(UNEXPECTED)
    }
}

/// Sends these statements in one message.
pub(super) async fn ask(session: &Session, sql: &str) -> Result<Answers, PostgresError> {
    let messages = session.client.simple_query(sql).await.map_err(PostgresError::Failed)?;
    let (mut answers, mut rows) = (Vec::new(), None);
    for message in messages {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the crate may add to them at any time")]
        match message {
            SimpleQueryMessage::RowDescription(_) => rows = Some(Vec::new()),
            SimpleQueryMessage::Row(row) => rows.get_or_insert_default().push(Row(row)),
            _ => answers.extend(rows.take()),
        }
    }
    Ok(Answers(answers.into_iter()))
}

/// Sends a statement whose answer does not matter.
pub(super) fn send(session: &Session, sql: &str) {
    // The first poll sends it.
    let sending = pin!(session.client.batch_execute(sql));
    let _ = sending.poll(&mut Context::from_waker(Waker::noop()));
}

impl Row {
    pub(super) fn text(&self, column: usize) -> Result<Option<&str>, &'static str> {
        self.0.try_get(column).map_err(|_| UNEXPECTED)
    }

    /// A text that the journal's user wrote.
    pub(super) fn string(&self, column: usize) -> Result<Option<String>, &'static str> {
        Ok(self.text(column)?.map(|text| unescape(text).into_owned()))
    }

    pub(super) fn optional<T: FromStr>(&self, column: usize) -> Result<Option<T>, &'static str> {
        self.text(column)?.map(|text| text.parse().map_err(|_| UNEXPECTED)).transpose()
    }

    pub(super) fn number<T: FromStr>(&self, column: usize) -> Result<T, &'static str> {
        self.optional(column)?.ok_or(UNEXPECTED)
    }

    pub(super) fn time(&self, column: usize) -> Result<Timestamp, &'static str> {
        self.number(column).map(Timestamp::from_nanos)
    }

    pub(super) fn is_true(&self, column: usize) -> Result<bool, &'static str> {
        self.text(column).map(|text| text == Some("t"))
    }

    pub(super) fn batch_id(&self, column: usize) -> Result<Option<BatchId>, &'static str> {
        let Some(text) = self.text(column)? else { return Ok(None) };
        let bytes = from_hex(&text.replace('-', "")).and_then(|bytes| bytes.try_into().ok());
        bytes.map(BatchId::from_bytes).map(Some).ok_or(UNEXPECTED)
    }

    /// The bytes of `encode(.., 'hex')`.
    pub(super) fn bytes(&self, column: usize) -> Result<Vec<u8>, &'static str> {
        self.text(column)?.and_then(from_hex).ok_or(UNEXPECTED)
    }

    /// The record in the columns [`RECORD_COLUMNS`]. The error also has its position.
    pub(super) fn record(&self) -> Result<Record, (u64, Unreadable)> {
        let position = self.number(0).map_err(|problem| (0, Unreadable::Damaged(problem)))?;
        RecordRow::new(self)
            .map_err(Unreadable::Damaged)
            .and_then(|row| read_record(position, &row))
            .map_err(|unreadable| (position, unreadable))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?).ok();
    text.as_bytes().chunks(2).map(byte).collect()
}

/// A row with the texts as they were before [`super::text::escape`].
struct RecordRow<'a> {
    row: &'a Row,
    unescaped: Vec<(usize, String)>,
}

impl<'a> RecordRow<'a> {
    fn new(row: &'a Row) -> Result<Self, &'static str> {
        let mut unescaped = Vec::new();
        for column in 0..row.0.len() {
            if let Some(Cow::Owned(text)) = row.text(column)?.map(unescape) {
                unescaped.push((column, text));
            }
        }
        Ok(Self { row, unescaped })
    }
}

impl Columns for RecordRow<'_> {
    fn integer(&self, column: usize) -> Result<Option<i64>, &'static str> {
        self.row.optional(column)
    }

    fn text(&self, column: usize) -> Result<Option<&str>, &'static str> {
        match self.unescaped.iter().find(|(of, _)| *of == column) {
            Some((_, text)) => Ok(Some(text)),
            None => self.row.text(column),
        }
    }
}
