//! Evaluation of a field path. Recursion follows the expression only; the document is walked with an explicit stack.

use std::rc::Rc;

use serde_json::Value;

use super::Expression;

/// How many values one evaluation may touch. Paths such as `$..*..*` multiply; a document of the usual size has some
/// ten thousand values.
const MAX_STEPS: usize = 2_000_000;

/// The path touches more values than one evaluation may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path matches too much of the document")]
pub struct TooBroad;

/// A value and how it was reached, for `` `parent` `` and `$`.
#[derive(Clone)]
struct Datum<'a> {
    value: &'a Value,
    parent: Option<Rc<Datum<'a>>>,
}

struct Finder {
    steps: usize,
}

pub(super) fn find<'a>(expression: &Expression, document: &'a Value) -> Result<Vec<&'a Value>, TooBroad> {
    let root = Rc::new(Datum { value: document, parent: None });
    let found = Finder { steps: 0 }.eval(expression, &root)?;
    Ok(found.iter().map(|datum| datum.value).collect())
}

type Found<'a> = Result<Vec<Rc<Datum<'a>>>, TooBroad>;

impl Finder {
    fn spend(&mut self, steps: usize) -> Result<(), TooBroad> {
        self.steps += steps;
        if self.steps > MAX_STEPS { Err(TooBroad) } else { Ok(()) }
    }

    fn eval<'a>(&mut self, expression: &Expression, at: &Rc<Datum<'a>>) -> Found<'a> {
        self.spend(1)?;
        match expression {
            Expression::This => Ok(vec![at.clone()]),
            Expression::Root => self.root(at),
            Expression::Parent => Ok(at.parent.iter().cloned().collect()),
            Expression::Fields(names) => self.fields(names, at),
            Expression::Index(index) => Ok(element(at, *index).into_iter().collect()),
            Expression::Slice(start, end) => self.slice(*start, *end, at),
            Expression::Child(left, right) => {
                let mut found = Vec::new();
                for datum in self.eval(left, at)? {
                    found.extend(self.eval(right, &datum)?);
                }
                Ok(found)
            }
            Expression::Descendants(left, right) => {
                let mut found = Vec::new();
                for top in self.eval(left, at)? {
                    for datum in self.all_below(&top)? {
                        found.extend(self.eval(right, &datum)?);
                    }
                }
                Ok(found)
            }
            Expression::Where(left, right) => {
                let mut found = Vec::new();
                for datum in self.eval(left, at)? {
                    if !self.eval(right, &datum)?.is_empty() {
                        found.push(datum);
                    }
                }
                Ok(found)
            }
            Expression::Union(left, right) => {
                let mut found = self.eval(left, at)?;
                found.extend(self.eval(right, at)?);
                Ok(found)
            }
        }
    }

    fn root<'a>(&mut self, at: &Rc<Datum<'a>>) -> Found<'a> {
        let mut top = at.clone();
        while let Some(parent) = top.parent.clone() {
            self.spend(1)?;
            top = parent;
        }
        Ok(vec![top])
    }

    fn fields<'a>(&mut self, names: &[String], at: &Rc<Datum<'a>>) -> Found<'a> {
        let Value::Object(map) = at.value else { return Ok(Vec::new()) };
        if names.iter().any(|name| name == "*") {
            self.spend(map.len())?;
            return Ok(map.values().map(|value| below(at, value)).collect());
        }
        Ok(names.iter().filter_map(|name| map.get(name)).map(|value| below(at, value)).collect())
    }

    fn slice<'a>(&mut self, start: Option<i64>, end: Option<i64>, at: &Rc<Datum<'a>>) -> Found<'a> {
        match at.value {
            Value::Array(items) => {
                let (start, end) = bounds(start, end, items.len());
                self.spend(end.saturating_sub(start))?;
                Ok(items.get(start..end).unwrap_or_default().iter().map(|value| below(at, value)).collect())
            }
            // Upstream wraps these into a list of one, so that `[*]` is harmless where there may be one or many.
            Value::Object(_) | Value::String(_) | Value::Bool(_) | Value::Number(_) => {
                let (start, end) = bounds(start, end, 1);
                Ok(if start < end { vec![at.clone()] } else { Vec::new() })
            }
            Value::Null => Ok(Vec::new()),
        }
    }

    /// The datum itself and everything below it, each before its own descendants, in document order.
    fn all_below<'a>(&mut self, top: &Rc<Datum<'a>>) -> Found<'a> {
        let mut found = Vec::new();
        let mut open = vec![top.clone()];
        while let Some(datum) = open.pop() {
            self.spend(1)?;
            match datum.value {
                Value::Array(items) => open.extend(items.iter().rev().map(|value| below(&datum, value))),
                Value::Object(map) => open.extend(map.values().rev().map(|value| below(&datum, value))),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
            found.push(datum);
        }
        Ok(found)
    }
}

fn below<'a>(parent: &Rc<Datum<'a>>, value: &'a Value) -> Rc<Datum<'a>> {
    Rc::new(Datum { value, parent: Some(parent.clone()) })
}

fn element<'a>(at: &Rc<Datum<'a>>, index: i64) -> Option<Rc<Datum<'a>>> {
    let Value::Array(items) = at.value else { return None };
    let index = if index < 0 { items.len().checked_sub(distance(index))? } else { distance(index) };
    items.get(index).map(|value| below(at, value))
}

/// Python's slice bounds: negative ones count from the end, all are cut to the length.
fn bounds(start: Option<i64>, end: Option<i64>, length: usize) -> (usize, usize) {
    let place = |bound: i64| {
        if bound < 0 { length.saturating_sub(distance(bound)) } else { distance(bound).min(length) }
    };
    (start.map_or(0, place), end.map_or(length, place))
}

fn distance(bound: i64) -> usize {
    usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX)
}
