//! The statements of a change. Pure.

use super::change::{Change, Read, Wanted, WantedRole};

/// The database that sessions of the operator are in, unless a change is of another one.
pub(super) const ADMIN: &str = "postgres";

/// The database in which a change is made, and its statements.
#[must_use]
pub(super) fn statements<'a>(
    change: &'a Change,
    wanted: &Wanted,
    verifier: Option<&str>,
) -> (&'a str, Vec<String>) {
    match change {
        Change::LoadCertificate => (ADMIN, vec!["SELECT pg_reload_conf()".into()]),
        Change::CreateRole(role) => (ADMIN, role_statement("CREATE", role, wanted)),
        Change::AlterRole(role) => (ADMIN, role_statement("ALTER", role, wanted)),
        Change::Join { role, of } => {
            let text = format!("GRANT {} TO {}", identifier(of), identifier(role));
            (ADMIN, vec![text])
        }
        Change::Leave { role, of } => {
            let text = format!("REVOKE {} FROM {}", identifier(of), identifier(role));
            (ADMIN, vec![text])
        }
        Change::CreateDatabase(database) => {
            let owner = wanted.owner(database).unwrap_or(ADMIN);
            let (name, owner) = (identifier(database), identifier(owner));
            // Sessions with the other template would hold it up.
            let text = format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE template0");
            (ADMIN, vec![text])
        }
        Change::SetOwner { database, to, .. } => {
            let (name, owner) = (identifier(database), identifier(to));
            let text = format!("ALTER DATABASE {name} OWNER TO {owner}");
            (ADMIN, vec![text])
        }
        Change::CreateExtension {
            database,
            extension,
        } => {
            let name = identifier(extension);
            let create = format!("CREATE EXTENSION IF NOT EXISTS {name} CASCADE");
            // Where it comes to lie unless it says so itself. Everything else of the operator's looks into no schema that
            // others can put something into.
            let [there, back] = ["public", "pg_catalog"].map(|s| format!("SET search_path = {s}"));
            (database, vec![there, create, back])
        }
        Change::LetRead(read) => (&read.database, reading(read, wanted, ("GRANT", "TO"))),
        Change::TakeRead(read) => (&read.database, reading(read, wanted, ("REVOKE", "FROM"))),
        Change::SetPassword(role) => {
            let (role, verifier) = (identifier(role), literal(verifier.unwrap_or_default()));
            (
                ADMIN,
                vec![format!("ALTER ROLE {role} PASSWORD {verifier}")],
            )
        }
        Change::DropDatabase(database) => {
            let text = format!("DROP DATABASE {} WITH (FORCE)", identifier(database));
            (ADMIN, vec![text])
        }
        Change::DropRole(role) => (ADMIN, vec![format!("DROP ROLE {}", identifier(role))]),
    }
}

fn role_statement(verb: &str, role: &str, wanted: &Wanted) -> Vec<String> {
    let found = wanted.roles.iter().find(|one| one.name == role);
    let text = |wanted: &WantedRole| {
        let login = if wanted.login { "LOGIN" } else { "NOLOGIN" };
        let replication = if wanted.replication {
            "REPLICATION"
        } else {
            "NOREPLICATION"
        };
        let (name, limit) = (identifier(role), wanted.connection_limit);
        format!(
            "{verb} ROLE {name} WITH {login} NOSUPERUSER NOCREATEDB NOCREATEROLE {replication} NOBYPASSRLS CONNECTION LIMIT {limit}"
        )
    };
    found.map(text).into_iter().collect()
}

/// What is there, and what the owner of the database will make.
fn reading(read: &Read, wanted: &Wanted, (verb, to): (&str, &str)) -> Vec<String> {
    let (role, schema) = (identifier(&read.role), identifier(&read.schema));
    let mut all = vec![
        format!("{verb} USAGE ON SCHEMA {schema} {to} {role}"),
        format!("{verb} SELECT ON ALL TABLES IN SCHEMA {schema} {to} {role}"),
    ];
    if let Some(owner) = wanted.owner(&read.database) {
        let owner = identifier(owner);
        all.push(format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} {verb} SELECT ON TABLES {to} {role}"
        ));
    }
    all
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::super::change::tests::wanted;
    use super::*;

    #[test]
    fn each_change_is_made_in_its_database() {
        let read = Read {
            role: "analysts".into(),
            database: "scores".into(),
            schema: "public".into(),
        };
        let told: Vec<String> = [
            Change::LoadCertificate,
            Change::CreateRole("score".into()),
            Change::AlterRole("analysts".into()),
            Change::Join {
                role: "ann".into(),
                of: "analysts".into(),
            },
            Change::CreateDatabase("scores".into()),
            Change::SetOwner {
                database: "scores".into(),
                from: "x".into(),
                to: "score".into(),
            },
            Change::CreateExtension {
                database: "scores".into(),
                extension: "pg_trgm".into(),
            },
            Change::LetRead(read.clone()),
            Change::TakeRead(read),
            Change::SetPassword("score".into()),
            Change::DropDatabase("a\"b".into()),
            Change::DropRole("old".into()),
        ]
        .iter()
        .map(|change| {
            let (database, all) = statements(change, &wanted(), Some("SCRAM-SHA-256$…"));
            format!("{change}\n  {database}> {}\n", all.join("; "))
        })
        .collect();
        insta::assert_snapshot!(told.concat());
    }
}
