"""The peer of `bench_operator`: StreamJob -> ConfigMap and Deployment -> status, as one writes it with kopf."""

import asyncio
import contextlib

import aiohttp
import kopf
import yaml

GROUP, VERSION, PLURAL = "millrace.dev", "v1alpha1", "streamjobs"


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_):
    settings.posting.enabled = False
    settings.batching.worker_limit = 64
    settings.persistence.finalizer = f"{GROUP}/kopf"
    # Nothing here is kept in memory that a finalizer would have to protect.
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{GROUP}")


class Api:
    """The requests that kopf leaves to its user."""

    session: aiohttp.ClientSession | None = None
    server = ""

    @classmethod
    async def get(cls):
        if cls.session is None:
            import os

            with open(os.environ["KUBECONFIG"], encoding="utf-8") as file:
                config = yaml.safe_load(file)
            cls.server = config["clusters"][0]["cluster"]["server"]
            token = config["users"][0]["user"]["token"]
            cls.session = aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {token}"},
                connector=aiohttp.TCPConnector(ssl=False, limit=32),
            )
        return cls.session

    @classmethod
    async def apply(cls, path, body):
        session = await cls.get()
        async with session.patch(
            f"{cls.server}{path}?fieldManager=kopf&force=true",
            json=body,
            headers={"Content-Type": "application/apply-patch+yaml"},
        ) as answer:
            answer.raise_for_status()

    @classmethod
    async def status(cls, namespace, name, status):
        session = await cls.get()
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}/status"
        async with session.patch(
            f"{cls.server}{path}",
            json={"status": status},
            headers={"Content-Type": "application/merge-patch+json"},
        ) as answer:
            answer.raise_for_status()


def condition(available, generation):
    return {
        "observedGeneration": generation,
        "conditions": [
            {
                "type": "Available",
                "status": "True" if available else "False",
                "reason": "Ready" if available else "PodsNotReady",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }


@kopf.on.create(GROUP, VERSION, PLURAL)
async def make(name, namespace, uid, spec, meta, **_):
    owner = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "StreamJob",
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {"app.kubernetes.io/name": "detect", "app.kubernetes.io/instance": name}
    metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
    # Before there is a Deployment: it may be ready, and told to be, before its request is answered.
    await Api.status(namespace, name, condition(False, meta.get("generation")))
    await Api.apply(
        f"/api/v1/namespaces/{namespace}/configmaps/{name}-config",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata | {"name": f"{name}-config"},
            "data": {"config.yaml": yaml.safe_dump(dict(spec.get("config", {})))},
        },
    )
    await Api.apply(
        f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": spec.get("replicas", 1),
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "containers": [
                            {
                                "name": "detect",
                                "image": "stream:1",
                                "args": ["detect"],
                                "volumeMounts": [{"name": "config", "mountPath": "/etc/millrace"}],
                            }
                        ],
                        "volumes": [{"name": "config", "configMap": {"name": f"{name}-config"}}],
                    },
                },
            },
        },
    )


@kopf.on.event("apps", "v1", "deployments")
async def ready(body, name, namespace, **_):
    owners = body["metadata"].get("ownerReferences", [])
    if not any(owner["kind"] == "StreamJob" for owner in owners):
        return
    if body.get("status", {}).get("readyReplicas", 0) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await Api.status(namespace, name, condition(True, 1))
