//! API tokens and their permissions.

use crate::event::AccountId;

/// What a token may do. The names are those of Cloudflare's dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Read live inputs.
    StreamRead,
    /// Change live inputs; includes reading.
    StreamEdit,
    /// Read destinations, policies and the history of notifications.
    NotificationsRead,
    /// Change destinations and policies; includes reading.
    NotificationsEdit,
    /// Query GraphQL.
    AccountAnalyticsRead,
}

/// A token that the API accepts.
#[derive(Debug, Clone)]
pub struct Token {
    /// The text of the token.
    pub value: String,
    /// What it may do, in the account or in all accounts.
    pub permissions: Vec<Permission>,
    /// The account that owns it; `None` for a user's token, which works in all accounts.
    pub owner: Option<AccountId>,
    /// `active`, `disabled` or `expired`.
    pub status: &'static str,
}

impl Token {
    /// A user's token with these permissions.
    pub fn new(value: impl Into<String>, permissions: impl Into<Vec<Permission>>) -> Self {
        Self { value: value.into(), permissions: permissions.into(), owner: None, status: "active" }
    }

    /// The same token, owned by an account.
    #[must_use]
    pub fn owned_by(self, account: AccountId) -> Self {
        Self { owner: Some(account), ..self }
    }

    pub(super) fn allows(&self, permission: Permission, account: AccountId) -> bool {
        use Permission::{NotificationsEdit, NotificationsRead, StreamEdit, StreamRead};
        let included = |held: &Permission| {
            *held == permission
                || matches!((held, permission), (StreamEdit, StreamRead) | (NotificationsEdit, NotificationsRead))
        };
        self.owner.is_none_or(|owner| owner == account) && self.permissions.iter().any(included)
    }
}
