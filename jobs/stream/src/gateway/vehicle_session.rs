//! What each replica tells the others of its sessions: the records of the compacted topic `vehicle-sessions`.
//!
//! A vehicle has one session, whichever replica holds it. Which of two is the newer one is told by the order of
//! their records in the topic, which is the same for all replicas, and not by clocks.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::outbox::SessionId;
use super::quiet::LastSpoken;

/// One record of the topic, keyed by vehicle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VehicleSession {
    /// Which replica holds the session; a process that starts is a new one.
    pub replica: String,
    /// Its number there.
    pub session: SessionId,
    /// What happened.
    pub event: SessionEvent,
    /// When.
    pub at: Timestamp,
    /// What the vehicle was told last, as long as that keeps it in quiet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<LastSpoken>,
}

/// What happened in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionEvent {
    /// It was opened; older ones of the vehicle end.
    Opened,
    /// A spoken notice was sent.
    Told,
}

/// What a record of the topic means for the session that this replica holds of the same vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It is that session's own: those whose records come after it are newer.
    Own,
    /// A newer session is open elsewhere.
    Newer,
    /// Nothing.
    Nothing,
}

/// The session that is held here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its number.
    pub session: SessionId,
    /// Whether its own record was read back.
    pub read_back: bool,
}

impl VehicleSession {
    /// The record's value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Fields of these types can always be written; an empty value would be passed over.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What it means to `replica`, which holds this session of the vehicle.
    #[must_use]
    pub fn meaning(&self, replica: &str, held: Held) -> Meaning {
        match self.event {
            SessionEvent::Told => Meaning::Nothing,
            SessionEvent::Opened if self.replica == replica => {
                if self.session == held.session {
                    Meaning::Own
                } else {
                    Meaning::Nothing
                }
            }
            // The record of a session that was not read back yet comes later than this one.
            SessionEvent::Opened if held.read_back => Meaning::Newer,
            SessionEvent::Opened => Meaning::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "here";
    const THERE: &str = "there";

    fn record(replica: &str, session: SessionId, event: SessionEvent) -> VehicleSession {
        VehicleSession {
            replica: replica.to_owned(),
            session,
            event,
            at: Timestamp::UNIX_EPOCH,
            told: None,
        }
    }

    // Each replica reads the same records and holds its own session: exactly the last one in the topic stays.
    #[test]
    fn of_all_replicas_the_last_session_in_the_topic_stays() {
        let opened = |replica, session| record(replica, session, SessionEvent::Opened);
        for order in [
            [opened(HERE, 5), opened(THERE, 1)],
            [opened(THERE, 1), opened(HERE, 5)],
        ] {
            for (replica, session) in [(HERE, 5), (THERE, 1)] {
                let mut held = Held {
                    session,
                    read_back: false,
                };
                let mut open = true;
                for record in &order {
                    match record.meaning(replica, held) {
                        Meaning::Own => held.read_back = true,
                        Meaning::Newer => open = false,
                        Meaning::Nothing => {}
                    }
                }
                assert_eq!(open, order[1].replica == replica, "{order:?}");
            }
        }
    }

    #[test]
    fn what_a_former_session_said_closes_nothing() {
        let held = Held {
            session: 5,
            read_back: true,
        };
        let former = record(HERE, 4, SessionEvent::Opened);
        assert_eq!(former.meaning(HERE, held), Meaning::Nothing);
        let told = record(THERE, 1, SessionEvent::Told);
        assert_eq!(told.meaning(HERE, held), Meaning::Nothing);
    }

    #[test]
    fn the_shape_of_a_record() {
        let mut opened = record(HERE, 5, SessionEvent::Opened);
        let json = serde_json::to_value(&opened).unwrap();
        assert_eq!(json["event"], "opened");
        assert!(json.get("told").is_none());
        opened.told = Some(LastSpoken {
            id: "a".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        });
        let json = serde_json::to_value(&opened).unwrap();
        assert_eq!(json["told"]["id"], "a");
        assert_eq!(
            serde_json::from_value::<VehicleSession>(json).unwrap(),
            opened
        );
    }
}
