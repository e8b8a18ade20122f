//! A journal in PostgreSQL, which any number of processes share.

mod address;
mod error;
mod head;
mod journal;
mod password;
mod schema;
mod server;
mod session;
mod tls;
mod views;

#[cfg(test)]
#[path = "../../../tests/it/postgres.rs"]
#[expect(dead_code, reason = "the tests in tests/it use the rest")]
mod cluster;
#[cfg(test)]
mod tests;

pub use address::{Address, AddressError};
pub use error::{PostgresError, Refusal};
pub use head::{Connection, Head, Shown};
pub use journal::PostgresJournal;
pub use password::PasswordError;
pub use server::{InvalidSchemaName, SchemaName, Server};
pub use tls::TlsError;
