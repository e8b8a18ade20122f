//! What every transaction begins with. Nothing is set for longer, because a pooler may give each transaction another
//! session of the server.

/// Begins a transaction that writes.
///
/// A replica that is cut off in the middle of a transaction would otherwise hold the lock of the head for hours, and one
/// that gave up waiting for the lock would go on to wait. The warning that a commit may not be on the standby is needed.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
    SET LOCAL synchronous_commit = on; \
    SET LOCAL lock_timeout = 1000; \
    SET LOCAL idle_in_transaction_session_timeout = 2000; \
    SET LOCAL client_min_messages = warning;";

/// Columns that set, until the end of the transaction, what a commit needs: for a statement that is a transaction of its own.
pub(super) const DURABLE: &str =
    "set_config('synchronous_commit', 'on', true), set_config('client_min_messages', 'warning', true)";

/// Begins a transaction that sees one moment.
pub(super) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL idle_in_transaction_session_timeout = 60000;";

/// The server's clock in nanoseconds, exact to the microsecond.
pub(super) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000";
