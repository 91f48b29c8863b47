//! A condition as a tree.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Plus,
    Minus,
    Times,
    Divide,
    Remainder,
}

impl Arithmetic {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Abs,
    Coalesce,
    Least,
    Greatest,
}

impl Function {
    pub const ALL: [Self; 4] = [Self::Abs, Self::Coalesce, Self::Least, Self::Greatest];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Coalesce => "coalesce",
            Self::Least => "least",
            Self::Greatest => "greatest",
        }
    }
}

/// A part of a condition. `bool` parts named `not` say that NOT was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Null,
    Number(f64),
    Flag(bool),
    Text(String),
    Field(String),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    /// The first with some (or, when `all`, with every) item of the second, a list.
    CompareItems {
        how: Comparison,
        all: bool,
        left: Box<Node>,
        list: Box<Node>,
    },
    Between {
        not: bool,
        of: Box<Node>,
        low: Box<Node>,
        high: Box<Node>,
    },
    In {
        not: bool,
        of: Box<Node>,
        items: Vec<Node>,
    },
    Like {
        not: bool,
        of: Box<Node>,
        pattern: Vec<char>,
    },
    IsNull {
        not: bool,
        of: Box<Node>,
    },
    /// IS [NOT] TRUE, IS [NOT] FALSE.
    Is {
        not: bool,
        of: Box<Node>,
        what: bool,
    },
    Negative(Box<Node>),
    /// The first, then each other with what is done to it: `a + b - c`.
    Calculate(Box<Node>, Vec<(Arithmetic, Node)>),
    Call(Function, Vec<Node>),
}

impl Node {
    pub fn fields<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Null | Self::Number(_) | Self::Flag(_) | Self::Text(_) => {}
            Self::Field(name) => names.push(name),
            Self::Not(a) | Self::Negative(a) => a.fields(names),
            Self::And(all) | Self::Or(all) | Self::Call(_, all) => {
                all.iter().for_each(|n| n.fields(names));
            }
            Self::Compare(_, a, b) => {
                a.fields(names);
                b.fields(names);
            }
            Self::CompareItems { left, list, .. } => {
                left.fields(names);
                list.fields(names);
            }
            Self::Between { of, low, high, .. } => {
                of.fields(names);
                low.fields(names);
                high.fields(names);
            }
            Self::In { of, items, .. } => {
                of.fields(names);
                items.iter().for_each(|n| n.fields(names));
            }
            Self::Like { of, .. } | Self::IsNull { of, .. } | Self::Is { of, .. } => {
                of.fields(names);
            }
            Self::Calculate(first, others) => {
                first.fields(names);
                others.iter().for_each(|(_, n)| n.fields(names));
            }
        }
    }

    /// How tightly it holds together: OR 1, AND 2, NOT 3, comparisons 4, sums 5, products 6, the rest 7.
    fn strength(&self) -> u8 {
        match self {
            Self::Or(_) => 1,
            Self::And(_) => 2,
            Self::Not(_) => 3,
            Self::Compare(..)
            | Self::CompareItems { .. }
            | Self::Between { .. }
            | Self::In { .. }
            | Self::Like { .. }
            | Self::IsNull { .. }
            | Self::Is { .. } => 4,
            Self::Calculate(_, others) => match others.first() {
                Some((Arithmetic::Plus | Arithmetic::Minus, _)) => 5,
                _ => 6,
            },
            _ => 7,
        }
    }
}

/// A part that stands where at least `strength` is needed.
struct Within<'a>(&'a Node, u8);

impl fmt::Display for Within<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.strength() < self.1 {
            write!(f, "({})", self.0)
        } else {
            write!(f, "{}", self.0)
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, nodes: &[Node], by: &str, strength: u8) -> fmt::Result {
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            f.write_str(by)?;
        }
        write!(f, "{}", Within(node, strength))?;
    }
    Ok(())
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |n: &bool| if *n { "NOT " } else { "" };
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Number(v) => write!(f, "{v}"),
            Self::Flag(b) => f.write_str(if *b { "TRUE" } else { "FALSE" }),
            Self::Text(t) => write!(f, "'{}'", t.replace('\'', "''")),
            Self::Field(name) => write!(f, "\"{}\"", name.replace('"', "\"\"")),
            Self::Not(a) => write!(f, "NOT {}", Within(a, 3)),
            Self::And(all) => joined(f, all, " AND ", 3),
            Self::Or(all) => joined(f, all, " OR ", 2),
            Self::Compare(how, a, b) => {
                write!(f, "{} {} {}", Within(a, 5), how.as_str(), Within(b, 5))
            }
            Self::CompareItems {
                how,
                all,
                left,
                list,
            } => {
                let which = if *all { "ALL" } else { "ANY" };
                write!(f, "{} {} {which}({list})", Within(left, 5), how.as_str())
            }
            Self::Between {
                not: n,
                of,
                low,
                high,
            } => {
                let (of, low, high) = (Within(of, 5), Within(low, 5), Within(high, 5));
                write!(f, "{of} {}BETWEEN {low} AND {high}", not(n))
            }
            Self::In { not: n, of, items } => {
                write!(f, "{} {}IN (", Within(of, 5), not(n))?;
                joined(f, items, ", ", 1)?;
                f.write_str(")")
            }
            Self::Like {
                not: n,
                of,
                pattern,
            } => {
                let text: String = pattern.iter().collect();
                let text = text.replace('\'', "''");
                write!(f, "{} {}LIKE '{text}'", Within(of, 5), not(n))
            }
            Self::IsNull { not: n, of } => write!(f, "{} IS {}NULL", Within(of, 5), not(n)),
            Self::Is { not: n, of, what } => {
                let what = if *what { "TRUE" } else { "FALSE" };
                write!(f, "{} IS {}{what}", Within(of, 5), not(n))
            }
            Self::Negative(a) => write!(f, "- {}", Within(a, 7)),
            Self::Calculate(first, others) => {
                let strength = self.strength();
                write!(f, "{}", Within(first, strength))?;
                for (how, other) in others {
                    write!(f, " {} {}", how.as_str(), Within(other, strength + 1))?;
                }
                Ok(())
            }
            Self::Call(function, arguments) => {
                write!(f, "{}(", function.as_str())?;
                joined(f, arguments, ", ", 1)?;
                f.write_str(")")
            }
        }
    }
}
