//! `journal init`: creates the journal.

use crate::journal::{Created, Location};

pub(super) fn run(location: &Location) -> anyhow::Result<()> {
    let did = match location.create()? {
        Created::New => "created",
        Created::Migrated => "migrated to the schema of this version",
        Created::Existing => "exists already",
        Created::InUse => "exists already, and is in use",
    };
    super::super::print(&format!("{location}: {did}\n"))?;
    Ok(())
}
