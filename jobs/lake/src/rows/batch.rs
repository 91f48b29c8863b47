//! Rows that become a batch of columns.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BinaryBuilder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
    TimestampMillisecondBuilder,
};
use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use arrow_schema::SchemaRef;
use millrace_contract::FIELDS;

use super::column::{Column, Nulls};
use super::event::OfEvent;
use super::{Parsed, Raw, Shape};
use crate::error::LakeError;

struct OfTelemetry {
    sequence: Int64Builder,
    vehicle: Column,
    hire: Column,
    model: Column,
    fields: Vec<Column>,
}

struct OfAny {
    kind: StringBuilder,
    headers: StringBuilder,
    event: OfEvent,
}

enum Own {
    Telemetry(Box<OfTelemetry>),
    Plain(Box<OfAny>),
}

/// Rows that become a batch.
pub struct Rows {
    shape: Shape,
    schema: SchemaRef,
    partition: i32,
    offsets: Int64Builder,
    kafka_times: TimestampMillisecondBuilder,
    keys: BinaryBuilder,
    sources: StringBuilder,
    times: TimestampMicrosecondBuilder,
    raw: Column,
    own: Own,
    nulls: Nulls,
    texts: usize,
}

impl Rows {
    /// Rows of one partition of a topic.
    #[must_use]
    pub fn new(shape: Shape, schema: SchemaRef, partition: i32) -> Self {
        let own = match shape {
            Shape::Telemetry => Own::Telemetry(Box::new(OfTelemetry {
                sequence: Int64Builder::new(),
                vehicle: Column::texts(),
                hire: Column::texts(),
                model: Column::texts(),
                fields: FIELDS.iter().map(|field| Column::new(field.kind)).collect(),
            })),
            Shape::VehicleEvents | Shape::Alerts | Shape::Plain => Own::Plain(Box::new(OfAny {
                kind: StringBuilder::new(),
                headers: StringBuilder::new(),
                event: OfEvent::new(shape.columns()),
            })),
        };
        Self {
            shape,
            schema,
            partition,
            offsets: Int64Builder::new(),
            kafka_times: TimestampMillisecondBuilder::new().with_timezone("UTC"),
            keys: BinaryBuilder::new(),
            sources: StringBuilder::new(),
            times: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            raw: Column::bytes(),
            own,
            nulls: Nulls::default(),
            texts: 0,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes they take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let width = match self.shape {
            Shape::Telemetry => 8 * (FIELDS.len() + 12),
            Shape::VehicleEvents | Shape::Alerts | Shape::Plain => 96,
        };
        self.len() * width + self.texts
    }

    /// Appends a row.
    pub fn push(&mut self, raw: &Raw<'_>, parsed: &Parsed<'_>) {
        let row = self.len();
        self.offsets.append_value(raw.offset);
        self.kafka_times.append_option(raw.kafka_time);
        self.keys.append_option(raw.key);
        self.sources.append_option(raw.source);
        self.times.append_option(parsed.time);
        let kept = match &mut self.own {
            Own::Telemetry(own) => {
                own.push(row, parsed);
                !parsed.exact
            }
            Own::Plain(own) => {
                own.kind.append_option(raw.kind);
                own.headers.append_option(raw.headers);
                self.texts += own.event.push(raw.value);
                self.texts += raw.headers.map_or(0, str::len);
                true
            }
        };
        let value = raw.value.filter(|_| kept);
        self.raw.append_bytes(row, value);
        self.texts += value.map_or(0, <[u8]>::len) + raw.key.map_or(0, <[u8]>::len);
    }

    /// Makes a batch of all rows, and begins with none.
    ///
    /// # Errors
    /// The columns do not fit together.
    pub fn finish(&mut self) -> Result<RecordBatch, LakeError> {
        self.texts = 0;
        let rows = self.len();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        columns.extend([
            Arc::new(Int32Array::from_value(self.partition, rows)) as ArrayRef,
            ArrayBuilder::finish(&mut self.offsets),
            ArrayBuilder::finish(&mut self.kafka_times),
            ArrayBuilder::finish(&mut self.keys),
            ArrayBuilder::finish(&mut self.sources),
        ]);
        let times = ArrayBuilder::finish(&mut self.times);
        let nulls = &mut self.nulls;
        match &mut self.own {
            Own::Telemetry(own) => own.finish(rows, times, nulls, &mut columns),
            Own::Plain(own) => {
                columns.push(ArrayBuilder::finish(&mut own.kind));
                columns.push(times);
                columns.push(ArrayBuilder::finish(&mut own.headers));
                own.event.finish(&mut columns);
            }
        }
        columns.push(self.raw.finish(rows, nulls));
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|e| LakeError::parquet("batch", e))
    }
}

impl OfTelemetry {
    fn push(&mut self, row: usize, parsed: &Parsed<'_>) {
        self.vehicle.append_text(row, parsed.vehicle.as_deref());
        self.sequence.append_option(parsed.sequence);
        self.hire.append_text(row, parsed.hire.as_deref());
        self.model.append_text(row, parsed.model.as_deref());
        for n in parsed.fields() {
            if let Some(column) = self.fields.get_mut(n) {
                column.append(row, n, parsed);
            }
        }
    }

    fn finish(
        &mut self,
        rows: usize,
        times: ArrayRef,
        nulls: &mut Nulls,
        columns: &mut Vec<ArrayRef>,
    ) {
        columns.extend([
            self.vehicle.finish(rows, nulls),
            ArrayBuilder::finish(&mut self.sequence),
            times,
            self.hire.finish(rows, nulls),
            self.model.finish(rows, nulls),
        ]);
        let fields = self.fields.iter_mut();
        columns.extend(fields.map(|column| column.finish(rows, nulls)));
    }
}
