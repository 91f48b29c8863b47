//! A server as it is.

use std::collections::{BTreeMap, BTreeSet};

use super::activity::{self, Activity};
use super::archive::{self, Archive, Restored};
use super::change::{Read, Wanted};
use super::client::{Login, Session};
use super::error::PostgresError;
use super::statement::ADMIN;
use super::verifier;

/// A role as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedRole {
    /// Whether it logs in.
    pub login: bool,
    /// How many connections it may have.
    pub connection_limit: i32,
    /// Whether it may make base backups and copies of the server.
    pub replication: bool,
    /// Whether it has other rights over the whole server.
    pub is_privileged: bool,
    /// Whether its password is the one that is asked for.
    pub password_fits: bool,
    /// Roles that it is a member of.
    pub member_of: BTreeSet<String>,
}

/// A database as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedDatabase {
    /// To whom it belongs.
    pub owner: String,
    /// Extensions in it; known of those only that are asked for.
    pub extensions: BTreeSet<String>,
    /// Its schemas; known of those only that are asked for.
    pub schemas: BTreeSet<String>,
}

/// A server as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Its version, for example `15.14`.
    pub version: String,
    /// What it does.
    pub activity: Activity,
    /// Bytes of all databases and of the log.
    pub used_bytes: u64,
    /// Whether the file of its certificate is newer than what it has loaded.
    pub certificate_is_stale: bool,
    /// Extensions that could be made.
    pub available_extensions: BTreeSet<String>,
    /// All roles.
    pub roles: BTreeMap<String, ObservedRole>,
    /// All databases.
    pub databases: BTreeMap<String, ObservedDatabase>,
    /// What is asked for and can be read wholly.
    pub reads: BTreeSet<Read>,
    /// The archive of the log, where one is asked for.
    pub archive: Option<Archive>,
    /// What the cluster was restored from, if it was.
    pub restored: Option<Restored>,
}

const SERVER: &str = "
SELECT split_part(current_setting('server_version'), ' ', 1),
       (SELECT sum(pg_database_size(oid)) FROM pg_database)::int8
         + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())::int8,
       pg_conf_load_time() < (pg_stat_file(current_setting('ssl_cert_file'))).modification,
       (SELECT array_agg(name::text) FROM pg_available_extensions),
       pg_read_file('millrace-restored', 0, 1000, true)";

const ROLES: &str = "
SELECT a.rolname::text, a.rolcanlogin, a.rolconnlimit,
       a.rolsuper OR a.rolcreatedb OR a.rolcreaterole OR a.rolbypassrls,
       a.rolpassword,
       array(SELECT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE m.member = a.oid),
       a.rolreplication
FROM pg_authid a";

const DATABASES: &str =
    "SELECT d.datname::text, r.rolname::text FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
WHERE d.datallowconn";

const INSIDE: &str = "
SELECT array(SELECT extname::text FROM pg_extension), array(SELECT nspname::text FROM pg_namespace)";

/// Whether a role reads all that is there in a schema, and all that the owner will make.
const READS: &str = "
SELECT r.rolname::text, n.nspname::text
FROM pg_namespace n, pg_roles r
WHERE r.rolname = ANY($1) AND n.nspname = ANY($2)
  AND has_schema_privilege(r.oid, n.oid, 'USAGE')
  AND NOT EXISTS (
    SELECT FROM pg_class c
    WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND NOT has_table_privilege(r.oid, c.oid, 'SELECT'))
  AND EXISTS (
    SELECT FROM pg_default_acl d JOIN pg_roles o ON o.oid = d.defaclrole, aclexplode(d.defaclacl) a
    WHERE d.defaclnamespace = n.oid AND d.defaclobjtype = 'r' AND o.rolname = $3
      AND a.grantee = r.oid AND a.privilege_type = 'SELECT')";

/// Looks at all that the comparison needs.
pub(super) async fn observe(login: &Login, wanted: &Wanted) -> Result<Observed, PostgresError> {
    let admin = login.connect(ADMIN).await?;
    let mut observed = server(&admin).await?;
    observed.activity = activity::observe(&admin).await?;
    observed.roles = roles(&admin, wanted).await?;
    if wanted.archives {
        observed.archive = Some(archive::observe(&admin).await?);
    }
    let rows = admin.query(DATABASES, &[]).await;
    for row in rows.map_err(PostgresError::doing("list databases"))? {
        let (name, owner) = (row.get(0), row.get(1));
        let database = ObservedDatabase {
            owner,
            ..ObservedDatabase::default()
        };
        observed.databases.insert(name, database);
    }
    drop(admin);
    for name in looked_into(wanted) {
        if let Some(database) = observed.databases.get_mut(name) {
            let session = login.connect(name).await?;
            let row = session.query_one(INSIDE, &[]).await;
            let row = row.map_err(PostgresError::doing(format!("look into database {name}")))?;
            database.extensions = set(row.get(0));
            database.schemas = set(row.get(1));
            observed.reads.extend(reads(&session, wanted, name).await?);
        }
    }
    Ok(observed)
}

/// Databases of which more has to be known than that they are there.
fn looked_into(wanted: &Wanted) -> BTreeSet<&str> {
    let databases = wanted.databases.iter().filter(|d| !d.extensions.is_empty());
    let databases = databases.map(|database| database.name.as_str());
    let reads = wanted.reads.iter().chain(&wanted.former_reads);
    let reads = reads.map(|read| read.database.as_str());
    databases.chain(reads).collect()
}

fn set(texts: Vec<String>) -> BTreeSet<String> {
    texts.into_iter().collect()
}

async fn server(admin: &Session) -> Result<Observed, PostgresError> {
    let row = admin.query_one(SERVER, &[]).await;
    let row = row.map_err(PostgresError::doing(
        "ask the server for its version and size",
    ))?;
    let used: Option<i64> = row.get(1);
    Ok(Observed {
        version: row.get(0),
        used_bytes: used.and_then(|used| u64::try_from(used).ok()).unwrap_or(0),
        certificate_is_stale: row.get::<_, Option<bool>>(2).unwrap_or(false),
        restored: row
            .get::<_, Option<String>>(4)
            .and_then(|told| serde_json::from_str(&told).ok()),
        available_extensions: set(row.get::<_, Option<Vec<String>>>(3).unwrap_or_default()),
        ..Observed::default()
    })
}

async fn roles(
    admin: &Session,
    wanted: &Wanted,
) -> Result<BTreeMap<String, ObservedRole>, PostgresError> {
    let rows = admin.query(ROLES, &[]).await;
    let rows = rows.map_err(PostgresError::doing("list roles"))?;
    let of = |row: tokio_postgres::Row| {
        let name: String = row.get(0);
        let kept: Option<String> = row.get(4);
        let asked = wanted.roles.iter().find(|role| role.name == name);
        let asked = asked.and_then(|role| role.password.as_ref());
        let password_fits = kept
            .zip(asked)
            .is_some_and(|(kept, asked)| verifier::fits(&kept, asked));
        let role = ObservedRole {
            login: row.get(1),
            connection_limit: row.get(2),
            is_privileged: row.get(3),
            password_fits,
            member_of: set(row.get(5)),
            replication: row.get(6),
        };
        (name, role)
    };
    Ok(rows.into_iter().map(of).collect())
}

async fn reads(
    session: &Session,
    wanted: &Wanted,
    database: &str,
) -> Result<BTreeSet<Read>, PostgresError> {
    let mine = || wanted.reads.iter().filter(|read| read.database == database);
    let Some(owner) = wanted.owner(database).filter(|_| mine().next().is_some()) else {
        return Ok(BTreeSet::new());
    };
    let roles: Vec<&str> = mine().map(|read| read.role.as_str()).collect();
    let schemas: Vec<&str> = mine().map(|read| read.schema.as_str()).collect();
    let rows = session.query(READS, &[&roles, &schemas, &owner]).await;
    let doing = format!("see who may read database {database}");
    let rows = rows.map_err(PostgresError::doing(doing))?;
    let read = |row: &tokio_postgres::Row| Read {
        role: row.get(0),
        database: database.to_owned(),
        schema: row.get(1),
    };
    Ok(rows.iter().map(read).collect())
}
