//! The words of a field path.

use std::fmt;

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Root,
    Dot,
    Descend,
    Union,
    Where,
    Comma,
    Colon,
    Star,
    Open,
    Close,
    OpenGroup,
    CloseGroup,
    Number(i64),
    /// A bare or quoted name.
    Field(String),
    /// A name in backquotes.
    Named(String),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("'$'"),
            Self::Dot => f.write_str("'.'"),
            Self::Descend => f.write_str("'..'"),
            Self::Union => f.write_str("'|'"),
            Self::Where => f.write_str("'where'"),
            Self::Comma => f.write_str("','"),
            Self::Colon => f.write_str("':'"),
            Self::Star => f.write_str("'*'"),
            Self::Open => f.write_str("'['"),
            Self::Close => f.write_str("']'"),
            Self::OpenGroup => f.write_str("'('"),
            Self::CloseGroup => f.write_str("')'"),
            Self::Number(number) => write!(f, "number {number}"),
            Self::Field(name) => write!(f, "name '{name}'"),
            Self::Named(name) => write!(f, "`{name}`"),
        }
    }
}

/// All words with their columns, from 1.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let column = at + 1;
        let token = match c {
            ' ' | '\t' | '\n' => {
                at += 1;
                continue;
            }
            '.' if chars.get(at + 1) == Some(&'.') => {
                at += 1;
                Token::Descend
            }
            '\'' | '"' => {
                let (name, end) = quoted(&chars, at)?;
                at = end;
                Token::Field(name)
            }
            '`' => {
                let length = chars[at + 1..].iter().position(|c| *c == '`').ok_or_else(|| unfinished(column))?;
                let name = chars[at + 1..=at + length].iter().collect();
                at += length + 1;
                Token::Named(name)
            }
            c if c.is_ascii_alphabetic() || matches!(c, '_' | '@') => {
                let name = run(&chars, at, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '@' | '-'));
                at += name.len() - 1;
                if name == "where" { Token::Where } else { Token::Field(name) }
            }
            c if c.is_ascii_digit() || c == '-' => {
                let digits = run(&chars, at + 1, |c| c.is_ascii_digit());
                let number = format!("{c}{digits}");
                at += digits.len();
                Token::Number(number.parse().map_err(|_| format!("bad number at column {column}"))?)
            }
            c => symbol(c).ok_or_else(|| format!("unexpected character '{c}' at column {column}"))?,
        };
        at += 1;
        tokens.push((column, token));
    }
    Ok(tokens)
}

fn symbol(c: char) -> Option<Token> {
    Some(match c {
        '$' => Token::Root,
        '.' => Token::Dot,
        '|' => Token::Union,
        ',' => Token::Comma,
        ':' => Token::Colon,
        '*' => Token::Star,
        '[' => Token::Open,
        ']' => Token::Close,
        '(' => Token::OpenGroup,
        ')' => Token::CloseGroup,
        _ => return None,
    })
}

fn run(chars: &[char], from: usize, belongs: impl Fn(char) -> bool) -> String {
    chars[from.min(chars.len())..].iter().take_while(|c| belongs(**c)).collect()
}

/// The name that begins with the quote at `from`, and where its closing quote is. A backslash protects the next one.
fn quoted(chars: &[char], from: usize) -> Result<(String, usize), String> {
    let quote = chars[from];
    let mut name = String::new();
    let mut at = from + 1;
    while let Some(&c) = chars.get(at) {
        match c {
            c if c == quote => return Ok((name, at)),
            '\\' => {
                at += 1;
                name.extend(chars.get(at));
            }
            c => name.push(c),
        }
        at += 1;
    }
    Err(unfinished(from + 1))
}

fn unfinished(column: usize) -> String {
    format!("the quote at column {column} is not closed")
}
