//! A dashboard file, with access to its queries and links.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A dashboard's file.
#[derive(Clone)]
pub struct Dashboard {
    /// The file's name without its extension, which is also the dashboard's uid.
    pub file: String,
    pub json: Value,
}

/// A query of a dashboard.
pub struct Query {
    /// Where it is, for messages.
    pub place: String,
    pub expression: String,
    /// Whether it fills a variable. Other queries select by the variable's value.
    pub of_variable: bool,
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All dashboards, by name.
pub fn dashboards() -> Vec<Dashboard> {
    let mut dashboards: Vec<_> = files(&root().join("grafana/dashboards"), "json").iter().map(read).collect();
    dashboards.sort_by(|a: &Dashboard, b| a.file.cmp(&b.file));
    dashboards
}

/// The files of a folder with that extension.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

fn read(path: &PathBuf) -> Dashboard {
    let text = fs::read_to_string(path).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Dashboard { file: path.file_stem().unwrap().to_string_lossy().into_owned(), json }
}

/// A text member; empty if it is missing.
pub fn text<'a>(json: &'a Value, member: &str) -> &'a str {
    json[member].as_str().unwrap_or_default()
}

/// The elements of a list; empty if it is not a list.
pub fn list(json: &Value) -> &[Value] {
    json.as_array().map_or(&[], Vec::as_slice)
}

impl Dashboard {
    /// All panels, including rows and the panels in collapsed rows.
    pub fn panels(&self) -> Vec<&Value> {
        let top = list(&self.json["panels"]).iter();
        top.flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"]))).collect()
    }

    /// All panels with queries: neither rows nor texts.
    pub fn charts(&self) -> Vec<&Value> {
        self.panels().into_iter().filter(|panel| !["row", "text"].contains(&text(panel, "type"))).collect()
    }

    /// All panels with queries that are not in a folded row.
    pub fn unfolded(&self) -> Vec<&Value> {
        let folded = |panel: &&Value| panel["collapsed"] == true;
        let hidden: Vec<_> = self.panels().into_iter().filter(folded).flat_map(|row| list(&row["panels"])).collect();
        self.charts().into_iter().filter(|panel| !hidden.contains(panel)).collect()
    }

    pub fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    pub fn variable(&self, name: &str) -> Option<&Value> {
        self.variables().iter().find(|variable| text(variable, "name") == name)
    }

    pub fn annotations(&self) -> &[Value] {
        list(&self.json["annotations"]["list"])
    }

    /// Which panel it is, for messages.
    pub fn place(&self, panel: &Value) -> String {
        format!("{}: {}", self.file, text(panel, "title"))
    }

    /// All queries: of panels, variables and annotations.
    pub fn queries(&self) -> Vec<Query> {
        let mut queries = Vec::new();
        for panel in self.charts() {
            for target in list(&panel["targets"]) {
                let place = format!("{} {}", self.place(panel), text(target, "refId"));
                queries.push(Query { place, expression: text(target, "expr").to_owned(), of_variable: false });
            }
        }
        for variable in self.variables() {
            if let Some((_, expression)) = variable_query(variable) {
                let place = format!("{}: ${}", self.file, text(variable, "name"));
                queries.push(Query { place, expression, of_variable: true });
            }
        }
        for annotation in self.annotations() {
            let place = format!("{}: annotation {}", self.file, text(annotation, "name"));
            queries.push(Query { place, expression: text(annotation, "expr").to_owned(), of_variable: false });
        }
        queries
    }

    /// The links of the dashboard and its panels, and whether Grafana adds the time range to each.
    pub fn links(&self) -> Vec<(String, bool)> {
        let of_dashboard = list(&self.json["links"]).iter();
        let of_dashboard = of_dashboard.map(|link| (text(link, "url").to_owned(), link["keepTime"] == true));
        of_dashboard.chain(self.charts().into_iter().flat_map(Self::links_of)).collect()
    }

    /// The links of one panel.
    pub fn links_of(panel: &Value) -> Vec<(String, bool)> {
        let config = &panel["fieldConfig"];
        let properties = list(&config["overrides"]).iter().flat_map(|over| list(&over["properties"]));
        let overrides = properties.filter(|property| property["id"] == "links");
        let lists = overrides.map(|property| &property["value"]).chain([&config["defaults"]["links"], &panel["links"]]);
        lists.flat_map(list).map(|link| (text(link, "url").to_owned(), false)).collect()
    }
}

/// The function of a variable's query and the PromQL in it; None if it is not a query.
pub fn variable_query(variable: &Value) -> Option<(String, String)> {
    let (function, argument) = text(&variable["query"], "query").strip_suffix(')')?.split_once('(')?;
    let expression = match function {
        "label_values" => argument.rsplit_once(", ").map_or(argument, |(selector, _)| selector),
        _ => argument,
    };
    Some((function.to_owned(), expression.to_owned()))
}
