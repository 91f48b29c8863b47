//! What is built before anything runs: the cluster's binaries, our binaries, jars, base file systems.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context::Context;
use crate::{files, run};

/// The image tag's first part, and what `--version` of every binary says.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The Debian release of all base images.
const SUITE: &str = "bookworm";

/// Kubernetes in one binary, helm and pause, built from the Go module of the local cluster.
///
/// # Errors
/// The build fails.
pub fn cluster(context: &Context) -> anyhow::Result<PathBuf> {
    let sources = context.root.join("cluster");
    let parts = ["hyperkube", "pause", "build.sh"].map(|part| sources.join(part));
    go(context, "cluster", &sources.join("build.sh"), &parts)
}

/// Traefik and the controllers of cert-manager as image archives, and their custom resource definitions.
///
/// # Errors
/// The build fails.
pub fn controllers(context: &Context) -> anyhow::Result<PathBuf> {
    let sources = context.root.join("cluster/controllers");
    let script = sources.join("build.sh");
    go(context, "controllers", &script, &[sources])
}

/// Runs the build script of a Go module, whose output is kept by the key of its sources.
fn go(
    context: &Context,
    name: &str,
    script: &Path,
    sources: &[PathBuf],
) -> anyhow::Result<PathBuf> {
    let out = context
        .cache
        .join(format!("{name}-{}", files::key(sources)?));
    let go = context.cache.join("go");
    run::logged(
        Command::new("bash")
            .arg(script)
            .arg(&out)
            .env("GOMODCACHE", go.join("mod"))
            .env("GOCACHE", go.join("build"))
            .env("GOFLAGS", "-modcacherw"),
        &context.log(&format!("build-{name}"))?,
    )?;
    Ok(out)
}

/// Every binary of the workspace but this one.
///
/// # Errors
/// The build fails.
pub fn binaries(context: &Context) -> anyhow::Result<()> {
    let log = context.log("build-rust")?;
    let mut build = cargo(context);
    build.args(["build", "--locked", "--workspace"]);
    // Not the actions: they are linked in another way, see below, and one would undo the other.
    for name in BINARIES {
        build.args(["--bin", name]);
    }
    if context.whole {
        build.args(["--bin", BALLISTA]);
    } else {
        build.args(["--exclude", BALLISTA]);
    }
    run::logged(&mut build, &log)?;
    actions(context).map(|_| ())
}

/// The programs of the platform and of the command line, but for the actions.
const BINARIES: &[&str] = &[
    "millrace",
    "millrace-batch",
    "millrace-local",
    "millrace-operator",
    "millrace-stream",
    "millrace-whisk",
];

/// The program of engine ballista, and the package that it is in.
pub const BALLISTA: &str = "millrace-ballista";

/// The OpenWhisk actions as static programs, each zipped as `exec`; gives the directory of zips.
///
/// # Errors
/// The build fails.
pub fn actions(context: &Context) -> anyhow::Result<PathBuf> {
    let log = context.log("build-actions")?;
    let zips = context.target().join("actions");
    std::fs::create_dir_all(&zips)?;
    let sources = [
        "Cargo.lock",
        "Cargo.toml",
        "jobs/actions",
        "jobs/contract",
        "jobs/documents",
        "jobs/harness",
    ]
    .map(|p| context.root.join(p));
    let (key, stamp) = (files::key(&sources)?, zips.join("sources.key"));
    if std::fs::read_to_string(&stamp).is_ok_and(|old| old == key) {
        return Ok(zips);
    }
    for name in ACTIONS {
        // Only the last crate is compiled for a static C library; what it links is shared with all other builds.
        run::logged(
            cargo(context)
                .args([
                    "rustc",
                    "--locked",
                    "--package",
                    "millrace-actions",
                    "--bin",
                    name,
                    "--",
                ])
                .args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"]),
            &log,
        )?;
        zip(&context.binary(name), &zips.join(format!("{name}.zip")))?;
    }
    files::replace(&stamp, key.as_bytes())?;
    Ok(zips)
}

/// The actions that come with the platform.
pub const ACTIONS: &[&str] = &[
    "assess-vehicle",
    "make-offer",
    "notify-driver",
    "warn-geofence",
];

fn zip(program: &Path, to: &Path) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(&mut bytes));
    // The time stamp is fixed so that equal programs give equal archives: images and action digests follow content.
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o755);
    archive.start_file("exec", options)?;
    std::io::Write::write_all(&mut archive, &std::fs::read(program)?)?;
    archive.finish()?;
    if std::fs::read(to).ok().as_deref() != Some(&bytes[..]) {
        files::replace(to, &bytes)?;
    }
    Ok(())
}

/// The version before ours: what the drill of an upgrade starts from.
const FORMER_KAFKA: &str = "4.2.1";

/// Kafka's jars from Maven; gives the directory that holds them.
///
/// # Errors
/// Maven cannot fetch them.
pub fn kafka_libs(context: &Context) -> anyhow::Result<PathBuf> {
    kafka_jars(context, None)
}

/// The jars of the version before ours.
///
/// # Errors
/// Maven cannot fetch them.
pub fn former_kafka_libs(context: &Context) -> anyhow::Result<PathBuf> {
    kafka_jars(context, Some(FORMER_KAFKA))
}

fn kafka_jars(context: &Context, version: Option<&str>) -> anyhow::Result<PathBuf> {
    let pom = context.root.join("images/kafka/pom.xml");
    let key = files::key(std::slice::from_ref(&pom))?;
    // Not `kafka-*`, the newest of which tests take for ours.
    let name = match version {
        None => format!("kafka-{key}"),
        Some(version) => format!("former-kafka-{version}-{key}"),
    };
    let out = context.cache.join(&name);
    let libs = out.join("libs");
    if !libs.is_dir() {
        let fresh = out.join("libs.new");
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh)?;
        }
        let mut fetch = Command::new("mvn");
        fetch
            .args(["-q", "-B", "-f"])
            .arg(&pom)
            .arg("dependency:copy-dependencies")
            .arg("-DincludeScope=runtime")
            .arg(format!("-DoutputDirectory={}", fresh.display()));
        if let Some(version) = version {
            fetch.arg(format!("-Dkafka.version={version}"));
        }
        run::logged(&mut fetch, &context.log(&format!("fetch-{name}"))?)?;
        std::fs::rename(&fresh, &libs)?;
    }
    Ok(libs)
}

/// ZooKeeper's jars from Maven; gives the directory that holds `lib`.
///
/// # Errors
/// Maven cannot fetch them.
pub fn zookeeper_libs(context: &Context) -> anyhow::Result<PathBuf> {
    laid_out(context, "zookeeper", "home")
}

/// The jars and web pages of HDFS from Maven; gives the directory that is `share/hadoop` of the upstream distribution.
///
/// # Errors
/// Maven cannot fetch them.
pub fn hadoop_libs(context: &Context) -> anyhow::Result<PathBuf> {
    laid_out(context, "hadoop", "share")
}

/// The document store of development, compiled, with its jars from Maven; gives the directory that holds `lib`.
///
/// # Errors
/// Maven cannot fetch them, or the compiler fails.
pub fn mongo_wire(context: &Context) -> anyhow::Result<PathBuf> {
    laid_out(context, "mongo-wire", "home")
}

/// Druid's jars from Maven; gives the directory that holds `lib` and `extensions`.
///
/// # Errors
/// Maven cannot fetch them.
pub fn druid_libs(context: &Context) -> anyhow::Result<PathBuf> {
    laid_out(context, "druid", "home")
}

/// What the pom.xml of an image lays out, kept by the key of that file and of the sources beside it.
fn laid_out(context: &Context, image: &str, part: &str) -> anyhow::Result<PathBuf> {
    let of_image = context.root.join("images").join(image);
    let pom = of_image.join("pom.xml");
    let mut made_of = vec![pom.clone()];
    made_of.extend(Some(of_image.join("src")).filter(|sources| sources.is_dir()));
    let key = files::key(&made_of)?;
    let home = context.cache.join(format!("{image}-{key}"));
    let out = home.join(part);
    if !out.is_dir() {
        let fresh = home.join("new");
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh)?;
        }
        run::logged(
            Command::new("mvn")
                .args(["-q", "-B", "-f"])
                .arg(&pom)
                .arg("package")
                .arg(format!("-Dout={}", fresh.display())),
            &context.log(&format!("fetch-{image}"))?,
        )?;
        std::fs::rename(&fresh, &out)?;
    }
    Ok(out)
}

/// The base image of PostgreSQL, and the Debian packages in it. The cache goes by the name: other packages need another one.
/// Patroni's package is content with a client of any store, so that of Kubernetes is named.
pub const POSTGRES: (&str, &str) = (
    "postgres-patroni-audit",
    "ca-certificates,patroni,postgresql-15,postgresql-15-pgaudit,python3-kubernetes,tini",
);

/// The root file system of the image of PostgreSQL, unpacked, in which tests run its server.
///
/// # Errors
/// Debian's archive cannot be read.
pub fn postgres_root(context: &Context) -> anyhow::Result<PathBuf> {
    let (name, packages) = POSTGRES;
    let tar = root_file_system(context, name, packages)?;
    let home = context.cache.join(format!("{name}-{SUITE}"));
    let root = home.join("root");
    if !root.is_dir() {
        let fresh = home.join("new");
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh)?;
        }
        std::fs::create_dir_all(&fresh)?;
        run::logged(
            Command::new("tar")
                // Tests mount the machine's own devices.
                .args(["--exclude=./dev/*", "-xf"])
                .arg(&tar)
                .arg("-C")
                .arg(&fresh),
            &context.log("unpack-postgres")?,
        )?;
        std::fs::rename(&fresh, &root)?;
    }
    Ok(root)
}

/// A root file system of Debian packages as a tar archive.
///
/// # Errors
/// Debian's archive cannot be read.
pub fn root_file_system(context: &Context, name: &str, packages: &str) -> anyhow::Result<PathBuf> {
    let tar = context.cache.join(format!("rootfs-{SUITE}-{name}.tar"));
    if !tar.is_file() {
        let fresh = context.cache.join(format!("rootfs-{SUITE}-{name}.new.tar"));
        run::logged(
            Command::new("mmdebstrap")
                .args(["--variant=minbase", "--quiet"])
                // Manuals, translations and package lists are of no use in an image.
                .args([
                    "--dpkgopt=path-exclude=/usr/share/man/*",
                    "--dpkgopt=path-exclude=/usr/share/locale/*",
                ])
                .args([
                    "--dpkgopt=path-exclude=/usr/share/doc/*",
                    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                ])
                // Java's packages register their manuals and fail where the directory is missing.
                .arg("--setup-hook=mkdir -p \"$1\"/usr/share/man/man1")
                // Where there is PostgreSQL, its databases are on a volume and not in the image.
                .arg("--essential-hook=mkdir -p \"$1\"/etc/postgresql-common && echo create_main_cluster = false >\"$1\"/etc/postgresql-common/createcluster.conf")
                .arg(
                    "--customize-hook=rm -rf \"$1\"/var/lib/apt/lists/* \"$1\"/var/cache/apt/*.bin",
                )
                .arg(format!("--include={packages}"))
                .arg(SUITE)
                .arg(&fresh),
            &context.log(&format!("rootfs-{name}"))?,
        )?;
        std::fs::rename(&fresh, &tar)?;
    }
    Ok(tar)
}

/// Runs every generator.
///
/// # Errors
/// A generator fails, or with `check` a file differs.
pub fn generate(context: &Context, check: bool) -> anyhow::Result<()> {
    let mut contract = cargo(context);
    contract.args([
        "run",
        "--locked",
        "--quiet",
        "--package",
        "millrace-contract",
    ]);
    contract.args([
        "--features",
        "generate",
        "--bin",
        "millrace-generate-contract",
        "--",
    ]);
    binaries(context)?;
    let mut operator = Command::new(context.binary("millrace-operator"));
    operator.arg("generate").current_dir(&context.root);
    for mut command in [contract, operator] {
        if check {
            command.arg("--check");
        }
        anyhow::ensure!(
            command.status()?.success(),
            "what is generated differs from what is committed, or cannot be generated: run `cargo xtask generate` and commit the result"
        );
    }
    Ok(())
}

/// Runs the benchmarks.
///
/// # Errors
/// One of them fails.
pub fn bench(context: &Context) -> anyhow::Result<()> {
    let libs = kafka_libs(context)?;
    let status = Command::new("bash")
        .arg(context.root.join("bench/run.sh"))
        .env("MILLRACE_KAFKA_LIBS", libs)
        .current_dir(&context.root)
        .status()?;
    anyhow::ensure!(status.success(), "a benchmark failed");
    Ok(())
}

/// `cargo`, in the repository.
pub fn cargo(context: &Context) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&context.root);
    // Set by `cargo run` for this process; a child cargo must find its own. Build scripts that look at one of them (that of
    // ring does) would run again each time a build is begun here after one outside, and all that depends on them.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(&variable);
        }
    }
    command
}
