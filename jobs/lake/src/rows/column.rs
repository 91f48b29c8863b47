//! A column in which most rows may have no value. An event has few of many fields: a column gets the rows without a value only
//! when one with a value comes, or at the end, and one without any value costs nothing at all.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, BooleanBuilder, Float64Builder, ListBuilder, StringBuilder,
};
use arrow_array::{ArrayRef, new_null_array};
use arrow_schema::{DataType, Field};
use millrace_contract::Kind;

use super::Parsed;

pub(super) enum Column {
    Number(Float64Builder),
    Flag(BooleanBuilder),
    Codes(ListBuilder<StringBuilder>),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

impl Column {
    /// Of a field of telemetry.
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Number => Self::Number(Float64Builder::new()),
            Kind::Flag => Self::Flag(BooleanBuilder::new()),
            Kind::Codes => Self::Codes(ListBuilder::new(StringBuilder::new())),
        }
    }

    pub(super) fn texts() -> Self {
        Self::Text(StringBuilder::new())
    }

    pub(super) fn bytes() -> Self {
        Self::Bytes(BinaryBuilder::new())
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
            // No field is one.
            Self::Text(_) | Self::Bytes(_) => {}
        }
    }

    pub(super) fn append_text(&mut self, row: usize, text: Option<&str>) {
        let Some(text) = text else {
            return;
        };
        self.fill(row);
        if let Self::Text(builder) = self {
            builder.append_value(text);
        }
    }

    pub(super) fn append_bytes(&mut self, row: usize, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            return;
        };
        self.fill(row);
        if let Self::Bytes(builder) = self {
            builder.append_value(bytes);
        }
    }

    fn builder(&mut self) -> &mut dyn ArrayBuilder {
        match self {
            Self::Number(builder) => builder,
            Self::Flag(builder) => builder,
            Self::Codes(builder) => builder,
            Self::Text(builder) => builder,
            Self::Bytes(builder) => builder,
        }
    }

    fn fill(&mut self, rows: usize) {
        let missing = rows - self.builder().len();
        // None of them would still give the column a bit for each row.
        if missing == 0 {
            return;
        }
        match self {
            Self::Number(builder) => builder.append_nulls(missing),
            Self::Flag(builder) => builder.append_nulls(missing),
            Self::Codes(builder) => builder.append_nulls(missing),
            Self::Text(builder) => builder.append_nulls(missing),
            Self::Bytes(builder) => builder.append_nulls(missing),
        }
    }

    fn kind(&self) -> DataType {
        match self {
            Self::Number(_) => DataType::Float64,
            Self::Flag(_) => DataType::Boolean,
            Self::Codes(_) => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
            Self::Text(_) => DataType::Utf8,
            Self::Bytes(_) => DataType::Binary,
        }
    }

    pub(super) fn finish(&mut self, rows: usize, nulls: &mut Nulls) -> ArrayRef {
        if self.builder().is_empty() {
            return nulls.of(self.kind(), rows);
        }
        self.fill(rows);
        self.builder().finish()
    }
}

/// Columns without any value, which the batches of many rows share.
#[derive(Default)]
pub(super) struct Nulls(Vec<(DataType, ArrayRef)>);

impl Nulls {
    fn of(&mut self, kind: DataType, rows: usize) -> ArrayRef {
        let found = self.0.iter_mut().find(|(of, _)| *of == kind);
        if let Some((_, array)) = found {
            if array.len() != rows {
                *array = new_null_array(&kind, rows);
            }
            return Arc::clone(array);
        }
        let array = new_null_array(&kind, rows);
        self.0.push((kind, Arc::clone(&array)));
        array
    }
}
