use tokio::time::sleep;

use super::*;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Somebody on a connection of their own, which is open for as long as this lives.
fn on(host: &str) -> Who {
    Who { host: host.into(), connection: Arc::new(()) }
}

impl Who {
    fn scrape(&self, scrapes: &Arc<Scrapes>) {
        scrapes.begin(Some(self.clone())).finish();
    }
}

/// One that scrapes every two seconds and was here just now.
async fn regular() -> (Arc<Scrapes>, Who) {
    let (scrapes, who) = (Arc::new(Scrapes::default()), on("a"));
    for turn in 0..3 {
        if turn > 0 {
            sleep(secs(2)).await;
        }
        who.scrape(&scrapes);
    }
    (scrapes, who)
}

async fn last(scrapes: &Scrapes, within: Duration) -> LastScrape {
    scrapes.last(Instant::now() + within, &CancellationToken::new()).await
}

#[tokio::test(start_paused = true)]
async fn c35_next_turn_of_a_regular_scraper_is_waited_for() {
    let (scrapes, who) = regular().await;
    let (seen, ()) = tokio::join!(last(&scrapes, secs(10)), async {
        sleep(secs(2)).await;
        who.scrape(&scrapes);
    });
    assert_eq!(seen, LastScrape { scrapers: 1, complete: 1, waited: secs(2) });
}

#[tokio::test(start_paused = true)]
async fn c35_scrape_that_began_before_the_values_were_final_is_not_the_last() {
    let (scrapes, who) = regular().await;
    sleep(secs(2)).await;
    let early = scrapes.begin(Some(who.clone()));
    let (seen, ()) = tokio::join!(last(&scrapes, secs(10)), async {
        sleep(secs(1)).await;
        early.finish();
        sleep(secs(1)).await;
        who.scrape(&scrapes);
    });
    assert_eq!(seen, LastScrape { scrapers: 1, complete: 1, waited: secs(2) });
}

#[tokio::test(start_paused = true)]
async fn c35_scraper_that_never_comes_costs_a_quarter_more_than_its_interval() {
    let (scrapes, _who) = regular().await;
    let seen = last(&scrapes, secs(10)).await;
    assert_eq!(seen, LastScrape { scrapers: 1, complete: 0, waited: Duration::from_millis(2500) });
}

#[tokio::test(start_paused = true)]
async fn c35_wait_that_would_be_in_vain_is_none() {
    let nobody = LastScrape { scrapers: 0, complete: 0, waited: Duration::ZERO };
    assert_eq!(last(&Arc::new(Scrapes::default()), secs(10)).await, nobody);

    let (scrapes, _who) = regular().await;
    assert_eq!(last(&scrapes, secs(1)).await, nobody, "its next turn is too late");
    sleep(secs(5)).await;
    assert_eq!(last(&scrapes, secs(10)).await, nobody, "it has left");

    let once = Arc::new(Scrapes::default());
    on("b").scrape(&once);
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
    let ((scrapes, _who), forced) = (regular().await, CancellationToken::new());
    let deadline = Instant::now() + secs(10);
    let (seen, ()) = tokio::join!(scrapes.last(deadline, &forced), async {
        sleep(secs(1)).await;
        forced.cancel();
    });
    assert_eq!(seen, LastScrape { scrapers: 1, complete: 0, waited: secs(1) });
}

#[tokio::test(start_paused = true)]
async fn c35_each_of_several_has_its_last_scrape_on_one_host_too() {
    let (scrapes, one) = regular().await;
    let other = on("a");
    sleep(secs(1)).await;
    other.scrape(&scrapes);
    sleep(secs(1)).await;
    one.scrape(&scrapes);
    sleep(secs(1)).await;
    other.scrape(&scrapes);
    assert_eq!(scrapes.len(), 2);
    let (seen, ()) = tokio::join!(last(&scrapes, secs(10)), async {
        for who in [&one, &other] {
            sleep(secs(1)).await;
            who.scrape(&scrapes);
        }
    });
    assert_eq!(seen, LastScrape { scrapers: 2, complete: 2, waited: secs(2) });
}

#[tokio::test(start_paused = true)]
async fn c35_scraper_that_connects_anew_each_time_is_one() {
    let scrapes = Arc::new(Scrapes::default());
    for _ in 0..3 {
        sleep(secs(2)).await;
        on("a").scrape(&scrapes);
    }
    assert_eq!(scrapes.len(), 1);
    let (seen, ()) = tokio::join!(last(&scrapes, secs(10)), async {
        sleep(secs(2)).await;
        on("a").scrape(&scrapes);
    });
    assert_eq!(seen, LastScrape { scrapers: 1, complete: 1, waited: secs(2) });
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_strangers_costs_no_memory() {
    let scrapes = Arc::new(Scrapes::default());
    let crowd: Vec<_> = (0..10 * MOST).map(|i| on(&i.to_string())).collect();
    for who in &crowd {
        who.scrape(&scrapes);
    }
    assert_eq!(scrapes.len(), MOST);
}

#[tokio::test(start_paused = true)]
async fn c35_scrapers_that_came_once_keep_no_place_from_one_that_is_regular() {
    let (scrapes, regular) = (Arc::new(Scrapes::default()), on("regular"));
    let crowd: Vec<_> = (0..2 * MOST).map(|i| on(&i.to_string())).collect();
    for who in &crowd {
        who.scrape(&scrapes);
    }
    for _ in 0..3 {
        sleep(secs(2)).await;
        regular.scrape(&scrapes);
    }
    assert_eq!(last(&scrapes, secs(10)).await.scrapers, 1);
}
