//! `millrace plan`: what an apply would lead to.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{Output, Place, reach};
use crate::context::Context;
use crate::plan::{self, Apply, Given};

/// Says what an apply would change, down to the pods that restart. Exit code 0: nothing; 2: something; 1: refused
#[derive(Clone, Debug, Args)]
pub struct Command {
    /// Files or directories with documents, or - for standard input
    #[arg(
        long = "filename",
        short = 'f',
        required = true,
        value_name = "FILE|DIR|-"
    )]
    files: Vec<PathBuf>,
    /// The field manager that would apply
    #[arg(long, default_value = "kubectl", value_name = "NAME")]
    field_manager: String,
    /// As if fields of other managers were taken over
    #[arg(long)]
    force_conflicts: bool,
    /// Namespace of the operator; all are looked at when absent
    #[arg(long, value_name = "NAMESPACE")]
    operator_namespace: Option<String>,
    /// Kafka's image, instead of the one that the operator was started with
    #[arg(long, value_name = "IMAGE")]
    image_kafka: Option<String>,
    /// ZooKeeper's image, the same
    #[arg(long, value_name = "IMAGE")]
    image_zookeeper: Option<String>,
    /// HDFS's image, the same
    #[arg(long, value_name = "IMAGE")]
    image_hadoop: Option<String>,
    /// Druid's image, the same
    #[arg(long, value_name = "IMAGE")]
    image_druid: Option<String>,
    /// PostgreSQL's image, the same
    #[arg(long, value_name = "IMAGE")]
    image_postgres: Option<String>,
    /// MongoDB's image, the same
    #[arg(long, value_name = "IMAGE")]
    image_mongodb: Option<String>,
    /// The image of the document store of development, the same
    #[arg(long, value_name = "IMAGE")]
    image_mongo_wire: Option<String>,
    /// The jobs' image, the same
    #[arg(long, value_name = "IMAGE")]
    image_stream: Option<String>,
    /// OpenWhisk's image, the same
    #[arg(long, value_name = "IMAGE")]
    image_whisk: Option<String>,
    /// The image of the job score on several machines, the same
    #[arg(long, value_name = "IMAGE")]
    image_ballista: Option<String>,
    /// Directory with the zips of the actions that come with the operator
    #[arg(long, value_name = "DIR")]
    actions_dir: Option<PathBuf>,
}

/// Does it. Gives the exit code.
///
/// # Errors
/// The documents cannot be read, or the operator is not found.
pub async fn run(place: &Place, command: Command, out: &mut impl Write) -> anyhow::Result<u8> {
    let mut documents = Vec::new();
    for file in &command.files {
        documents.extend(plan::read(file)?);
    }
    if documents.is_empty() {
        bail!("--filename: no document in it; name files with documents of Kubernetes");
    }
    let (client, namespace) = reach::client(place).await?;
    let given = Given {
        operator_namespace: command.operator_namespace,
        image_kafka: command.image_kafka,
        image_zookeeper: command.image_zookeeper,
        image_hadoop: command.image_hadoop,
        image_druid: command.image_druid,
        image_postgres: command.image_postgres,
        image_mongodb: command.image_mongodb,
        image_mongo_wire: command.image_mongo_wire,
        image_stream: command.image_stream,
        image_whisk: command.image_whisk,
        image_ballista: command.image_ballista,
        actions_dir: command.actions_dir,
    };
    let settings = plan::settings(&client, &namespace, &given).await?;
    let apply = Apply {
        namespace,
        manager: command.field_manager,
        force: command.force_conflicts,
    };
    let context = Context::new(client, settings);
    let planned = plan::plan(&context, &apply, documents).await;
    let summary = plan::summary(&planned);
    match place.output {
        Output::Json => {
            let body = json!({"documents": planned, "exitCode": summary.code()});
            writeln!(out, "{}", serde_json::to_string_pretty(&body)?)?;
        }
        Output::Table | Output::Yaml => plan::write(out, &planned)?,
    }
    Ok(summary.code())
}
