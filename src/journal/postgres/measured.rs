//! What is known of the server without asking it.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::answer::ask;
use super::error::PostgresError;
use super::schema::Durability;
use super::session::Session;

/// Size of the journal and settings of the server, as they were last measured.
#[derive(Debug, Default)]
pub(super) struct Measured {
    size_bytes: AtomicU64,
    durable: AtomicU8,
}

const DURABLE: u8 = 1;
const NOT_DURABLE: u8 = 2;

impl Measured {
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Relaxed)
    }

    /// Whether the server syncs, and its commits do by default; `None` if it was not asked yet.
    pub(super) fn is_durable(&self) -> Option<bool> {
        match self.durable.load(Ordering::Relaxed) {
            DURABLE => Some(true),
            NOT_DURABLE => Some(false),
            _ => None,
        }
    }

    pub(super) fn set_durability(&self, durability: Durability) {
        self.durable.store(if durability.is_full() { DURABLE } else { NOT_DURABLE }, Ordering::Relaxed);
    }

    /// Measures the size of all tables with their indexes.
    pub(super) async fn measure(&self, session: &Session, schema: &str) -> Result<(), PostgresError> {
        let sql = format!(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{schema}' AND c.relkind = 'r'"
        );
        let size = ask(session, &sql).await?.row().and_then(|row| row.number(0));
        self.size_bytes.store(size.unwrap_or_default(), Ordering::Relaxed);
        Ok(())
    }
}
