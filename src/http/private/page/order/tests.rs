//! Which inputs are on a page, and in which order.

use super::*;
use crate::http::private::page::world::{World, at, input_id};
use crate::schedule::Expectation::{Always, Never};

/// The numbers of the inputs of a page.
fn select(world: &World, query: &ListQuery) -> Vec<u16> {
    let view = world.view();
    let selection = Selection::of(&Overview::of(&view), query, &view, None);
    selection.inputs.iter().map(|input| u16::from_be_bytes([input.id.bytes()[0], input.id.bytes()[1]])).collect()
}

/// One input of each urgency, in the order of their names.
fn one_of_each() -> World {
    let configured = [
        (1, "Attic", Never),
        (2, "bar", Always),
        (3, "Cellar", Always),
        (4, "Deck", Always),
        (5, "Entrance", Never),
        (6, "Foyer", Never),
        (7, "Gallery", Always),
    ];
    World::new(at(5000), &configured)
        .event(1, "connected", at(10))
        .event(2, "disconnected", at(40))
        .event(3, "disconnected", at(30))
        .event(5, "connected", at(20))
        .event(5, "ERR_UNHEALTHY", at(4200))
        .event(6, "disconnected", at(50))
        .event(6, "ERR_UNHEALTHY", at(60))
        .event(7, "connected", at(70))
        .event(7, "ERR_UNHEALTHY", at(4500))
        .event(8, "ERR_UNHEALTHY", at(80))
}

#[test]
fn inputs_are_in_the_order_of_the_column() {
    let world = one_of_each();
    for (sort, ascending, descending) in [
        // Off air while expected, unknown while expected, recent error, on air, off air, unknown.
        (Sort::Status, [3, 2, 4, 7, 5, 1, 6, 8], [8, 6, 1, 5, 7, 4, 2, 3]),
        (Sort::Name, [1, 2, 3, 4, 5, 6, 7, 8], [7, 6, 5, 4, 3, 2, 1, 8]),
        (Sort::Since, [1, 5, 3, 2, 6, 7, 4, 8], [7, 6, 2, 3, 5, 1, 4, 8]),
        (Sort::Expected, [2, 3, 4, 7, 1, 5, 6, 8], [1, 5, 6, 8, 2, 3, 4, 7]),
        (Sort::Error, [6, 8, 5, 7, 1, 2, 3, 4], [7, 5, 8, 6, 1, 2, 3, 4]),
    ] {
        for (descending, expected) in [(false, ascending), (true, descending)] {
            let query = ListQuery { sort, descending, ..ListQuery::default() };
            assert_eq!(select(&world, &query), expected, "{sort:?} {descending}");
        }
    }
}

#[test]
fn filters_leave_the_inputs_that_match_all_of_them() {
    let world = one_of_each();
    let account = "ac".repeat(16);
    let id = input_id(2).to_string();
    let state = |state| ListQuery { state: Some(state), ..ListQuery::default() };
    let search = |search: &str| ListQuery { search: search.to_owned(), ..ListQuery::default() };
    let of = |account: &str| ListQuery { account: account.to_owned(), ..ListQuery::default() };
    for (query, mut expected) in [
        (state(StateFilter::Live), vec![1, 5, 7]),
        (state(StateFilter::Off), vec![2, 3, 6]),
        (state(StateFilter::OffExpected), vec![2, 3]),
        (state(StateFilter::Unknown), vec![4, 8]),
        (search("AR"), vec![2, 3]),
        (search(&id), vec![2]),
        (search(&id[..5].to_uppercase()), vec![2]),
        (search("nowhere"), vec![]),
        (of(&account), vec![1, 2, 3, 5, 6, 7, 8]),
        (of("other"), vec![]),
        (ListQuery { account, ..state(StateFilter::Unknown) }, vec![8]),
    ] {
        let mut selected = select(&world, &query);
        selected.sort_unstable();
        expected.sort_unstable();
        assert_eq!(selected, expected, "{query:?}");
    }
}

#[test]
fn pages_have_a_hundred_inputs_and_a_later_page_is_the_last_one() {
    let names: Vec<String> = (0..250).map(|number| format!("{:03}", 249 - number)).collect();
    let configured: Vec<_> = (0..).zip(&names).map(|(number, name)| (number, name.as_str(), Never)).collect();
    let world = World::new(at(0), &configured);
    let view = world.view();
    let overview = Overview::of(&view);
    for (page, shown, names) in
        [(1, 1, 0..100), (2, 2, 100..200), (3, 3, 200..250), (4, 3, 200..250), (usize::MAX, 3, 200..250)]
    {
        let selection = Selection::of(&overview, &ListQuery { page, ..ListQuery::default() }, &view, None);
        let found: Vec<_> = selection.inputs.iter().map(|input| input.name.to_owned()).collect();
        assert_eq!(found, names.map(|name| format!("{name:03}")).collect::<Vec<_>>(), "{page}");
        assert_eq!((selection.page, selection.pages, selection.matching), (shown, 3, 250));
    }
    let nothing = ListQuery { search: "x".into(), page: 2, ..ListQuery::default() };
    let selection = Selection::of(&overview, &nothing, &view, None);
    assert_eq!((selection.inputs.len(), selection.page, selection.pages, selection.matching), (0, 1, 1, 0));
}
