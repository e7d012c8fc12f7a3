use tokio::time::sleep;

use super::*;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// One that scrapes every two seconds and was here just now.
async fn regular(who: &str) -> Arc<Scrapes> {
    let scrapes = Arc::new(Scrapes::default());
    for turn in 0..3 {
        if turn > 0 {
            sleep(secs(2)).await;
        }
        scrapes.begin(Some(who.into())).finish();
    }
    scrapes
}

async fn last(scrapes: &Scrapes, within: Duration) -> LastScrape {
    scrapes.last(Instant::now() + within, &CancellationToken::new()).await
}

#[tokio::test(start_paused = true)]
async fn c35_next_turn_of_a_regular_scraper_is_waited_for() {
    let scrapes = regular("a").await;
    let (seen, ()) = tokio::join!(last(&scrapes, secs(10)), async {
        sleep(secs(2)).await;
        scrapes.begin(Some("a".into())).finish();
    });
    assert_eq!(seen, LastScrape { scrapers: 1, complete: 1, waited: secs(2) });
}

#[tokio::test(start_paused = true)]
async fn c35_scrape_that_began_before_the_values_were_final_is_not_the_last() {
    let scrapes = regular("a").await;
    sleep(secs(2)).await;
    let early = scrapes.begin(Some("a".into()));
    let (seen, ()) = tokio::join!(last(&scrapes, secs(10)), async {
        sleep(secs(1)).await;
        early.finish();
        sleep(secs(1)).await;
        scrapes.begin(Some("a".into())).finish();
    });
    assert_eq!(seen, LastScrape { scrapers: 1, complete: 1, waited: secs(2) });
}

#[tokio::test(start_paused = true)]
async fn c35_scraper_that_never_comes_costs_a_quarter_more_than_its_interval() {
    let scrapes = regular("a").await;
    let seen = last(&scrapes, secs(10)).await;
    assert_eq!(seen, LastScrape { scrapers: 1, complete: 0, waited: Duration::from_millis(2500) });
}

#[tokio::test(start_paused = true)]
async fn c35_wait_that_would_be_in_vain_is_none() {
    let nobody = LastScrape { scrapers: 0, complete: 0, waited: Duration::ZERO };
    assert_eq!(last(&Arc::new(Scrapes::default()), secs(10)).await, nobody);

    let scrapes = regular("a").await;
    assert_eq!(last(&scrapes, secs(1)).await, nobody, "its next turn is too late");
    sleep(secs(5)).await;
    assert_eq!(last(&scrapes, secs(10)).await, nobody, "it has left");

    let once = Arc::new(Scrapes::default());
    once.begin(Some("b".into())).finish();
    assert_eq!(last(&once, secs(10)).await, nobody, "nobody knows when it comes again");

    let curl = Arc::new(Scrapes::default());
    for _ in 0..3 {
        curl.begin(None).finish();
        sleep(secs(1)).await;
    }
    assert_eq!(last(&curl, secs(10)).await, nobody, "a person looks when they like");
    assert_eq!(curl.counts(), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn c35_forced_stop_does_not_wait() {
    let (scrapes, forced) = (regular("a").await, CancellationToken::new());
    let deadline = Instant::now() + secs(10);
    let (seen, ()) = tokio::join!(scrapes.last(deadline, &forced), async {
        sleep(secs(1)).await;
        forced.cancel();
    });
    assert_eq!(seen, LastScrape { scrapers: 1, complete: 0, waited: secs(1) });
}

#[tokio::test(start_paused = true)]
async fn c35_each_of_several_has_its_last_scrape() {
    let scrapes = regular("a").await;
    sleep(secs(1)).await;
    scrapes.begin(Some("b".into())).finish();
    sleep(secs(1)).await;
    scrapes.begin(Some("a".into())).finish();
    sleep(secs(1)).await;
    scrapes.begin(Some("b".into())).finish();
    assert_eq!(scrapes.len(), 2);
    let (seen, ()) = tokio::join!(last(&scrapes, secs(10)), async {
        for who in ["a", "b"] {
            sleep(secs(1)).await;
            scrapes.begin(Some(who.into())).finish();
        }
    });
    assert_eq!(seen, LastScrape { scrapers: 2, complete: 2, waited: secs(2) });
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_strangers_costs_no_memory() {
    let scrapes = Arc::new(Scrapes::default());
    for i in 0..10 * MOST {
        scrapes.begin(Some(i.to_string())).finish();
    }
    assert_eq!(scrapes.len(), MOST);
}

#[tokio::test(start_paused = true)]
async fn c35_scrapers_that_came_once_keep_no_place_from_one_that_is_regular() {
    let scrapes = Arc::new(Scrapes::default());
    for once in 0..2 * MOST {
        scrapes.begin(Some(format!("once-{once}"))).finish();
    }
    for _ in 0..3 {
        sleep(secs(2)).await;
        scrapes.begin(Some("regular".into())).finish();
    }
    assert_eq!(last(&scrapes, secs(10)).await.scrapers, 1);
}
