//! Which vehicle may connect: the SHA-256 of each vehicle's tokens, as read from the compacted topic.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;

use super::credential::{Credential, Hash, Previous, hash_of, same};

/// Former tokens of a vehicle that may work at once. The vehicle may use any of them, so none is given up for
/// a newer one.
pub const MOST_FORMER: usize = 8;

/// Why a vehicle was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token came with the request.
    #[error(
        "authorization: missing: no bearer token was sent; send `Authorization: Bearer <token of the vehicle>`"
    )]
    NoToken,
    /// The vehicle is not enrolled, or was revoked.
    #[error(
        "vehicle: {0}: is not enrolled; enrol it with PUT /v1/vehicles/{0} and use the token of the answer"
    )]
    UnknownVehicle(String),
    /// The token is not the vehicle's.
    #[error(
        "authorization: (not shown): is not the token of vehicle {0}; use the newest one, or rotate it with PUT /v1/vehicles/{0}"
    )]
    WrongToken(String),
}

/// Whether a session that was let in before may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its token still is the vehicle's.
    Good,
    /// The vehicle has another token, and the grace of the old one is over.
    Replaced,
    /// The vehicle is not enrolled any more.
    Revoked,
}

/// Where a record of the topic lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its partition.
    pub partition: i32,
    /// When it was written; milliseconds since 1970.
    pub written_ms: i64,
}

/// What may be told of an enrolled vehicle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The vehicle.
    pub vehicle: String,
    /// Since when it has its token.
    pub since: Timestamp,
    /// Until when a former token works too.
    pub grace_until: Option<Timestamp>,
}

#[derive(Debug)]
struct Known {
    // The newest record's; later records of the vehicle are written to the same partition, since the order
    // of records counts and only one partition has one. Kept after a revocation, for the same reason.
    place: Place,
    token: Option<Token>,
}

#[derive(Debug, PartialEq, Eq)]
struct Token {
    hash: Hash,
    since: Timestamp,
    // With the moments at which they stop to work, the newest first.
    former: Vec<(Hash, Timestamp)>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<String, Known>,
    enrolled: usize,
    // When graces end, so that sessions of old tokens are ended then.
    graces: BTreeSet<(Timestamp, String)>,
}

impl State {
    fn token(&self, vehicle: &str) -> Option<&Token> {
        self.known.get(vehicle)?.token.as_ref()
    }
}

/// All credentials, by vehicle.
#[derive(Debug, Default)]
pub struct Credentials {
    state: RwLock<State>,
}

impl Credentials {
    /// Takes a record of the topic; `None` is a tombstone. True when something changed for the vehicle's
    /// open sessions, which must then be looked at.
    pub fn apply(&self, vehicle: &str, record: Option<&[u8]>, place: Place) -> bool {
        let token = record.and_then(|bytes| match parse(bytes) {
            Ok(token) => Some(token),
            Err(problem) => {
                // Who wrote it meant to change the token: the old one is no longer trusted.
                tracing::error!(vehicle, %problem, "unreadable credential; the vehicle is locked out until enrolled again");
                None
            }
        });
        let mut guard = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        let before = state.known.get(vehicle);
        // Within a partition the order of reading counts; between partitions only the time can tell, and a
        // topic that got more partitions may hold records of one vehicle in two of them.
        if before.is_some_and(|k| {
            k.place.partition != place.partition && k.place.written_ms > place.written_ms
        }) {
            return false;
        }
        for (_, until) in token.iter().flat_map(|t| &t.former) {
            state.graces.insert((*until, vehicle.to_owned()));
        }
        state.enrolled += usize::from(token.is_some());
        let known = Known { place, token };
        let before = state.known.insert(vehicle.to_owned(), known);
        let before = before.and_then(|k| k.token);
        state.enrolled -= usize::from(before.is_some());
        let now = state.known.get(vehicle).and_then(|k| k.token.as_ref());
        before.is_some() && before.as_ref() != now
    }

    /// Lets the vehicle in, or says why not. What it gives stands for the token afterwards.
    ///
    /// # Errors
    /// When there is no token, the vehicle is not enrolled or the token is not its own.
    pub fn check(
        &self,
        vehicle: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Hash, AuthError> {
        let given = hash_of(token.ok_or(AuthError::NoToken)?);
        match self.standing(vehicle, &given, now) {
            Standing::Good => Ok(given),
            Standing::Replaced => Err(AuthError::WrongToken(vehicle.to_owned())),
            Standing::Revoked => Err(AuthError::UnknownVehicle(vehicle.to_owned())),
        }
    }

    /// Whether who was let in with this token may stay.
    pub fn standing(&self, vehicle: &str, given: &Hash, now: Timestamp) -> Standing {
        let state = self.read();
        let Some(token) = state.token(vehicle) else {
            return Standing::Revoked;
        };
        let in_grace = token
            .former
            .iter()
            .any(|(old, until)| same(old, given) && now < *until);
        if same(&token.hash, given) || in_grace {
            Standing::Good
        } else {
            Standing::Replaced
        }
    }

    /// The vehicles whose grace ended up to now; each is given once.
    pub fn graces_over(&self, now: Timestamp) -> Vec<String> {
        if self
            .read()
            .graces
            .first()
            .is_none_or(|(until, _)| *until > now)
        {
            return Vec::new();
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut over = Vec::new();
        while let Some((until, vehicle)) = state.graces.pop_first() {
            if until > now {
                state.graces.insert((until, vehicle));
                break;
            }
            over.push(vehicle);
        }
        over
    }

    /// What works on when a new token is made, the newest first: the present one until `until`, and those
    /// before it for as long as they were promised. None when the vehicle is not enrolled.
    pub fn former(&self, vehicle: &str, until: Timestamp, now: Timestamp) -> Option<Vec<Previous>> {
        let state = self.read();
        let token = state.token(vehicle)?;
        let present = std::iter::once(Previous::of(&token.hash, until));
        let earlier = token.former.iter().filter(|(_, until)| *until > now);
        let earlier = earlier.map(|(hash, until)| Previous::of(hash, *until));
        Some(present.chain(earlier).collect())
    }

    /// The partition in which the vehicle's records lie, when it ever had one.
    pub fn partition_of(&self, vehicle: &str) -> Option<i32> {
        let state = self.read();
        state.known.get(vehicle).map(|k| k.place.partition)
    }

    /// An enrolled vehicle.
    pub fn show(&self, vehicle: &str, now: Timestamp) -> Option<Enrolled> {
        let state = self.read();
        Some(enrolled(vehicle, state.token(vehicle)?, now))
    }

    /// At most `limit` enrolled vehicles in order of their ids, those after `after`, and whether more follow.
    pub fn list(&self, after: Option<&str>, limit: usize, now: Timestamp) -> (Vec<Enrolled>, bool) {
        let state = self.read();
        let mut found: Vec<(&String, &Token)> = state
            .known
            .iter()
            .filter(|(vehicle, _)| after.is_none_or(|after| vehicle.as_str() > after))
            .filter_map(|(vehicle, known)| Some((vehicle, known.token.as_ref()?)))
            .collect();
        let more = found.len() > limit;
        if more {
            found.select_nth_unstable_by_key(limit, |(vehicle, _)| *vehicle);
            found.truncate(limit);
        }
        found.sort_unstable_by_key(|(vehicle, _)| *vehicle);
        let list = found.into_iter().map(|(v, t)| enrolled(v, t, now));
        (list.collect(), more)
    }

    /// How many vehicles are enrolled.
    pub fn len(&self) -> usize {
        self.read().enrolled
    }

    /// Whether no vehicle is enrolled.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn enrolled(vehicle: &str, token: &Token, now: Timestamp) -> Enrolled {
    Enrolled {
        vehicle: vehicle.to_owned(),
        since: token.since,
        grace_until: token
            .former
            .iter()
            .map(|(_, until)| *until)
            .filter(|until| *until > now)
            .max(),
    }
}

fn parse(bytes: &[u8]) -> Result<Token, String> {
    let record: Credential = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let former = record
        .former()
        .take(MOST_FORMER)
        .map(|previous| Ok((previous.hash()?, previous.until)));
    Ok(Token {
        hash: record.hash()?,
        since: record.since,
        former: former.collect::<Result<_, String>>()?,
    })
}

#[cfg(test)]
mod tests;
