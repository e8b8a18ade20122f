//! A plan as people read it: a diff.

use std::fmt::Write as _;

use crate::cloudflare::model::{Destination, ObjectId, PolicyBody};
use crate::cloudflare::setup::{Existing, Step, Wanted};

/// What is shown of an object, line by line: its properties with their values.
type Properties = Vec<(&'static str, String)>;

/// Shows steps as a diff.
pub(super) struct Diff<'a> {
    pub(super) existing: &'a Existing,
    pub(super) wanted: &'a Wanted,
    /// What is shown of the secret that the destination gets.
    pub(super) secret: Option<&'a str>,
}

impl Diff<'_> {
    /// The steps, each with its title and what changes.
    pub(super) fn of(&self, steps: &[Step]) -> String {
        let mut text = String::new();
        for step in steps {
            let (kind, title, before, after) = self.parts(step);
            let sign = match (&before, &after) {
                (None, _) => '+',
                (_, None) => '-',
                (Some(_), Some(_)) => '~',
            };
            // Writing to a String does not fail.
            _ = writeln!(text, "{sign} {kind} {title}");
            text += &properties(&before.unwrap_or_default(), &after.unwrap_or_default());
        }
        text
    }

    fn parts(&self, step: &Step) -> (&'static str, String, Option<Properties>, Option<Properties>) {
        let policy = |title: String, before, after| ("notification policy", title, before, after);
        let target = |title: String, before, after| ("webhook destination", title, before, after);
        match step {
            Step::CreateDestination { name, url } => target(quoted(name), None, Some(self.destination(url, true))),
            Step::UpdateDestination { before, url } => {
                let old = self.destination(&before.url, false);
                target(titled(&before.name, &before.id), Some(old), Some(self.destination(url, true)))
            }
            Step::DeleteDestination(before) => {
                target(titled(&before.name, &before.id), Some(self.destination(&before.url, false)), None)
            }
            Step::CreatePolicy(after) => policy(quoted(&after.name), None, Some(self.policy(after, true))),
            Step::UpdatePolicy { before, after } => {
                let (old, new) = (self.policy(&before.body, false), self.policy(after, true));
                policy(titled(&before.body.name, &before.id), Some(old), Some(new))
            }
            Step::DetachPolicy { before, after } => {
                let (old, new) = (self.policy(&before.body, false), self.policy(after, false));
                policy(titled(&before.body.name, &before.id), Some(old), Some(new))
            }
            Step::DeletePolicy(before) => {
                policy(titled(&before.body.name, &before.id), Some(self.policy(&before.body, false)), None)
            }
        }
    }

    fn destination(&self, url: &str, sets_secret: bool) -> Properties {
        let secret = self.secret.filter(|_| sets_secret).map(|name| ("secret", name.to_owned()));
        std::iter::once(("url", url.to_owned())).chain(secret).collect()
    }

    fn policy(&self, policy: &PolicyBody, is_attached: bool) -> Properties {
        let list = |name: &str| match policy.filter(name).as_slice() {
            [] => "all".to_owned(),
            values => values.join(", "),
        };
        let mut properties = vec![("enabled", if policy.enabled { "yes" } else { "no" }.to_owned())];
        if policy.is_about_live_inputs() {
            properties.push(("events", list("event_type")));
            properties.push(("inputs", list("input_id")));
        } else {
            properties.push(("type", policy.alert_type.clone()));
        }
        properties.push(("delivers to", self.receivers(policy, is_attached)));
        properties
    }

    fn receivers(&self, policy: &PolicyBody, is_attached: bool) -> String {
        let destination = self.existing.destination(self.wanted);
        let is_own = |id: &str| destination.is_some_and(|own| own.id.as_str() == id);
        let mut receivers = Vec::new();
        for (kind, list) in &policy.mechanisms {
            for id in list.as_array().into_iter().flatten().filter_map(|receiver| receiver["id"].as_str()) {
                let webhook = self.existing.destinations.iter().find(|webhook| webhook.id.as_str() == id);
                receivers.push(match webhook.filter(|_| kind == "webhooks") {
                    Some(Destination { name, .. }) => format!("webhook {}", quoted(name)),
                    None => format!("{kind} {id}"),
                });
            }
        }
        let names_own = policy.webhooks().any(is_own);
        if is_attached && !names_own {
            let name = destination.map_or(&self.wanted.name, |destination| &destination.name);
            receivers.push(format!("webhook {}", quoted(name)));
        }
        if receivers.is_empty() { "nothing".to_owned() } else { receivers.join(", ") }
    }
}

/// The properties that are the same, removed or added.
fn properties(before: &Properties, after: &Properties) -> String {
    let line = |sign: char, (name, value): &(&str, String)| format!("{sign}   {name:12} {value}\n");
    let mut text = String::new();
    let names: Vec<&str> = before.iter().chain(after).map(|(name, _)| *name).collect();
    for (_, name) in names.iter().enumerate().filter(|(index, name)| !names[..*index].contains(name)) {
        let find = |properties: &Properties| properties.iter().find(|(found, _)| found == name).cloned();
        match (find(before), find(after)) {
            (Some(old), Some(new)) if old == new => text += &line(' ', &old),
            (old, new) => {
                text.extend(old.map(|old| line('-', &old)));
                text.extend(new.map(|new| line('+', &new)));
            }
        }
    }
    text
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn titled(name: &str, id: &ObjectId) -> String {
    format!("\"{name}\" ({id})")
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::cloudflare::setup::plan;

    #[test]
    fn diff_marks_what_is_added_removed_and_kept() {
        let wanted =
            Wanted { name: "exporter".into(), url: "https://live.example.com/webhook".into(), inputs: [].into() };
        let existing = Existing {
            destinations: from_value(json!([{"id": "d1", "name": "exporter", "url": "https://old/webhook"}])).unwrap(),
            policies: from_value(json!([{
                "id": "p1", "name": "Live", "enabled": false, "alert_type": "stream_live_notifications",
                "mechanisms": {"email": [{"id": "a@b.example"}], "webhooks": [{"id": "d1"}]},
                "filters": {"event_type": ["live_input.connected"]},
            }]))
            .unwrap(),
        };
        let diff = |existing: &Existing| {
            let diff = Diff { existing, wanted: &wanted, secret: Some("default") };
            diff.of(&plan(existing, &wanted))
        };
        let changed = "\
~ webhook destination \"exporter\" (d1)
-   url          https://old/webhook
+   url          https://live.example.com/webhook
+   secret       default
~ notification policy \"Live\" (p1)
-   enabled      no
+   enabled      yes
-   events       live_input.connected
+   events       all
    inputs       all
    delivers to  email a@b.example, webhook \"exporter\"
";
        assert_eq!(diff(&existing), changed);
        let created = "\
+ webhook destination \"exporter\"
+   url          https://live.example.com/webhook
+   secret       default
+ notification policy \"exporter\"
+   enabled      yes
+   events       all
+   inputs       all
+   delivers to  webhook \"exporter\"
";
        assert_eq!(diff(&Existing { destinations: Vec::new(), policies: Vec::new() }), created);
    }
}
