//! Rows of days, given to Druid by HTTP: its input source `http` is in every image, wherever segments are kept.
//!
//! A day is sent in chunks as it is read. Where reading fails the connection breaks before the last one, so that Druid never takes
//! a part of a day for the whole.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::stream;
use jiff::civil::Date;
use millrace_lake::layout::Layout;
use millrace_lake::record::FileEntry;
use millrace_lake::storage::Place;
use millrace_lake::{LakeError, columns};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::rows::{Counts, Lines, NAMES};
use crate::read::whole;

/// Batches that wait for Druid to take them.
const AHEAD: usize = 2;

/// The days that can be asked for.
#[derive(Debug)]
pub struct Days {
    storage: Place,
    layout: Layout,
    /// The field with the time of a row.
    time: String,
    /// The files of each day, by hour.
    files: BTreeMap<Date, Vec<Vec<FileEntry>>>,
    /// Nobody guesses it: what is asked for without it is not there.
    token: String,
    state: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// Days that were sent to their end.
    sent: BTreeMap<Date, Counts>,
    /// What went wrong with a day, and will again.
    trouble: BTreeMap<Date, String>,
}

impl Days {
    /// Days of a lake.
    ///
    /// # Errors
    /// The machine gives no random numbers.
    pub fn new(
        storage: Place,
        layout: Layout,
        time: &str,
        files: BTreeMap<Date, Vec<Vec<FileEntry>>>,
    ) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            storage,
            layout,
            time: time.to_owned(),
            files,
            token: token().context("no random numbers")?,
            state: Mutex::default(),
        }))
    }

    /// Serves them until the process ends.
    pub fn serve(self: &Arc<Self>, listener: TcpListener) {
        let app = Router::new()
            .route("/{token}/{day}", get(rows))
            .with_state(Arc::clone(self));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "rows are served no more");
            }
        });
    }

    /// Where a day is, below `http://HOST:PORT`.
    #[must_use]
    pub fn path(&self, day: Date) -> String {
        format!("/{}/{day}", self.token)
    }

    /// What became of the rows of a day that was sent to its end; none when it was not.
    #[must_use]
    pub fn sent(&self, day: Date) -> Option<Counts> {
        self.told().sent.get(&day).copied()
    }

    /// Why a day cannot be sent, however often it is asked for.
    #[must_use]
    pub fn trouble(&self, day: Date) -> Option<String> {
        self.told().trouble.get(&day).cloned()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn produce(self: Arc<Self>, day: Date, to: mpsc::Sender<Result<Bytes, LakeError>>) {
        match self.write(day, &to).await {
            // Before the sender goes, and with it the last chunk.
            Ok(Some(counts)) => {
                self.told().sent.insert(day, counts);
            }
            Ok(None) => tracing::warn!(%day, "Druid has stopped reading"),
            Err(error) => {
                tracing::error!(%day, %error, "the rows cannot be read");
                if !error.is_retriable() {
                    self.told().trouble.insert(day, error.to_string());
                }
                // Where nobody listens any more there is nobody to tell.
                drop(to.send(Err(error)).await);
            }
        }
    }

    // None when nobody reads on.
    async fn write(
        &self,
        day: Date,
        to: &mpsc::Sender<Result<Bytes, LakeError>>,
    ) -> Result<Option<Counts>, LakeError> {
        let mut lines = Lines::new(&self.time);
        for files in self.files.get(&day).into_iter().flatten() {
            lines.next_hour();
            for file in files {
                let (path, bytes) = whole(&self.storage, &self.layout, file).await?;
                let to = to.clone();
                let decoding =
                    tokio::task::spawn_blocking(move || decode(lines, &path, bytes, &to));
                let goes_on = decoding.await.unwrap_or_else(|error| {
                    Err(LakeError::Parquet {
                        path: file.path.clone(),
                        problem: error.to_string(),
                    })
                })?;
                match goes_on {
                    Some(back) => lines = back,
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(lines.counts()))
    }
}

// None when nobody reads on.
fn decode(
    mut lines: Lines,
    path: &str,
    bytes: Bytes,
    to: &mpsc::Sender<Result<Bytes, LakeError>>,
) -> Result<Option<Lines>, LakeError> {
    for batch in columns::read(path, bytes, &NAMES)? {
        let mut out = Vec::new();
        lines.write(&batch?, &mut out)?;
        if !out.is_empty() && to.blocking_send(Ok(out.into())).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(lines))
}

async fn rows(
    State(days): State<Arc<Days>>,
    Path((token, day)): Path<(String, String)>,
) -> Response {
    let day = day.parse::<Date>().ok();
    let Some(day) = day.filter(|day| token == days.token && days.files.contains_key(day)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (to, from) = mpsc::channel(AHEAD);
    tokio::spawn(days.produce(day, to));
    let chunks = stream::unfold(from, |mut from| async move {
        let chunk: Result<Bytes, LakeError> = from.recv().await?;
        Some((chunk, from))
    });
    Body::from_stream(chunks).into_response()
}

fn token() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
