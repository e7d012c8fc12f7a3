//! The table of a run: a row a stop, a column a class, and below them the control.

use std::fmt::Write;

use crate::{
    classify::{Class, Weight},
    stop::Stop,
    verdict::is_caught,
};

/// These columns are always there; one for every other class that a request came to.
const ANSWERED: [Class; 4] = [Class::Ok, Class::Rejected, Class::Farewell, Class::Refused];
const DROPPED: [Class; 4] = [Class::Lost, Class::Ghost, Class::Unseen, Class::Truncated];
const ON_DEMAND: [(Class, Where); 9] = [
    (Class::H2Nack, Where::Answered),
    (Class::DeadlineCut, Where::Answered),
    (Class::Lie, Where::Dropped),
    (Class::Late, Where::Dropped),
    (Class::BadRejection, Where::Dropped),
    (Class::Error, Where::Dropped),
    (Class::Dup, Where::Dropped),
    (Class::Unresolved, Where::Dropped),
    (Class::Unlogged, Where::Dropped),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Answered,
    Dropped,
}

const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// A table that can be shown on a terminal and in Markdown.
#[derive(Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Row {
    Title(String),
    Stop { cells: Vec<Cell>, remark: &'static str },
}

#[derive(Debug)]
struct Cell {
    text: String,
    look: Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Plain,
    Dim,
    Alarm,
}

impl Table {
    /// The table of `stops`, and of the control's.
    pub fn new(stops: &[Stop], control: Option<&[Stop]>) -> Self {
        let controls = control.unwrap_or_default();
        let classes = columns(stops.iter().chain(controls));
        let mut header = vec!["stop", "in flight"];
        header.extend(classes.iter().map(|class| class.label()));
        header.extend(["not ready", "exit", "code"]);

        let mut rows: Vec<_> = stops.iter().map(|stop| Row::new(stop, &classes, "")).collect();
        if let Some(first) = controls.first() {
            let remark = |stop: &Stop| match (stop.dropped(), is_caught(controls)) {
                (1.., _) => "caught",
                (0, true) => "",
                (0, false) => "NOT CAUGHT",
            };
            rows.push(Row::Title(format!("control: {}", first.server.label())));
            rows.extend(controls.iter().map(|stop| Row::new(stop, &classes, remark(stop))));
        }
        Self { header, rows }
    }

    /// As text; `colour` dims what is zero and reddens what fails.
    pub fn text(&self, colour: bool) -> String {
        let widths: Vec<_> = (0..self.header.len()).map(|column| self.width(column)).collect();
        let header = self.header.iter().map(|label| Cell::plain((*label).to_owned()));
        let mut text: String = header.zip(&widths).map(|(label, width)| label.padded(*width, colour)).collect();
        for row in &self.rows {
            text.push('\n');
            match row {
                Row::Title(title) => text.extend(["  ", title]),
                Row::Stop { cells, remark } => {
                    text.extend(cells.iter().zip(&widths).map(|(cell, width)| cell.padded(*width, colour)));
                    text.extend(["   ", *remark]);
                    text.truncate(text.trim_end().len());
                }
            }
        }
        text + "\n"
    }

    /// As a table of Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("| {} | |\n|{}---|\n", self.header.join(" | "), "--:|".repeat(self.header.len()));
        for row in &self.rows {
            let (cells, remark): (Vec<_>, _) = match row {
                Row::Title(title) => (vec![""; self.header.len()], title.as_str()),
                Row::Stop { cells, remark } => (cells.iter().map(|cell| cell.text.as_str()).collect(), *remark),
            };
            let _ = writeln!(text, "| {} | {remark} |", cells.join(" | "));
        }
        text
    }

    /// As a table of HTML.
    pub fn html(&self) -> String {
        let header = self.header.join("</th><th scope=\"col\">");
        let mut text = format!("<table><thead><tr><th scope=\"col\">{header}</th><th></th></tr></thead><tbody>");
        for row in &self.rows {
            let _ = match row {
                Row::Title(title) => {
                    write!(text, "<tr class=\"title\"><td colspan=\"{}\">{title}</td></tr>", self.header.len() + 1)
                }
                Row::Stop { cells, remark } => {
                    let cells: String = cells.iter().map(Cell::html).collect();
                    write!(text, "<tr>{cells}<td>{remark}</td></tr>")
                }
            };
        }
        text + "</tbody></table>"
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| match row {
            Row::Title(_) => None,
            Row::Stop { cells, .. } => Some(cells[column].text.chars().count()),
        });
        cells.chain([self.header[column].len()]).max().unwrap_or_default()
    }
}

fn columns<'a>(stops: impl Iterator<Item = &'a Stop> + Clone) -> Vec<Class> {
    let wanted = |at: Where| {
        let stops = stops.clone();
        ON_DEMAND
            .into_iter()
            .filter(move |(class, place)| *place == at && stops.clone().any(|stop| stop.count(*class) > 0))
            .map(|(class, _)| class)
    };
    ANSWERED.into_iter().chain(wanted(Where::Answered)).chain(DROPPED).chain(wanted(Where::Dropped)).collect()
}

impl Row {
    fn new(stop: &Stop, classes: &[Class], remark: &'static str) -> Self {
        let mut cells = vec![Cell::plain(stop.number.to_string()), Cell::plain(stop.in_flight.to_string())];
        cells.extend(classes.iter().map(|class| Cell::count(*class, stop.count(*class))));
        cells.push(Cell::duration(stop.not_ready_ms));
        cells.push(Cell::duration(stop.exit_ms));
        cells.push(Cell::plain(stop.exit_code.map_or_else(|| "–".to_owned(), |code| code.to_string())));
        Self::Stop { cells, remark }
    }
}

impl Cell {
    const fn plain(text: String) -> Self {
        Self { text, look: Look::Plain }
    }

    fn count(class: Class, count: u64) -> Self {
        let look = match (count, class.weight()) {
            (0, _) => Look::Dim,
            (_, Weight::Allowed) => Look::Plain,
            (_, Weight::Failing | Weight::Doubtful) => Look::Alarm,
        };
        Self { text: count.to_string(), look }
    }

    fn padded(&self, width: usize, colour: bool) -> String {
        let text = &self.text;
        match self.look {
            Look::Dim if colour => format!("  {DIM}{text:>width$}{PLAIN}"),
            Look::Alarm if colour => format!("  {RED}{text:>width$}{PLAIN}"),
            _ => format!("  {text:>width$}"),
        }
    }

    fn html(&self) -> String {
        let text = &self.text;
        match self.look {
            Look::Plain => format!("<td>{text}</td>"),
            Look::Dim => format!("<td class=\"zero\">{text}</td>"),
            Look::Alarm => format!("<td class=\"alarm\">{text}</td>"),
        }
    }

    fn duration(ms: Option<f64>) -> Self {
        let Some(ms) = ms else { return Self { text: "–".to_owned(), look: Look::Dim } };
        Self::plain(if ms < 999.5 { format!("{ms:.0} ms") } else { format!("{:.2} s", ms / 1e3) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::{control, stop};

    #[test]
    fn the_table_reads_as_the_design_wants_it() {
        let stops = [stop(1, &[(Class::Farewell, 3)]), stop(2, &[(Class::Rejected, 12)])];
        let caught = [control(&[(Class::Lost, 58), (Class::Ghost, 1), (Class::Unseen, 5)])];
        let expected = "
  stop  in flight    ok  rejected  farewell  refused  lost  ghost  unseen  cut short  not ready    exit  code
     1         71  2114         0         3       64     0      0       0          0       2 ms  1.63 s     0
     2         71  2114        12         0       64     0      0       0          0       2 ms  1.63 s     0
  control: axum::serve
     1         71  2114         0         0       64    58      1       5          0          –    4 ms     0   caught
";
        assert_eq!(Table::new(&stops, Some(&caught)).text(false), expected.trim_start_matches('\n'));
    }

    #[test]
    fn a_class_that_nobody_expects_gets_a_column_when_it_happens() {
        let stops = [stop(1, &[(Class::H2Nack, 2), (Class::Lie, 1)])];
        let blind = [control(&[])];
        let expected = "\
| stop | in flight | ok | rejected | farewell | refused | h2 nack | lost | ghost | unseen | cut short | lie | not ready | exit | code | |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|
| 1 | 71 | 2114 | 0 | 0 | 64 | 2 | 0 | 0 | 0 | 0 | 1 | 2 ms | 1.63 s | 0 |  |
|  |  |  |  |  |  |  |  |  |  |  |  |  |  |  | control: axum::serve |
| 1 | 71 | 2114 | 0 | 0 | 64 | 0 | 0 | 0 | 0 | 0 | 0 | – | 4 ms | 0 | NOT CAUGHT |
";
        assert_eq!(Table::new(&stops, Some(&blind)).markdown(), expected);
    }

    #[test]
    fn html_names_its_columns_and_what_fails() {
        let html = Table::new(&[stop(1, &[(Class::Lost, 1)])], None).html();
        for part in ["<th scope=\"col\">in flight</th>", "<td class=\"alarm\">1</td>", "<td class=\"zero\">0</td>"] {
            assert!(html.contains(part), "{html}");
        }
    }

    #[test]
    fn colour_dims_zeros_and_reddens_failures_without_moving_a_column() {
        let stops = [stop(1, &[(Class::Lost, 1)])];
        let table = Table::new(&stops, None);
        let coloured = table.text(true);
        assert!(coloured.contains("\x1b[31m   1\x1b[0m"), "{coloured:?}");
        assert_eq!(coloured.replace(RED, "").replace(DIM, "").replace(PLAIN, ""), table.text(false));
    }
}
