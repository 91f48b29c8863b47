//! What members say of each other. Pure.

use serde_json::Value;

/// A replica that lacks more of the log, in bytes, does not keep up.
pub const MOST_LAG: u64 = 16 * 1024 * 1024;

/// A member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Its pod.
    pub pod: String,
    /// `leader`, `sync_standby` or `replica`.
    pub role: String,
    /// `running`, or what it does instead.
    pub state: String,
    /// The timeline that it is on.
    pub timeline: Option<i64>,
    /// How many bytes of the log it lacks; `None` where nobody knows.
    pub lag: Option<u64>,
    /// Whether the primary sends it the log as it is written.
    pub streams: bool,
}

impl Seen {
    /// Whether it takes writes.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.role == "leader"
    }

    /// Whether transactions wait for it.
    #[must_use]
    pub fn is_synchronous(&self) -> bool {
        self.role == "sync_standby"
    }

    /// Whether it is a replica that could take over.
    #[must_use]
    pub fn follows(&self) -> bool {
        let keeps_up = self.lag.is_some_and(|lag| lag <= MOST_LAG);
        !self.leads() && self.state == "running" && self.streams && keeps_up
    }
}

/// All members.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// One by one, by name.
    pub members: Vec<Seen>,
    /// The settings that all of them have.
    pub config: Value,
    /// Whether the leader has said who follows it.
    pub told: bool,
}

impl View {
    /// From what a member answers to `GET /cluster` and `GET /config`, and the leader to `GET /patroni`.
    #[must_use]
    pub fn of(cluster: &Value, config: Value, leader: Option<&Value>) -> Self {
        let sent_to = |pod: &str| {
            let sent = leader.and_then(|leader| leader["replication"].as_array());
            sent.into_iter()
                .flatten()
                .any(|to| to["application_name"] == pod && to["state"] == "streaming")
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let members = cluster["members"].as_array().into_iter().flatten();
        let members = members.map(|member| {
            let pod = text(&member["name"]);
            Seen {
                streams: sent_to(&pod),
                role: text(&member["role"]),
                state: match text(&member["state"]) {
                    // So newer ones call a replica that runs and is sent the log.
                    state if state == "streaming" => "running".to_owned(),
                    state => state,
                },
                timeline: member["timeline"].as_i64(),
                lag: member["lag"].as_u64(),
                pod,
            }
        });
        Self {
            members: members.collect(),
            config,
            told: leader.is_some(),
        }
    }

    /// The member that takes writes.
    #[must_use]
    pub fn leader(&self) -> Option<&Seen> {
        let mut running = self.members.iter().filter(|seen| seen.state == "running");
        running.find(|seen| seen.leads())
    }

    /// A member.
    #[must_use]
    pub fn member(&self, pod: &str) -> Option<&Seen> {
        self.members.iter().find(|seen| seen.pod == pod)
    }

    /// Who is to take over from the leader: one that transactions wait for where there is one, for another one may lack
    /// something; of these one whose pod `stays`, and who lacks least.
    #[must_use]
    pub fn candidate(&self, stays: impl Fn(&str) -> bool) -> Option<&Seen> {
        let synchronous = self.members.iter().any(Seen::is_synchronous);
        let able = self.members.iter().filter(|seen| seen.follows());
        let able = able.filter(|seen| !synchronous || seen.is_synchronous());
        able.min_by_key(|seen| (!stays(&seen.pod), seen.lag, seen.pod.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(sync: &str) -> View {
        let replica = |name: &str, lag: Value| {
            let role = if name == sync {
                "sync_standby"
            } else {
                "replica"
            };
            json!({"name": name, "role": role, "state": "running", "timeline": 2, "lag": lag})
        };
        let cluster = json!({"members": [
            {"name": "p-0", "role": "leader", "state": "running", "timeline": 2},
            replica("p-1", json!(8)), replica("p-2", json!(0)), replica("p-3", json!("unknown"))]});
        let sent = |name: &str, state: &str| json!({"application_name": name, "state": state});
        let leader = json!({"replication": [sent("p-1", "streaming"), sent("p-2", "streaming"), sent("p-3", "catchup")]});
        View::of(&cluster, json!({"ttl": 20}), Some(&leader))
    }

    #[test]
    fn members_are_read_as_patroni_tells_them() {
        let view = view("p-1");
        assert_eq!(view.leader().map(|seen| seen.pod.as_str()), Some("p-0"));
        let follows: Vec<bool> = view.members.iter().map(Seen::follows).collect();
        assert_eq!(follows, [false, true, true, false]);
        assert_eq!(view.config["ttl"], 20);
        assert!(view.told);
        // From 3.0.4 on it calls the same of a replica otherwise.
        let streams = json!({"members": [{"name": "p-1", "role": "replica", "state": "streaming", "lag": 0}]});
        let leader = json!({"replication": [{"application_name": "p-1", "state": "streaming"}]});
        let newer = View::of(&streams, json!({}), Some(&leader));
        assert!(newer.members[0].follows());
        // A leader that cannot be asked, and one that does not run.
        let cluster = json!({"members": [{"name": "p-0", "role": "leader", "state": "stopped"}]});
        let stopped = View::of(&cluster, json!({}), None);
        assert!(stopped.leader().is_none() && !stopped.told);
    }

    #[test]
    fn the_one_that_transactions_wait_for_takes_over() {
        let who = |view: &View, stays: &str| {
            let seen = view.candidate(|pod| pod == stays);
            seen.map(|seen| seen.pod.clone())
        };
        assert_eq!(who(&view("p-1"), "p-2").as_deref(), Some("p-1"));
        assert_eq!(who(&view(""), "p-1").as_deref(), Some("p-1"));
        assert_eq!(who(&view(""), "").as_deref(), Some("p-2"), "it lacks least");
        assert_eq!(
            who(&view("p-3"), ""),
            None,
            "it does not keep up, and others may lack something"
        );
    }
}
