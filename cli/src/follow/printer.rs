//! Shows what scripts write on hosts: standard output to ours, standard error to ours; with several hosts each line begins
//! with the host.

use super::lines::Lines;
use crate::failure::Failure;
use crate::output::progress::Progress;
use crate::output::{Output, Sink, human};

/// The colours of hosts, as terminals number them; red is for errors.
const COLORS: [u8; 6] = [36, 33, 35, 32, 34, 96];

/// Where the output of a run goes.
pub struct Printer<'a> {
    output: Output,
    progress: &'a Progress,
    names: Vec<String>,
    lines: Vec<[Lines; 2]>,
}

impl<'a> Printer<'a> {
    /// A printer for the hosts of these names, in their order.
    pub fn new(output: Output, progress: &'a Progress, names: &[String]) -> Self {
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(40);
        let names: Vec<String> = names.iter().map(|name| format!("{:width$}", human::clean(name))).collect();
        let lines = names.iter().map(|_| Default::default()).collect();
        Self { output, progress, names, lines }
    }

    /// A host's script wrote something. A single host's bytes go out as they are, at once; those of several in whole lines.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn bytes(&mut self, host: usize, sink: Sink, bytes: &[u8]) -> Result<(), Failure> {
        if self.names.len() == 1 && !self.output.is_terminal(sink) {
            return self.write(sink, bytes);
        }
        let mut text = Vec::new();
        let Self { output, names, lines, .. } = self;
        let Some(of_host) = lines.get_mut(host) else { return Ok(()) };
        of_host[sink as usize].push(bytes, |line| text.extend(render(output, names, host, sink, line)));
        self.write(sink, &text)
    }

    /// A host's script has ended: shows what is left of its last lines.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn finish(&mut self, host: usize) -> Result<(), Failure> {
        for sink in [Sink::Out, Sink::Err] {
            let mut text = Vec::new();
            let Self { output, names, lines, .. } = self;
            let Some(of_host) = lines.get_mut(host) else { return Ok(()) };
            of_host[sink as usize].finish(|line| text.extend(render(output, names, host, sink, line)));
            self.write(sink, &text)?;
        }
        Ok(())
    }

    /// Says something of a host, on standard error.
    pub fn say(&self, host: usize, text: &str) {
        let name = self.names.get(host).map_or("", |name| name.trim_end());
        let text = if self.names.len() == 1 { text.to_owned() } else { format!("{name}: {text}") };
        self.progress.note(&self.output, &text);
    }

    fn write(&self, sink: Sink, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.progress.aside(|| self.output.pass(sink, bytes))
    }
}

/// A line as it is shown. On a terminal it can do nothing but be read; elsewhere its bytes stay as they are.
fn render(output: &Output, names: &[String], host: usize, sink: Sink, line: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(line.len() + 32);
    if names.len() > 1 {
        let name = names.get(host).map_or("", String::as_str);
        if output.has_color(sink) {
            let color = COLORS[host % COLORS.len()];
            text.extend_from_slice(format!("\u{1b}[{color}m{name} |\u{1b}[0m ").as_bytes());
        } else {
            text.extend_from_slice(format!("{name} | ").as_bytes());
        }
    }
    if output.is_terminal(sink) {
        text.extend_from_slice(human::plain(&String::from_utf8_lossy(line)).as_bytes());
    } else {
        text.extend_from_slice(line);
    }
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_hosts_begin_with_the_host() {
        let names = ["a  ".to_owned(), "bcd".to_owned()];
        let show = |output: &Output, sink, line: &[u8]| {
            String::from_utf8_lossy(&render(output, &names, 0, sink, line)).into_owned()
        };
        let piped = Output::plain();
        assert_eq!(show(&piped, Sink::Out, b"x\x1b[31my"), "a   | x\u{1b}[31my\n");
        assert_eq!(render(&piped, &names[..1], 0, Sink::Err, b"x\xff"), b"x\xff\n");
        let seen = Output::colored();
        assert_eq!(show(&seen, Sink::Out, b"x\x1b[31my\x07"), "\u{1b}[36ma   |\u{1b}[0m xy\u{fffd}\n");
    }
}
