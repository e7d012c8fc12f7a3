//! As much of PromQL as it takes to see which metrics an expression asks for. Also used by the service's tests.

use std::collections::BTreeSet;

/// Operators that look like a metric; a function is known by its parenthesis, or by the grouping before that.
const OPERATORS: [&str; 8] = ["and", "bool", "inf", "nan", "offset", "or", "unless", "atan2"];

/// What labels follow, in parentheses.
const BEFORE_LABELS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];

/// The metrics that `expression` asks for.
pub(crate) fn metrics(expression: &str) -> BTreeSet<String> {
    let (mut metrics, mut rest) = (BTreeSet::new(), expression);
    while let Some(first) = rest.chars().next() {
        let (word, behind) = rest.split_at(rest.find(|c| !is_part_of_a_word(c)).unwrap_or(rest.len()));
        let is_called = ["(", "by ", "without "].iter().any(|next| behind.trim_start().starts_with(next));
        rest = match first {
            '{' => after(rest, '}'),
            '[' => after(rest, ']'),
            _ if word.is_empty() => &rest[first.len_utf8()..],
            _ if BEFORE_LABELS.contains(&word) && is_called => after(behind, ')'),
            _ => {
                let is_number = first.is_ascii_digit();
                if !is_number && !is_called && !OPERATORS.contains(&word) && !BEFORE_LABELS.contains(&word) {
                    metrics.insert(word.to_owned());
                }
                behind
            }
        };
    }
    metrics
}

fn is_part_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn after(text: &str, end: char) -> &str {
    text.find(end).map_or("", |at| &text[at + end.len_utf8()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_told_from_functions_labels_operators_and_numbers() {
        for (expression, expected) in [
            ("up", vec!["up"]),
            (
                r#"sum by (job, le) (rate(a_bucket{job=~"$job", x="y or z"}[$__rate_interval])) or b"#,
                vec!["a_bucket", "b"],
            ),
            ("a / on (instance) group_left (version) b unless (c > 1e3)", vec!["a", "b", "c"]),
            ("job:requests:rate5m{job=\"x\"} > (14.4 * 0.001)", vec!["job:requests:rate5m"]),
            ("max_over_time(a[$__range]) and (time() - b < 900) offset 5m", vec!["a", "b"]),
            ("a and (b) or (c)", vec!["a", "b", "c"]),
        ] {
            let found: Vec<_> = metrics(expression).into_iter().collect();
            assert_eq!(found, expected, "{expression}");
        }
    }
}
