//! A journal in PostgreSQL, which any number of processes share.

mod address;
mod answer;
mod append;
mod arrays;
mod bodies;
mod checkpoint;
mod checkpoint_rows;
mod check;
mod create;
mod error;
mod head;
mod housekeeping;
mod import;
mod journal;
mod lease;
mod link;
mod measured;
mod password;
mod reader;
mod reads;
mod runtime;
mod schema;
mod scrape;
mod server;
mod session;
mod tail;
mod text;
mod tls;
mod transaction;
mod views;

#[cfg(test)]
#[path = "../../../tests/it/postgres.rs"]
pub(super) mod cluster;
#[cfg(test)]
pub(super) mod tests;

pub use address::{Address, AddressError};
pub use error::{PostgresError, Refusal};
pub use head::{Connection, Shown};
pub use import::Derived;
pub use journal::PostgresJournal;
pub use password::PasswordError;
pub use reader::PostgresReader;
pub use server::{InvalidSchemaName, SchemaName, Server};
pub use tls::TlsError;
