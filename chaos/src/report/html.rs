//! `report.html`: the whole run as one page that needs nothing else, and no network.

use std::fmt::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use super::{
    Report,
    svg::{css, draw, escape},
};
use crate::{classify::Class, stop::Stop};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The page; `stops` of the run come first, then those of its control.
pub(super) fn page(report: &Report) -> String {
    let controls = report.control.iter().flat_map(|control| &control.stops);
    let (script, filters) = (hash(SCRIPT), filters(report.stops.iter().chain(controls.clone())));
    let hide: String = filters.iter().map(|class| hidden(*class)).collect();
    let style = format!("{STYLE}{hide}");
    let (word, name) = (report.verdict().as_str(), escape(&report.scenario));
    let mut page = format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '{}'; script-src '{script}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width">
<title>{name}: {word}</title>
<style>{style}</style>
<main>
<h1>{name}</h1>
<p>{}</p>
<p class="soft">{}; started {}</p>
<section class="verdict {}" aria-label="Verdict"><strong>{word}</strong><p>{}</p></section>
<div class="scroll" tabindex="0" role="region" aria-label="All stops">{}</div>
"#,
        hash(&style),
        escape(&report.what),
        escape(&report.headline()),
        escape(&report.started),
        word.to_lowercase(),
        escape(&report.conclusion("\n")).replace('\n', "<br>"),
        report.table().html(),
    );
    legend(&mut page, &filters);
    for stop in &report.stops {
        picture(&mut page, &format!("Stop {}", stop.number), stop);
    }
    for stop in controls {
        picture(&mut page, &format!("Control {}: {}", stop.number, stop.server.label()), stop);
    }
    let _ =
        write!(page, "<pre id=\"story\" aria-live=\"polite\"></pre>\n</main>\n<script>{SCRIPT}</script>\n</html>\n");
    page
}

fn legend(page: &mut String, classes: &[Class]) {
    page.push_str("<fieldset><legend class=\"soft\">Shown</legend>");
    page.push_str("<label><i class=\"in-flight\"></i>ok, in flight at the signal</label>");
    for class in classes {
        let (css, label) = (css(*class), class.label());
        let _ = write!(
            page,
            "<label><input type=\"checkbox\" id=\"show-{css}\" checked><i class=\"{css}\"></i>{label}</label>"
        );
    }
    page.push_str("</fieldset>\n");
}

fn picture(page: &mut String, title: &str, stop: &Stop) {
    let Stop { in_flight, timeline, .. } = stop;
    let title = escape(title);
    let _ = writeln!(page, "<h2>{title}</h2>\n<p class=\"soft\">{in_flight} requests in flight at the signal</p>");
    for doubt in &stop.doubts {
        let _ = writeln!(page, "<p>{}</p>", escape(doubt));
    }
    if stop.counts.is_empty() {
        return;
    }
    let label = format!("{title}: time in milliseconds around the signal");
    let _ = writeln!(
        page,
        "<figure><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Timeline, {title}\">{}</div></figure>",
        draw(timeline, &label)
    );
    if !timeline.told.is_empty() {
        let told = timeline.told.len();
        let _ = writeln!(page, "<details><summary class=\"soft\">{told} stories of requests that failed</summary>");
        for told in &timeline.told {
            let _ = writeln!(page, "<pre>{}</pre>", escape(&told.story));
        }
        page.push_str("</details>\n");
    }
}

/// The classes that any request of `stops` came to.
fn filters<'a>(stops: impl Iterator<Item = &'a Stop>) -> Vec<Class> {
    let mut classes: Vec<_> =
        stops.flat_map(|stop| stop.counts.iter()).filter(|(_, n)| **n > 0).map(|(class, _)| *class).collect();
    classes.sort();
    classes.dedup();
    classes
}

/// The rule that hides what the reader does not want to see.
fn hidden(class: Class) -> String {
    let class = css(class);
    format!("body:has(#show-{class}:not(:checked)) svg .{class} {{ display: none; }}\n")
}

/// How a policy names what stands in the page itself.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{
        tests::report,
        timeline::{Timeline, tests::joined},
    };
    use crate::verdict::tests::stop;

    fn run(id: &str) -> String {
        let mut timeline = Timeline::new(1_630.0);
        timeline.phase(0.0, "lame_duck");
        timeline.add(&joined(id, Class::Lost, 1, -1.0, 50.0));
        page(&report("", vec![Stop { timeline, doubts: vec![id.to_owned()], ..stop(1, &[(Class::Lost, 1)]) }]))
    }

    #[test]
    fn the_page_needs_nothing_but_itself() {
        let page = run("r1");
        for outside in ["http:", "https:", "url(", "src=", "href=", "@import"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("default-src 'none'; style-src 'sha256-"), "{page}");
        assert_eq!(hash(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }

    #[test]
    fn a_hostile_id_is_text_wherever_it_stands() {
        let page = run("\"'><script>alert(1)</script>");
        assert!(!page.contains("<script>alert"), "{page}");
        assert_eq!(page.matches("<script>").count(), 1);
        assert!(page.matches("&lt;script&gt;alert(1)").count() >= 4, "{page}");
    }

    #[test]
    fn every_class_that_happened_can_be_hidden() {
        let page = run("r1");
        for class in ["ok", "refused", "lost"] {
            assert!(page.contains(&format!("id=\"show-{class}\" checked")), "{page}");
            assert!(page.contains(&format!("#show-{class}:not(:checked)")), "{page}");
        }
        assert!(!page.contains("show-ghost"), "{page}");
    }
}
