//! From words to a tree: a descent by precedence that checks types on the way.

use crate::error::ConditionError;
use crate::fields::{Fields, Type, nearest};
use crate::node::{Arithmetic, Comparison, Function, Node};
use crate::token::{Token, Word, tokens};
use crate::{DEEPEST, LONGEST};

/// Words with a meaning of their own; as fields they must be quoted.
const KEYWORDS: [&str; 16] = [
    "AND", "OR", "NOT", "BETWEEN", "IN", "LIKE", "IS", "NULL", "TRUE", "FALSE", "ANY", "SOME",
    "ALL", "CASE", "SELECT", "ESCAPE",
];

const KNOWN: &str = "use comparisons, AND, OR, NOT, BETWEEN, IN, LIKE, IS NULL, ANY, ALL, + - * / %, abs(), \
                     coalesce(), least() and greatest()";

type Outcome = Result<Typed, ConditionError>;

/// A part with its type and the word where it begins.
struct Typed {
    node: Node,
    kind: Type,
    from: usize,
}

pub(crate) fn compile(sql: &str, fields: &dyn Fields) -> Result<Node, ConditionError> {
    let length = sql.chars().count();
    if length > LONGEST {
        return Err(ConditionError::new(
            LONGEST + 1,
            sql,
            format!("longer than {LONGEST} characters"),
            "split it into several rules",
        ));
    }
    let mut reader = Reader {
        tokens: tokens(sql)?,
        next: 0,
        depth: 0,
        end: length + 1,
        fields,
    };
    if reader.tokens.is_empty() {
        return Err(ConditionError::new(
            1,
            "nothing",
            "the condition is empty",
            "write one, for instance: speed > 120",
        ));
    }
    let whole = reader.or()?;
    if reader.next < reader.tokens.len() {
        return Err(reader.unexpected());
    }
    reader.expect(&whole, Type::Flag, "a condition")?;
    Ok(whole.node)
}

struct Reader<'a> {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    /// Position after the last character.
    end: usize,
    fields: &'a dyn Fields,
}

impl Reader<'_> {
    fn word(&self) -> Option<&Word> {
        self.tokens.get(self.next).map(|t| &t.word)
    }

    fn keyword_at(&self, at: usize, keyword: &str) -> bool {
        matches!(self.tokens.get(at).map(|t| &t.word), Some(Word::Plain(w)) if w.eq_ignore_ascii_case(keyword))
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let there = self.keyword_at(self.next, keyword);
        self.next += usize::from(there);
        there
    }

    fn take(&mut self, word: &Word) -> bool {
        let there = self.word() == Some(word);
        self.next += usize::from(there);
        there
    }

    /// An error at the word of this index.
    fn error(
        &self,
        at: usize,
        problem: impl Into<String>,
        cure: impl Into<String>,
    ) -> ConditionError {
        match self.tokens.get(at) {
            Some(t) => ConditionError::new(t.position, &t.written, problem, cure),
            None => ConditionError::new(self.end, "the end", problem, cure),
        }
    }

    fn unexpected(&self) -> ConditionError {
        match self.tokens.get(self.next) {
            Some(t) => {
                let problem = format!("`{}` is not understood here", t.written);
                self.error(self.next, problem, KNOWN)
            }
            None => self.error(
                self.next,
                "something is missing",
                "write a field, a number, a 'text' or a bracket that closes",
            ),
        }
    }

    fn need(&mut self, word: &Word, name: &str) -> Result<(), ConditionError> {
        if self.take(word) {
            return Ok(());
        }
        let cure = format!("write {name} here");
        Err(self.error(self.next, format!("{name} is missing"), cure))
    }

    fn expect(&self, part: &Typed, kind: Type, what: &str) -> Result<(), ConditionError> {
        if part.kind.fits(kind) {
            return Ok(());
        }
        let problem = format!(
            "{what} must be {}, this is {}",
            kind.as_str(),
            part.kind.as_str()
        );
        let cure = match kind {
            Type::Flag => "compare it with something, for instance: speed > 120",
            Type::Number => "use a field or literal that is a number",
            Type::Text => "use a 'text'",
            _ => "use a list such as dtc_list",
        };
        Err(self.error(part.from, problem, cure))
    }

    /// One level deeper; every way to nest passes here.
    fn deeper(&mut self, read: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        if self.depth == DEEPEST {
            return Err(self.error(
                self.next,
                format!("nested deeper than {DEEPEST}"),
                "leave out needless brackets and NOTs",
            ));
        }
        self.depth += 1;
        let outcome = read(self);
        self.depth -= 1;
        outcome
    }

    fn or(&mut self) -> Outcome {
        self.chain("OR", Node::Or, Self::and)
    }

    fn and(&mut self) -> Outcome {
        self.chain("AND", Node::And, Self::not)
    }

    /// `a AND b AND c` is one node, so that long ones are not deep.
    fn chain(
        &mut self,
        keyword: &str,
        join: fn(Vec<Node>) -> Node,
        part: fn(&mut Self) -> Outcome,
    ) -> Outcome {
        let first = part(self)?;
        if !self.keyword_at(self.next, keyword) {
            return Ok(first);
        }
        let what = format!("what {keyword} joins");
        self.expect(&first, Type::Flag, &what)?;
        let from = first.from;
        let mut all = vec![first.node];
        while self.take_keyword(keyword) {
            let other = part(self)?;
            self.expect(&other, Type::Flag, &what)?;
            all.push(other.node);
        }
        Ok(Typed {
            node: join(all),
            kind: Type::Flag,
            from,
        })
    }

    fn not(&mut self) -> Outcome {
        let from = self.next;
        if !self.take_keyword("NOT") {
            return self.comparison();
        }
        let of = self.deeper(Self::not)?;
        self.expect(&of, Type::Flag, "what NOT turns round")?;
        Ok(Typed {
            node: Node::Not(Box::new(of.node)),
            kind: Type::Flag,
            from,
        })
    }

    fn comparison(&mut self) -> Outcome {
        let of = self.sum()?;
        let from = of.from;
        let flag = |node| {
            Ok(Typed {
                node,
                kind: Type::Flag,
                from,
            })
        };
        if let Some(Word::Compare(how)) = self.word() {
            let how = *how;
            self.next += 1;
            let node = self.compared(of, how)?;
            if matches!(self.word(), Some(Word::Compare(_))) {
                return Err(self.error(
                    self.next,
                    "comparisons cannot be chained",
                    "join them: a < b AND b < c",
                ));
            }
            return flag(node);
        }
        if self.take_keyword("IS") {
            let not = self.take_keyword("NOT");
            if self.take_keyword("NULL") {
                let of = Box::new(of.node);
                return flag(Node::IsNull { not, of });
            }
            let what = self.take_keyword("TRUE");
            if !what && !self.take_keyword("FALSE") {
                return Err(self.error(
                    self.next,
                    "IS is followed by [NOT] NULL, TRUE or FALSE",
                    "compare with = instead",
                ));
            }
            self.expect(&of, Type::Flag, "what IS TRUE asks for")?;
            let of = Box::new(of.node);
            return flag(Node::Is { not, of, what });
        }
        let not = self.keyword_at(self.next, "NOT")
            && ["BETWEEN", "IN", "LIKE"]
                .iter()
                .any(|k| self.keyword_at(self.next + 1, k));
        self.next += usize::from(not);
        if self.take_keyword("BETWEEN") {
            let low = self.sum()?;
            if !self.take_keyword("AND") {
                return Err(self.error(
                    self.next,
                    "BETWEEN lacks its AND",
                    "write: speed BETWEEN 50 AND 120",
                ));
            }
            let high = self.sum()?;
            for bound in [&low, &high] {
                self.comparable(&of, bound, Comparison::LessOrEqual)?;
            }
            let (low, high) = (Box::new(low.node), Box::new(high.node));
            let of = Box::new(of.node);
            return flag(Node::Between { not, of, low, high });
        }
        if self.take_keyword("IN") {
            self.need(&Word::Open, "(")?;
            let mut items = Vec::new();
            for item in self.arguments()? {
                self.comparable(&of, &item, Comparison::Equal)?;
                items.push(item.node);
            }
            let of = Box::new(of.node);
            return flag(Node::In { not, of, items });
        }
        if self.take_keyword("LIKE") {
            if of.kind != Type::List {
                self.expect(&of, Type::Text, "what LIKE looks at")?;
            }
            let Some(Word::Text(pattern)) = self.word() else {
                return Err(self.error(
                    self.next,
                    "LIKE needs a pattern",
                    "write one: dtc_list LIKE 'P02%'; % is any run of characters, _ any one",
                ));
            };
            let pattern = pattern.chars().collect();
            self.next += 1;
            if self.keyword_at(self.next, "ESCAPE") {
                return Err(self.error(
                    self.next,
                    "ESCAPE is not part of conditions",
                    "compare with = where % or _ are meant as such",
                ));
            }
            let of = Box::new(of.node);
            return flag(Node::Like { not, of, pattern });
        }
        Ok(of)
    }

    /// The right side of a comparison, which may be ANY(list) or ALL(list).
    fn compared(&mut self, left: Typed, how: Comparison) -> Result<Node, ConditionError> {
        let all = self.keyword_at(self.next, "ALL");
        if all || self.keyword_at(self.next, "ANY") || self.keyword_at(self.next, "SOME") {
            self.next += 1;
            self.need(&Word::Open, "(")?;
            let list = self.deeper(Self::or)?;
            self.need(&Word::Close, ")")?;
            self.expect(&list, Type::List, "what ANY and ALL look through")?;
            if left.kind == Type::List {
                return Err(self.error(
                    left.from,
                    "a list cannot be compared with the items of a list",
                    "write the item on the left: 'P0217' = ANY(dtc_list)",
                ));
            }
            return Ok(Node::CompareItems {
                how,
                all,
                left: Box::new(left.node),
                list: Box::new(list.node),
            });
        }
        let right = self.sum()?;
        self.comparable(&left, &right, how)?;
        Ok(Node::Compare(
            how,
            Box::new(left.node),
            Box::new(right.node),
        ))
    }

    fn comparable(&self, a: &Typed, b: &Typed, how: Comparison) -> Result<(), ConditionError> {
        for part in [a, b] {
            if part.kind == Type::List {
                return Err(self.error(
                    part.from,
                    "a list cannot be compared as a whole",
                    "ask for an item: 'P0217' = ANY(dtc_list), or dtc_list LIKE 'P02%'",
                ));
            }
            if part.node == Node::Null {
                return Err(self.error(
                    part.from,
                    "a comparison with NULL is never true",
                    "write IS NULL or IS NOT NULL",
                ));
            }
        }
        if !a.kind.fits(b.kind) {
            let problem = format!("{} is compared with {}", a.kind.as_str(), b.kind.as_str());
            return Err(self.error(b.from, problem, "compare values of one type"));
        }
        let equality = matches!(how, Comparison::Equal | Comparison::Unequal);
        if !equality && (a.kind == Type::Flag || b.kind == Type::Flag) {
            return Err(self.error(b.from, "flags have no order", "use = or <>"));
        }
        Ok(())
    }

    fn sum(&mut self) -> Outcome {
        self.calculation(&[Arithmetic::Plus, Arithmetic::Minus], Self::product)
    }

    fn product(&mut self) -> Outcome {
        use Arithmetic::{Divide, Remainder, Times};
        self.calculation(&[Times, Divide, Remainder], Self::sign)
    }

    fn calculation(&mut self, known: &[Arithmetic], part: fn(&mut Self) -> Outcome) -> Outcome {
        let first = part(self)?;
        let mut others = Vec::new();
        while let Some(Word::Calculate(how)) = self.word() {
            let how = *how;
            if !known.contains(&how) {
                break;
            }
            self.next += 1;
            let other = part(self)?;
            self.expect(&other, Type::Number, "what is calculated with")?;
            others.push((how, other.node));
        }
        if others.is_empty() {
            return Ok(first);
        }
        self.expect(&first, Type::Number, "what is calculated with")?;
        // (a + b) - c is a + b - c.
        let (start, others) = match first.node {
            Node::Calculate(start, mut all)
                if all.first().is_some_and(|(how, _)| known.contains(how)) =>
            {
                all.extend(others);
                (start, all)
            }
            node => (Box::new(node), others),
        };
        Ok(Typed {
            node: Node::Calculate(start, others),
            kind: Type::Number,
            from: first.from,
        })
    }

    fn sign(&mut self) -> Outcome {
        let from = self.next;
        let minus = self.take(&Word::Calculate(Arithmetic::Minus));
        if !minus && !self.take(&Word::Calculate(Arithmetic::Plus)) {
            return self.primary();
        }
        let of = self.deeper(Self::sign)?;
        self.expect(&of, Type::Number, "what has a sign")?;
        let node = match of.node {
            Node::Number(n) if minus => Node::Number(-n),
            node if minus => Node::Negative(Box::new(node)),
            node => node,
        };
        let kind = Type::Number;
        Ok(Typed { node, kind, from })
    }

    fn primary(&mut self) -> Outcome {
        let from = self.next;
        let Some(word) = self.word().cloned() else {
            return Err(self.unexpected());
        };
        let of = |node, kind| Ok(Typed { node, kind, from });
        match word {
            Word::Number(n) => {
                self.next += 1;
                of(Node::Number(n), Type::Number)
            }
            Word::Text(t) => {
                self.next += 1;
                of(Node::Text(t), Type::Text)
            }
            Word::Open => {
                self.next += 1;
                let inner = self.deeper(Self::or)?;
                self.need(&Word::Close, ")")?;
                of(inner.node, inner.kind)
            }
            Word::Plain(w) if self.tokens.get(from + 1).map(|t| &t.word) == Some(&Word::Open) => {
                self.function(&w)
            }
            Word::Plain(w) => match w.to_ascii_uppercase().as_str() {
                "TRUE" | "FALSE" => {
                    self.next += 1;
                    of(Node::Flag(w.eq_ignore_ascii_case("true")), Type::Flag)
                }
                "NULL" => {
                    self.next += 1;
                    of(Node::Null, Type::Any)
                }
                upper if KEYWORDS.contains(&upper) => Err(self.unexpected()),
                _ => self.field(),
            },
            Word::Quoted(_) => self.field(),
            _ => Err(self.unexpected()),
        }
    }

    fn field(&mut self) -> Outcome {
        let from = self.next;
        let mut path = String::new();
        loop {
            match self.word() {
                Some(Word::Plain(w) | Word::Quoted(w)) => path.push_str(w),
                _ => return Err(self.unexpected()),
            }
            self.next += 1;
            if !self.take(&Word::Period) {
                break;
            }
            path.push('.');
        }
        let Some(kind) = self.fields.type_of(&path) else {
            let names = self.fields.names();
            let cure = match nearest(&path, &names) {
                Some(name) => format!("did you mean `{name}`? texts are written 'like this'"),
                None => format!("the fields are: {}", names.join(", ")),
            };
            return Err(self.error(from, format!("there is no field `{path}`"), cure));
        };
        Ok(Typed {
            node: Node::Field(path),
            kind,
            from,
        })
    }

    fn function(&mut self, name: &str) -> Outcome {
        let from = self.next;
        let Some(function) = Function::ALL
            .into_iter()
            .find(|f| f.as_str().eq_ignore_ascii_case(name))
        else {
            let problem = format!("{name}() is not part of conditions");
            return Err(self.error(from, problem, KNOWN));
        };
        self.next += 2;
        let arguments = self.arguments()?;
        if function == Function::Abs && arguments.len() != 1 {
            return Err(self.error(from, "abs() takes one number", "write abs(a)"));
        }
        let mut kind = Type::Any;
        for argument in &arguments {
            if function != Function::Coalesce {
                let what = format!("what {}() takes", function.as_str());
                self.expect(argument, Type::Number, &what)?;
            }
            if !argument.kind.fits(kind) {
                let problem = format!(
                    "coalesce() is given values of two types, this is {}",
                    argument.kind.as_str()
                );
                return Err(self.error(argument.from, problem, "give it values of one type"));
            }
            if kind == Type::Any {
                kind = argument.kind;
            }
        }
        if function != Function::Coalesce {
            kind = Type::Number;
        }
        let arguments = arguments.into_iter().map(|a| a.node).collect();
        Ok(Typed {
            node: Node::Call(function, arguments),
            kind,
            from,
        })
    }

    /// One or more, up to the bracket that closes.
    fn arguments(&mut self) -> Result<Vec<Typed>, ConditionError> {
        let mut all = Vec::new();
        loop {
            all.push(self.deeper(Self::or)?);
            if !self.take(&Word::Comma) {
                break;
            }
        }
        self.need(&Word::Close, ")")?;
        Ok(all)
    }
}
