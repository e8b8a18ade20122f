use serde_json::Value;

use super::*;

fn row(id: &'static str, text: &str) -> Fragment {
    Fragment::text(id, text)
}

/// A page with a banner, a table with these rows, and optionally a list of steps.
fn page(banner: &str, rows: &[(&'static str, &str)], steps: bool) -> Vec<Fragment> {
    let rows = rows.iter().map(|(id, text)| row(id, text)).collect();
    let mut page = vec![row("banner", banner)];
    page.extend(steps.then(|| row("setup", "steps")));
    page.push(Fragment::text("inputs", "").rows(rows));
    page
}

/// The ids of the fragments in the message for a page in this state, and the order of all fragments if it has changed.
fn message(update: &Update, seen: Option<State>) -> Option<(Vec<String>, Option<usize>)> {
    let message = update.message(seen)?;
    let message = std::str::from_utf8(&message).unwrap();
    let (id, data) = message.strip_prefix("id: ").unwrap().split_once("\ndata: ").unwrap();
    assert_eq!(State::parse(id), Some(update.state()));
    let data = data.strip_suffix("\n\n").unwrap();
    assert!(!data.contains('\n'));
    let data: Value = serde_json::from_str(data).unwrap();
    let ids = data["fragments"].as_object().unwrap().keys().cloned().collect();
    Some((ids, data["order"].as_array().map(Vec::len)))
}

#[test]
fn message_has_only_what_has_changed() {
    let before = page("1 off air", &[("row-a", "off"), ("row-b", "live")], true);
    let first = Update::next(None, &before, Timestamp::default()).unwrap();
    for (now, ids, order) in [
        (page("all on air", &[("row-a", "off"), ("row-b", "live")], true), &["banner"][..], None),
        (page("1 off air", &[("row-a", "live"), ("row-b", "live")], true), &["row-a"], None),
        (page("x", &[("row-a", "live"), ("row-b", "off")], true), &["banner", "row-a", "row-b"], None),
        (page("1 off air", &[("row-b", "live"), ("row-a", "off")], true), &["inputs"], None),
        (page("1 off air", &[("row-a", "off")], true), &["inputs"], None),
        (page("1 off air", &[("row-a", "off"), ("row-b", "live")], false), &[], Some(2)),
    ] {
        let update = Update::next(Some(&first), &now, Timestamp::default()).unwrap();
        assert_eq!(message(&update, Some(first.state())), Some((ids.iter().map(|id| (*id).into()).collect(), order)));
        assert_eq!(message(&update, Some(update.state())), None, "it is up to date");
    }
}

#[test]
fn page_in_another_state_gets_everything() {
    let pages = ["1 off air", "2 off air", "3 off air"].map(|banner| page(banner, &[("row-a", "off")], true));
    let first = Update::next(None, &pages[0], Timestamp::default()).unwrap();
    let second = Update::next(Some(&first), &pages[1], Timestamp::default()).unwrap();
    let third = Update::next(Some(&second), &pages[2], Timestamp::default()).unwrap();
    for seen in [None, Some(first.state())] {
        let (ids, order) = message(&third, seen).unwrap();
        assert_eq!((ids, order), (["banner", "inputs", "setup"].map(str::to_owned).to_vec(), Some(3)));
    }
    assert_eq!(message(&third, Some(second.state())).unwrap().0, ["banner"]);
}

#[test]
fn same_fragments_are_no_update() {
    let page = page("1 off air", &[("row-a", "off")], true);
    let first = Update::next(None, &page, Timestamp::default()).unwrap();
    assert!(Update::next(Some(&first), &page, Timestamp::default()).is_none());
    assert_eq!(State::of(&page), first.state(), "a page has the state of its feed");
}
