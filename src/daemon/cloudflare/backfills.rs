//! Whether the notification history of all accounts was read after a downtime.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::event::AccountId;
use crate::recorder::Handle;

/// Tells the recorder when all accounts were read.
pub(super) struct Backfills {
    recorder: Handle,
    accounts: Mutex<Accounts>,
}

#[derive(Default)]
struct Accounts {
    expected: BTreeSet<AccountId>,
    read: BTreeSet<AccountId>,
}

impl Backfills {
    pub(super) fn new(recorder: Handle) -> Self {
        Self { recorder, accounts: Mutex::default() }
    }

    /// Sets the accounts whose history is to be read.
    pub(super) fn expect(&self, expected: BTreeSet<AccountId>) {
        self.update(|accounts| accounts.expected = expected);
    }

    /// The history of this account was read.
    pub(super) fn completed(&self, account_id: AccountId) {
        self.update(|accounts| accounts.read.extend([account_id]));
    }

    fn update(&self, update: impl FnOnce(&mut Accounts)) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        update(&mut accounts);
        if !accounts.expected.is_empty() && accounts.expected.is_subset(&accounts.read) {
            self.recorder.set_backfilled();
        }
    }
}
