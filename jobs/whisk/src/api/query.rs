//! Query parameters.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::api::{ApiError, Reply};

/// Length of a list when none is asked for.
const DEFAULT_LIMIT: usize = 30;

/// The longest list; also what a limit of 0 means.
const LONGEST_LIST: usize = 200;

/// The parameters of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// The part of a list that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Left out at the beginning.
    pub skip: usize,
    /// At most so many.
    pub limit: usize,
}

/// What is asked of a collection of entities: a part of it, or how many there are.
#[derive(Debug, Clone)]
pub struct Listing {
    collection: &'static str,
    page: Page,
    count: bool,
}

impl Listing {
    /// The answer out of all entities, each shown as its `summary`.
    pub fn reply<T>(
        &self,
        entities: &[Arc<T>],
        summary: impl Fn(&T) -> Map<String, Value>,
    ) -> Reply {
        if self.count {
            let count = entities.len().saturating_sub(self.page.skip);
            return Reply::json(200, json!({ self.collection: count }));
        }
        let part = entities.iter().skip(self.page.skip).take(self.page.limit);
        Reply::json(
            200,
            part.map(|entity| Value::Object(summary(entity))).collect(),
        )
    }
}

impl Query {
    /// Reads `a=1&b=x%20y`; what cannot be decoded is left out.
    pub fn parse(text: &str) -> Self {
        Self(
            text.split('&')
                .filter(|pair| !pair.is_empty())
                .filter_map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((decode(name, true)?, decode(value, true)?))
                })
                .collect(),
        )
    }

    /// Names and values in the order in which they came.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter that is true or false.
    ///
    /// # Errors
    /// [`ApiError`] when it is neither.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true" | "yes" | "on" | "1") => Ok(Some(true)),
            Some("false" | "no" | "off" | "0") => Ok(Some(false)),
            Some(value) => Err(ApiError::parameter(
                name,
                format!("'{value}' is not a valid Boolean value"),
            )),
        }
    }

    /// `limit`, `skip` and `count` of a list of `collection`.
    ///
    /// # Errors
    /// [`ApiError`] when one cannot be read or is out of range.
    pub fn listing(&self, collection: &'static str) -> Result<Listing, ApiError> {
        Ok(Listing {
            collection,
            page: self.page(collection)?,
            count: self.flag("count")? == Some(true),
        })
    }

    /// `limit` and `skip` of a list of `collection`.
    ///
    /// # Errors
    /// [`ApiError`] when one is out of range.
    pub fn page(&self, collection: &str) -> Result<Page, ApiError> {
        let number = |name: &str| match self.get(name) {
            None => Ok(None),
            Some(value) => value.parse::<i64>().map(Some).map_err(|_| {
                ApiError::parameter(
                    name,
                    format!("The value '{value}' is not an integer for {collection}."),
                )
            }),
        };
        let skip = number("skip")?.unwrap_or(0);
        let skip = usize::try_from(skip).map_err(|_| {
            ApiError::parameter(
                "skip",
                format!("The value '{skip}' is not greater than or equal to 0 for {collection}."),
            )
        })?;
        let limit = match number("limit")? {
            None => DEFAULT_LIMIT,
            Some(0) => LONGEST_LIST,
            Some(limit) => usize::try_from(limit).ok().filter(|limit| *limit <= LONGEST_LIST).ok_or_else(|| {
                let text = format!("The value '{limit}' is not in the range of 0 to {LONGEST_LIST} for {collection}.");
                ApiError::parameter("limit", text)
            })?,
        };
        Ok(Page { skip, limit })
    }

    /// A time, ms since 1970.
    ///
    /// # Errors
    /// [`ApiError`] when it is none.
    pub fn time(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => value
                .parse::<i64>()
                .ok()
                .filter(|time| *time >= 0)
                .map(Some)
                .ok_or_else(|| {
                    ApiError::parameter(
                        name,
                        format!("Parameter is not a valid value for epoch seconds: {value}"),
                    )
                }),
        }
    }
}

/// Decodes one segment of a path; `None` when it is no text.
pub fn decode_path(text: &str) -> Option<String> {
    decode(text, false)
}

fn decode(text: &str, plus_is_blank: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: u8| {
                    char::from(byte)
                        .to_digit(16)
                        .and_then(|digit| u8::try_from(digit).ok())
                };
                bytes.push(digit(rest.next()?)? * 16 + digit(rest.next()?)?);
            }
            b'+' if plus_is_blank => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("blocking=true&name=a%20b+c&flag&bad=%zz&x=maybe");
        assert_eq!(query.flag("blocking"), Ok(Some(true)));
        assert_eq!(query.get("name"), Some("a b c"));
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("bad"), None);
        assert_eq!(query.flag("none"), Ok(None));
        assert!(
            query
                .flag("x")
                .unwrap_err()
                .message
                .ends_with("\n'maybe' is not a valid Boolean value")
        );
        assert_eq!(decode_path("a+b%20c").as_deref(), Some("a+b c"));
        assert_eq!(decode_path("%f"), None);
    }

    #[test]
    fn pages() {
        let page = |text| Query::parse(text).page("actions");
        assert_eq!(page(""), Ok(Page { skip: 0, limit: 30 }));
        assert_eq!(
            page("limit=0&skip=3"),
            Ok(Page {
                skip: 3,
                limit: 200
            })
        );
        for bad in ["limit=201", "limit=-1", "limit=x", "skip=-1", "skip=x"] {
            assert_eq!(page(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
