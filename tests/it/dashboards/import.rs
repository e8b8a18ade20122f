//! The files for import: they are generated from the dashboards, and the documents name the Grafana that they need.

use std::process::Command;

use serde_json::{Value, json};

use super::document::{dashboards, list, root, text};
use crate::markdown::read;

/// Generates nothing: compares the files with what would be generated.
#[test]
fn import_files_are_up_to_date() {
    let output = Command::new(root().join("grafana/import/generate")).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn import_file(name: &str) -> Value {
    serde_json::from_str(&read(format!("grafana/import/{name}.json"))).unwrap()
}

/// The Grafana that the import files require.
fn required_grafana() -> String {
    let versions = dashboards().into_iter().map(|dashboard| {
        let file = import_file(&dashboard.file);
        let grafana = list(&file["__requires"]).iter().find(|one| one["type"] == "grafana").expect("it needs Grafana");
        text(grafana, "version").to_owned()
    });
    let mut versions: Vec<_> = versions.collect();
    versions.dedup();
    let [version] = &versions[..] else { panic!("different versions: {versions:?}") };
    version.clone()
}

/// Grafana replaces `${NAME}` of each input in all texts, and leaves other variables as they are.
#[test]
fn import_with_a_chosen_data_source_gives_the_provisioned_dashboard() {
    for dashboard in dashboards() {
        let mut file = import_file(&dashboard.file);
        let members = file.as_object_mut().unwrap();
        let inputs = members.remove("__inputs").unwrap();
        let [input] = list(&inputs) else { panic!("{}: {inputs}", dashboard.file) };
        assert_eq!((text(input, "type"), text(input, "pluginId")), ("datasource", "prometheus"));
        assert_eq!(members.remove("__elements"), Some(json!({})));
        assert!(members.remove("__requires").is_some());
        let placeholder = format!("${{{}}}", text(input, "name"));
        let mut imported: Value = serde_json::from_str(&file.to_string().replace(&placeholder, "chosen")).unwrap();
        assert_ne!(imported, file, "{}: the input is not used", dashboard.file);
        let current = imported["templating"]["list"][0]["current"].take();
        assert_eq!(current["value"], "chosen");
        imported["templating"]["list"][0]["current"] = json!({});
        assert_eq!(imported, dashboard.json, "{}", dashboard.file);
    }
}

#[test]
fn documents_and_type_check_name_the_grafana_that_the_import_files_require() {
    let version = required_grafana();
    let minor = version.strip_suffix(".0").expect("the first release of a minor version");
    assert!(read("grafana/README.md").contains(&format!("Grafana {minor} or later")));
    let packages: Value = serde_json::from_str(&read("tests/dashboards/package.json")).unwrap();
    assert_eq!(packages["devDependencies"]["grafana-schema-oldest"], format!("npm:@grafana/schema@{version}"));
    let (major, minor) = minor.split_once('.').unwrap();
    let before = format!("npm:@grafana/schema@{major}.{}.0", minor.parse::<u32>().unwrap() - 1);
    assert_eq!(packages["devDependencies"]["grafana-schema-before"], before);
}
