//! Field paths of conditions: the JSONPath subset that rules may use (spec/introspection.md §3.2, field path table).
//!
//! The grammar and its odd corners are those observed with the original library, as stored rules depend on them: binary
//! operators bind, from loose to tight, `..`, `.`, `|`, `where`; a bracket applies to everything before it; `[*]` and
//! slices treat an object or scalar as a list of one; fields never look into lists.
//!
//! Known differences, all where the original ends the run or answers with an artefact of its own: an index finds nothing
//! in a text or object, and the document has no parent.

mod find;
mod lex;

pub use find::TooBroad;
use lex::Token;
use serde_json::Value;

/// Longest path, in bytes.
const MAX_LENGTH: usize = 1024;

/// Most operators of a path; bounds the recursion of its evaluation.
const MAX_PARTS: usize = 64;

/// A parsed path without its scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Expression);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    /// `$`
    Root,
    /// `` `this` ``
    This,
    /// `` `parent` ``
    Parent,
    /// `a`, `a,b`, `*`: a name `*` means every field.
    Fields(Vec<String>),
    /// `[0]`, `[-1]`
    Index(i64),
    /// `[*]`, `[0:1]`
    Slice(Option<i64>, Option<i64>),
    /// `left.right`, `left[..]`
    Child(Box<Self>, Box<Self>),
    /// `left..right`
    Descendants(Box<Self>, Box<Self>),
    /// `left where right`
    Where(Box<Self>, Box<Self>),
    /// `left|right`
    Union(Box<Self>, Box<Self>),
}

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// What is wrong and where, as a fragment for `Unable to parse field JSON path <f>: <reason>`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("longer than {MAX_LENGTH} characters"));
        }
        let mut parser = Parser { tokens: lex::tokens(text)?, next: 0, parts: 0 };
        let expression = parser.expression(0)?;
        match parser.peek() {
            None => Ok(Self(expression)),
            Some(_) => Err(parser.unexpected()),
        }
    }

    /// All values at the path, in document order.
    ///
    /// # Errors
    /// [`TooBroad`] if finding them takes more steps than a rule is given. The depth of `document` must be bounded.
    pub fn find<'a>(&self, document: &'a Value) -> Result<Vec<&'a Value>, TooBroad> {
        find::find(&self.0, document)
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    parts: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).map(|(_, token)| token.clone());
        self.next += 1;
        token
    }

    fn unexpected(&self) -> String {
        match self.tokens.get(self.next) {
            Some((column, token)) => format!("parse error at column {column} near {token}"),
            None => "parse error: unexpected end of path".to_owned(),
        }
    }

    fn expect(&mut self, token: &Token) -> Result<(), String> {
        if self.peek() != Some(token) {
            return Err(self.unexpected());
        }
        self.next += 1;
        Ok(())
    }

    /// An expression whose operators all bind tighter than `floor`. Brackets belong to the outermost level, which is
    /// why `a|b[0]` indexes the union.
    fn expression(&mut self, floor: u8) -> Result<Expression, String> {
        let mut left = self.primary()?;
        while let Some(token) = self.peek().cloned() {
            self.parts += 1;
            if self.parts > MAX_PARTS {
                return Err(format!("more than {MAX_PARTS} parts"));
            }
            if token == Token::Open && floor == 0 {
                let right = self.bracket()?;
                left = Expression::Child(Box::new(left), Box::new(right));
                continue;
            }
            let Some((level, build)) = operator(&token).filter(|(level, _)| *level > floor) else { break };
            self.next += 1;
            let right = self.expression(level)?;
            left = build(Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<Expression, String> {
        match self.peek() {
            Some(Token::Root) => self.next += 1,
            Some(Token::Named(name)) => {
                let expression = match name.as_str() {
                    "this" => Expression::This,
                    "parent" => Expression::Parent,
                    other => return Err(format!("unknown named operator `{other}`")),
                };
                self.next += 1;
                return Ok(expression);
            }
            Some(Token::Field(_) | Token::Star) => return self.fields(),
            Some(Token::Open) => return self.bracket(),
            Some(Token::OpenGroup) => {
                self.next += 1;
                self.parts += 1;
                if self.parts > MAX_PARTS {
                    return Err(format!("more than {MAX_PARTS} parts"));
                }
                let inner = self.expression(0)?;
                self.expect(&Token::CloseGroup)?;
                return Ok(inner);
            }
            _ => return Err(self.unexpected()),
        }
        Ok(Expression::Root)
    }

    /// Names with commas between them. A star stands alone.
    fn fields(&mut self) -> Result<Expression, String> {
        if self.peek() == Some(&Token::Star) {
            self.next += 1;
            return Ok(Expression::Fields(vec!["*".to_owned()]));
        }
        let mut names = Vec::new();
        loop {
            let Some(Token::Field(name)) = self.peek() else { return Err(self.unexpected()) };
            names.push(name.clone());
            self.next += 1;
            if self.peek() != Some(&Token::Comma) {
                return Ok(Expression::Fields(names));
            }
            self.next += 1;
        }
    }

    fn bracket(&mut self) -> Result<Expression, String> {
        self.expect(&Token::Open)?;
        let inner = match self.peek() {
            Some(Token::Star) => {
                self.next += 1;
                Expression::Slice(None, None)
            }
            Some(Token::Field(_)) => self.fields()?,
            Some(Token::Number(_) | Token::Colon) => self.index_or_slice()?,
            _ => return Err(self.unexpected()),
        };
        self.expect(&Token::Close)?;
        Ok(inner)
    }

    fn index_or_slice(&mut self) -> Result<Expression, String> {
        let start = self.number();
        if let (Some(index), Some(Token::Close)) = (start, self.peek()) {
            return Ok(Expression::Index(index));
        }
        self.expect(&Token::Colon)?;
        Ok(Expression::Slice(start, self.number()))
    }

    fn number(&mut self) -> Option<i64> {
        let Some(Token::Number(number)) = self.peek() else { return None };
        let number = *number;
        self.take();
        Some(number)
    }
}

type Build = fn(Box<Expression>, Box<Expression>) -> Expression;

fn operator(token: &Token) -> Option<(u8, Build)> {
    match token {
        Token::Descend => Some((1, Expression::Descendants)),
        Token::Dot => Some((2, Expression::Child)),
        Token::Union => Some((3, Expression::Union)),
        Token::Where => Some((4, Expression::Where)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
