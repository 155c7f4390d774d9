//! Tables and records for people.

use comfy_table::{Attribute, Cell as TableCell, Color, ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::Value;

use super::Theme;

/// Blanks between two columns.
const GAP: u16 = 2;
/// The least room for text that may wrap.
const WRAPPED_MIN: usize = 16;

/// How a cell is meant. Colours follow from it; the words alone must say the same, as there may be no colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Broken or dangerous.
    Bad,
    /// Of little interest.
    Dim,
}

impl Tone {
    /// The tone of a state's name, for all states of hosts, agents, introspections, tasks, tokens, sections and severities.
    #[must_use]
    pub fn of_state(state: &str) -> Self {
        match state.to_ascii_lowercase().as_str() {
            "online" | "finished" | "active" | "ok" | "added" | "succeeded" | "yes" => Self::Good,
            "offline" | "waiting" | "running" | "starting" | "processing" | "reapplying" | "aborting" | "partial"
            | "unavailable" | "stale" | "warning" | "changed" | "enrolled" => Self::Warn,
            "error" | "failed" | "revoked" | "alarm" | "timeout" | "lost" | "removed" => Self::Bad,
            "expired" | "used" | "canceled" | "-" | "info" => Self::Dim,
            _ => Self::Plain,
        }
    }

    fn color(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Good => Some(Color::Green),
            Self::Warn => Some(Color::Yellow),
            Self::Bad => Some(Color::Red),
            Self::Dim => Some(Color::DarkGrey),
        }
    }
}

/// One column of a table: its heading and what it shows of an item.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    head: &'static str,
    cell: fn(&Value) -> String,
    state: bool,
    whole: bool,
    spare: bool,
}

impl Column {
    /// A column whose text may wrap.
    #[must_use]
    pub fn new(head: &'static str, cell: fn(&Value) -> String) -> Self {
        Self { head, cell, state: false, whole: false, spare: false }
    }

    /// Never wrapped: an id, a name, something to copy.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Left out where the terminal is too narrow, the last of a table first.
    #[must_use]
    pub fn spare(mut self) -> Self {
        self.spare = true;
        self
    }

    /// The text is a state and coloured as such.
    #[must_use]
    pub fn state(mut self) -> Self {
        self.state = true;
        self.whole = true;
        self
    }
}

/// A table with a row for each item, with a final line break. Without a terminal it is as wide as it needs to be.
#[must_use]
pub fn list(theme: &Theme, columns: &[Column], items: &[Value]) -> String {
    let texts: Vec<Vec<String>> =
        items.iter().map(|item| columns.iter().map(|column| (column.cell)(item)).collect()).collect();
    let (kept, fits) = choose(theme, columns, &texts);
    let theme = &if fits { *theme } else { Theme { width: None, ..*theme } };
    let mut table = frame(theme);
    table.set_header(kept.iter().map(|index| heading(theme, columns[*index].head)));
    for row in &texts {
        table.add_row(kept.iter().map(|index| {
            let tone = if columns[*index].state { Tone::of_state(&row[*index]) } else { Tone::Plain };
            toned(theme, row[*index].clone(), tone)
        }));
    }
    finish(&mut table, kept.iter().map(|index| columns[*index].whole))
}

/// Which columns have room on the terminal, by their indexes, and whether they fit at all. Text that may wrap needs room
/// for a few words; a table that does not even fit so is printed as wide as it is.
fn choose(theme: &Theme, columns: &[Column], texts: &[Vec<String>]) -> (Vec<usize>, bool) {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let Some(width) = theme.width.map(usize::from) else { return (kept, true) };
    let need = |(index, column): (usize, &Column)| {
        let longest = texts.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
        let longest = longest.max(column.head.chars().count());
        if column.whole { longest } else { longest.min(WRAPPED_MIN) }
    };
    let need: Vec<usize> = columns.iter().enumerate().map(need).collect();
    loop {
        let gaps = kept.len().saturating_sub(1) * usize::from(GAP);
        if kept.iter().map(|index| need[*index]).sum::<usize>() + gaps <= width {
            return (kept, true);
        }
        match kept.iter().rposition(|index| columns[*index].spare) {
            Some(position) => drop(kept.remove(position)),
            None => return (kept, false),
        }
    }
}

/// A record: one line per label and text, labels first.
#[must_use]
pub fn record(theme: &Theme, rows: &[(&str, String)]) -> String {
    let mut table = frame(theme);
    for (label, text) in rows {
        let tone = if label.eq_ignore_ascii_case("state") { Tone::of_state(text) } else { Tone::Plain };
        table.add_row([heading(theme, label), toned(theme, text.clone(), tone)]);
    }
    finish(&mut table, [true, false].into_iter())
}

fn frame(theme: &Theme) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    match theme.width {
        Some(width) => table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    if theme.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn heading(theme: &Theme, text: &str) -> TableCell {
    let cell = TableCell::new(text);
    if theme.color { cell.add_attribute(Attribute::Bold) } else { cell }
}

fn toned(theme: &Theme, text: String, tone: Tone) -> TableCell {
    let cell = TableCell::new_owned(text);
    match tone.color() {
        Some(color) if theme.color => cell.fg(color),
        _ => cell,
    }
}

fn finish(table: &mut Table, whole: impl Iterator<Item = bool>) -> String {
    let whole: Vec<bool> = whole.collect();
    let last = whole.len().saturating_sub(1);
    for (index, (column, whole)) in table.column_iter_mut().zip(whole).enumerate() {
        column.set_padding((0, if index == last { 0 } else { GAP }));
        if whole {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::field::show;

    fn columns() -> [Column; 3] {
        [
            Column::new("NAME", |v| show(v, "name")).whole(),
            Column::new("STATE", |v| show(v, "state")).state(),
            Column::new("NOTE", |v| show(v, "note")),
        ]
    }

    #[test]
    fn a_plain_table_is_aligned_and_has_no_trailing_blanks() {
        let items =
            [json!({"name": "ceph-07", "state": "online"}), json!({"name": "a", "state": "offline", "note": "x y"})];
        assert_eq!(
            list(&Theme::plain(), &columns(), &items),
            "NAME     STATE    NOTE\nceph-07  online   -\na        offline  x y\n"
        );
    }

    #[test]
    fn colours_appear_only_when_wanted() {
        let items = [json!({"name": "a", "state": "online"})];
        assert!(!list(&Theme::plain(), &columns(), &items).contains('\u{1b}'));
        let theme = Theme { color: true, width: None };
        assert!(list(&theme, &columns(), &items).contains('\u{1b}'));
    }

    #[test]
    fn a_narrow_terminal_wraps_notes_and_not_names() {
        let items = [json!({"name": "a-rather-long-name", "state": "online", "note": "one two three four five"})];
        let text = list(&Theme { color: false, width: Some(46) }, &columns(), &items);
        assert!(text.lines().count() > 2, "{text}");
        assert!(text.contains("a-rather-long-name"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 46), "{text}");
    }

    #[test]
    fn spare_columns_give_way_and_an_impossible_table_is_not_squeezed() {
        let items = [json!({"name": "a-rather-long-name", "state": "online", "note": "x"})];
        let mut columns = columns().to_vec();
        columns[1] = columns[1].spare();
        let head = |width| {
            list(&Theme { color: false, width: Some(width) }, &columns, &items).lines().next().map(str::to_owned)
        };
        assert_eq!(head(32).as_deref(), Some("NAME                STATE   NOTE"));
        assert_eq!(head(31).as_deref(), Some("NAME                NOTE"));
        assert_eq!(head(5).as_deref(), Some("NAME                NOTE"));
    }

    #[test]
    fn a_record_has_a_line_per_label() {
        let text = record(&Theme::plain(), &[("Name", "a".into()), ("State", "online".into())]);
        assert_eq!(text, "Name   a\nState  online\n");
    }
}
