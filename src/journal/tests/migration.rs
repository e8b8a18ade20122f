//! Journals of older schema versions, as they were written by the versions that had them.
//!
//! `tests/fixtures/journals` has for each a dump of the database, and the records that it must become.
