//! Which part of the list of inputs a page shows: its query parameters. The list works without scripts, so each sort,
//! filter and page is a link or a form.

use form_urlencoded::Serializer;

use crate::http::private::parameters::{InvalidParameter, Parameters};

/// The names of the parameters.
pub(super) const PARAMETERS: [&str; 6] = ["sort", "order", "search", "state", "account", "page"];
/// Maximum number of characters of a text to search for.
pub(super) const MAX_TEXT: usize = 100;
/// There are never more pages.
const MAX_PAGE: usize = 1_000_000;

/// Order, filters and page of the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ListQuery {
    pub(super) sort: Sort,
    pub(super) descending: bool,
    /// Part of a name or an id; empty for all inputs.
    pub(super) search: String,
    pub(super) state: Option<StateFilter>,
    /// As [`crate::live::State::account`] has it; empty for all accounts.
    pub(super) account: String,
    /// From 1.
    pub(super) page: usize,
}

/// What the inputs are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) enum Sort {
    /// The worst first.
    #[default]
    Status,
    Name,
    Since,
    Expected,
    Error,
    Disconnects,
    Reconnects,
    OnAir,
}

/// Which state the inputs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum StateFilter {
    Live,
    /// Off air, expected or not.
    Off,
    OffExpected,
    Unknown,
}

impl Sort {
    pub(super) const ALL: [(&str, Self); 8] = [
        ("status", Self::Status),
        ("name", Self::Name),
        ("since", Self::Since),
        ("expected", Self::Expected),
        ("error", Self::Error),
        ("disconnects", Self::Disconnects),
        ("reconnects", Self::Reconnects),
        ("on-air", Self::OnAir),
    ];

    pub(super) fn label(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, sort)| *sort == self).map(|(label, _)| label).unwrap_or_default()
    }

    /// Whether the order follows from what happened today.
    pub(super) fn needs_today(self) -> bool {
        matches!(self, Self::Disconnects | Self::Reconnects | Self::OnAir)
    }

    /// Whether people want the last or largest first.
    fn begins_descending(self) -> bool {
        match self {
            Self::Since | Self::Error | Self::Disconnects | Self::Reconnects | Self::OnAir => true,
            Self::Status | Self::Name | Self::Expected => false,
        }
    }
}

impl StateFilter {
    pub(super) const ALL: [(&str, Self); 4] =
        [("live", Self::Live), ("off", Self::Off), ("off-expected", Self::OffExpected), ("unknown", Self::Unknown)];

    pub(super) fn label(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, state)| *state == self).map(|(label, _)| label).unwrap_or_default()
    }
}

impl Default for ListQuery {
    fn default() -> Self {
        let (search, account) = (String::new(), String::new());
        Self { sort: Sort::Status, descending: false, search, state: None, account, page: 1 }
    }
}

impl ListQuery {
    /// The query of these parameters. A form sends empty ones, which mean the same as missing ones.
    pub(super) fn of(parameters: &Parameters) -> Result<Self, InvalidParameter> {
        let page = parameters.text("page").filter(|page| !page.is_empty());
        let page = page.map(|_| parameters.number("page", 1..=MAX_PAGE)).transpose()?.flatten();
        Ok(Self {
            sort: parameters.choice("sort", &Sort::ALL)?.unwrap_or_default(),
            descending: parameters.choice("order", &[("asc", false), ("desc", true)])?.unwrap_or_default(),
            search: parameters.short_text("search", MAX_TEXT)?.trim().to_owned(),
            state: parameters.choice("state", &StateFilter::ALL)?,
            account: parameters.short_text("account", MAX_TEXT)?.to_owned(),
            page: page.unwrap_or(1),
        })
    }

    /// Whether only a part of the inputs is wanted.
    pub(super) fn filters(&self) -> bool {
        !self.search.is_empty() || self.state.is_some() || !self.account.is_empty()
    }

    /// The relative link to another page of the same list.
    pub(super) fn page_link(&self, page: usize) -> String {
        Self { page, ..self.clone() }.link()
    }

    /// The relative link that sorts the same inputs by this; in the other order, if they already are.
    pub(super) fn sort_link(&self, sort: Sort) -> String {
        let descending = if sort == self.sort { !self.descending } else { sort.begins_descending() };
        Self { sort, descending, page: 1, ..self.clone() }.link()
    }

    /// The relative link to the list with this query: from `/` to `/`.
    pub(super) fn link(&self) -> String {
        let query = self.to_query();
        if query.is_empty() { "./".to_owned() } else { format!("?{query}") }
    }

    /// The parameters, without those that have their default.
    pub(super) fn to_query(&self) -> String {
        let page = self.page.to_string();
        let mut query = Serializer::new(String::new());
        for (name, value, default) in [
            ("sort", self.sort.label(), Sort::default().label()),
            ("order", if self.descending { "desc" } else { "asc" }, "asc"),
            ("search", &self.search, ""),
            ("state", self.state.map(StateFilter::label).unwrap_or_default(), ""),
            ("account", &self.account, ""),
            ("page", &page, "1"),
        ] {
            if value != default {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }

    /// The value of the attribute `aria-sort` for a column.
    pub(super) fn aria_sort(&self, sort: Sort) -> Option<&'static str> {
        (sort == self.sort).then_some(if self.descending { "descending" } else { "ascending" })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn query(text: &str) -> Result<ListQuery, InvalidParameter> {
        let request = TestRequest::with_uri(&format!("/?{text}")).to_http_request();
        ListQuery::of(&Parameters::of(&request, &PARAMETERS)?)
    }

    #[test]
    fn query_written_as_parameters_is_read_as_the_same_query() {
        for text in [
            "",
            "sort=name",
            "sort=error&order=desc",
            "search=Hall+%26+%3Cb%3E+%22x%22%E2%82%AC",
            "state=off-expected&account=main+account&page=7",
            "sort=since&order=desc&search=a&state=unknown&account=b&page=2",
        ] {
            let query = query(text).unwrap();
            assert_eq!(query.to_query(), text);
        }
    }

    #[test]
    fn empty_fields_of_a_form_mean_all_inputs() {
        let sent = query("search=+&state=&account=&sort=&order=&page=").unwrap();
        assert_eq!(sent, ListQuery::default());
        assert!(!sent.filters());
        for filter in ["search=a", "state=live", "account=a"] {
            assert!(query(filter).unwrap().filters(), "{filter}");
        }
    }

    #[test]
    fn unusable_parameter_is_an_error() {
        for text in [
            "sort=colour",
            "sort=Name",
            "order=down",
            "state=on",
            "page=0",
            "page=x",
            "page=-1",
            "page=1000001",
            "pages=1",
            "page=1&page=2",
        ] {
            assert!(query(text).is_err(), "{text}");
        }
        for parameter in ["search", "account"] {
            assert!(query(&format!("{parameter}={}", "é".repeat(MAX_TEXT).replace('é', "%C3%A9"))).is_ok());
            assert!(query(&format!("{parameter}={}", "x".repeat(MAX_TEXT + 1))).is_err());
        }
    }

    #[test]
    fn link_of_the_sorted_column_reverses_the_order_and_keeps_the_filters() {
        let by_name = query("sort=name&search=a&page=3").unwrap();
        assert_eq!(by_name.sort_link(Sort::Name), "?sort=name&order=desc&search=a");
        assert_eq!(by_name.sort_link(Sort::Error), "?sort=error&order=desc&search=a");
        assert_eq!(by_name.page_link(4), "?sort=name&search=a&page=4");
        assert_eq!(query("page=2").unwrap().page_link(1), "./");
        assert_eq!(by_name.aria_sort(Sort::Name), Some("ascending"));
        assert_eq!(by_name.aria_sort(Sort::Since), None);
    }
}
