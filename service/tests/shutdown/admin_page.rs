//! The admin page in a real browser, through a real stop.

use crate::{
    browser::Browser,
    harness::{Service, Signal},
    observe::eventually,
};

/// A telephone, held upright.
const PHONE: (u32, u32) = (390, 844);

#[test]
fn the_admin_page_shows_a_stop_from_the_signal_to_the_exit() {
    let Some(browser) = Browser::open(PHONE) else { return };
    let mut service = Service::start(&[("LAME_DUCK", "2s"), ("GRACE_PERIOD", "30s")]);
    browser.go(&format!("http://{}/", service.addresses().1));
    browser.await_text("phase", "running");
    let page = service.admin_get("/").expect("it is served");
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none';")));
    browser.await_text("story", "Ready. A stop would take 30.0 s at the most.");
    #[cfg(feature = "orders")]
    browser.await_text("tasks", "settle orders");
    assert_eq!(browser.value("document.getElementById('left').hidden"), true, "nothing ends before a stop");

    // Held from here: a client chooses the path and the id, and would put a script on the page if it could.
    let mut wire = service.in_flight("/work/600000", "<b>id</b>");
    service.signal(Signal::TERM);
    browser.await_text("phase", "lame_duck");
    browser.await_text("story", "Stopping by signal TERM");
    browser.await_text("phase", "drain");
    browser.await_text("phases", "lame_duck · done");
    browser.await_text("story", "Waits for 1 request, 1 connection.");
    browser.await_text("requests", "GET /work/600000");
    assert!(browser.text("requests").contains("<b>id</b>"), "as it was sent: {}", browser.text("requests"));
    assert_eq!(browser.value("document.querySelectorAll('#requests b').length"), 0, "and it is no markup");
    assert_eq!(browser.value("document.documentElement.scrollWidth <= 390"), true, "nothing sticks out of the screen");

    let left = || browser.text("countdown").trim_end_matches(" s").parse::<f64>().expect("it is a number of seconds");
    let before = left();
    assert!(before < 29.0, "the watchdog comes a margin before the grace period is over: {before}");
    eventually("a countdown", || (left() < before).then_some(()));
    assert_eq!(browser.complaints(), Vec::<String>::new());

    service.signal(Signal::TERM); // the lame duck was longer than the debounce
    service.expect_exit(143);
    assert!(wire.response().is_err(), "the second signal cut it");
    browser.await_text("lost", "No answer since");
    assert!(browser.text("lost").contains("the process has exited"), "{}", browser.text("lost"));
}
