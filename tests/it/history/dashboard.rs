//! The parts of a dashboard's file that contain queries.

use std::fs;
use std::path::Path;

use serde::Deserialize;

/// A dashboard.
#[derive(Debug, Deserialize)]
pub struct Dashboard {
    pub uid: String,
    pub templating: Templating,
    pub annotations: Annotations,
    panels: Vec<Panel>,
}

#[derive(Debug, Deserialize)]
pub struct Templating {
    pub list: Vec<Variable>,
}

/// A variable; only the kind `query` has a query.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// The query of a query variable.
    #[serde(default)]
    pub definition: String,
    #[serde(default)]
    pub regex: String,
    #[serde(default)]
    pub multi: bool,
    #[serde(default)]
    pub include_all: bool,
    pub all_value: Option<String>,
    /// The saved choice.
    #[serde(default)]
    pub current: serde_json::Value,
}

#[derive(Debug, Deserialize)]
pub struct Annotations {
    pub list: Vec<Annotation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotation {
    pub name: String,
    pub expr: String,
    pub step: String,
    #[serde(default)]
    pub use_value_for_time: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Panel {
    pub id: u64,
    pub title: String,
    pub interval: Option<String>,
    pub max_data_points: Option<u32>,
    #[serde(default)]
    pub targets: Vec<Target>,
    /// The panels of a collapsed row.
    #[serde(default)]
    panels: Vec<Self>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    pub ref_id: String,
    pub expr: String,
    #[serde(default)]
    pub instant: bool,
    #[serde(default)]
    pub range: bool,
    pub interval: Option<String>,
}

impl Dashboard {
    /// Every dashboard of the folder.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn all(folder: &Path) -> Vec<Self> {
        let files = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let paths = files.map(|file| file.expect("the folder can be read").path());
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|name| name == "json")).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} has no dashboard", folder.display());
        let read = |path: &std::path::PathBuf| {
            let text = fs::read_to_string(path).expect("a dashboard can be read");
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        paths.iter().map(read).collect()
    }

    /// Every panel, including those in rows.
    fn panels(&self) -> Vec<&Panel> {
        self.panels.iter().flat_map(|panel| std::iter::once(panel).chain(&panel.panels)).collect()
    }

    /// The title of the collapsed row that has the panel.
    pub fn row(&self, panel: &Panel) -> Option<&str> {
        let row = self.panels.iter().find(|row| row.panels.iter().any(|one| one.id == panel.id));
        row.map(|row| row.title.as_str())
    }

    /// Every target with its panel.
    pub fn targets(&self) -> impl Iterator<Item = (&Panel, &Target)> {
        self.panels().into_iter().flat_map(|panel| panel.targets.iter().map(move |target| (panel, target)))
    }

    /// The variable of this name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.templating.list.iter().find(|variable| variable.name == name)
    }
}
