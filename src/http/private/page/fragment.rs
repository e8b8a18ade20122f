//! Parts of a page that change on their own.

use std::borrow::Cow;
use std::fmt;

use askama::Template;

/// An element of a page with an id. An update replaces it as a whole, or single rows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fragment {
    /// The id of the element.
    pub(super) id: Cow<'static, str>,
    /// HTML before the rows: the whole element, if it has no rows.
    before: String,
    /// Elements with ids of their own.
    pub(super) rows: Vec<Fragment>,
    after: &'static str,
}

impl Fragment {
    /// An element that is replaced as a whole. The template's only top element has this id.
    pub(super) fn new(id: impl Into<Cow<'static, str>>, template: &impl Template) -> Self {
        Self { id: id.into(), before: html(template), rows: Vec::new(), after: "" }
    }

    /// An element whose rows are replaced one by one, as long as there are the same rows in the same order. The template
    /// is the start tag, and `after` the end tag.
    pub(super) fn with_rows(
        id: impl Into<Cow<'static, str>>,
        template: &impl Template,
        rows: Vec<Fragment>,
        after: &'static str,
    ) -> Self {
        Self { id: id.into(), before: html(template), rows, after }
    }

    /// HTML outside of the rows.
    pub(super) fn frame(&self) -> (&str, &'static str) {
        (&self.before, self.after)
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.before)?;
        self.rows.iter().try_for_each(|row| row.fmt(f))?;
        f.write_str(self.after)
    }
}

/// It is HTML already.
impl askama::filters::HtmlSafe for Fragment {}

fn html(template: &impl Template) -> String {
    template.render().expect("writing to a string does not fail")
}

#[cfg(test)]
impl Fragment {
    pub(super) fn text(id: &'static str, text: &str) -> Self {
        Self { id: id.into(), before: format!("<p id=\"{id}\">{text}</p>"), rows: Vec::new(), after: "" }
    }

    pub(super) fn rows(self, rows: Vec<Fragment>) -> Self {
        Self { rows, ..self }
    }
}
