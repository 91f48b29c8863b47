//! What leads to a person taken out of an hour: rows stay, and name no hire any more.
//!
//! It is a rewrite of the hour ([`crate::rewrite`]): fenced, done again after a crash, and written down with what the rows
//! held before and after, so that [`crate::verify`] still proves that no row is lost. The files that name the hires are
//! removed, not laid aside; older states of them, which compaction has laid aside, go too.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_schema::DataType;
use serde_json::Value;

use crate::commit::Step;
use crate::compact::{self, Merge, Settings};
use crate::error::LakeError;
use crate::layout::{Hour, Layout};
use crate::parquet_file;
use crate::reader;
use crate::record::{Reason, RewriteRecord};
use crate::rewrite::{self, Rewrite};
use crate::schema;
use crate::storage::Storage;

/// Column and JSON field of the pseudonym of a hire.
const HIRE: &str = "hire";

/// Takes these hires out of an hour, after what a former rewrite could not finish. None when no row names one of them.
///
/// # Errors
/// The storage fails, a file is not what its record says, or another was first ([`LakeError::Fenced`]).
pub async fn erase<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    hires: &BTreeSet<String>,
) -> Result<Option<RewriteRecord>, LakeError> {
    let erased = match begin(storage, layout, hour, hires).await? {
        None => None,
        Some(mut rewrite) => {
            while rewrite.advance(storage).await? != Step::Done {}
            Some(rewrite.record().clone())
        }
    };
    forget(storage, layout, hour, hires).await?;
    Ok(erased)
}

/// The steps `stage` and `close` of [`erase`].
///
/// # Errors
/// Those of [`erase`].
pub async fn begin<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    hires: &BTreeSet<String>,
) -> Result<Option<Rewrite>, LakeError> {
    let former = rewrite::finish(storage, layout, hour).await?;
    let mut concerned = Vec::new();
    for file in reader::published(storage, layout, hour, &former).await? {
        if mentions(storage, &file.path, hires).await? {
            concerned.push(file);
        }
    }
    if concerned.is_empty() {
        return Ok(None);
    }
    let settings = Settings::default();
    let blanked = |batch: RecordBatch| blank(&batch, hires);
    let merge = Merge {
        settings: &settings,
        former: &former,
        reason: Reason::Erasure,
        change: &blanked,
    };
    compact::merge(storage, layout, hour, merge, concerned)
        .await
        .map(Some)
}

// Older states of the hour that name the hires too: whoever still reads one has to begin anew.
async fn forget<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    hires: &BTreeSet<String>,
) -> Result<(), LakeError> {
    for record in rewrite::all(storage, layout, hour).await? {
        for old in &record.replaces {
            let aside = layout.replaced(old);
            if storage.size(&aside).await?.is_some() && mentions(storage, &aside, hires).await? {
                storage.remove(&aside).await?;
            }
        }
    }
    Ok(())
}

async fn mentions<S: Storage>(
    storage: &S,
    path: &str,
    hires: &BTreeSet<String>,
) -> Result<bool, LakeError> {
    for batch in parquet_file::read(path, storage.read(path).await?)? {
        let batch = batch?;
        let by_column = texts(&batch, HIRE)
            .is_some_and(|column| column.iter().flatten().any(|hire| hires.contains(hire)));
        let by_value = || {
            let raw = values(&batch);
            raw.is_some_and(|raw| raw.iter().flatten().any(|value| names_one(value, hires)))
        };
        if by_column || by_value() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    batch.column_by_name(name)?.as_string_opt::<i32>()
}

fn values(batch: &RecordBatch) -> Option<&BinaryArray> {
    batch.column_by_name(schema::RAW)?.as_binary_opt::<i32>()
}

fn names_one(value: &[u8], hires: &BTreeSet<String>) -> bool {
    hires.iter().any(|hire| {
        let hire = hire.as_bytes();
        !hire.is_empty() && value.windows(hire.len()).any(|part| part == hire)
    })
}

/// The same rows without these hires. Pure.
///
/// # Errors
/// The rows cannot be put together again.
pub fn blank(batch: &RecordBatch, hires: &BTreeSet<String>) -> Result<RecordBatch, LakeError> {
    let schema = batch.schema();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        columns.push(match (field.name().as_str(), column.data_type()) {
            (HIRE, DataType::Utf8) => {
                let kept = column.as_string::<i32>().iter();
                let kept = kept.map(|hire| hire.filter(|hire| !hires.contains(*hire)));
                Arc::new(kept.collect::<StringArray>())
            }
            (schema::RAW, DataType::Binary) => {
                let mut kept = BinaryBuilder::new();
                for value in column.as_binary::<i32>() {
                    match value {
                        Some(value) if names_one(value, hires) => {
                            kept.append_option(without(value, hires));
                        }
                        value => kept.append_option(value),
                    }
                }
                Arc::new(kept.finish())
            }
            _ => Arc::clone(column),
        });
    }
    RecordBatch::try_new(schema, columns).map_err(|e| LakeError::parquet("batch", e))
}

/// A value as it was, without the field that names the hire; none when it names it elsewhere, too.
fn without(value: &[u8], hires: &BTreeSet<String>) -> Option<Vec<u8>> {
    let mut json: Value = serde_json::from_slice(value).ok()?;
    let object = json.as_object_mut()?;
    let is_named = |value: &Value| value.as_str().is_some_and(|hire| hires.contains(hire));
    if object.get(HIRE).is_some_and(is_named) {
        object.remove(HIRE);
    }
    let kept = serde_json::to_vec(&json).ok()?;
    (!names_one(&kept, hires)).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Int64Array;

    #[test]
    fn rows_stay_and_name_no_hire() {
        let raw = [
            Some(br#"{"hire":"gone","speed":1}"#.as_slice()),
            Some(br#"{"hire":"kept","speed":2}"#),
            Some(b"no json, but gone"),
            None,
        ];
        let batch = RecordBatch::try_from_iter([
            (
                schema::OFFSET,
                Arc::new(Int64Array::from(vec![0, 1, 2, 3])) as ArrayRef,
            ),
            (
                HIRE,
                Arc::new(StringArray::from(vec![
                    Some("gone"),
                    Some("kept"),
                    None,
                    Some("gone"),
                ])),
            ),
            (schema::RAW, Arc::new(BinaryArray::from(raw.to_vec()))),
        ])
        .unwrap();
        let blanked = blank(&batch, &BTreeSet::from(["gone".to_owned()])).unwrap();
        assert_eq!(blanked.num_rows(), 4);
        let hires: Vec<_> = texts(&blanked, HIRE).unwrap().iter().collect();
        assert_eq!(hires, [None, Some("kept"), None, None]);
        let values: Vec<_> = values(&blanked).unwrap().iter().collect();
        assert_eq!(
            values,
            [Some(br#"{"speed":1}"#.as_slice()), raw[1], None, None]
        );
    }
}
