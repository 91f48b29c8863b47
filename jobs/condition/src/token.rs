//! The words of a condition with their places: sqlparser's tokenizer, narrowed to what conditions know.

use sqlparser::dialect::Dialect;
use sqlparser::tokenizer::{Token as Sql, Tokenizer, Whitespace};

use crate::error::ConditionError;
use crate::node::{Arithmetic, Comparison};

/// SQL with plain identifiers of letters of any script, digits and `_`, and `"quoted"` ones.
#[derive(Debug)]
struct ConditionDialect;

impl Dialect for ConditionDialect {
    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_'
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Word {
    /// An unquoted word: a keyword, a function or a field.
    Plain(String),
    /// A `"quoted"` field.
    Quoted(String),
    Text(String),
    Number(f64),
    Compare(Comparison),
    Calculate(Arithmetic),
    Open,
    Close,
    Comma,
    Period,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub word: Word,
    /// Character in the condition, from 1 on.
    pub position: usize,
    /// As it is written.
    pub written: String,
}

/// Splits a condition into words; blanks and comments are left out.
pub(crate) fn tokens(sql: &str) -> Result<Vec<Token>, ConditionError> {
    let lines: Vec<usize> = std::iter::once(0)
        .chain(
            sql.chars()
                .enumerate()
                .filter(|(_, c)| *c == '\n')
                .map(|(i, _)| i + 1),
        )
        .collect();
    let place = |line: u64, column: u64| {
        let start = usize::try_from(line.saturating_sub(1))
            .ok()
            .and_then(|l| lines.get(l))
            .copied()
            .unwrap_or(0);
        start + usize::try_from(column).unwrap_or(1).max(1)
    };
    let dialect = ConditionDialect;
    let found = Tokenizer::new(&dialect, sql)
        .tokenize_with_location()
        .map_err(|e| {
            let position = place(e.location.line, e.location.column);
            let rest: String = sql.chars().skip(position.saturating_sub(1)).collect();
            ConditionError::new(
                position,
                &rest,
                e.message,
                "close every quote; a text is written 'like this', a ' in it is doubled",
            )
        })?;
    let mut out = Vec::with_capacity(found.len());
    for t in found {
        let position = place(t.span.start.line, t.span.start.column);
        let written = t.token.to_string();
        let refused = |cure: &str| {
            Err(ConditionError::new(
                position,
                &written,
                format!("`{written}` is not part of conditions"),
                cure,
            ))
        };
        let word = match t.token {
            Sql::Whitespace(
                Whitespace::Space
                | Whitespace::Newline
                | Whitespace::Tab
                | Whitespace::SingleLineComment { .. }
                | Whitespace::MultiLineComment(_),
            )
            | Sql::EOF => continue,
            Sql::Word(w) => match w.quote_style {
                None => Word::Plain(w.value),
                Some('"') => Word::Quoted(w.value),
                Some(_) => return refused("quote fields with \" and texts with '"),
            },
            Sql::SingleQuotedString(s) => Word::Text(s),
            Sql::Number(n, false) => match n.parse::<f64>() {
                Ok(v) if v.is_finite() => Word::Number(v),
                _ => return refused("write a number such as 98.5"),
            },
            Sql::Eq => Word::Compare(Comparison::Equal),
            Sql::Neq => Word::Compare(Comparison::Unequal),
            Sql::Lt => Word::Compare(Comparison::Less),
            Sql::LtEq => Word::Compare(Comparison::LessOrEqual),
            Sql::Gt => Word::Compare(Comparison::Greater),
            Sql::GtEq => Word::Compare(Comparison::GreaterOrEqual),
            Sql::Plus => Word::Calculate(Arithmetic::Plus),
            Sql::Minus => Word::Calculate(Arithmetic::Minus),
            Sql::Mul => Word::Calculate(Arithmetic::Times),
            Sql::Div => Word::Calculate(Arithmetic::Divide),
            Sql::Mod => Word::Calculate(Arithmetic::Remainder),
            Sql::LParen => Word::Open,
            Sql::RParen => Word::Close,
            Sql::Comma => Word::Comma,
            Sql::Period => Word::Period,
            Sql::DoubleEq => return refused("write = to compare"),
            Sql::Ampersand | Sql::Overlap => return refused("write AND"),
            Sql::Pipe | Sql::StringConcat => return refused("write OR"),
            Sql::ExclamationMark => return refused("write NOT, or <> to compare"),
            Sql::SemiColon => return refused("leave it out: a condition is one expression"),
            _ => {
                return refused(
                    "use comparisons, AND, OR, NOT, BETWEEN, IN, LIKE, IS NULL and + - * / %",
                );
            }
        };
        out.push(Token {
            word,
            position,
            written,
        });
    }
    Ok(out)
}
