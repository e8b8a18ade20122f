use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::rt::System;
use tokio::time::timeout;

use super::*;
use crate::http::private::page::address::Address;
use crate::http::private::page::outline::State;

const PATIENCE: Duration = Duration::from_secs(60);

fn status() -> Subject {
    Subject { address: Address::parse("").unwrap(), is_permitted: true }
}

/// Feeds whose pages show the number of the round, and how many pages each round has rendered.
fn counting(version: &watch::Sender<u64>) -> (Arc<Feeds>, Arc<Mutex<Vec<usize>>>) {
    let rounds = Arc::new(Mutex::new(Vec::new()));
    let (log, counter) = (rounds.clone(), Arc::new(AtomicUsize::new(0)));
    let render: Render = Box::new(move |pages| {
        log.lock().unwrap().push(pages.len());
        let round = counter.fetch_add(1, Ordering::Relaxed);
        let fragments = move |_: &Subject| vec![Fragment::text("banner", &round.to_string())];
        let rendered = pages.into_iter().map(|page| page.rendered(Timestamp::default(), fragments)).collect();
        Box::pin(async move { rendered })
    });
    (Arc::new(Feeds::new(version.subscribe(), render)), rounds)
}

async fn newest(page: &mut Subscription) -> State {
    timeout(PATIENCE, page.newest.changed()).await.unwrap().unwrap();
    page.newest.borrow_and_update().as_ref().unwrap().state()
}

#[test]
fn pages_that_show_the_same_share_a_feed_that_ends_with_the_last_of_them() {
    System::new().block_on(async {
        let version = watch::Sender::new(0);
        let (feeds, rounds) = counting(&version);
        let mut pages: Vec<_> = (0..3).map(|_| feeds.subscribe(status()).unwrap()).collect();
        let first = newest(&mut pages[0]).await;
        assert_eq!((newest(&mut pages[1]).await, newest(&mut pages[2]).await), (first, first));
        version.send_replace(1);
        assert_ne!(newest(&mut pages[0]).await, first);
        assert!(rounds.lock().unwrap().iter().all(|pages| *pages == 1));
        pages.truncate(1);
        assert_eq!(feeds.table().feeds.len(), 1);
        pages.clear();
        assert_eq!(feeds.table().feeds.len(), 0);
        timeout(PATIENCE, async {
            while feeds.table().running {
                version.send_replace(2);
                rt::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    });
}

#[test]
fn pages_beyond_the_limit_are_refused_until_others_close() {
    System::new().block_on(async {
        let (feeds, _) = counting(&watch::Sender::new(0));
        let mut pages: Vec<_> = (0..MAX_STREAMS).map(|_| feeds.subscribe(status()).unwrap()).collect();
        assert!(feeds.subscribe(status()).is_none());
        pages.pop();
        assert!(feeds.subscribe(status()).is_some());
    });
}
