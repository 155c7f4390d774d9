//! The format of one field: `[[fill]align][sign][#][0][width][,][.precision][type]`, types `s d x X o b f e g %`.

use serde_json::{Number, Value};

use crate::introspection::document::python;

/// Widest field and highest precision.
const MAX_WIDTH: usize = 4096;

/// A parsed format.
pub(super) struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    grouped: bool,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Spec {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid format specifier '{text}'");
        let mut rest = text.chars().peekable();
        let is_align = |c: char| matches!(c, '<' | '>' | '=' | '^');
        let second = text.chars().nth(1);
        let fill = if second.is_some_and(is_align) { rest.next() } else { None };
        let align = rest.next_if(|c| is_align(*c));
        let sign = rest.next_if(|c| matches!(c, '+' | '-' | ' '));
        let alternate = rest.next_if_eq(&'#').is_some();
        let zero = rest.next_if_eq(&'0').is_some();
        let width = number(&mut rest)?.unwrap_or(0);
        let grouped = rest.next_if_eq(&',').is_some();
        let precision = match rest.next_if_eq(&'.') {
            Some(_) => Some(number(&mut rest)?.ok_or("format specifier missing precision")?),
            None => None,
        };
        let kind = rest.next();
        if rest.next().is_some() {
            return Err(invalid());
        }
        if let Some(kind) = kind.filter(|kind| !"sdxXobfeg%".contains(*kind)) {
            return Err(format!("unknown format code '{kind}'"));
        }
        Ok(Self { fill, align, sign, alternate, zero, width, grouped, precision, kind })
    }

    /// Formats a value with it.
    pub(super) fn apply(&self, value: &Value) -> Result<String, String> {
        match value {
            Value::String(text) => self.text(text),
            Value::Bool(truth) => self.number(&Number::from(u8::from(*truth)), "bool"),
            Value::Number(number) => self.number(number, python::type_name(value)),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(format!("a value of type {} takes no format specifier", python::type_name(value)))
            }
        }
    }

    fn text(&self, text: &str) -> Result<String, String> {
        if !matches!(self.kind, None | Some('s')) {
            return Err(self.unfit("str"));
        }
        if self.sign.is_some() || self.alternate || self.grouped || self.align == Some('=') {
            return Err("sign, '#', ',' and '=' are not allowed for a string".to_owned());
        }
        let shown: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        Ok(self.pad("", &shown, '<'))
    }

    fn number(&self, number: &Number, type_name: &str) -> Result<String, String> {
        if number.is_f64() || matches!(self.kind, Some('f' | 'e' | 'g' | '%')) {
            return self.float(number.as_f64().unwrap_or(f64::NAN), type_name);
        }
        if self.precision.is_some() {
            return Err("precision not allowed in integer format specifier".to_owned());
        }
        if self.grouped && !matches!(self.kind, None | Some('d')) {
            return Err("cannot specify ',' with this format".to_owned());
        }
        let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)).unwrap_or(0);
        let magnitude = whole.unsigned_abs();
        let (prefix, digits) = match self.kind {
            None | Some('d') => ("", magnitude.to_string()),
            Some('x') => ("0x", format!("{magnitude:x}")),
            Some('X') => ("0X", format!("{magnitude:X}")),
            Some('o') => ("0o", format!("{magnitude:o}")),
            Some('b') => ("0b", format!("{magnitude:b}")),
            Some(_) => return Err(self.unfit(type_name)),
        };
        let prefix = if self.alternate { prefix } else { "" };
        Ok(self.signed(whole < 0, prefix, &digits, ""))
    }

    fn float(&self, float: f64, type_name: &str) -> Result<String, String> {
        let magnitude = float.abs();
        let shown = match (self.kind, self.precision) {
            (None, None) => self.shortest(magnitude),
            (None, Some(precision)) => general(magnitude, precision, self.alternate, true),
            (Some('f'), precision) => fixed(magnitude, precision.unwrap_or(6), self.alternate),
            (Some('%'), precision) => fixed(magnitude * 100.0, precision.unwrap_or(6), self.alternate) + "%",
            (Some('e'), precision) => scientific(magnitude, precision.unwrap_or(6), self.alternate),
            (Some('g'), precision) => general(magnitude, precision.unwrap_or(6), self.alternate, false),
            (Some(_), _) => return Err(self.unfit(type_name)),
        };
        let whole = shown.find(|c: char| !c.is_ascii_digit()).unwrap_or(shown.len());
        let (digits, rest) = shown.split_at(whole);
        Ok(self.signed(float.is_sign_negative(), "", digits, rest))
    }

    /// The form without type and precision; `#` wants a point even where an exponent makes one needless.
    fn shortest(&self, magnitude: f64) -> String {
        let shown = python::float_repr(magnitude);
        if self.alternate && !shown.contains('.') { shown.replacen('e', ".e", 1) } else { shown }
    }

    /// Sign, grouping and padding of a number whose digits before the point are `digits`.
    fn signed(&self, negative: bool, prefix: &str, digits: &str, rest: &str) -> String {
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            (false, _) => "",
        };
        let head = format!("{sign}{prefix}");
        if !self.grouped {
            return self.pad(&head, &format!("{digits}{rest}"), '>');
        }
        // Zeros that fill up are grouped too.
        let zeros = (self.fill, self.align, self.zero);
        let fills = matches!(zeros, (None, None, true) | (Some('0'), Some('='), _) | (None, Some('='), true));
        let room = if fills { self.width.saturating_sub(head.len() + rest.len()) } else { 0 };
        self.pad(&head, &format!("{}{rest}", grouped(digits, room)), '>')
    }

    /// Fills up to the width, counted in characters.
    fn pad(&self, head: &str, body: &str, default_align: char) -> String {
        let missing = self.width.saturating_sub(head.chars().count() + body.chars().count());
        // A zero before the width means zeros after the sign of a number, and after the end of a text.
        let numeric = default_align == '>';
        let align = self.align.unwrap_or(if self.zero && numeric { '=' } else { default_align });
        let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
        let run = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
        match align {
            '<' => format!("{head}{body}{}", run(missing)),
            '=' => format!("{head}{}{body}", run(missing)),
            '^' => format!("{}{head}{body}{}", run(missing / 2), run(missing - missing / 2)),
            _ => format!("{}{head}{body}", run(missing)),
        }
    }

    fn unfit(&self, type_name: &str) -> String {
        format!("unknown format code '{}' for a value of type {type_name}", self.kind.unwrap_or(' '))
    }
}

fn number(chars: &mut core::iter::Peekable<core::str::Chars<'_>>) -> Result<Option<usize>, String> {
    let mut value = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let next = value.unwrap_or(0) * 10 + digit as usize;
        if next > MAX_WIDTH {
            return Err(format!("width and precision may be at most {MAX_WIDTH}"));
        }
        value = Some(next);
    }
    Ok(value)
}

/// Commas between groups of three, with zeros before so that at least `room` characters result. A zero and no comma
/// comes first, which may make it one longer.
fn grouped(digits: &str, room: usize) -> String {
    let mut reversed = String::new();
    for (index, digit) in digits.chars().rev().chain(std::iter::repeat('0')).enumerate() {
        if index >= digits.len() && reversed.len() >= room {
            break;
        }
        if index > 0 && index % 3 == 0 {
            reversed.push(',');
        }
        reversed.push(digit);
    }
    reversed.chars().rev().collect()
}

fn fixed(magnitude: f64, precision: usize, alternate: bool) -> String {
    let point = if alternate && precision == 0 && magnitude.is_finite() { "." } else { "" };
    format!("{magnitude:.precision$}{point}")
}

fn scientific(magnitude: f64, precision: usize, alternate: bool) -> String {
    let text = format!("{magnitude:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if alternate && precision == 0 { "." } else { "" };
    format!("{digits}{point}{}", python::exponent_text(exponent.parse().unwrap_or(0)))
}

/// So many significant digits, with an exponent where that is shorter. With `as_float`, the form of a float without
/// type: at least one digit after the point, and the exponent one digit earlier.
fn general(magnitude: f64, precision: usize, alternate: bool, as_float: bool) -> String {
    let precision = precision.max(1);
    let text = format!("{magnitude:.*e}", precision - 1);
    let exponent: i32 = text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let limit = i32::try_from(precision).unwrap_or(i32::MAX) - i32::from(as_float);
    if exponent < -4 || exponent >= limit {
        let shown = scientific(magnitude, precision - 1, alternate);
        let (digits, tail) = shown.split_once('e').unwrap_or((&shown, ""));
        return format!("{}e{tail}", if alternate { digits } else { trimmed(digits) });
    }
    let decimals = usize::try_from(i32::try_from(precision).unwrap_or(i32::MAX) - 1 - exponent).unwrap_or(0);
    let shown = fixed(magnitude, decimals, alternate);
    let shown = if alternate { shown } else { trimmed(&shown).to_owned() };
    if as_float && !shown.contains('.') { shown + ".0" } else { shown }
}

fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}
