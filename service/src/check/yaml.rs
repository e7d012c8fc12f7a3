//! YAML with the line of every node, read so that no file can hurt: nesting is bounded, an alias shares its node.

use std::{collections::HashMap, rc::Rc};

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{
    finding::{Finding, Level},
    source::Source,
};

/// Deeper than any manifest. Whoever walks a tree may recurse.
const DEEPEST: usize = 64;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    value: Value,
    height: usize,
}

#[derive(Debug)]
enum Value {
    /// Plain is what stands without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands, which is what there is to change.
    pub(super) line: usize,
    pub(super) value: Rc<Node>,
}

impl Node {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether it is a text to whoever reads it by the rules of YAML, and not a number, a boolean or nothing.
    pub(super) fn is_text(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain } => {
                let words = ["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n"];
                !plain || (text.parse::<f64>().is_err() && !words.contains(&text.to_lowercase().as_str()))
            }
            Value::List(_) | Value::Map(_) => false,
        }
    }

    fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if ["", "~", "null"].contains(&text.as_str()))
    }

    /// The elements of a list; none of anything else.
    pub(super) fn items(&self) -> &[Rc<Self>] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar { .. } | Value::Map(_) => &[],
        }
    }

    /// Follows keys down. Whatever is null is absent, the last of equal keys counts, `<<` is merged.
    pub(super) fn entry(&self, path: &[&str]) -> Option<&Entry> {
        let (first, rest) = path.split_first()?;
        let Value::Map(entries) = &self.value else { return None };
        let find = |key: &str| entries.iter().rfind(|entry| entry.key == key && !entry.value.is_null());
        let entry = find(first).or_else(|| find("<<")?.value.entry(&[first]))?;
        if rest.is_empty() { Some(entry) } else { entry.value.entry(rest) }
    }

    pub(super) fn get(&self, path: &[&str]) -> Option<&Self> {
        self.entry(path).map(|entry| &*entry.value)
    }

    pub(super) fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.get(path)?.text()
    }

    pub(super) fn items_at(&self, path: &[&str]) -> &[Rc<Self>] {
        self.get(path).map_or(&[], Self::items)
    }
}

/// Every document of a file.
pub(super) fn load(source: &Source) -> Result<Vec<Rc<Node>>, Finding> {
    let refused = |line: usize, why: &str| {
        let template = source.text.contains("{{");
        let remedy = if template { "render the template first (helm template …)" } else { "put it right" };
        let text = format!("is no YAML: {why}; {remedy}");
        Finding { level: Level::Error, place: Some(source.at(line)), text }
    };
    let mut tree = Tree::default();
    for event in Parser::new_from_str(&source.text) {
        let (event, span) = event.map_err(|error| refused(error.marker().line(), error.info()))?;
        tree.grow(event, span.start.line()).map_err(|why| refused(span.start.line(), why))?;
    }
    Ok(tree.documents)
}

#[derive(Default)]
struct Tree {
    documents: Vec<Rc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
}

/// A list or a map whose end has not come.
struct Open {
    line: usize,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>, Option<Rc<Node>>),
}

impl Tree {
    fn grow(&mut self, event: Event<'_>, line: usize) -> Result<(), &'static str> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.add(Rc::new(Node { line, value, height: 0 }), anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).ok_or("an alias of nothing")?.clone();
                self.add(node, 0)
            }
            Event::SequenceStart(anchor, _) => self.open(line, anchor, Inside::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(line, anchor, Inside::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn open(&mut self, line: usize, anchor: usize, inside: Inside) -> Result<(), &'static str> {
        if self.open.len() == DEEPEST {
            return Err("it is nested deeper than 64 levels");
        }
        self.open.push(Open { line, anchor, inside });
        Ok(())
    }

    fn close(&mut self) -> Result<(), &'static str> {
        let Some(Open { line, anchor, inside }) = self.open.pop() else { return Ok(()) };
        let value = match inside {
            Inside::List(items) => Value::List(items),
            Inside::Map(entries, _) => Value::Map(entries),
        };
        let height = match &value {
            Value::Scalar { .. } => 0,
            Value::List(items) => 1 + items.iter().map(|item| item.height).max().unwrap_or(0),
            Value::Map(entries) => 1 + entries.iter().map(|entry| entry.value.height).max().unwrap_or(0),
        };
        self.add(Rc::new(Node { line, value, height }), anchor)
    }

    fn add(&mut self, node: Rc<Node>, anchor: usize) -> Result<(), &'static str> {
        if self.open.len() + node.height > DEEPEST {
            return Err("its aliases nest deeper than 64 levels");
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.inside) {
            None => self.documents.push(node),
            Some(Inside::List(items)) => items.push(node),
            Some(Inside::Map(entries, key)) => match key.take() {
                None => *key = Some(node),
                Some(key) => {
                    let name = key.text().unwrap_or_default().to_owned();
                    entries.push(Entry { key: name, line: key.line, value: node });
                }
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> Result<Vec<Rc<Node>>, Finding> {
        load(&Source { name: "a.yaml".into(), text: text.to_owned() })
    }

    #[test]
    fn every_entry_knows_its_line_in_the_file() {
        let documents = load_text("a: 1\n---\n# words\nb:\n  - c: 2\n    d: \"3\"\n").expect("it is YAML");
        let item = &documents[1].items_at(&["b"])[0];
        let lines = ["c", "d"].map(|key| item.entry(&[key]).expect("it is there").line);
        assert_eq!(lines, [5, 6]);
        assert!(!item.get(&["c"]).expect("it is there").is_text());
        assert!(item.get(&["d"]).expect("it is there").is_text());
    }

    #[test]
    fn anchors_and_merge_keys_are_followed() {
        let documents = load_text("base: &b\n  x: one\nuse:\n  <<: *b\n  y: two\nnone: ~\n").expect("it is YAML");
        assert_eq!(documents[0].text_at(&["use", "x"]), Some("one"));
        assert!(documents[0].get(&["none"]).is_none());
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line() {
        let refused = load_text("a: 1\nb: [1, 2\nc: 3\n").expect_err("the bracket is open").to_string();
        assert!(refused.contains("a.yaml:3: is no YAML"), "{refused}");
        let refused = load_text("a: 1\nb: {{ .Values.b }}x\n").expect_err("it is a template").to_string();
        assert!(refused.contains("a.yaml:2") && refused.contains("helm template"), "{refused}");
    }

    #[test]
    fn no_depth_and_no_alias_bomb_costs_more_than_an_error() {
        for deep in ["- ".repeat(100_000), "[".repeat(100_000), "? ".repeat(100_000), "{a: ".repeat(100_000)] {
            load_text(&deep).expect_err("it is too deep");
        }
        let fan = |i: usize| format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 50].join(", "));
        let bomb: String = "a0: &a0 x\n".to_owned() + &(1..40).map(fan).collect::<String>();
        load_text(&bomb).expect("shared nodes cost nothing");
        let link = |i: usize| format!("a{i}: &a{i} [*a{}]", i - 1);
        let chain = "a0: &a0 [x]\n".to_owned() + &(1..100).map(link).collect::<Vec<_>>().join("\n");
        load_text(&chain).expect_err("it is too deep");
    }
}
