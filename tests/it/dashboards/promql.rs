//! Parsed PromQL expressions: selectors, and the labels that the expression names or creates.

use std::collections::BTreeSet;

use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr, LabelModifier, MatrixSelector, VectorSelector};

/// Grafana's time variables, each with a placeholder duration that occurs in no query. A name that begins with another
/// name comes first.
const TIMES: [(&str, &str); 5] = [
    ("$__rate_interval", "307s"),
    ("$__interval", "61s"),
    ("$__range_s", "21601"),
    ("$__range", "21601s"),
    ("$__from", "1700000000000"),
];

/// A parsed expression.
#[derive(Default, Debug)]
pub struct Parsed {
    pub selectors: Vec<Selector>,
    /// Labels in `by`, `without`, `on`, `ignoring` and `group_left`.
    pub named: BTreeSet<String>,
    /// Labels that `label_replace`, `label_join` and `count_values` create.
    pub made: BTreeSet<String>,
}

/// A series selector.
#[derive(Debug)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
    /// The function that it is an argument of.
    pub function: Option<String>,
    /// The window as written in the expression.
    pub window: Option<String>,
    /// Whether it has an offset.
    pub earlier: bool,
}

/// A label matcher.
#[derive(Debug)]
pub struct Matcher {
    pub label: String,
    pub operator: String,
    pub value: String,
}

/// Parses an expression that contains Grafana's variables.
pub fn parse(expression: &str) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    parsed.walk(&parser::parse(&substitute(expression))?, None);
    Ok(parsed)
}

/// Replaces the time variables. Variables in quotes stay.
pub fn substitute(expression: &str) -> String {
    TIMES.iter().fold(expression.to_owned(), |expression, (name, value)| expression.replace(name, value))
}

impl Parsed {
    fn walk(&mut self, expression: &Expr, function: Option<&str>) {
        match expression {
            Expr::VectorSelector(selector) => self.selectors.push(Selector::new(selector, function, None)),
            Expr::MatrixSelector(MatrixSelector { vs, range }) => {
                let window = TIMES.iter().find(|(_, value)| humantime::parse_duration(value) == Ok(*range));
                let window = window
                    .map_or_else(|| humantime::format_duration(*range).to_string(), |(name, _)| (*name).to_owned());
                self.selectors.push(Selector::new(vs, function, Some(window)));
            }
            Expr::Call(call) => {
                let arguments = &call.args.args;
                if let ("label_replace" | "label_join", Some(Expr::StringLiteral(made))) =
                    (call.func.name, arguments.get(1).map(|made| &**made))
                {
                    self.made.insert(made.val.clone());
                }
                arguments.iter().for_each(|argument| self.walk(argument, Some(call.func.name)));
            }
            Expr::Aggregate(aggregate) => {
                self.name(aggregate.modifier.as_ref());
                if let Some(Expr::StringLiteral(made)) = aggregate.param.as_deref() {
                    self.made.insert(made.val.clone());
                }
                aggregate.param.iter().for_each(|parameter| self.walk(parameter, None));
                self.walk(&aggregate.expr, None);
            }
            Expr::Binary(binary) => {
                if let Some(modifier) = &binary.modifier {
                    self.name(modifier.matching.as_ref());
                    self.named.extend(modifier.card.labels().iter().flat_map(|labels| labels.labels.clone()));
                }
                self.walk(&binary.lhs, None);
                self.walk(&binary.rhs, None);
            }
            Expr::Unary(unary) => self.walk(&unary.expr, None),
            Expr::Paren(paren) => self.walk(&paren.expr, function),
            Expr::Subquery(subquery) => self.walk(&subquery.expr, None),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
    }

    fn name(&mut self, modifier: Option<&LabelModifier>) {
        self.named.extend(modifier.iter().flat_map(|modifier| modifier.labels().labels.clone()));
    }
}

impl Selector {
    fn new(selector: &VectorSelector, function: Option<&str>, window: Option<String>) -> Self {
        let alternatives = selector.matchers.or_matchers.iter().flatten();
        let matchers = selector.matchers.matchers.iter().chain(alternatives).map(|matcher| Matcher {
            label: matcher.name.clone(),
            operator: matcher.op.to_string(),
            value: match &matcher.op {
                MatchOp::Equal | MatchOp::NotEqual | MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.clone(),
            },
        });
        Self {
            metric: selector.name.clone().unwrap_or_default(),
            matchers: matchers.collect(),
            function: function.map(str::to_owned),
            window,
            earlier: selector.offset.is_some(),
        }
    }

    /// Whether it has exactly this matcher.
    pub fn has(&self, label: &str, operator: &str, value: &str) -> bool {
        let mut matchers = self.matchers.iter();
        matchers.any(|matcher| (&*matcher.label, &*matcher.operator, &*matcher.value) == (label, operator, value))
    }
}

#[test]
fn expression_is_parsed_into_selectors_and_labels() {
    let parsed = parse(
        "label_replace(sum by (a) (rate(x_total{job=~\"$job\", b!=\"c\"}[$__rate_interval])), \"made\", \"$1\", \"a\", \"(.+)\")
         * on (d) group_left (e) max(y offset $__range) or increase(z[1h:])",
    )
    .unwrap();
    let named: Vec<_> = parsed.named.iter().map(String::as_str).collect();
    assert_eq!((named, parsed.made.len()), (vec!["a", "d", "e"], 1));
    let [x, y, z] = &parsed.selectors[..] else { panic!("{:?}", parsed.selectors) };
    assert_eq!(
        (x.function.as_deref(), x.window.as_deref(), x.earlier),
        (Some("rate"), Some("$__rate_interval"), false)
    );
    assert!(x.has("job", "=~", "$job") && x.has("b", "!=", "c") && !x.has("job", "=", "$job"));
    assert_eq!((&*y.metric, y.window.as_deref(), y.earlier), ("y", None, true));
    assert_eq!((&*z.metric, z.window.as_deref(), z.earlier), ("z", None, false));
    assert!(parse("sum(").is_err() && parse("nothing(x)").is_err());
}
