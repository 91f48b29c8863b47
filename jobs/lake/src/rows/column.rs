//! The column of a field of telemetry. An event has few of many fields: a column gets the rows without a value only when one
//! with a value comes, or at the end.

use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, ListBuilder, StringBuilder,
};
use millrace_contract::Kind;

use super::Parsed;

pub(super) enum Column {
    Number(Float64Builder),
    Flag(BooleanBuilder),
    Codes(ListBuilder<StringBuilder>),
}

impl Column {
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Number => Self::Number(Float64Builder::new()),
            Kind::Flag => Self::Flag(BooleanBuilder::new()),
            Kind::Codes => Self::Codes(ListBuilder::new(StringBuilder::new())),
        }
    }

    // The value of field `n` in row `row`; it is there.
    pub(super) fn append(&mut self, row: usize, n: usize, parsed: &Parsed<'_>) {
        self.fill(row);
        match self {
            Self::Number(builder) => builder.append_option(parsed.number(n)),
            Self::Flag(builder) => builder.append_option(parsed.flag(n)),
            Self::Codes(builder) => {
                let codes = parsed.codes(n);
                for code in codes.into_iter().flatten() {
                    builder.values().append_value(code);
                }
                builder.append(codes.is_some());
            }
        }
    }

    fn fill(&mut self, rows: usize) {
        match self {
            Self::Number(builder) => builder.append_nulls(rows - builder.len()),
            Self::Flag(builder) => builder.append_nulls(rows - builder.len()),
            Self::Codes(builder) => {
                for _ in builder.len()..rows {
                    builder.append(false);
                }
            }
        }
    }

    pub(super) fn finish(&mut self, rows: usize) -> ArrayRef {
        self.fill(rows);
        match self {
            Self::Number(builder) => ArrayBuilder::finish(builder),
            Self::Flag(builder) => ArrayBuilder::finish(builder),
            Self::Codes(builder) => ArrayBuilder::finish(builder),
        }
    }
}
