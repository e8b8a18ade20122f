//! API tokens and their permissions.

use serde_json::{Value, json};

use crate::event::{AccountId, Timestamp};

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
    /// Read which permissions the token has.
    TokensRead,
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
    /// When it expires, if it does.
    pub expires_on: Option<Timestamp>,
}

impl Permission {
    /// The name of its permission group.
    fn name(self) -> &'static str {
        match self {
            Self::StreamRead => "Stream Read",
            Self::StreamEdit => "Stream Write",
            Self::NotificationsRead => "Notifications Read",
            Self::NotificationsEdit => "Notifications Write",
            Self::AccountAnalyticsRead => "Account Analytics Read",
            Self::TokensRead => "API Tokens Read",
        }
    }
}

impl Token {
    /// A user's token with these permissions.
    pub fn new(value: impl Into<String>, permissions: impl Into<Vec<Permission>>) -> Self {
        Self { value: value.into(), permissions: permissions.into(), owner: None, status: "active", expires_on: None }
    }

    /// The same token, owned by an account.
    #[must_use]
    pub fn owned_by(self, account: AccountId) -> Self {
        Self { owner: Some(account), ..self }
    }

    /// The members of the answer of its verification.
    pub(super) fn verified(&self, id: &str) -> Value {
        let mut verified = json!({ "id": id, "status": self.status });
        if let Some(at) = self.expires_on {
            verified["expires_on"] = json!(format!("{at:.0}"));
        }
        verified
    }

    /// Everything about it but its text.
    pub(super) fn details(&self, id: &str) -> Value {
        let groups = (1_u32..)
            .zip(&self.permissions)
            .map(|(number, permission)| json!({ "id": format!("{number:032x}"), "name": permission.name() }));
        let mut details = self.verified(id);
        details["name"] = json!("exporter");
        details["policies"] = json!([{
            "id": id,
            "effect": "allow",
            "resources": { "com.cloudflare.api.account.*": "*" },
            "permission_groups": groups.collect::<Vec<_>>(),
        }]);
        details
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
