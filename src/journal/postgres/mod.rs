//! A journal in PostgreSQL, which any number of processes share.

mod address;
mod server;

pub use address::{Address, AddressError};
pub use server::{InvalidSchemaName, SchemaName, Server};
