//! Which vehicle may connect: the SHA-256 of each vehicle's tokens, as read from the compacted topic.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;

use super::credential::{Credential, Hash, Previous, hash_of, same};

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
    /// Until when its former token works too.
    pub grace_until: Option<Timestamp>,
}

#[derive(Debug)]
struct Known {
    // The newest record's; later records of the vehicle are written to the same partition, since the order
    // of records counts and only one partition has one. Kept after a revocation, for the same reason.
    place: Place,
    token: Option<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token {
    hash: Hash,
    since: Timestamp,
    previous: Option<(Hash, Timestamp)>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<String, Known>,
    enrolled: usize,
    // When graces end, so that sessions of old tokens are ended then.
    graces: BTreeSet<(Timestamp, String)>,
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
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let before = state.known.get(vehicle);
        // Within a partition the order of reading counts; between partitions only the time can tell, and a
        // topic that got more partitions may hold records of one vehicle in two of them.
        if before.is_some_and(|k| {
            k.place.partition != place.partition && k.place.written_ms > place.written_ms
        }) {
            return false;
        }
        let before = before.and_then(|k| k.token);
        if let Some((_, until)) = token.and_then(|t| t.previous) {
            state.graces.insert((until, vehicle.to_owned()));
        }
        state
            .known
            .insert(vehicle.to_owned(), Known { place, token });
        state.enrolled += usize::from(token.is_some());
        state.enrolled -= usize::from(before.is_some());
        before.is_some() && before != token
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
        let Some(token) = state.known.get(vehicle).and_then(|k| k.token) else {
            return Standing::Revoked;
        };
        let in_grace = token
            .previous
            .is_some_and(|(old, until)| same(&old, given) && now < until);
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

    /// What stays of the present token when a new one is made: it works on until `until`.
    pub fn former(&self, vehicle: &str, until: Timestamp) -> Option<Previous> {
        let state = self.read();
        let token = state.known.get(vehicle)?.token?;
        Some(Previous::of(&token.hash, until))
    }

    /// The partition in which the vehicle's records lie, when it ever had one.
    pub fn partition_of(&self, vehicle: &str) -> Option<i32> {
        let state = self.read();
        state.known.get(vehicle).map(|k| k.place.partition)
    }

    /// An enrolled vehicle.
    pub fn show(&self, vehicle: &str, now: Timestamp) -> Option<Enrolled> {
        let state = self.read();
        let token = state.known.get(vehicle)?.token?;
        Some(enrolled(vehicle, &token, now))
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
        grace_until: token.previous.map(|(_, until)| until).filter(|u| *u > now),
    }
}

fn parse(bytes: &[u8]) -> Result<Token, String> {
    let record: Credential = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let previous = match &record.previous {
        Some(previous) => Some((previous.hash()?, previous.until)),
        None => None,
    };
    Ok(Token {
        hash: record.hash()?,
        since: record.since,
        previous,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::credential::new_token;
    use crate::settings::Secret;
    use jiff::SignedDuration;

    const HERE: Place = Place {
        partition: 0,
        written_ms: 1,
    };

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn later(seconds: i64) -> Timestamp {
        now() + SignedDuration::from_secs(seconds)
    }

    fn record(vehicle: &str, token: &Secret, previous: Option<Previous>) -> Vec<u8> {
        serde_json::to_vec(&Credential::of(vehicle, token, now(), previous)).unwrap()
    }

    #[test]
    fn enrol_rotate_revoke() {
        let all = Credentials::default();
        let (first, second) = (new_token().unwrap(), new_token().unwrap());
        let check = |token: &str| all.check("car-1", Some(token), now());
        assert_eq!(check("x"), Err(AuthError::UnknownVehicle("car-1".into())));
        assert_eq!(all.check("car-1", None, now()), Err(AuthError::NoToken));

        let enrolled = record("car-1", &first, None);
        assert!(
            !all.apply("car-1", Some(&enrolled), HERE),
            "no session can be open yet"
        );
        let of_first = check(first.expose()).unwrap();
        assert_eq!(check("x"), Err(AuthError::WrongToken("car-1".into())));
        assert_eq!(all.show("car-1", now()).unwrap().since, now());
        assert!(
            !all.apply("car-1", Some(&enrolled), HERE),
            "the same again cuts nobody"
        );
        assert_eq!(all.standing("car-1", &of_first, now()), Standing::Good);

        assert!(all.apply("car-1", Some(&record("car-1", &second, None)), HERE));
        assert!(check(first.expose()).is_err());
        assert_eq!(all.standing("car-1", &of_first, now()), Standing::Replaced);
        check(second.expose()).unwrap();

        assert!(all.apply("car-1", None, HERE));
        assert!(check(second.expose()).is_err());
        assert_eq!(all.standing("car-1", &of_first, now()), Standing::Revoked);
        assert!(all.is_empty());
        assert_eq!(
            all.partition_of("car-1"),
            Some(0),
            "kept for the next enrolment"
        );
    }

    #[test]
    fn the_old_token_works_until_its_grace_is_over() {
        let all = Credentials::default();
        let (first, second) = (new_token().unwrap(), new_token().unwrap());
        all.apply("car-1", Some(&record("car-1", &first, None)), HERE);
        assert_eq!(all.former("car-9", later(30)), None);
        let former = all.former("car-1", later(30));
        assert!(all.apply("car-1", Some(&record("car-1", &second, former)), HERE));
        all.check("car-1", Some(first.expose()), later(29)).unwrap();
        all.check("car-1", Some(second.expose()), later(29))
            .unwrap();
        assert_eq!(
            all.show("car-1", later(29)).unwrap().grace_until,
            Some(later(30))
        );
        assert!(all.graces_over(later(29)).is_empty());
        assert!(all.check("car-1", Some(first.expose()), later(30)).is_err());
        assert_eq!(all.graces_over(later(30)), ["car-1"]);
        assert!(all.graces_over(later(30)).is_empty(), "told once");
        assert_eq!(all.show("car-1", later(30)).unwrap().grace_until, None);
    }

    #[test]
    fn an_older_record_of_another_partition_changes_nothing() {
        let all = Credentials::default();
        let token = new_token().unwrap();
        let at = |partition, written_ms| Place {
            partition,
            written_ms,
        };
        all.apply("car-1", None, at(1, 20));
        assert!(!all.apply("car-1", Some(&record("car-1", &token, None)), at(0, 10)));
        assert!(all.is_empty(), "revoked stays revoked");
        all.apply("car-1", Some(&record("car-1", &token, None)), at(0, 30));
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn lists_in_pages() {
        let all = Credentials::default();
        for n in 0..25 {
            let vehicle = format!("car-{n:02}");
            let token = new_token().unwrap();
            all.apply(&vehicle, Some(&record(&vehicle, &token, None)), HERE);
        }
        all.apply("car-03", None, HERE);
        let (page, more) = all.list(None, 4, now());
        let ids: Vec<&str> = page.iter().map(|e| e.vehicle.as_str()).collect();
        assert_eq!(
            (ids, more),
            (vec!["car-00", "car-01", "car-02", "car-04"], true)
        );
        let (page, more) = all.list(Some("car-20"), 4, now());
        assert_eq!((page.len(), more), (4, false));
    }

    #[test]
    fn an_unreadable_record_locks_out() {
        let all = Credentials::default();
        let token = new_token().unwrap();
        all.apply("car-1", Some(&record("car-1", &token, None)), HERE);
        assert!(all.apply("car-1", Some(b"{}"), HERE));
        assert!(all.check("car-1", Some(token.expose()), now()).is_err());
    }

    #[test]
    fn errors_do_not_show_the_token() {
        let all = Credentials::default();
        let token = new_token().unwrap();
        all.apply("car-1", Some(&record("car-1", &token, None)), HERE);
        let e = all
            .check("car-1", Some("guessed-token"), now())
            .unwrap_err()
            .to_string();
        assert!(!e.contains("guessed-token"), "{e}");
    }
}
