//! The state of one replica set, and the commands that read and change it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use mongodb::bson::{Bson, DateTime, Document, doc};

use super::SOON;
use super::login::Kept;

const PRIMARY: i32 = 1;
const SECONDARY: i32 = 2;
const STARTUP2: i32 = 5;
const DOWN: i32 = 8;

type Answer = Result<Document, Document>;

pub fn error(code: i32, name: &str, message: &str) -> Document {
    doc! {"ok": 0.0, "code": code, "codeName": name, "errmsg": message}
}

pub fn server_status(certificate_ends_ms: i64) -> Document {
    let ends = DateTime::from_millis(certificate_ends_ms);
    doc! {
        "version": "7.0.28",
        "security": {"SSLServerCertificateExpirationDate": ends},
        "connections": {"current": 3, "available": 97},
        "opcounters": {"insert": 1_i64, "query": 2_i64, "update": 0_i64, "delete": 0_i64, "getmore": 0_i64, "command": 9_i64},
        "mem": {"resident": 80},
    }
}

struct Server {
    up: bool,
    /// Whether it has ever been a member.
    was_member: bool,
    /// It copies documents until then.
    catches_up_until: Instant,
    /// How far its copy is behind, in milliseconds.
    behind_ms: i64,
}

struct User {
    kept: Kept,
    roles: Vec<Bson>,
}

/// One set, and servers that may belong to it.
pub struct Set {
    keyfile: Kept,
    servers: BTreeMap<String, Server>,
    config: Option<Document>,
    term: i64,
    primary: Option<String>,
    /// Who is elected, and when.
    election: Option<(Instant, String)>,
    users: BTreeMap<String, User>,
    /// Commands that changed something, in order.
    pub log: Vec<String>,
}

impl Set {
    pub fn new(keyfile: &str) -> Self {
        Self {
            keyfile: Kept::of(keyfile),
            servers: BTreeMap::new(),
            config: None,
            term: 0,
            primary: None,
            election: None,
            users: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    pub fn add_server(&mut self, address: &str) {
        let server = Server {
            up: true,
            was_member: false,
            catches_up_until: Instant::now(),
            behind_ms: 0,
        };
        self.servers.insert(address.to_owned(), server);
    }

    pub fn is_up(&self, address: &str) -> bool {
        self.servers[address].up
    }

    /// Ends a server, or starts it again. When the primary ends, another member is elected.
    pub fn set_up(&mut self, address: &str, up: bool) {
        self.servers.get_mut(address).unwrap().up = up;
        if !up && self.primary.as_deref() == Some(address) {
            self.primary = None;
            self.elect_another(address);
        }
    }

    /// Its copy is so far behind.
    pub fn set_behind(&mut self, address: &str, behind_ms: i64) {
        self.servers.get_mut(address).unwrap().behind_ms = behind_ms;
    }

    /// Takes the volumes of all servers away.
    pub fn lose_volumes(&mut self) {
        self.config = None;
        self.primary = None;
        self.users.clear();
        for server in self.servers.values_mut() {
            server.was_member = false;
        }
    }

    pub fn hosts(&self) -> Vec<String> {
        self.config.as_ref().map(hosts).unwrap_or_default()
    }

    pub fn primary(&mut self) -> Option<String> {
        self.settle();
        self.primary.clone()
    }

    /// Somebody gives a user another password and all rights, by hand.
    pub fn meddle(&mut self, user: &str) {
        let user = self.users.get_mut(user).unwrap();
        user.kept = Kept::of("other");
        user.roles.push(doc! {"role": "root", "db": "admin"}.into());
    }

    pub fn password_of(&self, user: &str, source: &str) -> Option<Kept> {
        match (user, source) {
            ("__system", "local") => Some(self.keyfile.clone()),
            (_, "admin") => Some(self.users.get(user)?.kept.clone()),
            _ => None,
        }
    }

    fn settle(&mut self) {
        if let Some((at, host)) = &self.election
            && Instant::now() >= *at
        {
            self.primary = Some(host.clone());
            self.term += 1;
            self.election = None;
        }
    }

    fn elect(&mut self, host: &str) {
        self.election = Some((Instant::now() + SOON, host.to_owned()));
    }

    fn electable(&self, not: &str) -> Option<String> {
        let others = self.hosts();
        let mut others = others.into_iter().filter(|host| host != not);
        others.find(|host| self.state(host) == SECONDARY && self.servers[host].behind_ms == 0)
    }

    /// Where a majority is up another member is elected.
    fn elect_another(&mut self, not: &str) {
        if self.has_majority(&self.hosts())
            && let Some(heir) = self.electable(not)
        {
            self.elect(&heir);
        }
    }

    fn has_majority(&self, hosts: &[String]) -> bool {
        let up = hosts.iter().filter(|host| self.servers[*host].up).count();
        up > hosts.len() / 2
    }

    fn state(&self, host: &str) -> i32 {
        let server = &self.servers[host];
        if !server.up {
            DOWN
        } else if self.primary.as_deref() == Some(host) {
            PRIMARY
        } else if Instant::now() < server.catches_up_until {
            STARTUP2
        } else {
            SECONDARY
        }
    }

    pub fn hello(&mut self, me: &str) -> Document {
        self.settle();
        let mut hello = doc! {
            "helloOk": true, "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
            "localTime": DateTime::now(), "logicalSessionTimeoutMinutes": 30, "connectionId": 1, "minWireVersion": 0,
            "maxWireVersion": 21, "readOnly": false,
        };
        let is_primary = self.primary.as_deref() == Some(me);
        hello.insert("isWritablePrimary", is_primary);
        hello.insert("ismaster", is_primary);
        if self.hosts().iter().any(|host| host == me) {
            hello.insert("secondary", self.state(me) == SECONDARY);
            hello.insert("setName", "m");
            hello.insert("hosts", self.hosts());
            hello.insert("me", me);
        } else {
            hello.insert("isreplicaset", true);
        }
        hello
    }

    /// A command of an administrator, at a server.
    pub fn run(&mut self, me: &str, name: &str, command: &Document) -> Answer {
        self.settle();
        match name {
            "replSetGetStatus" => self.status(me),
            "replSetGetConfig" => {
                self.must_be_member(me)?;
                Ok(doc! {"config": self.config.clone()})
            }
            "replSetInitiate" => {
                self.initiate(me, command.get_document("replSetInitiate").unwrap())
            }
            "usersInfo" => self.users_info(),
            _ if self.primary.as_deref() != Some(me) => {
                Err(error(10107, "NotWritablePrimary", "not primary"))
            }
            "replSetReconfig" => {
                self.reconfig(me, command.get_document("replSetReconfig").unwrap())
            }
            "replSetStepDown" => self.step_down(me),
            "createUser" | "updateUser" | "dropUser" => self.change_user(name, command),
            other => Err(error(
                59,
                "CommandNotFound",
                &format!("no such command: '{other}'"),
            )),
        }
    }

    fn must_be_member(&self, me: &str) -> Result<(), Document> {
        if self.hosts().iter().any(|host| host == me) {
            return Ok(());
        }
        Err(if self.servers[me].was_member {
            error(
                93,
                "InvalidReplicaSetConfig",
                "Our replica set config is invalid or we are not a member of it",
            )
        } else {
            error(
                94,
                "NotYetInitialized",
                "no replset config has been received",
            )
        })
    }

    fn status(&self, me: &str) -> Answer {
        self.must_be_member(me)?;
        let now = DateTime::now().timestamp_millis();
        let member = |(id, host): (usize, &String)| {
            let state = self.state(host);
            let health = if state == DOWN { 0.0 } else { 1.0 };
            let applied = if state == DOWN {
                0
            } else {
                now - self.servers[host].behind_ms
            };
            Bson::Document(
                doc! {"_id": id as i32, "name": host, "health": health, "state": state,
                "optimeDate": DateTime::from_millis(applied)},
            )
        };
        let members: Vec<Bson> = self.hosts().iter().enumerate().map(member).collect();
        Ok(doc! {"set": "m", "myState": self.state(me), "term": self.term, "members": members})
    }

    fn initiate(&mut self, me: &str, config: &Document) -> Answer {
        if self.config.is_some() {
            return Err(error(23, "AlreadyInitialized", "already initialized"));
        }
        if hosts(config) != [me] {
            return Err(error(
                93,
                "InvalidReplicaSetConfig",
                "No host described in new configuration maps to this node",
            ));
        }
        let mut config = config.clone();
        config.insert("version", 1);
        config.insert("term", 1_i64);
        self.config = Some(config);
        self.joins(me);
        self.servers.get_mut(me).unwrap().catches_up_until = Instant::now();
        self.elect(me);
        self.log.push("initiate".into());
        Ok(doc! {})
    }

    fn joins(&mut self, host: &str) {
        let server = self.servers.get_mut(host).unwrap();
        server.was_member = true;
        server.catches_up_until = Instant::now() + SOON;
    }

    fn reconfig(&mut self, me: &str, next: &Document) -> Answer {
        let incompatible = |problem: &str| {
            Err(error(
                103,
                "NewReplicaSetConfigurationIncompatible",
                problem,
            ))
        };
        let before = self.config.clone().unwrap();
        if next.get_i32("version").unwrap() <= before.get_i32("version").unwrap() {
            return incompatible("New replica set configuration version must be greater than old");
        }
        let was: BTreeSet<String> = hosts(&before).into_iter().collect();
        let will: BTreeSet<String> = hosts(next).into_iter().collect();
        if was.symmetric_difference(&will).count() > 1 {
            return incompatible(
                "Non force replica set reconfig can only add or remove at most 1 voting member.",
            );
        }
        if !will.contains(me) {
            return incompatible("The new config does not include the node that runs the command");
        }
        let mut ids = BTreeSet::new();
        let members = next.get_array("members").unwrap();
        if !members
            .iter()
            .all(|m| ids.insert(m.as_document().unwrap().get_i32("_id").unwrap()))
        {
            return incompatible("Found two member configurations with same _id");
        }
        let will: Vec<String> = will.into_iter().collect();
        if !self.has_majority(&will) || !self.has_majority(&hosts(&before)) {
            return Err(error(
                308,
                "CurrentConfigNotCommittedYet",
                "a majority does not answer",
            ));
        }
        self.config = Some(next.clone());
        for host in will.iter().filter(|host| !was.contains(*host)) {
            self.joins(host);
            self.log.push(format!("add {host}"));
        }
        for host in was.iter().filter(|host| !will.contains(host)) {
            self.log.push(format!("remove {host}"));
        }
        Ok(doc! {})
    }

    fn step_down(&mut self, me: &str) -> Answer {
        if self.electable(me).is_none() {
            return Err(error(
                262,
                "ExceededTimeLimit",
                "No electable secondaries caught up",
            ));
        }
        self.primary = None;
        self.elect_another(me);
        self.log.push(format!("step down {me}"));
        Ok(doc! {})
    }

    fn users_info(&self) -> Answer {
        let users = self.users.iter().map(|(name, user)| {
            Bson::Document(doc! {"_id": format!("admin.{name}"), "user": name, "db": "admin", "roles": user.roles.clone(),
                "credentials": user.kept.document(), "mechanisms": ["SCRAM-SHA-256"]})
        });
        Ok(doc! {"users": users.collect::<Vec<Bson>>()})
    }

    fn change_user(&mut self, what: &str, command: &Document) -> Answer {
        let name = command.get_str(what).unwrap().to_owned();
        let missing = || {
            error(
                11,
                "UserNotFound",
                &format!("Could not find user \"{name}\""),
            )
        };
        let password = command.get_str("pwd").ok().map(Kept::of);
        let roles = command.get_array("roles").ok().cloned();
        match what {
            "createUser" => {
                if self.users.contains_key(&name) {
                    return Err(error(51003, "Location51003", "User already exists"));
                }
                let (kept, roles) = (password.unwrap(), roles.unwrap());
                self.users.insert(name.clone(), User { kept, roles });
            }
            "updateUser" => {
                let user = self.users.get_mut(&name).ok_or_else(missing)?;
                if let Some(kept) = password {
                    user.kept = kept;
                }
                if let Some(roles) = roles {
                    user.roles = roles;
                }
            }
            _ => {
                self.users.remove(&name).ok_or_else(missing)?;
            }
        }
        self.log.push(format!("{what} {name}"));
        Ok(doc! {})
    }
}

fn hosts(config: &Document) -> Vec<String> {
    let members = config.get_array("members").unwrap().iter();
    let host = |member: &Bson| {
        member
            .as_document()
            .unwrap()
            .get_str("host")
            .unwrap()
            .to_owned()
    };
    members.map(host).collect()
}
