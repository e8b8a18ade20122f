//! Addresses of the pages that are kept up to date.

use std::fmt;

use super::list_query::{ListQuery, PARAMETERS};
use crate::event::InputId;
use crate::http::private::parameters::Parameters;

/// The address of a page, relative to `/`. Equal addresses show the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Status(ListQuery),
    Input(InputId),
}

impl Address {
    /// Reads an address as a page names itself. `None`: there is no such page, or it is not kept up to date.
    pub(super) fn parse(address: &str) -> Option<Self> {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        match path {
            "" => {
                let parameters = Parameters::parse(query, &PARAMETERS).ok()?;
                ListQuery::of(&parameters).ok().map(Self::Status)
            }
            _ if query.is_empty() => path.strip_prefix("inputs/")?.parse().ok().map(Self::Input),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(query) => write!(f, "?{}", query.to_query()),
            Self::Input(id) => write!(f, "inputs/{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_that_a_page_names_is_read_as_the_same_page() {
        let input = format!("inputs/{}", "0a".repeat(16));
        for (address, same) in
            [("?", "?"), ("", "?"), ("?page=2&sort=name&state=", "?sort=name&page=2"), (&*input, &*input)]
        {
            let read = Address::parse(address).unwrap();
            assert_eq!(read.to_string(), same);
            assert_eq!(Address::parse(same), Some(read));
        }
        for unknown in ["?sort=colour", "?done=reload", "metrics", "actions/reload", "/", "inputs/", "inputs/main"] {
            assert_eq!(Address::parse(unknown), None, "{unknown}");
        }
    }
}
