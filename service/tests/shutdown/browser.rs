//! A real browser: Chromium, driven through chromedriver by the WebDriver protocol (<https://www.w3.org/TR/webdriver2/>).

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    beside::Beside,
    observe::eventually,
    parts,
    wire::{Response, Wire},
};

/// Longest wait for one answer: on a busy machine a browser takes many seconds to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// It loads nothing by itself, and runs as whatever user the tests have.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
];

/// One window. Dropped, it is closed.
pub(crate) struct Browser {
    driver: Beside,
    session: String,
}

impl Browser {
    /// Opens a window of this size, in CSS pixels. `None` where there is no browser.
    pub(crate) fn open((width, height): (u32, u32)) -> Option<Self> {
        let driver = parts::program("chromedriver", "chromium-driver")?;
        let binary = parts::program("chromium", "chromium")?;
        let driver = Beside::start(&driver, ("/status", 200), |(http, _), _| {
            vec![format!("--port={}", http.tcp().expect("it is one of TCP").port())]
        });
        let options = json!({
            "binary": binary,
            "args": FLAGS,
            // A window has frames, and is never as narrow as a phone: the page is told its size by other means.
            "mobileEmulation": { "deviceMetrics": { "width": width, "height": height, "pixelRatio": 1.0, "touch": false } },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser = Self { driver, session: String::new() };
        let session = browser.send("POST", "/session", &wanted);
        browser.session = format!("/session/{}", session["sessionId"].as_str().expect("a session has a name"));
        Some(browser)
    }

    /// Goes to `url`, and waits until it has loaded.
    pub(crate) fn go(&self, url: &str) {
        self.send("POST", &format!("{}/url", self.session), &json!({ "url": url }));
    }

    /// What `expression` comes to on the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        let script = json!({ "script": format!("return {expression}"), "args": [] });
        self.send("POST", &format!("{}/execute/sync", self.session), &script)
    }

    /// What the element of this id says to a reader.
    pub(crate) fn text(&self, id: &str) -> String {
        self.value(&format!("document.getElementById('{id}').innerText")).as_str().expect("it is text").to_owned()
    }

    /// Waits until the element says something that contains `text`.
    pub(crate) fn await_text(&self, id: &str, text: &str) {
        eventually(&format!("{text:?} in #{id}"), || self.text(id).contains(text).then_some(()));
    }

    /// What the browser itself complains of: refused scripts, errors of the page.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.send("POST", &format!("{}/se/log", self.session), &json!({ "type": "browser" }));
        log.as_array().expect("a log is a list").iter().map(|line| line["message"].to_string()).collect()
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let Some(response) = self.ask(method, path, &body.to_string()) else { panic!("no answer to {method} {path}") };
        let said = || format!("{}\n{}", response.body, self.driver.log());
        assert_eq!(response.status, 200, "{method} {path} {body}: {}", said());
        let mut answer: Value = serde_json::from_str(&response.body).expect("WebDriver answers JSON");
        answer["value"].take()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Option<Response> {
        let mut wire = Wire::connect(&self.driver.http).ok()?;
        wire.be_patient_for(PATIENCE);
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close");
        wire.send(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())).ok()?;
        wire.response().ok()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver takes the browser with it only when it is asked to.
        if !self.session.is_empty() {
            let _ = self.ask("DELETE", &self.session, "");
        }
    }
}
