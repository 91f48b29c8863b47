//! The outcome of a condition for a record.

use std::cmp::Ordering;

use crate::like::like;
use crate::node::{Arithmetic, Comparison, Function, Node};
use crate::value::{Row, Value};

/// A value as a truth; what is no flag is unknown.
pub(crate) fn truth(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Flag(b) => Some(*b),
        _ => None,
    }
}

fn flag(outcome: Option<bool>) -> Value<'static> {
    outcome.map_or(Value::Null, Value::Flag)
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Number(n) => Some(*n),
        _ => None,
    }
}

/// Depth is bounded where conditions are compiled, so this recursion is.
pub(crate) fn value<'a>(node: &'a Node, row: &'a (impl Row + ?Sized)) -> Value<'a> {
    match node {
        Node::Null => Value::Null,
        Node::Number(n) => Value::Number(*n),
        Node::Flag(b) => Value::Flag(*b),
        Node::Text(t) => Value::Text(t),
        Node::Field(path) => match row.get(path) {
            Value::Number(n) => Value::number(n),
            other => other,
        },
        Node::Not(a) => flag(truth(&value(a, row)).map(|b| !b)),
        Node::And(all) => flag(some(all.iter().map(|n| truth(&value(n, row))), false)),
        Node::Or(all) => flag(some(all.iter().map(|n| truth(&value(n, row))), true)),
        Node::Compare(how, a, b) => flag(compare(*how, &value(a, row), &value(b, row))),
        Node::CompareItems {
            how,
            all,
            left,
            list,
        } => {
            let left = value(left, row);
            match value(list, row) {
                Value::List(list) => flag(some(
                    list.items().map(|item| compare(*how, &left, &item)),
                    !all,
                )),
                _ => Value::Null,
            }
        }
        Node::Between { not, of, low, high } => {
            let of = value(of, row);
            let parts = [
                compare(Comparison::GreaterOrEqual, &of, &value(low, row)),
                compare(Comparison::LessOrEqual, &of, &value(high, row)),
            ];
            flag(some(parts.into_iter(), false).map(|b| b != *not))
        }
        Node::In { not, of, items } => {
            let of = value(of, row);
            let outcomes = items
                .iter()
                .map(|item| compare(Comparison::Equal, &of, &value(item, row)));
            flag(some(outcomes, true).map(|b| b != *not))
        }
        Node::Like { not, of, pattern } => {
            let outcome = match value(of, row) {
                Value::Text(t) => Some(like(t, pattern)),
                Value::List(list) => some(
                    list.items().map(|item| match item {
                        Value::Text(t) => Some(like(t, pattern)),
                        _ => None,
                    }),
                    true,
                ),
                _ => None,
            };
            flag(outcome.map(|b| b != *not))
        }
        Node::IsNull { not, of } => Value::Flag((value(of, row) == Value::Null) != *not),
        Node::Is { not, of, what } => Value::Flag((truth(&value(of, row)) == Some(*what)) != *not),
        Node::Negative(a) => number(&value(a, row)).map_or(Value::Null, |n| Value::Number(-n)),
        Node::Calculate(first, others) => {
            let mut sum = number(&value(first, row));
            for (how, other) in others {
                sum = match (sum, number(&value(other, row))) {
                    (Some(a), Some(b)) => calculate(*how, a, b),
                    _ => None,
                };
            }
            sum.map_or(Value::Null, Value::Number)
        }
        Node::Call(function, arguments) => call(*function, arguments, row),
    }
}

/// True for OR (`sought` true) when one is true, false for AND (`sought` false) when one is false; else unknown
/// when one is unknown.
fn some(outcomes: impl Iterator<Item = Option<bool>>, sought: bool) -> Option<bool> {
    let mut unknown = false;
    for outcome in outcomes {
        match outcome {
            Some(b) if b == sought => return Some(sought),
            Some(_) => {}
            None => unknown = true,
        }
    }
    if unknown { None } else { Some(!sought) }
}

fn compare(how: Comparison, a: &Value<'_>, b: &Value<'_>) -> Option<bool> {
    let order = match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.partial_cmp(b)?,
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Flag(a), Value::Flag(b))
            if matches!(how, Comparison::Equal | Comparison::Unequal) =>
        {
            a.cmp(b)
        }
        _ => return None,
    };
    Some(match how {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::Unequal => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
    })
}

/// What is not a finite number, such as 1 / 0, is unknown.
fn calculate(how: Arithmetic, a: f64, b: f64) -> Option<f64> {
    let outcome = match how {
        Arithmetic::Plus => a + b,
        Arithmetic::Minus => a - b,
        Arithmetic::Times => a * b,
        Arithmetic::Divide => a / b,
        Arithmetic::Remainder => a % b,
    };
    outcome.is_finite().then_some(outcome)
}

fn call<'a>(function: Function, arguments: &'a [Node], row: &'a (impl Row + ?Sized)) -> Value<'a> {
    let mut values = arguments.iter().map(|n| value(n, row));
    match function {
        Function::Abs => values
            .next()
            .and_then(|v| number(&v))
            .map_or(Value::Null, |n| Value::Number(n.abs())),
        Function::Coalesce => values.find(|v| *v != Value::Null).unwrap_or(Value::Null),
        // As in PostgreSQL, what is NULL is left out.
        Function::Least | Function::Greatest => values
            .filter_map(|v| number(&v))
            .reduce(if function == Function::Least {
                f64::min
            } else {
                f64::max
            })
            .map_or(Value::Null, Value::Number),
    }
}
