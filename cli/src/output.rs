//! Where everything that is printed goes: data to standard output in the wanted form, all else to standard error.

pub mod field;
pub mod human;
pub mod inventory;
pub mod progress;
pub mod table;
pub mod yaml;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;

use crate::failure::{Failure, Kind};

/// Fewer columns are taken for no answer.
const WIDTH_MIN: u16 = 10;

/// The form in which data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and records for people; columns may change from release to release.
    #[default]
    Table,
    /// JSON, keys as the API gives them.
    Json,
    /// The same as YAML.
    Yaml,
}

/// How tables look on this terminal.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Colours and bold face.
    pub color: bool,
    /// Columns of the terminal; `None` where there is no terminal and nothing needs to fit.
    pub width: Option<u16>,
}

impl Theme {
    /// As on files and pipes.
    #[cfg(test)]
    #[must_use]
    pub fn plain() -> Self {
        Self { color: false, width: None }
    }

    /// `text` in bold face, where there are colours.
    #[must_use]
    pub fn bold(&self, text: &str) -> String {
        if self.color { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.into() }
    }
}

/// A way out of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The two ways out of this process.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    theme: Theme,
    progress: bool,
    /// Whether there is a terminal, by [`Sink`].
    terminals: [bool; 2],
    /// Whether that terminal may show colours, by [`Sink`].
    colors: [bool; 2],
}

impl Output {
    /// Looks at the terminal and at `NO_COLOR` once, at start.
    #[must_use]
    pub fn detect(format: Format) -> Self {
        let terminals = [io::stdout().is_terminal(), io::stderr().is_terminal()];
        let [tty, err_tty] = terminals;
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = if tty { terminal_width() } else { None };
        let colors = terminals.map(|tty| tty && !no_color && !dumb);
        let theme = Theme { color: colors[Sink::Out as usize], width };
        Self { format, theme, progress: err_tty && !dumb, terminals, colors }
    }

    /// As on files and pipes.
    #[cfg(test)]
    #[must_use]
    pub fn plain() -> Self {
        let theme = Theme::plain();
        Self { format: Format::Table, theme, progress: false, terminals: [false; 2], colors: [false; 2] }
    }

    /// As on a terminal with colours.
    #[cfg(test)]
    #[must_use]
    pub fn colored() -> Self {
        Self { terminals: [true; 2], colors: [true; 2], ..Self::plain() }
    }

    /// Whether there is a terminal at the end of that way.
    #[must_use]
    pub fn is_terminal(&self, sink: Sink) -> bool {
        self.terminals[sink as usize]
    }

    /// Whether colours may go that way.
    #[must_use]
    pub fn has_color(&self, sink: Sink) -> bool {
        self.colors[sink as usize]
    }

    /// Passes on bytes that somebody else wrote.
    ///
    /// # Errors
    /// Standard output cannot be written. That nobody can hear standard error is no reason to fail.
    pub fn pass(&self, sink: Sink, bytes: &[u8]) -> Result<(), Failure> {
        match sink {
            Sink::Out => write_out(bytes),
            Sink::Err => {
                let mut err = io::stderr().lock();
                let written = err.write_all(bytes).and_then(|()| err.flush());
                drop(written);
                Ok(())
            }
        }
    }

    /// Whether pictures can be drawn on standard output, one over the other.
    #[must_use]
    pub fn draws(&self) -> bool {
        self.terminals[Sink::Out as usize] && self.progress
    }

    /// How tables look on the terminal as wide as it is now.
    #[must_use]
    pub fn theme_now(&self) -> Theme {
        let width = if self.terminals[Sink::Out as usize] { terminal_width() } else { None };
        Theme { width, ..self.theme }
    }

    /// Whether people read the output, rather than programs.
    #[must_use]
    pub fn for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// A progress display on standard error, invisible where that is no terminal.
    #[must_use]
    pub fn progress(&self) -> progress::Progress {
        progress::Progress::new(self.progress)
    }

    /// Prints data: `value` as JSON or YAML, or what `people` makes of it.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn data(&self, value: &Value, people: impl FnOnce(&Theme) -> String) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => people(&self.theme),
            Format::Json => json(value),
            Format::Yaml => yaml::document(value),
        };
        write_out(text.as_bytes())
    }

    /// Prints one item of an endless list: a JSON text in one line, or a YAML document, or a line for people.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn item(&self, value: &Value, people: impl FnOnce(&Theme) -> String) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => people(&self.theme),
            Format::Json => format!("{value}\n"),
            Format::Yaml => format!("---\n{}", yaml::document(value)),
        };
        write_out(text.as_bytes())
    }

    /// Prints a list of items as a table, or says on standard error that there are none.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn list(&self, items: &[Value], columns: &[table::Column], none: &str) -> Result<(), Failure> {
        if items.is_empty() && self.for_people() {
            self.note(none);
            return Ok(());
        }
        self.data(&Value::from(items), |theme| table::list(theme, columns, items))
    }

    /// Says something to people on standard error. That nobody can hear it is no reason to fail.
    pub fn note(&self, text: &str) {
        let written = writeln!(io::stderr().lock(), "{}", human::clean_lines(text));
        drop(written);
    }
}

/// Writes bytes to standard output as they are.
///
/// # Errors
/// They cannot be written; a reader that went away is [`Kind::ReaderGone`].
pub fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::new(Kind::ReaderGone, "", ""),
        _ => Failure::new(Kind::Failed, "cannot write to standard output", error.to_string()),
    })
}

/// JSON for people and programs: indented by two, with a final line break.
#[must_use]
pub fn json(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The columns of the terminal at standard output, as the table renderer sees them.
fn terminal_width() -> Option<u16> {
    let mut table = comfy_table::Table::new();
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    // A terminal that does not know how wide it is says nothing, or one.
    table.width().filter(|width| *width >= WIDTH_MIN)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn json_keeps_the_order_of_the_api() {
        let value: serde_json::Value = serde_json::from_str(r#"{"z":1,"a":[]}"#).unwrap();
        assert_eq!(super::json(&value), "{\n  \"z\": 1,\n  \"a\": []\n}\n");
        assert_eq!(super::json(&json!(null)), "null\n");
    }
}
