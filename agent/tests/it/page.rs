//! The page in a real browser: what it shows equals what a query answers, it lives, and says so when it does not.

mod browser;

use serde_json::Value;

use crate::agent::Agent;
use crate::kafka::wait_until;
use crate::scene::Scene;
use browser::Browser;

/// What a query in a URL is answered.
fn query(agent: &Agent, path: &str) -> Value {
    let (status, text) = agent.get(path);
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// The rows of the page's table of keys: the text of each cell, or its exact number where it has one.
fn table(browser: &mut Browser, aggregate: &str) -> Value {
    browser.eval(&format!(
        "[...document.querySelectorAll('[data-aggregate={aggregate}] .keys tbody tr')]\
         .map(row => [...row.cells].map(cell => cell.title || cell.innerText))"
    ))
}

fn same_as_the_query(browser: &mut Browser, agent: &Agent) -> bool {
    let answer = query(agent, "/api/v1/query/http?last=15m&order=-requests&limit=10&quantile=0.5,0.99");
    let rows = answer["rows"].as_array().expect("rows").iter().map(|row| {
        let value = |at: usize| &row["values"][at];
        let quantile = |at: usize| value(2)["quantiles"][at]["value"].as_f64().expect("a quantile").to_string();
        let count = |at: usize| value(at)["count"].as_str().unwrap_or("0").to_owned();
        vec![
            row["labels"]["endpoint"].as_str().expect("a label").to_owned(),
            count(0),
            count(1),
            quantile(0),
            quantile(1),
        ]
    });
    let expected = serde_json::to_value(rows.collect::<Vec<_>>()).expect("JSON");
    table(browser, "http") == expected
}

#[test]
fn the_page_shows_what_queries_answer_and_lives_and_says_when_its_agent_is_gone() {
    let shown = "format: json\n    recent_events: { fields: { endpoint: endpoint, status: status } }";
    let scene = Scene::new("page", 3).replacing("format: json", shown);
    let mut agent = scene.agent();
    scene.produce_now(20_000, 7);
    scene.assert_equals_recount(&[&agent]);
    let mut browser = Browser::start();
    browser.screen(1280, 900, "light");
    browser.open(&format!("http://{}/", agent.http()));
    browser.until("document.querySelector('#sign')?.dataset.state === 'live'");
    wait_until("the page shows what the query answers", || same_as_the_query(&mut browser, &agent));
    assert!(table(&mut browser, "http").as_array().is_some_and(|rows| rows.len() > 4));

    // What is produced comes by itself, and within seconds.
    let before = browser.eval("document.querySelector('[data-aggregate=http] .total').title");
    scene.produce_now(5_000, 8);
    browser.until("document.querySelector('[data-aggregate=http] .total').title === '25000'");
    assert_eq!(before, "20000");
    wait_until("the page shows what the query answers", || same_as_the_query(&mut browser, &agent));

    // Single events are read only while somebody has their place open, and then go on coming.
    let asked = "performance.getEntriesByType('resource').filter(e => e.name.includes('/api/v1/events/')).length";
    assert_eq!(browser.eval(asked), 0);
    browser.eval("document.querySelector('details.events').open = true");
    browser.until("document.querySelectorAll('details.events tbody tr').length === 50");
    let first = "[...document.querySelector('details.events tbody tr').cells].map(cell => cell.innerText).slice(1)";
    let newest = || query(&agent, "/api/v1/events/requests?page_size=1")["events"][0]["fields"].clone();
    let row = |fields: Value| serde_json::json!([fields["endpoint"], fields["status"]]);
    assert_eq!(browser.eval(first), row(newest()));
    scene.produce_now(10, 10);
    wait_until("the page shows the newest event", || browser.eval(first) == row(newest()));
    assert!(browser.eval("document.querySelectorAll('details.events td.good, details.events td.bad').length") != 0);

    // Nothing is asked of anybody else, and nothing that the policy forbids was tried.
    let foreign = "performance.getEntriesByType('resource').filter(e => !e.name.startsWith(location.origin)).length";
    assert_eq!(browser.eval(foreign), 0);

    let drawn = "document.querySelectorAll('[data-measure=duration] svg > path').length >= 2";
    assert_eq!(browser.eval(drawn), true, "the p99 and the median below it");
    keep(&mut browser, "page-light");
    let ink = "getComputedStyle(document.body).color + getComputedStyle(document.body).backgroundColor";
    let light = browser.eval(ink);
    browser.screen(390, 844, "dark");
    assert_ne!(browser.eval(ink), light, "dark is not light");
    let fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
    assert_eq!(browser.eval(fits), true, "a phone does not scroll sideways");
    keep(&mut browser, "page-phone-dark");

    agent.kill9();
    browser.until("document.querySelector('#sign').dataset.state === 'lost'");
    let says = browser.eval("document.querySelector('#sign').innerText");
    assert!(says.as_str().is_some_and(|text| text.contains("stale")), "{says}");
    agent.restart();
    browser.until("document.querySelector('#sign').dataset.state === 'live'");
    scene.produce_now(1_000, 9);
    browser.until("document.querySelector('[data-aggregate=http] .total')?.title === '26010'");
}

/// Keeps a picture where `STREAMGAUGE_PICTURES` says, for the documents.
fn keep(browser: &mut Browser, name: &str) {
    let picture = browser.picture();
    assert!(picture.len() > 10_000, "an empty page: {} bytes", picture.len());
    if let Some(folder) = std::env::var_os("STREAMGAUGE_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture).expect("it is written");
    }
}
