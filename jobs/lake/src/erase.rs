//! What leads to a person taken out of an hour: rows stay, and name neither their hires nor them any more.
//!
//! Names are pseudonyms of hires and the key of their driver. It is a rewrite of the hour ([`crate::rewrite`]): fenced, done
//! again after a crash, and written down with what the rows held before and after, so that [`crate::verify`] still proves that
//! no row is lost. The files that hold the names are removed, not laid aside; older states of them, which compaction has laid
//! aside, go too. Files that were committed and not yet published are not seen: whoever erases has them published before
//! ([`crate::commit::publish_committed`]).

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

/// Takes these names out of an hour, after what a former rewrite could not finish. None when no row holds one of them.
///
/// # Errors
/// The storage fails, a file is not what its record says, or another was first ([`LakeError::Fenced`]).
pub async fn erase<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    names: &BTreeSet<String>,
) -> Result<Option<RewriteRecord>, LakeError> {
    let erased = match begin(storage, layout, hour, names).await? {
        None => None,
        Some(mut rewrite) => {
            while rewrite.advance(storage).await? != Step::Done {}
            Some(rewrite.record().clone())
        }
    };
    forget(storage, layout, hour, names).await?;
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
    names: &BTreeSet<String>,
) -> Result<Option<Rewrite>, LakeError> {
    let former = rewrite::finish(storage, layout, hour).await?;
    let mut concerned = Vec::new();
    for file in reader::published(storage, layout, hour, &former).await? {
        if mentions(storage, &file.path, names).await? {
            concerned.push(file);
        }
    }
    if concerned.is_empty() {
        return Ok(None);
    }
    let settings = Settings::default();
    let blanked = |batch: RecordBatch| blank(&batch, names);
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

// Older states of the hour that hold the names too: whoever still reads one has to begin anew.
async fn forget<S: Storage>(
    storage: &S,
    layout: &Layout,
    hour: Hour,
    names: &BTreeSet<String>,
) -> Result<(), LakeError> {
    for record in rewrite::all(storage, layout, hour).await? {
        for old in &record.replaces {
            let aside = layout.replaced(old);
            if storage.size(&aside).await?.is_some() && mentions(storage, &aside, names).await? {
                storage.remove(&aside).await?;
            }
        }
    }
    Ok(())
}

async fn mentions<S: Storage>(
    storage: &S,
    path: &str,
    names: &BTreeSet<String>,
) -> Result<bool, LakeError> {
    for batch in parquet_file::read(path, storage.read(path).await?)? {
        if holds_one(&batch?, names) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds_one(batch: &RecordBatch, names: &BTreeSet<String>) -> bool {
    let any = |name: &str, is_named: &dyn Fn(&str) -> bool| {
        texts(batch, name).is_some_and(|column| column.iter().flatten().any(is_named))
    };
    let any_bytes = |name: &str, is_named: &dyn Fn(&[u8]) -> bool| {
        bytes(batch, name).is_some_and(|column| column.iter().flatten().any(is_named))
    };
    any(HIRE, &|hire| names.contains(hire))
        || any_bytes(schema::KEY, &|key| is_one(key, names))
        || any(schema::HEADERS, &|headers| {
            names_one(headers.as_bytes(), names)
        })
        || any_bytes(schema::RAW, &|value| names_one(value, names))
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    batch.column_by_name(name)?.as_string_opt::<i32>()
}

fn bytes<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a BinaryArray> {
    batch.column_by_name(name)?.as_binary_opt::<i32>()
}

fn is_one(key: &[u8], names: &BTreeSet<String>) -> bool {
    std::str::from_utf8(key).is_ok_and(|key| names.contains(key))
}

fn names_one(value: &[u8], names: &BTreeSet<String>) -> bool {
    names.iter().any(|name| {
        let name = name.as_bytes();
        !name.is_empty() && value.windows(name.len()).any(|part| part == name)
    })
}

/// The same rows without these names. Pure.
///
/// # Errors
/// The rows cannot be put together again.
pub fn blank(batch: &RecordBatch, names: &BTreeSet<String>) -> Result<RecordBatch, LakeError> {
    let schema = batch.schema();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        columns.push(match (field.name().as_str(), column.data_type()) {
            (HIRE, DataType::Utf8) => {
                let kept = column.as_string::<i32>().iter();
                let kept = kept.map(|hire| hire.filter(|hire| !names.contains(*hire)));
                Arc::new(kept.collect::<StringArray>())
            }
            (schema::HEADERS, DataType::Utf8) => {
                let kept = column.as_string::<i32>().iter();
                let kept = kept.map(|text| text.filter(|text| !names_one(text.as_bytes(), names)));
                Arc::new(kept.collect::<StringArray>())
            }
            (schema::KEY, DataType::Binary) => {
                let kept = column.as_binary::<i32>().iter();
                let kept = kept.map(|key| key.filter(|key| !is_one(key, names)));
                Arc::new(kept.collect::<BinaryArray>())
            }
            (schema::RAW, DataType::Binary) => {
                let mut kept = BinaryBuilder::new();
                for value in column.as_binary::<i32>() {
                    match value {
                        Some(value) if names_one(value, names) => {
                            kept.append_option(without(value, names));
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

/// A value as it was, without the fields whose text names one; none when it is named elsewhere, too.
fn without(value: &[u8], names: &BTreeSet<String>) -> Option<Vec<u8>> {
    let mut json: Value = serde_json::from_slice(value).ok()?;
    let object = json.as_object_mut()?;
    object.retain(|_, value| {
        let text = value.as_str().unwrap_or_default();
        !names_one(text.as_bytes(), names)
    });
    let kept = serde_json::to_vec(&json).ok()?;
    (!names_one(&kept, names)).then_some(kept)
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
        let values: Vec<_> = bytes(&blanked, schema::RAW).unwrap().iter().collect();
        assert_eq!(
            values,
            [Some(br#"{"speed":1}"#.as_slice()), raw[1], None, None]
        );
    }

    #[test]
    fn keys_headers_and_other_fields_name_nobody() {
        // As an archive of offers has them: the key is the driver's, and the id holds it.
        let raw = [
            br#"{"id":"key/gold/gone","driver":"key","hire":"gone","score":97.5}"#.as_slice(),
            br#"{"id":"other/gold/kept","driver":"other"}"#,
        ];
        let batch = RecordBatch::try_from_iter_with_nullable([
            (
                schema::KEY,
                Arc::new(BinaryArray::from(vec![b"key".as_slice(), b"other"])) as ArrayRef,
                true,
            ),
            (
                schema::HEADERS,
                Arc::new(StringArray::from(vec![
                    r#"{"ce_subject":"key"}"#,
                    r#"{"ce_subject":"other"}"#,
                ])),
                true,
            ),
            (schema::RAW, Arc::new(BinaryArray::from(raw.to_vec())), true),
        ])
        .unwrap();
        let names = BTreeSet::from(["gone".to_owned(), "key".to_owned()]);
        assert!(holds_one(&batch, &names));
        let blanked = blank(&batch, &names).unwrap();
        assert!(!holds_one(&blanked, &names));
        let keys: Vec<_> = bytes(&blanked, schema::KEY).unwrap().iter().collect();
        assert_eq!(keys, [None, Some(b"other".as_slice())]);
        let headers = texts(&blanked, schema::HEADERS).unwrap();
        assert_eq!((headers.is_null(0), headers.is_null(1)), (true, false));
        let values: Vec<_> = bytes(&blanked, schema::RAW).unwrap().iter().collect();
        assert_eq!(
            values,
            [Some(br#"{"score":97.5}"#.as_slice()), Some(raw[1])]
        );
    }
}
