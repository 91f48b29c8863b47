//! What the server tells about itself.

use std::path::Path;

use serde_json::json;

use crate::api::Reply;
use crate::settings::Settings;

const MIB: u64 = 1024 * 1024;

/// `GET /`.
pub fn server(settings: &Settings) -> Reply {
    let (bounds, throttles) = (&settings.bounds, &settings.throttles);
    // The "defaults" are the highest values: the real server's description has them so.
    Reply::bare_json(
        200,
        json!({
            "description": "OpenWhisk",
            "api_paths": ["/api/v1"],
            "runtimes": settings.kinds.describe(),
            "limits": {
                "actions_per_minute": throttles.invocations_per_minute,
                "triggers_per_minute": throttles.fires_per_minute,
                "concurrent_actions": throttles.concurrent,
                "sequence_length": bounds.sequence_length,
                "default_min_action_duration": bounds.timeout.0,
                "default_max_action_duration": bounds.timeout.1,
                "default_min_action_memory": bounds.memory.0 * MIB,
                "default_max_action_memory": bounds.memory.1 * MIB,
                "default_min_action_logs": bounds.logs.0 * MIB,
                "default_max_action_logs": bounds.logs.1 * MIB,
                "min_action_duration": bounds.timeout.0,
                "max_action_duration": bounds.timeout.1,
                "min_action_memory": bounds.memory.0 * MIB,
                "max_action_memory": bounds.memory.1 * MIB,
                "min_action_logs": bounds.logs.0 * MIB,
                "max_action_logs": bounds.logs.1 * MIB,
            },
            "support": {
                "github": "https://github.com/apache/openwhisk/issues",
                "slack": "http://slack.openwhisk.org",
            },
        }),
    )
}

/// `GET /api/v1`.
pub fn api() -> Reply {
    Reply::json(
        200,
        json!({
            "description": "OpenWhisk API",
            "api_version": "1.0.0",
            "api_version_path": "v1",
            "build": "???",
            "buildno": "standalone",
            "swagger_paths": { "ui": "/docs", "api-docs": "/api-docs" },
        }),
    )
}

/// `GET /volume`: how full the volume of entities and activations is, in bytes. Not in the real server.
pub fn volume(data: &Path) -> Reply {
    match rustix::fs::statvfs(data) {
        Ok(volume) => Reply::bare_json(
            200,
            json!({
                "total": volume.f_blocks.saturating_mul(volume.f_frsize),
                "usable": volume.f_bavail.saturating_mul(volume.f_frsize),
            }),
        ),
        Err(error) => Reply::bare_json(
            500,
            json!({"error": format!("{}: {error}", data.display())}),
        ),
    }
}

/// `GET /invokers`: there are none apart from the server.
pub fn invokers() -> Reply {
    Reply::json(200, json!({})).with_methods("OPTIONS, GET, POST")
}

/// `GET namespaces/_/limits`.
pub fn limits(settings: &Settings) -> Reply {
    let (bounds, throttles) = (&settings.bounds, &settings.throttles);
    Reply::json(
        200,
        json!({
            "concurrentInvocations": throttles.concurrent,
            "firesPerMinute": throttles.fires_per_minute,
            "invocationsPerMinute": throttles.invocations_per_minute,
            "maxActionConcurrency": bounds.concurrency.1,
            "maxActionInstances": bounds.instances,
            "maxActionLogs": bounds.logs.1,
            "maxActionMemory": bounds.memory.1,
            "maxActionTimeout": bounds.timeout.1,
            "maxParameterSize": format!("{} B", bounds.payload_bytes),
            "minActionConcurrency": bounds.concurrency.0,
            "minActionLogs": bounds.logs.0,
            "minActionMemory": bounds.memory.0,
            "minActionTimeout": bounds.timeout.0,
        }),
    )
}
