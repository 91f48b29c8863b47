//! Images: built with buildah here, podman or docker elsewhere; tagged by content.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::builds::{self, VERSION};
use crate::context::Context;
use crate::{files, run};

/// One built image.
pub struct Image {
    /// `millrace-stream`, say.
    pub name: &'static str,
    /// Name and tag; the tag changes when the content does.
    pub reference: String,
    /// A docker archive of it.
    pub archive: PathBuf,
}

/// What goes into an image.
struct Recipe {
    name: &'static str,
    /// Where its Containerfile is, in `images/`.
    directory: &'static str,
    /// The image below it: a Debian file system.
    base: &'static str,
    /// Files of the context: name in the context, source.
    inputs: Vec<(String, PathBuf)>,
}

const BASES: &[(&str, &str)] = &[
    // libssl3 is for the stream jobs: their Kafka client is linked against the system's OpenSSL.
    ("debian", "ca-certificates,libssl3,tini"),
    ("java", "ca-certificates,tini,openjdk-17-jre-headless"),
    builds::POSTGRES,
];

/// Fetches what images are made of, besides our own binaries.
///
/// # Errors
/// A registry does not give it.
pub fn fetch(context: &Context) -> anyhow::Result<()> {
    for (name, packages) in BASES {
        builds::root_file_system(context, name, packages)?;
    }
    builds::kafka_libs(context)?;
    builds::zookeeper_libs(context)?;
    builds::hadoop_libs(context)?;
    builds::mongo_wire(context)?;
    builds::druid_libs(context)?;
    builds::postgres_root(context).map(|_| ())
}

/// Builds the images that differ from those in the cache.
///
/// # Errors
/// No engine answers, or a build fails.
pub fn build(context: &Context, prefix: &str) -> anyhow::Result<Vec<Image>> {
    let engine = Engine::find(context)?;
    recipes(context)?
        .iter()
        .map(|recipe| one(context, &engine, prefix, recipe))
        .collect()
}

/// The image of the Kafka before ours.
///
/// # Errors
/// Its jars cannot be fetched, no engine answers, or the build fails.
pub fn former_kafka(context: &Context, prefix: &str) -> anyhow::Result<Image> {
    let recipe = Recipe {
        name: "former-kafka",
        directory: "kafka",
        base: "java",
        inputs: vec![("libs".to_owned(), builds::former_kafka_libs(context)?)],
    };
    one(context, &Engine::find(context)?, prefix, &recipe)
}

fn recipes(context: &Context) -> anyhow::Result<Vec<Recipe>> {
    let binary = |name: &str| (name.to_owned(), context.binary(name));
    let zips = context.target().join("actions");
    let mut operator = vec![binary("millrace-operator"), binary("millrace")];
    for action in builds::ACTIONS {
        let zip = format!("{action}.zip");
        operator.push((format!("actions/{zip}"), zips.join(&zip)));
    }
    let ballista = context.ballista.then(|| Recipe {
        name: builds::BALLISTA,
        directory: builds::BALLISTA,
        base: "debian",
        inputs: vec![binary(builds::BALLISTA), binary("millrace-batch")],
    });
    let mut recipes = vec![
        Recipe {
            name: "kafka",
            directory: "kafka",
            base: "java",
            inputs: vec![("libs".to_owned(), builds::kafka_libs(context)?)],
        },
        Recipe {
            name: "zookeeper",
            directory: "zookeeper",
            base: "java",
            inputs: vec![(
                "lib".to_owned(),
                builds::zookeeper_libs(context)?.join("lib"),
            )],
        },
        Recipe {
            name: "hadoop",
            directory: "hadoop",
            base: "java",
            inputs: vec![("share".to_owned(), builds::hadoop_libs(context)?)],
        },
        Recipe {
            name: "druid",
            directory: "druid",
            base: "java",
            inputs: vec![
                ("lib".to_owned(), builds::druid_libs(context)?.join("lib")),
                (
                    "extensions".to_owned(),
                    builds::druid_libs(context)?.join("extensions"),
                ),
            ],
        },
        Recipe {
            name: "mongo-wire",
            directory: "mongo-wire",
            base: "java",
            inputs: vec![("lib".to_owned(), builds::mongo_wire(context)?.join("lib"))],
        },
        Recipe {
            name: "postgres",
            directory: "postgres",
            base: builds::POSTGRES.0,
            inputs: Vec::new(),
        },
        Recipe {
            name: "millrace-operator",
            directory: "millrace-operator",
            base: "debian",
            inputs: operator,
        },
        Recipe {
            name: "millrace-stream",
            directory: "millrace-stream",
            base: "debian",
            inputs: vec![binary("millrace-stream"), binary("millrace-batch")],
        },
        Recipe {
            name: "millrace-whisk",
            directory: "millrace-whisk",
            base: "debian",
            inputs: vec![binary("millrace-whisk")],
        },
    ];
    recipes.extend(ballista);
    Ok(recipes)
}

fn one(context: &Context, engine: &Engine, prefix: &str, recipe: &Recipe) -> anyhow::Result<Image> {
    let containerfile = context
        .root
        .join("images")
        .join(recipe.directory)
        .join("Containerfile");
    let (_, packages) = BASES
        .iter()
        .find(|(name, _)| *name == recipe.base)
        .ok_or_else(|| anyhow::anyhow!("no base image {}", recipe.base))?;
    let root = builds::root_file_system(context, recipe.base, packages)?;
    let mut sources = vec![
        containerfile.clone(),
        context.root.join("images/base/Containerfile"),
    ];
    sources.extend(recipe.inputs.iter().map(|(_, path)| path.clone()));
    let tag = format!("{VERSION}-{}", files::key(&sources)?);
    let reference = format!("{prefix}/{}:{tag}", recipe.name);
    let store = context.cache.join("images");
    std::fs::create_dir_all(&store)?;
    let flat = prefix.replace(['/', ':'], "_");
    let archive = store.join(format!("{flat}_{}-{tag}.tar", recipe.name));
    if !archive.is_file() {
        let log = context.log(&format!("image-{}", recipe.name))?;
        let base = format!(
            "localhost/millrace-base-{}:{}",
            recipe.base,
            builds_tag(&root)?
        );
        engine.base(context, &base, &root, &log)?;
        let place = context.state.join("image-context").join(recipe.name);
        lay_out(&place, &recipe.inputs)?;
        engine.build(&reference, &containerfile, &base, &place, &log)?;
        let fresh = archive.with_extension("new");
        engine.save(&reference, &fresh, &log)?;
        std::fs::rename(&fresh, &archive)?;
        std::fs::remove_dir_all(&place)?;
        forget_older(&store, &format!("{flat}_{}-", recipe.name), &archive)?;
    }
    Ok(Image {
        name: recipe.name,
        reference,
        archive,
    })
}

/// The tag of a base image: the size and time of its archive, which never changes once it is there.
fn builds_tag(tar: &Path) -> anyhow::Result<String> {
    let meta = std::fs::metadata(tar)?;
    let time = meta
        .modified()?
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs();
    Ok(format!("{:x}-{time:x}", meta.len()))
}

fn lay_out(place: &Path, inputs: &[(String, PathBuf)]) -> anyhow::Result<()> {
    if place.exists() {
        std::fs::remove_dir_all(place)?;
    }
    // An image that is all base has nothing in it.
    std::fs::create_dir_all(place)?;
    for (name, source) in inputs {
        let to = place.join(name);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        copy(source, &to)?;
    }
    Ok(())
}

fn copy(source: &Path, to: &Path) -> anyhow::Result<()> {
    if source.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(source)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    std::fs::copy(source, to)
        .map(|_| ())
        .map_err(|e| anyhow::anyhow!("{}: {e}", source.display()))
}

/// Old archives of the same image would fill the disk, one for each change.
fn forget_older(store: &Path, prefix: &str, keep: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(store)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with(prefix) && path != keep {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// A program that builds images.
enum Engine {
    /// With a store of its own under the cache, so that the machine's is left alone.
    Buildah(PathBuf),
    /// podman or docker.
    Other(&'static str),
}

impl Engine {
    fn find(context: &Context) -> anyhow::Result<Self> {
        if run::succeeds(Command::new("buildah").arg("--version")) {
            return Ok(Self::Buildah(context.cache.join("buildah")));
        }
        for name in ["podman", "docker"] {
            if run::succeeds(Command::new(name).arg("info")) {
                return Ok(Self::Other(name));
            }
        }
        anyhow::bail!(
            "nothing here builds images: install buildah (Debian: apt-get install -y buildah), podman or docker"
        )
    }

    fn command(&self) -> Command {
        match self {
            Self::Buildah(store) => {
                let mut command = Command::new("buildah");
                command
                    .arg("--root")
                    .arg(store.join("root"))
                    .arg("--runroot")
                    .arg(store.join("run"))
                    .args(["--storage-driver", "overlay"]);
                command
            }
            Self::Other(name) => Command::new(name),
        }
    }

    /// The image of a root file system, unless it is there.
    fn base(
        &self,
        context: &Context,
        reference: &str,
        tar: &Path,
        log: &Path,
    ) -> anyhow::Result<()> {
        if run::succeeds(
            self.command()
                .args(["inspect", "--type", "image", reference]),
        ) {
            return Ok(());
        }
        let place = context.state.join("image-context/base");
        std::fs::create_dir_all(&place)?;
        let to = place.join("rootfs.tar");
        let _ = std::fs::remove_file(&to);
        std::fs::hard_link(tar, &to).or_else(|_| std::fs::copy(tar, &to).map(|_| ()))?;
        self.build(
            reference,
            &context.root.join("images/base/Containerfile"),
            "scratch",
            &place,
            log,
        )?;
        std::fs::remove_dir_all(&place)?;
        Ok(())
    }

    fn build(
        &self,
        reference: &str,
        file: &Path,
        base: &str,
        place: &Path,
        log: &Path,
    ) -> anyhow::Result<()> {
        let mut command = self.command();
        match self {
            Self::Buildah(_) => {
                command.args(["bud", "--quiet", "--isolation", "chroot", "--pull=never"])
            }
            Self::Other(_) => command.args(["build", "--quiet"]),
        };
        command.arg("--build-arg").arg(format!("BASE={base}"));
        run::logged(
            command.args(["-t", reference, "-f"]).arg(file).arg(place),
            log,
        )
    }

    fn save(&self, reference: &str, archive: &Path, log: &Path) -> anyhow::Result<()> {
        let _ = std::fs::remove_file(archive);
        let mut command = self.command();
        match self {
            Self::Buildah(_) => command
                .args(["push", "--quiet", reference])
                .arg(format!("docker-archive:{}:{reference}", archive.display())),
            Self::Other(_) => command.arg("save").arg("-o").arg(archive).arg(reference),
        };
        run::logged(&mut command, log)
    }
}

/// Pushes images to the registry that their references name.
///
/// # Errors
/// The registry refuses.
pub fn push(context: &Context, images: &[Image]) -> anyhow::Result<()> {
    let engine = Engine::find(context)?;
    for image in images {
        let mut command = engine.command();
        run::logged(
            command.args(["push", &image.reference]),
            &context.log("push")?,
        )?;
    }
    Ok(())
}
